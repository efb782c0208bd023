/**
 * The way of a DHCPv6 datagram: octets, checks, subnet, classes, reservation, the decision, the reply's octets. The order
 * of the steps is the policy. Whatever cannot be answered is counted by reason and dropped; nothing throws.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Instant } from '../../domain/instant.ts'
import type { Dhcp6 } from '../config/model.ts'
import type { Counters } from '../counters.ts'
import type { Logger } from '../logger.ts'
import { classify6, indexClientReservations6 } from './classify.ts'
import type { ReservationIndex6 } from './classify.ts'
import { readClient6 } from './client.ts'
import type { Arrival6, Drop6, Exchange6, Verdict6 } from './exchange.ts'
import { iaNasOf, iaPdsOf, serverDuid } from './option-access.ts'
import { MESSAGE6 } from './option-codes.ts'
import { validate6 } from './packet-validate.ts'
import { decodePacket6 } from './packet.ts'
import type { Packet6 } from './packet.ts'
import { destination6, encodeReply6 } from './reply.ts'
import type { Destination6, Ports6 } from './reply.ts'
import type { Service6 } from './service.ts'
import { indexSubnets6 } from './subnets.ts'
import type { SubnetIndex6 } from './subnets.ts'

/** Sends the octets of a reply to where it goes. Never throws. */
export type Send6 = (bytes: Uint8Array, to: Destination6) => void

/** What a handler is made of. */
export interface Handler6Options {
  readonly config: Dhcp6
  readonly service: Service6
  readonly serverDuid: Uint8Array
  readonly ports: Ports6
  readonly now: () => Instant
  readonly counters: Counters
  readonly log: Logger
  /** Exchanges that wait for the ledger; beyond three quarters of it Solicits are dropped, beyond it everything. */
  readonly queueMax: number
  /** A reply that took longer is not sent: the client has asked again. ms. */
  readonly packetAgeMsMax: number
  /** Whether this server answers the client at all, when servers share the load. */
  readonly answers: (packet: Packet6) => boolean
}

/** Handles DHCPv6 datagrams under one configuration. */
export class Handler6 {
  readonly #options: Handler6Options
  readonly #subnets: SubnetIndex6
  readonly #reservations: ReservationIndex6
  #waiting = 0

  constructor(options: Handler6Options) {
    this.#options = options
    this.#subnets = indexSubnets6(options.config)
    this.#reservations = indexClientReservations6(options.config)
  }

  /** Exchanges that wait for the ledger. */
  get waiting(): number {
    return this.#waiting
  }

  /** Takes one datagram. The octets must not change until the exchange is over. */
  handle(bytes: Uint8Array, arrival: Arrival6, send: Send6): void {
    const { counters } = this.#options
    const decoded = decodePacket6(bytes)
    if (E.isLeft(decoded)) {
      counters.add(`dhcp6.malformed.${decoded.left._tag}`)
      return
    }
    try {
      this.#process(decoded.right, arrival, send)
    } catch (error) {
      this.#defect(error)
    }
  }

  #process(packet: Packet6, arrival: Arrival6, send: Send6): void {
    const { counters, service, now, packetAgeMsMax } = this.#options
    const exchange = this.#prepare(packet, arrival)
    if (typeof exchange === 'string') {
      counters.add(`dhcp6.drop.${exchange}`)
      return
    }
    counters.add(`dhcp6.received.${TYPE_NAMES[packet.messageType] ?? 'other'}`)
    const began = now()
    this.#waiting++
    service
      .handle(exchange)
      .then((verdict) => {
        const late = now() - began > packetAgeMsMax && 'reply' in verdict
        this.#conclude(late ? { drop: 'tooLate' } : verdict, send)
      })
      .catch((error: unknown) => this.#defect(error))
      .finally(() => {
        this.#waiting--
      })
  }

  /** A defect of ours must not let one packet stop the service for all; it is loud in the log. */
  #defect(error: unknown): void {
    const { counters, log } = this.#options
    counters.add('dhcp6.drop.defect')
    log.error(
      { error: String(error), stack: error instanceof Error ? error.stack : undefined },
      'a packet hit a defect',
    )
  }

  #conclude(verdict: Verdict6, send: Send6): void {
    const { config, counters, ports, serverDuid: own } = this.#options
    if ('drop' in verdict) {
      counters.add(`dhcp6.drop.${verdict.drop}`)
      return
    }
    const { reply } = verdict
    const bytes = encodeReply6(config, own, reply)
    if (bytes === undefined) {
      counters.add('dhcp6.drop.tooLarge')
      return
    }
    counters.add(`dhcp6.sent.${TYPE_NAMES[reply.messageType] ?? 'other'}`)
    const { packet, arrival } = reply.exchange
    send(bytes, destination6(packet, arrival, ports))
  }

  #prepare(packet: Packet6, arrival: Arrival6): Exchange6 | Drop6 {
    const invalid = validate6(packet)
    if (invalid !== undefined) return invalid
    if (!this.#isForUs(packet)) return 'notForUs'
    const overload = this.#overload(packet)
    if (overload !== undefined) return overload
    const iaNas = iaNasOf(packet.options)
    const iaPds = iaPdsOf(packet.options)
    if (iaNas === undefined || iaPds === undefined) return 'badOption'
    if (!this.#options.answers(packet)) return 'anotherServersShare'
    const { config } = this.#options
    const client = readClient6(packet, arrival, config.macSources)
    const subnets = this.#subnets.select(packet.relays, arrival)
    const reservation = this.#reservations(subnets, client)
    const classes = classify6(config, { packet, arrival }, reservation)
    if (classes.has('DROP')) return 'classDrop'
    return { packet, arrival, client, subnets, iaNas, iaPds, classes, reservation }
  }

  /** A message that names a server is for that one alone (RFC 8415 §16). */
  #isForUs(packet: Packet6): boolean {
    const named = serverDuid(packet.options)
    return named === undefined || Buffer.compare(named, this.#options.serverDuid) === 0
  }

  #overload(packet: Packet6): Drop6 | undefined {
    const { queueMax } = this.#options
    const first = packet.messageType === MESSAGE6.solicit
    return this.#waiting >= (first ? (queueMax * 3) / 4 : queueMax) ? 'overloaded' : undefined
  }
}

const TYPE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(MESSAGE6).map(([name, code]) => [code, name]),
)
