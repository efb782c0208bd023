/**
 * A network that a real Kea serves on loopback, and clients behind a relay that do there what clients do: take
 * addresses and prefixes, renew, release, decline, and go away. They keep book of what Kea granted them, from its
 * replies alone.
 */
import { createSocket } from 'node:dgram'
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { expect } from 'vitest'
import { PATIENCE_MS } from '../support/process.ts'
import { clientDuidOf, hear, say } from '../support/dhcp6.ts'
import type { Heard, Said } from '../support/dhcp6.ts'
import { hear4, macOf, say4 } from '../support/dhcp4.ts'
import type { Heard4, Said4 } from '../support/dhcp4.ts'
import { transactionOf4 } from '../../server/simulator/client4.ts'
import { transactionOf6 } from '../../server/simulator/client6.ts'

/** A UDP port of loopback that nobody listens on. */
export const freeUdpPort = async (): Promise<number> => {
  const socket = await boundSocket(4)
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  return port
}

const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const

const boundSocket = async (family: 4 | 6): Promise<Socket> => {
  const socket = createSocket(`udp${family}`)
  socket.bind(0, LOOPBACK[family])
  await once(socket, 'listening')
  return socket
}

/** The relay's socket: replies come back to the port that it sends from (RFC 8357). */
export class Relay {
  readonly #family: 4 | 6
  readonly #socket: Socket
  readonly #port: number
  #transaction = 1

  private constructor(family: 4 | 6, socket: Socket, port: number) {
    this.#family = family
    this.#socket = socket
    this.#port = port
  }

  /** To the server on this port of loopback. */
  static async open(family: 4 | 6, port: number): Promise<Relay> {
    return new Relay(family, await boundSocket(family), port)
  }

  /** What the server answers to a message of DHCPv4; sent again each second, rejected after five. */
  async ask4(said: Said4): Promise<Heard4> {
    const xid = this.#transaction++
    const bytes = await this.#answer(say4({ giaddr: '127.0.0.1', ...said, xid }), xid)
    return hear4(bytes, { address: LOOPBACK[4], port: this.#ownPort(), unicastHardware: undefined })
  }

  /** Sends a message of DHCPv4 that nobody answers. */
  tell4(said: Said4): void {
    this.#send(say4({ giaddr: '127.0.0.1', ...said, xid: this.#transaction++ }))
  }

  /** What the server answers to a message of DHCPv6. */
  async ask6(said: Said): Promise<Heard> {
    const xid = this.#transaction++
    const bytes = await this.#answer(say({ ...said, xid }), xid)
    return hear(bytes, { address: LOOPBACK[6], port: this.#ownPort() })
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()))
  }

  #ownPort(): number {
    return this.#socket.address().port
  }

  #send(bytes: Uint8Array): void {
    this.#socket.send(bytes, this.#port, LOOPBACK[this.#family])
  }

  #answer(bytes: Uint8Array, xid: number): Promise<Uint8Array> {
    const transactionOf = this.#family === 4 ? transactionOf4 : transactionOf6
    return new Promise((resolve, reject) => {
      const again = setInterval(() => this.#send(bytes), 1_000)
      const done = (settle: () => void): void => {
        clearInterval(again)
        clearTimeout(deadline)
        this.#socket.off('message', take)
        settle()
      }
      const deadline = setTimeout(() => done(() => reject(new Error('the server does not answer'))), PATIENCE_MS)
      const take = (answer: Buffer): void => {
        if (transactionOf(answer) === xid) done(() => resolve(answer))
      }
      this.#socket.on('message', take)
      this.#send(bytes)
    })
  }
}

// ---------------------------------------------------------------- The network

const ENDLESS_SEC = 4_294_967_295

const NETWORKS4 = [
  { id: 7, subnet: '198.51.100.0/24', pools: [{ pool: '198.51.100.10 - 198.51.100.99' }], 'valid-lifetime': 3_600 },
  { id: 8, subnet: '203.0.113.0/24', pools: [{ pool: '203.0.113.10 - 203.0.113.99' }], 'valid-lifetime': ENDLESS_SEC },
  { id: 9, subnet: '198.18.9.0/24', pools: [{ pool: '198.18.9.10 - 198.18.9.99' }], 'valid-lifetime': 1 },
]

