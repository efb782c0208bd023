/**
 * `npm run bench:packets`: the processor time of a DORA and of a SARR inside the server, without sockets and without a
 * database: from the octets of a message to those of its answer, and from its event to what is sent to PostgreSQL. On a
 * machine that is busy with other things it says more than rates do.
 */
import * as E from 'fp-ts/lib/Either.js'
import { makeMemoryLedger, openMemory } from '../../adapters/memory/memory-store.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { spanRowsOf } from '../../projections/history.ts'
import { rowsOf } from '../../projections/log-page.ts'
import { arrayLiterals } from '../../projections/postgres/columns.ts'
import { spanLiterals } from '../../projections/postgres/history-statements.ts'
import { Counters } from '../../server/counters.ts'
import { Handler4 } from '../../server/dhcp4/handler.ts'
import { Service4 } from '../../server/dhcp4/service.ts'
import type { Dhcp4, Dhcp6 } from '../../server/config/model.ts'
import { makeDuidLl } from '../../server/dhcp6/duid.ts'
import { Handler6 } from '../../server/dhcp6/handler.ts'
import { OPTION6 } from '../../server/dhcp6/option-codes.ts'
import { Service6 } from '../../server/dhcp6/service.ts'
import { Spaces } from '../../server/spaces.ts'
import { dhcp4Config, say4 } from '../support/dhcp4.ts'
import { bytes6, dhcp6Config, say as say6, serverDuidOf } from '../support/dhcp6.ts'
import { makeServer, silent, turnsAlone } from '../support/servers.ts'
import { median } from './search.ts'

const BATCH = 100
const EXCHANGES = Number(process.argv[2] ?? 20_000)
const REPEATS = 3

const RELAY = '198.18.0.2'
const SERVER = '198.18.0.1'
const LOCAL = (198 << 24) | (18 << 16) | 1

const dhcp4 = dhcp4Config({
  'offer-lifetime': 0,
  'valid-lifetime': 4000,
  subnet4: [
    {
      id: 1,
      subnet: '100.64.0.0/10',
      relay: { 'ip-addresses': [RELAY] },
      pools: [{ pool: '100.64.0.1 - 100.127.255.254' }],
    },
  ],
})

const dhcp6 = dhcp6Config({
  'valid-lifetime': 4000,
  subnet6: [{ id: 1, subnet: '2001:db8::/64', interface: 'lan0', pools: [{ pool: '2001:db8::1:0:0/96' }] }],
})

const common = {
  now: Date.now,
  counters: new Counters(),
  log: silent,
  queueMax: 10_000,
  packetAgeMsMax: 10_000,
  answers: () => true,
  turns: turnsAlone,
}

const makeParts = (protocols: { readonly dhcp4?: Dhcp4; readonly dhcp6?: Dhcp6 }) => {
  const server = makeServer(openMemory(makeMemoryLedger(Date.now), 'bench'), Date.now, {
    batchMax: 200,
    offerDelayMs: 250,
  })
  const { ledger, replica, appended, follower } = server
  const spaces = new Spaces(replica, Date.now, Math.random, protocols.dhcp4, protocols.dhcp6)
  replica.listen((stream) => spaces.sync(stream))
  const parts = { ledger, replica, spaces, now: Date.now, log: silent, makeRoom: async () => true }
  return { parts, appended, follower }
}

const makeHandler4 = () => {
  const { parts, appended, follower } = makeParts({ dhcp4 })
  const service = new Service4({
    ...parts,
    config: dhcp4,
    isOwnAddress: () => true,
    catchUp: () => follower.catchUp(),
  })
  return { handler: new Handler4({ ...common, config: dhcp4, service, ports: { server: 67, client: 68 } }), appended }
}

const makeHandler6 = () => {
  const service = new Service6({ ...makeParts({ dhcp6 }).parts, config: dhcp6 })
  const serverDuid = serverDuidOf(1)
  return new Handler6({ ...common, config: dhcp6, service, serverDuid, ports: { server: 547, client: 546 } })
}

