/** DHCPv6 servers without sockets over a ledger in memory, and messages as tests speak of them. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { openMemory } from '../../adapters/memory/memory-store.ts'
import type { Fault, MemoryLedger } from '../../adapters/memory/memory-store.ts'
import { ip6Bytes, ip6FromBytes, ip6Text, parseIp6 } from '../../domain/address.ts'
import type { Dhcp6 } from '../../server/config/model.ts'
import { Counters } from '../../server/counters.ts'
import { makeDuidLl } from '../../server/dhcp6/duid.ts'
import type { Arrival6 } from '../../server/dhcp6/exchange.ts'
import { Handler6 } from '../../server/dhcp6/handler.ts'
import { iaNaOption, iaNasOf, iaPdOption, iaPdsOf, statusOf } from '../../server/dhcp6/option-access.ts'
import { MESSAGE6, OPTION6, STATUS6 } from '../../server/dhcp6/option-codes.ts'
import { decodePacket6, encodePacket6 } from '../../server/dhcp6/packet.ts'
import type { Option6, Packet6, Relay6 } from '../../server/dhcp6/packet.ts'
import type { Destination6 } from '../../server/dhcp6/reply.ts'
import { Service6 } from '../../server/dhcp6/service.ts'
import { Spaces } from '../../server/spaces.ts'
import type { Turns } from '../../server/turns.ts'
import { configOf, decided, makeRoomOn, makeServer, makeTimedLedger, silent, turnsAlone } from './servers.ts'
import type { TestServer, TimedLedger } from './servers.ts'

/** The value of a `Dhcp6` object in Kea's dialect. */
export const dhcp6Config = (dhcp6: object): Dhcp6 => {
  const config = configOf({ Dhcp6: dhcp6 })
  if (config.dhcp6 === undefined) throw new Error('the configuration has no Dhcp6')
  return config.dhcp6
}

/** An address of 16 octets from its text. */
export const bytes6 = (text: string): Uint8Array => {
  const parsed = parseIp6(text)
  if (O.isNone(parsed)) throw new Error(`${text} is not an IPv6 address`)
  return ip6Bytes(parsed.value)
}

/** The DUID of client number `i`. */
export const clientDuidOf = (i: number): Uint8Array => makeDuidLl(1, Uint8Array.of(2, 0, 0, 0, i >> 8, i & 0xff))

/** The DUID of a server. */
export const serverDuidOf = (i: number): Uint8Array => makeDuidLl(1, Uint8Array.of(2, 0xff, 0, 0, 0, i))

/** A message as a test says it. IAs by IAID, with the addresses, or prefixes as `2001:db8::/56`, that they list. */
export interface Said {
  readonly type: keyof typeof MESSAGE6
  /** Number of the client; undefined sends no client identifier. */
  readonly client?: number
  /** DUID of the server that is meant. */
  readonly to?: Uint8Array
  readonly xid?: number
  readonly na?: Readonly<Record<number, ReadonlyArray<string>>>
  readonly pd?: Readonly<Record<number, ReadonlyArray<string>>>
  readonly asks?: ReadonlyArray<number>
  readonly more?: ReadonlyArray<Option6>
  /** Link-address of the relay; null sends the message without a relay. */
  readonly link?: string | null
  /** Options of the relay. */
  readonly relayOptions?: ReadonlyArray<Option6>
  /** Where it comes in, as far as that is not as usual. */
  readonly arrival?: Partial<Arrival6>
}

/** What an IA of an answer says: valid lifetimes by address or prefix, and the status if there is one. */
export interface HeardIa {
  readonly leases: Readonly<Record<string, number>>
  readonly status?: keyof typeof STATUS6
}

/** An answer as a test looks at it. */
export interface Heard {
  readonly type: keyof typeof MESSAGE6
  readonly status?: keyof typeof STATUS6
  readonly na: Readonly<Record<number, HeardIa>>
  readonly pd: Readonly<Record<number, HeardIa>>
  readonly packet: Packet6
  readonly to: Destination6
}