const lifetimes6 = (seconds: number): object => ({ 'valid-lifetime': seconds, 'preferred-lifetime': seconds })

const NETWORKS6 = [
  {
    id: 7,
    subnet: '2001:db8:1::/64',
    // Addresses of 16 characters, which are as long as an address is in octets.
    pools: [{ pool: '2001:db8:1::1000 - 2001:db8:1::10ff' }],
    'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 40, 'delegated-len': 56 }],
    ...lifetimes6(3_600),
  },
  // A single group of zeros, which is not to be written as `::` (RFC 5952 §4.2.2) and which MySQL writes so.
  { id: 8, subnet: '2001:db8:0:2::/64', pools: [{ pool: '2001:db8:0:2:1:1:1:0/112' }], ...lifetimes6(ENDLESS_SEC) },
  { id: 9, subnet: '2001:db8:3::/64', pools: [{ pool: '2001:db8:3::/112' }], ...lifetimes6(1) },
]

/** The configuration of the network for Kea, with its leases in `database`. */
export const keaConfig = (database: object, more: object = {}): { readonly Dhcp4: object; readonly Dhcp6: object } => {
  const common = {
    'lease-database': database,
    'store-extended-info': true,
    'expired-leases-processing': { 'reclaim-timer-wait-time': 1, 'hold-reclaimed-time': 3_600 },
    ...more,
  }
  const interfaces = { interfaces: ['lo/127.0.0.1'], 'dhcp-socket-type': 'udp' }
  return {
    Dhcp4: { 'interfaces-config': interfaces, ...common, subnet4: NETWORKS4 },
    Dhcp6: { 'interfaces-config': { interfaces: ['lo/::1'] }, ...common, subnet6: NETWORKS6 },
  }
}

/** The same network for Lease Ledger. Kea answers under the server identifier that is named here as well. */
export const ledgerConfig = (
  database: object,
  port: number,
): { readonly Dhcp4: object; readonly Dhcp6: object; readonly LeaseLedger: object } => ({
  Dhcp4: { 'lease-database': database, subnet4: NETWORKS4 },
  Dhcp6: {
    'lease-database': database,
    'server-id': { type: 'EN', 'enterprise-id': 32473, identifier: '6b6561', persist: false },
    subnet6: NETWORKS6,
  },
  LeaseLedger: {
    listen: { dhcp4: [{ address: '127.0.0.1', port }], dhcp6: [{ address: '::1', port }] },
  },
})

const LINKS4 = { usual: 'c6336401', endless: 'cb007101', short: 'c6120901' } as const
const LINKS6 = { usual: '2001:db8:1::1', endless: '2001:db8:0:2::1', short: '2001:db8:3::1' } as const

// ---------------------------------------------------------------- Clients

/** What a client holds, or what became of it. */
export interface Book {
  /** Address, or prefix with its length. */
  readonly address: string
  /** `gone`: given back or declined, so that nobody holds it. `over`: it ran out. */
  readonly end: 'held' | 'endless' | 'over' | 'gone'
  /** The seconds between which the server last granted it, and for how long. */
  readonly granted: readonly [number, number]
  readonly lifetimeSec: number
  /** What the history has to know of the client, in its words. */
  readonly client: Readonly<Record<string, string | number>>
}

/** How a client is known and what its relay says. */
export interface Client4 {
  readonly number: number
  readonly link: keyof typeof LINKS4
  readonly clientId?: string
  readonly hostname?: string
  readonly agent?: Readonly<Record<number, string>>
}

const hexOfText = (text: string): string => Buffer.from(text).toString('hex')

const now = (): number => Math.floor(Date.now() / 1_000)

/** The second that a server's clock shows from now on: time(2) may lag behind by a tick of the kernel. */
const soon = (): number => Math.floor((Date.now() - 100) / 1_000)

const colons = (octets: Uint8Array): string =>
  Buffer.from(octets)
    .toString('hex')
    .replace(/..(?=.)/g, '$&:')