/** Microseconds of processor time that `act` takes, with all threads of the process. */
const microseconds = async (act: () => Promise<void> | void): Promise<number> => {
  const before = process.cpuUsage()
  await act()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/** What one client sends: its first message, and its second with room for the address it is offered. */
interface Messages {
  readonly first: Uint8Array
  readonly second: Uint8Array
}

/** How the messages of a kind of exchange are handled, and where an address is in an offer and in what asks for it. */
interface Exchange {
  readonly handler: { readonly waiting: number }
  readonly handle: (bytes: Uint8Array, send: (reply: Uint8Array) => void) => void
  readonly messages: ReadonlyArray<Messages>
  readonly offeredAt: (offer: Uint8Array) => number
  readonly wantedAt: number
  readonly addressOctets: number
}

/** Microseconds of one exchange of four messages. */
const runExchanges = async (exchange: Exchange): Promise<number> => {
  const { handler, handle, messages, offeredAt, wantedAt, addressOctets } = exchange
  let granted = 0
  const spent = await microseconds(async () => {
    for (let from = 0; from < messages.length; from += BATCH) {
      const batch = messages.slice(from, from + BATCH)
      for (const { first, second } of batch) {
        handle(first, (offer) => {
          const at = offeredAt(offer)
          second.set(offer.subarray(at, at + addressOctets), wantedAt)
        })
      }
      for (const { second } of batch) handle(second, () => void granted++)
      while (handler.waiting > 0) await new Promise((resolve) => setImmediate(resolve))
    }
  })
  if (granted !== EXCHANGES) throw new Error(`${granted} of ${EXCHANGES} leases were granted`)
  return spent / EXCHANGES
}

const YIADDR_AT = 16
const WANTED_4 = '1.2.3.4'

const dora = (handler: Handler4, turn: number): Promise<number> => {
  const messages = Array.from({ length: EXCHANGES }, (_, n): Messages => {
    const chaddr = `02${turn.toString(16).padStart(2, '0')}${n.toString(16).padStart(8, '0')}`
    const said = { client: 0, xid: n + 1, giaddr: RELAY, chaddr, asks: [1, 3, 6, 15] }
    return {
      first: say4({ ...said, type: 'discover' }),
      second: say4({ ...said, type: 'request', wants: WANTED_4, server: SERVER }),
    }
  })
  const arrival = { sourceAddress: LOCAL + 1, sourcePort: 67, localAddress: LOCAL >>> 0, interfaceName: 'lan0' }
  return runExchanges({
    handler,
    handle: (bytes, send) => handler.handle(bytes, arrival, send),
    messages,
    offeredAt: () => YIADDR_AT,
    wantedAt: Buffer.from(messages[0]?.second as Uint8Array).indexOf(Buffer.of(50, 4, 1, 2, 3, 4)) + 2,
    addressOctets: 4,
  })
}

const WANTED_6 = '2001:db8:dead:beef:dead:beef:dead:beef'

/** The first octets of an IA Address option: its code, its length. */
const IA_ADDRESS = Buffer.of(0, 5, 0, 24)

const sarr = (handler: Handler6, turn: number): Promise<number> => {
  const asks = [23, 24] // name servers and search list, as most clients do
  const messages = Array.from({ length: EXCHANGES }, (_, n): Messages => {
    const duid = makeDuidLl(1, Uint8Array.of(2, turn, n >> 24, n >> 16, n >> 8, n))
    const said = { xid: n + 1, link: null, asks, more: [{ code: OPTION6.clientId, data: duid }] }
    return {
      first: say6({ ...said, type: 'solicit', na: { 1: [] } }),
      second: say6({ ...said, type: 'request', to: serverDuidOf(1), na: { 1: [WANTED_6] } }),
    }
  })
  const arrival = { sourceAddress: 'fe80::1', sourcePort: 546, interfaceName: 'lan0' }
  return runExchanges({
    handler,
    handle: (bytes, send) => handler.handle(bytes, { ...arrival, octets: bytes.length }, send),
    messages,
    offeredAt: (offer) => Buffer.from(offer.buffer, offer.byteOffset, offer.length).indexOf(IA_ADDRESS) + 4,
    wantedAt: Buffer.from(messages[0]?.second as Uint8Array).indexOf(bytes6(WANTED_6)),
    addressOctets: 16,
  })
}

/** The texts that the projector sends for events, in batches of its size. */
const runProjection = (events: ReadonlyArray<Recorded>): Promise<number> =>
  microseconds(() => {
    for (let from = 0; from < events.length; from += BATCH) {
      const page = events.slice(from, from + BATCH)
      const rows = rowsOf(page)
      if (E.isLeft(rows)) throw new Error(rows.left.reason)
      arrayLiterals('lease4', rows.right)
      spanLiterals(spanRowsOf(page))
    }
  }).then((spent) => spent / events.length)

const spread = (values: ReadonlyArray<number>): string =>
  `${median(values).toFixed(1)} µs (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`

/** Runs once for the compiler, whose work is not what is measured, and then as often as is measured. */
const measured = async (run: (turn: number) => Promise<number>): Promise<number[]> => {
  await run(REPEATS)
  const found: number[] = []
  for (let turn = 0; turn < REPEATS; turn++) found.push(await run(turn))
  return found
}

const say = (what: string, values: ReadonlyArray<number>): void =>
  void process.stdout.write(`${what}: ${spread(values)}\n`)
const { handler, appended } = makeHandler4()
say(`DORA, ${EXCHANGES} times ${REPEATS}, processor time each`, await measured((turn) => dora(handler, turn)))
say('projected into texts for PostgreSQL, each event', await measured(() => runProjection(appended)))
const handler6 = makeHandler6()
say(`SARR, ${EXCHANGES} times ${REPEATS}, processor time each`, await measured((turn) => sarr(handler6, turn)))