/** The octets of a message. */
export const say = (said: Said): Uint8Array => {
  const { type, client, to, xid = 1, na = {}, pd = {}, asks = [], more = [], link = '2001:db8:1::1' } = said
  const header = { t1Sec: 0, t2Sec: 0, status: undefined }
  const open = { preferredSec: 0, validSec: 0, status: undefined }
  const options: Option6[] = []
  if (client !== undefined) options.push({ code: OPTION6.clientId, data: clientDuidOf(client) })
  if (to !== undefined) options.push({ code: OPTION6.serverId, data: to })
  for (const [iaid, addresses] of Object.entries(na)) {
    const listed = addresses.map((text) => ({ ...open, address: bytes6(text) }))
    options.push(iaNaOption({ ...header, iaid: Number(iaid), addresses: listed }))
  }
  for (const [iaid, prefixes] of Object.entries(pd)) {
    const listed = prefixes.map((text) => {
      const [prefix = '', length = ''] = text.split('/')
      return { ...open, prefix: bytes6(prefix), length: Number(length), exclude: undefined }
    })
    options.push(iaPdOption({ ...header, iaid: Number(iaid), prefixes: listed }))
  }
  if (asks.length > 0) {
    options.push({ code: OPTION6.optionRequest, data: Uint8Array.from(asks.flatMap((code) => [code >> 8, code])) })
  }
  options.push(...more)
  const relays = link === null ? [] : [relayAt(link, said.relayOptions ?? [])]
  const bytes = encodePacket6(
    { relays, messageType: MESSAGE6[type], transactionId: xid, options },
    MESSAGE6.relayForward,
  )
  if (bytes === undefined) throw new Error('the message is too long')
  return bytes
}

const relayAt = (link: string, options: ReadonlyArray<Option6>): Relay6 => ({
  hopCount: 0,
  linkAddress: bytes6(link),
  peerAddress: bytes6('fe80::ff:fe00:1'),
  options,
})

/** What octets from a server say. */
export const hear = (bytes: Uint8Array, to: Destination6): Heard => {
  const decoded = decodePacket6(bytes, MESSAGE6.relayReply)
  if (E.isLeft(decoded)) throw new Error(`the server sent a message that is ${decoded.left._tag}`)
  const packet = decoded.right
  const na = (iaNasOf(packet.options) ?? []).map((ia): [number, HeardIa] => [
    ia.iaid,
    heardIa(
      ia.addresses.map(({ address, validSec }) => [ip6Text(ip6FromBytes(address)), validSec]),
      ia.status?.code,
    ),
  ])
  const pd = (iaPdsOf(packet.options) ?? []).map((ia): [number, HeardIa] => [
    ia.iaid,
    heardIa(
      ia.prefixes.map(({ prefix, length, validSec }) => [`${ip6Text(ip6FromBytes(prefix))}/${length}`, validSec]),
      ia.status?.code,
    ),
  ])
  return {
    type: nameOf(MESSAGE6, packet.messageType),
    ...withStatus(statusOf(packet.options)?.code),
    na: Object.fromEntries(na),
    pd: Object.fromEntries(pd),
    packet,
    to,
  }
}

const heardIa = (leases: ReadonlyArray<[string, number]>, status: number | undefined): HeardIa => ({
  leases: Object.fromEntries(leases),
  ...withStatus(status),
})

const withStatus = (code: number | undefined): { readonly status?: keyof typeof STATUS6 } =>
  code === undefined ? {} : { status: nameOf(STATUS6, code) }

const nameOf = <T extends Record<string, number>>(table: T, code: number): keyof T => {
  const found = Object.entries(table).find(([, value]) => value === code)
  if (found === undefined) throw new Error(`${code} has no name`)
  return found[0]
}

/** A server under test. */
export interface TestServer6 extends TestServer {
  readonly duid: Uint8Array
  readonly counters: Counters
  /** Gives it a message; what it answers, or undefined when it stays silent. */
  readonly ask: (said: Said) => Promise<Heard | undefined>
  /** The same with octets. */
  readonly exchange: (bytes: Uint8Array) => Promise<Uint8Array | undefined>
  /** Gives it a message without waiting for the decision; exchanges that wait for the ledger. */
  readonly push: (bytes: Uint8Array) => number
}

const ARRIVAL: Arrival6 = { sourceAddress: '::1', sourcePort: 40_000, interfaceName: undefined }

/** What a test may ask of the server beside its configuration. */
export interface Server6Settings {
  readonly queueMax?: number
  readonly turns?: Turns
}