/** What each message of a client has. */
const saidBy4 = ({ number, link, clientId, hostname, agent }: Client4): Omit<Said4, 'type'> => ({
  client: number,
  ...(clientId === undefined ? {} : { clientId }),
  more: hostname === undefined ? {} : { 12: hexOfText(hostname) },
  agent: { ...agent, 5: LINKS4[link], 19: '' },
})

const book4 = (client: Client4, heard: Heard4, since: number, end: Book['end']): Book => {
  const { number, clientId, hostname, agent } = client
  if (heard.type !== 'ack') throw new Error(`client ${number} got ${heard.type}`)
  return {
    address: heard.yiaddr,
    end,
    granted: [since, now()],
    lifetimeSec: heard.leaseSec ?? 0,
    client: {
      mac: colons(macOf(number)),
      ...(clientId === undefined ? {} : { clientId }),
      ...(hostname === undefined ? {} : { hostname }),
      ...(agent?.[1] === undefined ? {} : { circuitId: agent[1] }),
      ...(agent?.[2] === undefined ? {} : { remoteId: agent[2] }),
    },
  }
}

/** DISCOVER, OFFER, REQUEST, ACK. */
const acquire4 = async (relay: Relay, client: Client4, end: Book['end']): Promise<Book> => {
  const said = saidBy4(client)
  const offer = await relay.ask4({ type: 'discover', ...said })
  const since = soon()
  const ack = await relay.ask4({ type: 'request', ...said, wants: offer.yiaddr, server: offer.server })
  return book4(client, ack, since, end)
}

/** A REQUEST in RENEWING, as the relay would send it on. */
const renew4 = async (relay: Relay, client: Client4, held: Book): Promise<Book> => {
  const since = soon()
  const ack = await relay.ask4({ type: 'request', ...saidBy4(client), ciaddr: held.address })
  return book4(client, ack, since, held.end)
}

/** A client of DHCPv6 with IAIDs for what it wants. */
export interface Client6 {
  readonly number: number
  readonly link: keyof typeof LINKS6
  readonly na?: number
  readonly pd?: number
  readonly hostname?: string
  readonly interfaceId?: string
  readonly remoteId?: string
}

const option = (code: number, data: string) => ({ code, data: Buffer.from(data, 'hex') })

/** Client FQDN (RFC 4704): no flags, then labels with their lengths. */
const fqdn = (name: string): string =>
  '00' +
  name
    .split('.')
    .map((label) => Buffer.from([label.length]).toString('hex') + hexOfText(label))
    .join('') +
  '00'

type Message6 = (type: Said['type'], na: ReadonlyArray<string>, pd: ReadonlyArray<string>, to?: Uint8Array) => Said

const saidBy6 =
  (client: Client6): Message6 =>
  (type, na, pd, to) => ({
    type,
    client: client.number,
    link: LINKS6[client.link],
    ...(client.na === undefined ? {} : { na: { [client.na]: na } }),
    ...(client.pd === undefined ? {} : { pd: { [client.pd]: pd } }),
    ...(to === undefined ? {} : { to }),
    more: client.hostname === undefined ? [] : [option(39, fqdn(client.hostname))],
    relayOptions: [
      option(135, '0000'),
      ...(client.interfaceId === undefined ? [] : [option(18, client.interfaceId)]),
      ...(client.remoteId === undefined ? [] : [option(37, client.remoteId)]),
    ],
  })

/** The DUID of the server that speaks. */
const serverOf = ({ packet }: Heard): Uint8Array => {
  const found = packet.options.find(({ code }) => code === 2)
  if (found === undefined) throw new Error('a server that does not say who it is')
  return found.data
}

const leasesOf = (ias: Heard['na']): ReadonlyArray<readonly [string, number]> =>
  Object.values(ias).flatMap(({ leases }) => Object.entries(leases).filter(([, seconds]) => seconds > 0))

