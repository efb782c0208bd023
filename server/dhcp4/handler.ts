/**
 * The way of a DHCPv4 datagram: octets, checks, subnet, classes, reservation, the decision, the reply's octets. The order
 * of the steps is the policy. Whatever cannot be answered is counted by reason and dropped; nothing throws.
 */
import * as E from 'fp-ts/lib/Either.js'
import { ip4FromBytes } from '../../domain/address.ts'
import { admits } from '../classes.ts'
import type { Dhcp4 } from '../config/model.ts'
import { counterNames, Exchanges } from '../exchanges.ts'
import type { ExchangeOptions } from '../exchanges.ts'
import { PATIENCE_SEC } from '../turns.ts'
import type { LinkName, Turns } from '../turns.ts'
import { classify4, indexClientReservations4 } from './classify.ts'
import type { ReservationIndex4 } from './classify.ts'
import { readClient4 } from './client.ts'
import type { Arrival4, Drop4, Exchange4, Reply4, Verdict4 } from './exchange.ts'
import { messageType, serverIdentifier } from './option-access.ts'
import { BOOT_OP, MESSAGE_TYPE, OPTION4 } from './option-codes.ts'
import { decodeRelayAgent, serverIdOverride } from './option-relay.ts'
import type { RelayAgent } from './option-relay.ts'
import { decodePacket4 } from './packet.ts'
import type { Packet4 } from './packet.ts'
import { destination4, encodeReply4 } from './reply.ts'
import type { Destination4, Ports4 } from './reply.ts'
import type { Service4 } from './service.ts'
import { sharedBy4 } from './share.ts'
import { indexSubnets4 } from './subnets.ts'
import type { SubnetIndex4 } from './subnets.ts'

/** Sends the octets of a reply to where it goes. Never throws. */
export type Send4 = (bytes: Uint8Array, to: Destination4) => void

/** What a handler is made of. */
export interface Handler4Options extends ExchangeOptions {
  readonly config: Dhcp4
  readonly service: Service4
  readonly ports: Ports4
  /** Whether this server answers the client at all, when servers share the load. */
  readonly answers: (packet: Packet4) => boolean
  /** Who offers first, when servers hear the same clients. */
  readonly turns: Turns
}

/** Handles DHCPv4 datagrams under one configuration. */
export class Handler4 {
  readonly #options: Handler4Options
  readonly #subnets: SubnetIndex4
  readonly #reservations: ReservationIndex4
  readonly #configuredServerId: number | undefined
  readonly #exchanges: Exchanges<Verdict4>

  constructor(options: Handler4Options) {
    this.#options = options
    this.#exchanges = new Exchanges('dhcp4', options)
    this.#subnets = indexSubnets4(options.config)
    this.#reservations = indexClientReservations4(options.config)
    const identifier = options.config.options.standard.get(OPTION4.serverIdentifier)?.bytes
    this.#configuredServerId = identifier?.length === 4 ? ip4FromBytes(identifier) : undefined
  }

  /** Exchanges that wait for the ledger. */
  get waiting(): number {
    return this.#exchanges.waiting
  }

  /** Takes one datagram. The octets must not change until the exchange is over. */
  handle(bytes: Uint8Array, arrival: Arrival4, send: Send4): void {
    const { counters } = this.#options
    const decoded = decodePacket4(bytes)
    if (E.isLeft(decoded)) {
      counters.add(`dhcp4.malformed.${decoded.left._tag}`)
      return
    }
    this.#exchanges.guard(() => this.#take(decoded.right, arrival, send))
  }

  #take(packet: Packet4, arrival: Arrival4, send: Send4): void {
    const { turns } = this.#options
    const type = messageType(packet)
    if (type === MESSAGE_TYPE.discover && packet.secs < PATIENCE_SEC) {
      const later = (): void => this.#exchanges.guard(() => this.#process(packet, arrival, send))
      if (turns.standsBack(sharedBy4(packet), linkOf(packet, arrival), later)) return
    } else if (type === MESSAGE_TYPE.request && serverIdentifier(packet) !== undefined) {
      if (turns.chosen(sharedBy4(packet))) this.#exchanges.drop('choseAnother')
    }
    this.#process(packet, arrival, send)
  }

  #process(packet: Packet4, arrival: Arrival4, send: Send4): void {
    const { counters, service } = this.#options
    const exchange = this.#prepare(packet, arrival)
    if (typeof exchange === 'string') {
      this.#exchanges.drop(exchange)
      return
    }
    const { messageType: type } = exchange
    counters.add(RECEIVED[type] ?? 'dhcp4.received.other')
    if (this.#exchanges.isFull(type === MESSAGE_TYPE.discover)) this.#exchanges.drop('overloaded')
    else this.#exchanges.settle(service.handle(exchange), ({ reply }) => this.#reply(reply, send))
  }

  #reply(reply: Reply4, send: Send4): void {
    const { config, counters, ports } = this.#options
    counters.add(SENT[reply.messageType] ?? 'dhcp4.sent.other')
    const onDropped = (): void => counters.add('dhcp4.optionWithoutRoom')
    send(encodeReply4(config, reply, onDropped), destination4(reply, ports))
  }

  #prepare(packet: Packet4, arrival: Arrival4): Exchange4 | Drop4 {
    if (packet.op !== BOOT_OP.request) return 'notRequest'
    const type = messageType(packet)
    if (type === undefined) return 'noMessageType'
    const sent = relayAgent(packet)
    if (sent === null) return 'badRelayAgent'
    const client = readClient4(packet, sent)
    if (client === undefined) return 'noClientIdentity'
    if (!this.#options.answers(packet)) return 'anotherServersShare'
    // A renewal past the relay knows its way by what the relay said when the lease was made.
    const agent = sent ?? this.#options.service.stashedAgent(packet, client)
    for (const link of this.#subnets.select(packet, agent, arrival)) {
      const reservation = this.#reservations(link, packet, agent)
      const classes = classify4(this.#options.config, { packet, agent, arrival, reservation })
      const subnets = link.filter((subnet) => admits(subnet, classes))
      const [selected] = subnets
      if (selected === undefined) continue
      if (classes.has('DROP')) return 'classDrop'
      const override = agent === undefined ? undefined : serverIdOverride(agent)
      const configured = serverIdOf(selected.options.standard.get(OPTION4.serverIdentifier)?.bytes)
      const serverId = override ?? configured ?? this.#configuredServerId ?? arrival.localAddress
      return { packet, messageType: type, arrival, agent, serverId, subnets, client, classes, reservation }
    }
    return 'noSubnet'
  }
}

const linkOf = ({ giaddr }: Packet4, { interfaceName }: Arrival4): LinkName => ({
  relay: giaddr === 0 ? '' : String(giaddr),
  interfaceName,
})

const serverIdOf = (bytes: Uint8Array | undefined): number | undefined =>
  bytes?.length === 4 ? ip4FromBytes(bytes) : undefined

/** Option 82 read; `undefined` without it, `null` when it is malformed. */
const relayAgent = (packet: Packet4): RelayAgent | undefined | null => {
  const option = packet.options.get(OPTION4.relayAgent)
  return option === undefined ? undefined : decodeRelayAgent(option)
}

const RECEIVED = counterNames('dhcp4.received', MESSAGE_TYPE)
const SENT = counterNames('dhcp4.sent', MESSAGE_TYPE)