/** Server number `i` with this configuration over a ledger that others may share. */
export const makeServer6 = (
  config: Dhcp6,
  store: MemoryLedger,
  now: () => number,
  i = 1,
  settings: Server6Settings = {},
): TestServer6 => {
  // Offers wait until the test's own clock moves, so that a quick exchange is one event, as it is in service.
  const server = makeServer(openMemory(store, `server${i}`), now, { offerDelayMs: 250 })
  const { ledger, replica } = server
  const spaces = new Spaces(replica, now, () => 0.5, undefined, config)
  replica.listen((stream) => spaces.sync(stream))
  const makeRoom = makeRoomOn(server, now)
  const counters = new Counters()
  const duid = serverDuidOf(i)
  const handler = new Handler6({
    config,
    service: new Service6({ config, ledger, replica, spaces, now, log: silent, makeRoom }),
    serverDuid: duid,
    ports: { server: 547, client: 546 },
    now,
    counters,
    log: silent,
    queueMax: 1000,
    packetAgeMsMax: 10_000,
    answers: () => true,
    turns: turnsAlone,
    ...settings,
  })
  const take = async (
    bytes: Uint8Array,
    arrival: Partial<Arrival6> = {},
  ): Promise<[Uint8Array, Destination6] | undefined> => {
    let sent: [Uint8Array, Destination6] | undefined
    handler.handle(bytes, { ...ARRIVAL, octets: bytes.length, ...arrival }, (reply, to) => {
      sent = [reply, to]
    })
    await decided(handler)
    if (counters.get('dhcp6.drop.defect') > 0) throw new Error('a message hit a defect')
    return sent
  }
  return {
    ...server,
    duid,
    counters,
    exchange: async (bytes) => (await take(bytes))?.[0],
    push: (bytes) => {
      handler.handle(bytes, ARRIVAL, () => undefined)
      return handler.waiting
    },
    ask: async (said) => {
      const sent = await take(say(said), said.arrival)
      return sent === undefined ? undefined : hear(...sent)
    },
  }
}

/** A server with its ledger and its clock. */
export interface Given6 extends Pick<TimedLedger, 'store' | 'pass'> {
  readonly server: TestServer6
  readonly ask: TestServer6['ask']
  /** Another server on the same ledger, with this configuration or another. */
  readonly another: (i: number, config?: object) => TestServer6
}

/** A server with this configuration; while `faults` has one, it is what the store does instead of answering. */
export const given6 = (config: object, faults: Fault[] = [], settings: Server6Settings = {}): Given6 => {
  const { store, now, pass } = makeTimedLedger(faults)
  const server = makeServer6(dhcp6Config(config), store, now, 1, settings)
  return {
    store,
    server,
    ask: server.ask,
    pass: (passed) => {
      pass(passed)
      server.ledger.lapse()
    },
    another: (i, other = config) => makeServer6(dhcp6Config(other), store, now, i),
  }
}

/** Solicit and Request, as a client does both; what the Reply says. */
export const acquire6 = async (
  { server }: { readonly server: TestServer6 },
  said: Omit<Said, 'type'>,
): Promise<Heard> => {
  const advertise = await server.ask({ ...said, type: 'solicit' })
  if (advertise?.type !== 'advertise') throw new Error(`the Solicit was answered with ${advertise?.type ?? 'nothing'}`)
  const offered = (ias: Heard['na']) =>
    Object.fromEntries(Object.entries(ias).map(([iaid, ia]) => [iaid, Object.keys(ia.leases)]))
  const xid = (said.xid ?? 1) + 1000
  const ias = { na: offered(advertise.na), pd: offered(advertise.pd) }
  const reply = await server.ask({ ...said, ...ias, xid, type: 'request', to: server.duid })
  if (reply === undefined) throw new Error('the Request was not answered')
  return reply
}

/** The address or prefix that an answer gives to an IA; `nothing` when it gives none. */
export const leaseOf = (heard: Heard | undefined, kind: 'na' | 'pd' = 'na', iaid = 1): string =>
  Object.entries(heard?.[kind][iaid]?.leases ?? {}).find(([, validSec]) => validSec > 0)?.[0] ?? 'nothing'