const books6 = (client: Client6, reply: Heard, since: number, end: Book['end']): ReadonlyArray<Book> => {
  const book =
    (iaid: number | undefined) =>
    ([address, lifetimeSec]: readonly [string, number]): Book => ({
      address,
      end,
      granted: [since, now()],
      lifetimeSec,
      client: {
        duid: Buffer.from(clientDuidOf(client.number)).toString('hex'),
        iaid: iaid ?? 0,
        relayAddress: LINKS6[client.link],
        relayPeer: 'fe80::ff:fe00:1',
        ...(client.hostname === undefined ? {} : { hostname: client.hostname }),
        ...(client.interfaceId === undefined ? {} : { interfaceId: client.interfaceId }),
        ...(client.remoteId === undefined ? {} : { remoteId: client.remoteId }),
      },
    })
  const books = [...leasesOf(reply.na).map(book(client.na)), ...leasesOf(reply.pd).map(book(client.pd))]
  if (books.length === 0) throw new Error(`client ${client.number} got nothing: ${JSON.stringify(reply.status)}`)
  return books
}

const addressesOf = (books: ReadonlyArray<Book>, isPrefix: boolean): ReadonlyArray<string> =>
  books.map(({ address }) => address).filter((address) => address.includes('/') === isPrefix)

/** Solicit, Advertise, Request, Reply. Gives the server's DUID too. */
const acquire6 = async (
  relay: Relay,
  client: Client6,
  end: Book['end'],
): Promise<{ readonly books: ReadonlyArray<Book>; readonly server: Uint8Array }> => {
  const message = saidBy6(client)
  const advertise = await relay.ask6(message('solicit', [], []))
  const server = serverOf(advertise)
  const [na, pd] = [leasesOf(advertise.na), leasesOf(advertise.pd)].map((all) => all.map(([address]) => address))
  const since = soon()
  const reply = await relay.ask6(message('request', na ?? [], pd ?? [], server))
  return { books: books6(client, reply, since, end), server }
}

/** A Renew of everything that the client holds, at the server that gave it. */
const renew6 = async (
  relay: Relay,
  client: Client6,
  held: ReadonlyArray<Book>,
  server: Uint8Array,
): Promise<ReadonlyArray<Book>> => {
  const since = soon()
  const message = saidBy6(client)('renew', addressesOf(held, false), addressesOf(held, true), server)
  return books6(client, await relay.ask6(message), since, held[0]?.end ?? 'held')
}

/** Release or Decline of everything that the client was given. */
const giveBack6 = async (
  relay: Relay,
  client: Client6,
  how: 'release' | 'decline',
  { books, server }: { readonly books: ReadonlyArray<Book>; readonly server: Uint8Array },
): Promise<void> => {
  const reply = await relay.ask6(saidBy6(client)(how, addressesOf(books, false), addressesOf(books, true), server))
  if (reply.type !== 'reply') throw new Error(`${how} was answered by ${reply.type}`)
}

// ---------------------------------------------------------------- What they do

/** The clients that still hold something at the end, and all that happened. */
export interface Story {
  readonly books: ReadonlyArray<Book>
  readonly holders4: ReadonlyArray<{ readonly client: Client4; readonly book: Book }>
  readonly holders6: ReadonlyArray<{
    readonly client: Client6
    readonly books: ReadonlyArray<Book>
    readonly server: Uint8Array
  }>
}

const CLIENTS4: ReadonlyArray<Client4> = [
  {
    number: 1,
    link: 'usual',
    clientId: '01020000000001',
    hostname: 'printer-7',
    agent: { 1: '00040a0b', 2: 'aabbccdd' },
  },
  { number: 2, link: 'usual' },
  { number: 3, link: 'usual', clientId: 'ff00000003000100', hostname: 'phone.example.org' },
  { number: 4, link: 'endless', clientId: '01020000000004', hostname: 'camera' },
]

const CLIENTS6: ReadonlyArray<Client6> = [
  {
    number: 1,
    link: 'usual',
    na: 1,
    pd: 4_000_000_000,
    hostname: 'cpe.example.org',
    interfaceId: '0a0b',
    remoteId: '0000000901',
  },
  { number: 2, link: 'usual', na: 7 },
  { number: 3, link: 'usual', pd: 9 },
  { number: 4, link: 'endless', na: 2 },
]

const ends = (link: Client4['link']): Book['end'] =>
  link === 'endless' ? 'endless' : link === 'short' ? 'over' : 'held'

