/**
 * The way of a DHCPv6 datagram: octets, checks, subnet, classes, reservation, the decision, the reply's octets. The order
 * of the steps is the policy. Whatever cannot be answered is counted by reason and dropped; nothing throws.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Dhcp6 } from '../config/model.ts'
import { counterNames, Exchanges } from '../exchanges.ts'
import type { ExchangeOptions } from '../exchanges.ts'
import { PATIENCE_SEC } from '../turns.ts'
import type { LinkName, Turns } from '../turns.ts'
import { classify6, indexClientReservations6 } from './classify.ts'
import type { ReservationIndex6 } from './classify.ts'
import { readClient6 } from './client.ts'
import type { Arrival6, Drop6, Exchange6, Reply6, Verdict6 } from './exchange.ts'
import { clientDuid, iaNasOf, iaPdsOf, serverDuid } from './option-access.ts'
import { MESSAGE6 } from './option-codes.ts'
import { validate6 } from './packet-validate.ts'
import { decodePacket6 } from './packet.ts'
import type { Packet6 } from './packet.ts'
import { destination6, encodeReply6 } from './reply.ts'
import type { Destination6, Ports6 } from './reply.ts'
import type { Service6 } from './service.ts'
import { waitedSec6 } from './share.ts'
import { indexSubnets6 } from './subnets.ts'
import type { SubnetIndex6 } from './subnets.ts'

/** Sends the octets of a reply to where it goes. Never throws. */
export type Send6 = (bytes: Uint8Array, to: Destination6) => void

/** What a handler is made of. */
export interface Handler6Options extends ExchangeOptions {
  readonly config: Dhcp6
  readonly service: Service6
  readonly serverDuid: Uint8Array
  readonly ports: Ports6
  /** Whether this server answers the client at all, when servers share the load. */
  readonly answers: (packet: Packet6) => boolean
  /** Who offers first, when servers hear the same clients. */
  readonly turns: Turns
}

/** Handles DHCPv6 datagrams under one configuration. */
export class Handler6 {
  readonly #options: Handler6Options
  readonly #subnets: SubnetIndex6
  readonly #reservations: ReservationIndex6
  readonly #exchanges: Exchanges<Verdict6>

  constructor(options: Handler6Options) {
    this.#options = options
    this.#exchanges = new Exchanges('dhcp6', options)
    this.#subnets = indexSubnets6(options.config)
    this.#reservations = indexClientReservations6(options.config)
  }

  /** Exchanges that wait for the ledger. */
  get waiting(): number {
    return this.#exchanges.waiting
  }

  /** Takes one datagram. The octets must not change until the exchange is over. */
  handle(bytes: Uint8Array, arrival: Arrival6, send: Send6): void {
    const { counters } = this.#options
    const decoded = decodePacket6(bytes)
    if (E.isLeft(decoded)) {
      counters.add(`dhcp6.malformed.${decoded.left._tag}`)
      return
    }
    this.#exchanges.guard(() => this.#take(decoded.right, arrival, send))
  }

  #take(packet: Packet6, arrival: Arrival6, send: Send6): void {
    const { turns } = this.#options
    const { messageType: type, options } = packet
    const duid = clientDuid(options)
    if (type === MESSAGE6.solicit && duid !== undefined && waitedSec6(packet) < PATIENCE_SEC) {
      const later = (): void => this.#exchanges.guard(() => this.#process(packet, arrival, send))
      if (turns.standsBack(duid, linkOf(packet, arrival), later)) return
    } else if (type === MESSAGE6.request && duid !== undefined) {
      if (turns.chosen(duid)) this.#exchanges.drop('choseAnother')
    }
    this.#process(packet, arrival, send)
  }

  #process(packet: Packet6, arrival: Arrival6, send: Send6): void {
    const { counters, service } = this.#options
    const exchange = this.#prepare(packet, arrival)
    if (typeof exchange === 'string') {
      this.#exchanges.drop(exchange)
      return
    }
    counters.add(RECEIVED[packet.messageType] ?? 'dhcp6.received.other')
    this.#exchanges.settle(service.handle(exchange), ({ reply }) => this.#reply(reply, send))
  }

  #reply(reply: Reply6, send: Send6): void {
    const { config, counters, ports, serverDuid: own } = this.#options
    const bytes = encodeReply6(config, own, reply)
    if (bytes === undefined) {
      this.#exchanges.drop('tooLarge' satisfies Drop6)
      return
    }
    counters.add(SENT[reply.messageType] ?? 'dhcp6.sent.other')
    const { packet, arrival } = reply.exchange
    send(bytes, destination6(packet, arrival, ports))
  }

  #prepare(packet: Packet6, arrival: Arrival6): Exchange6 | Drop6 {
    const invalid = validate6(packet)
    if (invalid !== undefined) return invalid
    if (!this.#isForUs(packet)) return 'notForUs'
    if (this.#exchanges.isFull(packet.messageType === MESSAGE6.solicit)) return 'overloaded'
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
}

const linkOf = ({ relays }: Packet6, { interfaceName }: Arrival6): LinkName => {
  const relay = relays.at(-1)
  return { relay: relay === undefined ? '' : Buffer.from(relay.linkAddress).toString('hex'), interfaceName }
}

const RECEIVED = counterNames('dhcp6.received', MESSAGE6)
const SENT = counterNames('dhcp6.sent', MESSAGE6)
