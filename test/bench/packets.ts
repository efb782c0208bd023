/**
 * `npm run bench:packets`: the processor time of a DORA inside the server, without sockets and without a database: from
 * the octets of a message to those of its answer, and from its event to what is sent to PostgreSQL. On a machine that
 * is busy with other things it says more than rates do.
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
import { Spaces } from '../../server/spaces.ts'
import { dhcp4Config, say4 } from '../support/dhcp4.ts'
import { makeServer, silent } from '../support/servers.ts'
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

const makeHandler = () => {
  const server = makeServer(openMemory(makeMemoryLedger(Date.now), 'bench'), Date.now, { batchMax: 200 })
  const { ledger, replica, appended, follower } = server
  const spaces = new Spaces(replica, Date.now, Math.random, dhcp4, undefined)
  replica.listen((stream) => spaces.sync(stream))
  const service = new Service4({
    config: dhcp4,
    ledger,
    replica,
    spaces,
    now: Date.now,
    log: silent,
    isOwnAddress: () => true,
    makeRoom: async () => true,
    catchUp: () => follower.catchUp(),
  })
  const handler = new Handler4({
    config: dhcp4,
    service,
    ports: { server: 67, client: 68 },
    now: Date.now,
    counters: new Counters(),
    log: silent,
    queueMax: 10_000,
    packetAgeMsMax: 10_000,
    answers: () => true,
  })
  return { handler, appended }
}

/** Microseconds of processor time that `act` takes, with all threads of the process. */
const microseconds = async (act: () => Promise<void> | void): Promise<number> => {
  const before = process.cpuUsage()
  await act()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/** A DISCOVER and, with the offered address put in, a REQUEST of each client. */
const messagesOf = (count: number, turn: number) =>
  Array.from({ length: count }, (_, n) => {
    const chaddr = `02${turn.toString(16).padStart(2, '0')}${n.toString(16).padStart(8, '0')}`
    const said = { client: 0, xid: n + 1, giaddr: RELAY, chaddr }
    return {
      discover: say4({ ...said, type: 'discover', asks: [1, 3, 6, 15] }),
      request: say4({ ...said, type: 'request', wants: '1.2.3.4', server: SERVER, asks: [1, 3, 6, 15] }),
    }
  })

const YIADDR_AT = 16

/** Where option 50 has its address in the requests of {@link messagesOf}. */
const wantedAt = (request: Uint8Array): number => Buffer.from(request).indexOf(Buffer.of(50, 4, 1, 2, 3, 4)) + 2

const runDora = async (handler: Handler4, turn: number): Promise<number> => {
  const messages = messagesOf(EXCHANGES, turn)
  const at = wantedAt(messages[0]?.request as Uint8Array)
  const arrival = { sourceAddress: LOCAL + 1, sourcePort: 67, localAddress: LOCAL >>> 0, interfaceName: 'lan0' }
  let granted = 0
  const spent = await microseconds(async () => {
    for (let from = 0; from < messages.length; from += BATCH) {
      const batch = messages.slice(from, from + BATCH)
      for (const { discover, request } of batch) {
        handler.handle(discover, arrival, (reply) => request.set(reply.subarray(YIADDR_AT, YIADDR_AT + 4), at))
      }
      for (const { request } of batch) handler.handle(request, arrival, () => void granted++)
      while (handler.waiting > 0) await new Promise((resolve) => setImmediate(resolve))
    }
  })
  if (granted !== EXCHANGES) throw new Error(`${granted} of ${EXCHANGES} leases were granted`)
  return spent / EXCHANGES
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

const dora: number[] = []
const projection: number[] = []
const { handler, appended } = makeHandler()
await runDora(handler, 255) // the compiler's work is not what is measured
await runProjection(appended)
for (let turn = 0; turn < REPEATS; turn++) {
  appended.length = 0
  dora.push(await runDora(handler, turn))
  projection.push(await runProjection(appended))
}
const spread = (values: ReadonlyArray<number>): string =>
  `${median(values).toFixed(1)} µs (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`
process.stdout.write(`DORA, ${EXCHANGES} times ${REPEATS}, processor time each: ${spread(dora)}\n`)
process.stdout.write(`projected into texts for PostgreSQL, each event: ${spread(projection)}\n`)