/** Clients of DHCPv4 come, two renew, one each releases, declines and goes away. */
const playStory4 = async (relay: Relay): Promise<Pick<Story, 'books' | 'holders4'>> => {
  const over: Client4 = { number: 20, link: 'short', clientId: '0114' }
  const released: Client4 = { number: 21, link: 'usual', hostname: 'guest' }
  const declined: Client4 = { number: 22, link: 'usual', clientId: '0116' }
  const books = [await acquire4(relay, over, 'over')]
  const gone = [await acquire4(relay, released, 'gone'), await acquire4(relay, declined, 'gone')] as const
  const { server } = await relay.ask4({ type: 'discover', ...saidBy4(CLIENTS4[1] as Client4) })
  relay.tell4({ type: 'release', ...saidBy4(released), ciaddr: gone[0].address, server })
  relay.tell4({ type: 'decline', ...saidBy4(declined), wants: gone[1].address, server })
  books.push(...gone)
  const holders4 = []
  // Answers come in the order of the messages: after these the two above are known.
  for (const client of CLIENTS4) {
    const first = await acquire4(relay, client, ends(client.link))
    const book = client.number % 2 === 1 ? await renew4(relay, client, first) : first
    if (book.address !== first.address) throw new Error(`${first.address} became ${book.address}`)
    holders4.push({ client, book })
    books.push(book)
  }
  return { books, holders4 }
}

/** The same for DHCPv6, with prefixes. */
const playStory6 = async (relay: Relay): Promise<Pick<Story, 'books' | 'holders6'>> => {
  const over: Client6 = { number: 20, link: 'short', na: 3 }
  const released: Client6 = { number: 21, link: 'usual', na: 1, pd: 2 }
  const declined: Client6 = { number: 22, link: 'usual', na: 1 }
  const books = [...(await acquire6(relay, over, 'over')).books]
  const gone = [await acquire6(relay, released, 'gone'), await acquire6(relay, declined, 'gone')] as const
  await giveBack6(relay, released, 'release', gone[0])
  await giveBack6(relay, declined, 'decline', gone[1])
  books.push(...gone[0].books, ...gone[1].books)
  const holders6 = []
  for (const client of CLIENTS6) {
    const first = await acquire6(relay, client, ends(client.link))
    const kept = client.number % 2 === 1 ? await renew6(relay, client, first.books, first.server) : first.books
    holders6.push({ client, books: kept, server: first.server })
    books.push(...kept)
  }
  return { books, holders6 }
}

/** All that clients do. Takes the relays of DHCPv4 and DHCPv6. */
export const playStory = async ([relay4, relay6]: readonly [Relay, Relay]): Promise<Story> => {
  const four = await playStory4(relay4)
  const six = await playStory6(relay6)
  return { books: [...four.books, ...six.books], holders4: four.holders4, holders6: six.holders6 }
}

/** What is held at the end of it. */
export const heldAfter = ({ holders4, holders6 }: Story): ReadonlyArray<Book> => [
  ...holders4.map(({ book }) => book),
  ...holders6.flatMap(({ books }) => books),
]

/** At another server: everybody renews and has what they had, also when they begin anew; newcomers get something else. */
export const everybodyKeepsTheirs = async ([relay4, relay6]: readonly [Relay, Relay], story: Story): Promise<void> => {
  const addresses = heldAfter(story).map(({ address }) => address)
  const newcomer4 = await acquire4(relay4, { number: 50, link: 'usual' }, 'held')
  expect(addresses).not.toContain(newcomer4.address)
  const newcomer6 = await acquire6(relay6, { number: 50, link: 'usual', na: 1, pd: 1 }, 'held')
  for (const { address } of newcomer6.books) expect(addresses).not.toContain(address)
  const told = ({ address, lifetimeSec }: Book): string => `${address} for ${lifetimeSec} s`
  for (const { client, book } of story.holders4) {
    expect(told(await renew4(relay4, client, book))).toBe(told(book))
    expect((await acquire4(relay4, client, book.end)).address).toBe(book.address)
  }
  for (const { client, books, server } of story.holders6) {
    expect((await renew6(relay6, client, books, server)).map(told)).toEqual(books.map(told))
    const anew = await acquire6(relay6, client, 'held')
    expect(anew.books.map(({ address }) => address)).toEqual(books.map(({ address }) => address))
  }
}
