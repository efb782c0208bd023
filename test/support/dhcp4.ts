/** DHCPv4 servers without sockets over a ledger in memory, and messages as tests speak of them. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { openMemory } from '../../adapters/memory/memory-store.ts'
import type { Fault, MemoryLedger } from '../../adapters/memory/memory-store.ts'
import { ip4Bytes, ip4Text, parseHex, parseIp4 } from '../../domain/address.ts'
import type { Dhcp4 } from '../../server/config/model.ts'
import { Counters } from '../../server/counters.ts'
import { Handler4 } from '../../server/dhcp4/handler.ts'
import { leaseTime, rebindingTime, renewalTime, serverIdentifier } from '../../server/dhcp4/option-access.ts'
import { BOOT_OP, MESSAGE_TYPE, OPTION4 } from '../../server/dhcp4/option-codes.ts'
import { encodeRelayAgent } from '../../server/dhcp4/option-relay.ts'
import { BROADCAST_FLAG, decodePacket4, encodePacket4 } from '../../server/dhcp4/packet.ts'
import type { Packet4 } from '../../server/dhcp4/packet.ts'
import type { Destination4 } from '../../server/dhcp4/reply.ts'
import { Service4 } from '../../server/dhcp4/service.ts'
import { Spaces } from '../../server/spaces.ts'
import type { Turns } from '../../server/turns.ts'
import { configOf, decided, makeRoomOn, makeServer, makeTimedLedger, silent, turnsAlone, typesOf } from './servers.ts'
import type { TestServer, TimedLedger } from './servers.ts'

/** The value of a `Dhcp4` object in Kea's dialect. */
export const dhcp4Config = (dhcp4: object): Dhcp4 => {
  const config = configOf({ Dhcp4: dhcp4 })
  if (config.dhcp4 === undefined) throw new Error('the configuration has no Dhcp4')
  return config.dhcp4
}

/** An address as uint32 from its text. */
export const address4 = (text: string): number => {
  const parsed = parseIp4(text)
  if (O.isNone(parsed)) throw new Error(`${text} is not an IPv4 address`)
  return parsed.value
}

/** Octets from hex. */
export const hex = (text: string): Uint8Array => {
  const parsed = parseHex(text)
  if (O.isNone(parsed)) throw new Error(`${text} is not hex`)
  return parsed.value
}

/** The Ethernet address of client number `i`. */
export const macOf = (i: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, i >> 8, i & 0xff)

/** The identifier of server number `i` on its link. */
export const serverAddressOf = (i: number): string => `198.51.100.${i + 1}`

/** A message as a test says it. Addresses are text. */
export interface Said4 {
  readonly type: keyof typeof MESSAGE_TYPE
  /** Number of the client. */
  readonly client: number
  /** Option 61, hex; absent sends none. */
  readonly clientId?: string
  readonly xid?: number
  readonly secs?: number
  readonly broadcast?: boolean
  readonly ciaddr?: string
  /** The relay; null for a client on the link. */
  readonly giaddr?: string | null
  /** Option 54. */
  readonly server?: string
  /** Option 50. */
  readonly wants?: string
  /** Option 51, seconds. */
  readonly leaseSec?: number
  /** Option 55. */
  readonly asks?: ReadonlyArray<number>
  /** Suboptions of option 82, hex by code. */
  readonly agent?: Readonly<Record<number, string>>
  /** Further options, hex by code. */
  readonly more?: Readonly<Record<number, string>>
  /** Interface that it comes in by. */
  readonly on?: string
  /** Source address of the datagram. */
  readonly from?: string
  /** Hardware type, and hardware address in hex in place of the client's. */
  readonly htype?: number
  readonly chaddr?: string
}

/** An answer as a test looks at it. */
export interface Heard4 {
  readonly type: keyof typeof MESSAGE_TYPE
  readonly yiaddr: string
  readonly server: string
  readonly leaseSec: number | undefined
  readonly t1: number | undefined
  readonly t2: number | undefined
  /** Codes of its options, in their order. */
  readonly codes: ReadonlyArray<number>
  /** An option, hex. */
  readonly option: (code: number) => string | undefined
  readonly packet: Packet4
  readonly to: Destination4
}

const address = (text: string | undefined): number => (text === undefined ? 0 : address4(text))

/** The octets of a message. */
export const say4 = (said: Said4): Uint8Array => {
  const { type, client, xid = 1, secs = 0, giaddr = '198.51.100.1', broadcast = false } = said
  const options = new Map<number, Uint8Array>([[OPTION4.messageType, Uint8Array.of(MESSAGE_TYPE[type])]])
  const add = (code: number, value: Uint8Array | undefined): void => {
    if (value !== undefined) options.set(code, value)
  }
  add(OPTION4.clientIdentifier, said.clientId === undefined ? undefined : hex(said.clientId))
  add(OPTION4.requestedAddress, said.wants === undefined ? undefined : ip4Bytes(address4(said.wants)))
  add(OPTION4.leaseTime, said.leaseSec === undefined ? undefined : ip4Bytes(said.leaseSec))
  add(OPTION4.serverIdentifier, said.server === undefined ? undefined : ip4Bytes(address4(said.server)))
  add(OPTION4.parameterRequestList, said.asks === undefined ? undefined : Uint8Array.from(said.asks))
  for (const [code, value] of Object.entries(said.more ?? {})) add(Number(code), hex(value))
  if (said.agent !== undefined) {
    const suboptions = Object.entries(said.agent).map(([code, value]): [number, Uint8Array] => [
      Number(code),
      hex(value),
    ])
    const agent = encodeRelayAgent(new Map(suboptions))
    if (E.isLeft(agent)) throw new Error(agent.left)
    add(OPTION4.relayAgent, agent.right)
  }
  return encodePacket4({
    op: BOOT_OP.request,
    htype: said.htype ?? 1,
    hops: giaddr === null ? 0 : 1,
    xid,
    secs,
    flags: broadcast ? BROADCAST_FLAG : 0,
    ciaddr: address(said.ciaddr),
    yiaddr: 0,
    siaddr: 0,
    giaddr: giaddr === null ? 0 : address4(giaddr),
    chaddr: said.chaddr === undefined ? macOf(client) : hex(said.chaddr),
    sname: new Uint8Array(0),
    file: new Uint8Array(0),
    options,
  })
}

/** What octets from a server say. */
export const hear4 = (bytes: Uint8Array, to: Destination4): Heard4 => {
  const decoded = decodePacket4(bytes)
  if (E.isLeft(decoded)) throw new Error(`the server sent a message that is ${decoded.left._tag}`)
  const packet = decoded.right
  const code = packet.options.get(OPTION4.messageType)?.[0]
  const type = Object.entries(MESSAGE_TYPE).find(([, value]) => value === code)?.[0] as Heard4['type']
  return {
    type,
    yiaddr: ip4Text(packet.yiaddr),
    server: ip4Text(serverIdentifier(packet) ?? 0),
    leaseSec: leaseTime(packet),
    t1: renewalTime(packet),
    t2: rebindingTime(packet),
    codes: [...packet.options.keys()],
    option: (wanted) => {
      const value = packet.options.get(wanted)
      return value === undefined ? undefined : Buffer.from(value).toString('hex')
    },
    packet,
    to,
  }
}

/** A server under test. */
export interface TestServer4 extends TestServer {
  /** Its identifier, text. */
  readonly address: string
  readonly counters: Counters
  /** Gives it a message; what it answers, or undefined when it stays silent. */
  readonly ask: (said: Said4) => Promise<Heard4 | undefined>
  /** The same with octets, which come from a relay. */
  readonly exchange: (bytes: Uint8Array) => Promise<Uint8Array | undefined>
  /** Gives it a message without waiting for the decision; exchanges that wait for the ledger. */
  readonly push: (said: Said4) => number
  /** How many drops of each kind there were. */
  readonly drops: () => Readonly<Record<string, number>>
}

/** What a test may want to be otherwise. */
export interface Server4Settings {
  readonly queueMax?: number
  readonly packetAgeMsMax?: number
  readonly answers?: (packet: Packet4) => boolean
  readonly turns?: Turns
}

/** Server number `i` with this configuration over a ledger that others may share. */
export const makeServer4 = (
  config: Dhcp4,
  store: MemoryLedger,
  now: () => number,
  i = 1,
  settings: Server4Settings = {},
): TestServer4 => {
  // Offers wait until the test's own clock moves, so that a quick exchange is one event, as it is in service.
  const server = makeServer(openMemory(store, `server${i}`), now, { offerDelayMs: 250 })
  const { ledger, replica, follower } = server
  const spaces = new Spaces(replica, now, () => 0.5, config, undefined)
  replica.listen((stream) => spaces.sync(stream))
  const makeRoom = makeRoomOn(server, now)
  const local = address4(serverAddressOf(i))
  const isOwnAddress = (own: number): boolean => own === local
  const catchUp = (): Promise<boolean> => follower.catchUp()
  const counters = new Counters()
  const handler = new Handler4({
    config,
    service: new Service4({ config, ledger, replica, spaces, now, log: silent, isOwnAddress, makeRoom, catchUp }),
    ports: { server: 67, client: 68 },
    now,
    counters,
    log: silent,
    queueMax: 1000,
    packetAgeMsMax: 10_000,
    answers: () => true,
    turns: turnsAlone,
    ...settings,
  })
  const arrivalOf = ({ from = '198.51.100.1', on }: Pick<Said4, 'from' | 'on'>) => ({
    sourceAddress: address4(from),
    sourcePort: 40_000,
    localAddress: local,
    interfaceName: on,
  })
  const take = async (
    bytes: Uint8Array,
    said: Pick<Said4, 'from' | 'on'>,
  ): Promise<[Uint8Array, Destination4] | undefined> => {
    let sent: [Uint8Array, Destination4] | undefined
    handler.handle(bytes, arrivalOf(said), (reply, to) => {
      sent = [reply, to]
    })
    await decided(handler)
    if (counters.get('dhcp4.drop.defect') > 0) throw new Error('a message hit a defect')
    return sent
  }
  return {
    ...server,
    address: serverAddressOf(i),
    counters,
    exchange: async (bytes) => (await take(bytes, {}))?.[0],
    ask: async (said) => {
      const sent = await take(say4(said), said)
      return sent === undefined ? undefined : hear4(...sent)
    },
    push: (said) => {
      handler.handle(say4(said), arrivalOf(said), () => undefined)
      return handler.waiting
    },
    drops: () =>
      Object.fromEntries(
        Object.entries(counters.all())
          .filter(([name]) => name.startsWith('dhcp4.drop.'))
          .map(([name, count]) => [name.slice('dhcp4.drop.'.length), count]),
      ),
  }
}

/** A server with its ledger and its clock. */
export interface Given4 extends Pick<TimedLedger, 'store' | 'pass'> {
  readonly server: TestServer4
  readonly ask: TestServer4['ask']
  /** Another server on the same ledger, with this configuration or another. */
  readonly another: (i: number, config?: object, settings?: Server4Settings) => TestServer4
}

/** A server with this configuration; while `faults` has one, it is what the store does instead of answering. */
export const given4 = (config: object, faults: Fault[] = [], settings: Server4Settings = {}): Given4 => {
  const { store, now, pass } = makeTimedLedger(faults)
  const server = makeServer4(dhcp4Config(config), store, now, 1, settings)
  return {
    store,
    server,
    ask: server.ask,
    pass: (passed) => {
      pass(passed)
      server.ledger.lapse()
    },
    another: (i, other = config, more = {}) => makeServer4(dhcp4Config(other), store, now, i, more),
  }
}

/** The types of the events of an address. */
export const typesOf4 = (given: Pick<Given4, 'store'>, address: string): string[] => typesOf(given, `lease4/${address}`)

/** DISCOVER and REQUEST, as a client does both; the ACK. */
export const acquire4 = async (
  { server }: { readonly server: TestServer4 },
  said: Omit<Said4, 'type'>,
): Promise<Heard4> => {
  const offer = await server.ask({ ...said, type: 'discover' })
  if (offer?.type !== 'offer') throw new Error(`the DISCOVER was answered with ${offer?.type ?? 'nothing'}`)
  const ack = await server.ask({ ...said, type: 'request', server: offer.server, wants: offer.yiaddr })
  if (ack?.type !== 'ack') throw new Error(`the REQUEST was answered with ${ack?.type ?? 'nothing'}`)
  return ack
}
