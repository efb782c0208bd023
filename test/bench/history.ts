/**
 * `npm run bench:history`: how long an answer to "who held this address at that time" and to "what did this client hold"
 * takes with many events in the ledger, on PostgreSQL and on MariaDB. The questions are those of `ledger history`, asked
 * in the process: the reading and the folding is measured, the start of a program is not.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { openMysql } from '../../adapters/mysql/open.ts'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { openPostgres } from '../../adapters/postgres/open.ts'
import type { EventStore } from '../../domain/event-store.ts'
import { holderAt } from '../../projections/history.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { fill } from '../../projections/replay.ts'
import { addressSubject, askSpans, clientSubject } from '../../server/cli/history-ask.ts'
import { mariadbMissing } from '../support/mariadb.ts'
import { Lab } from '../support/namespaces.ts'
import type { Namespace } from '../support/namespaces.ts'
import { postgresMissing } from '../support/postgres.ts'
import { openBenchMariadb, openBenchPostgres } from './databases.ts'
import { appendSample, hardwareOf } from './ledger-sample.ts'
import { describeMachine, loadAverage } from './machine.ts'
import { table } from './report.ts'

const QUESTIONS = 500

/** A ledger with its tables on one product. */
interface Opened {
  readonly product: string
  readonly store: EventStore
  readonly tables: LeaseTables
}

const right = <A>(result: Either<{ readonly reason: string }, A>): A => {
  if (E.isLeft(result)) throw new Error(result.left.reason)
  return result.right
}

const done = async <A>(task: TaskEither<{ readonly reason: string }, A>): Promise<A> => right(await task())

/** The machine's own network: nobody but this process asks the databases. */
const here = { inside: [] as readonly string[] } as Namespace

const openOnPostgres = async (lab: Lab, name: string): Promise<Opened> => {
  const { database, server } = await openBenchPostgres(lab, here)
  await database.fresh(name, false)
  const hosts = [{ host: server.host, port: server.port }]
  const options = { hosts, database: name, user: server.user, statementTimeoutMs: 60_000 }
  const store = await done(openPostgres(options, 'sample'))
  await done(migratePostgres(options, 'tables'))
  return { product: await database.describe(), store, tables: await done(openPostgresTables(options)) }
}

const openOnMariadb = async (lab: Lab, name: string): Promise<Opened> => {
  const { database, server } = await openBenchMariadb(lab, here)
  await database.fresh(name, false)
  const { user, password } = server
  const hosts = [{ host: server.host, port: server.port }]
  const options = { hosts, database: name, user, password, statementTimeoutMs: 60_000 }
  const store = await done(openMysql(options, 'sample'))
  await done(migrateMysql(options, 'tables'))
  return { product: await database.describe(), store, tables: await done(openMysqlTables(options)) }
}

/** Sorted milliseconds of `QUESTIONS` questions; each is told its number. */
const timed = async (ask: (question: number) => Promise<unknown>): Promise<ReadonlyArray<number>> => {
  const times: number[] = []
  for (let question = 0; question < QUESTIONS; question++) {
    const began = performance.now()
    await ask(question)
    times.push(performance.now() - began)
  }
  return times.sort((a, b) => a - b)
}

interface Measured {
  readonly product: string
  readonly events: number
  readonly addressMs: ReadonlyArray<number>
  readonly clientMs: ReadonlyArray<number>
}

const measure = async (opened: Opened, events: number, leases: number): Promise<Measured> => {
  const { product, store, tables } = opened
  const stepMs = 10
  const from = Date.now() - events * stepMs
  await appendSample(store, { leases, events, from, stepMs })
  await done(fill({ store, tables }))
  const sources = { reader: store, tables: [tables] }
  const now = Date.now()
  const indexOf = (question: number): number => Math.imul(question + 1, 7_919) % leases
  const addressMs = await timed(async (question) => {
    const index = indexOf(question)
    const at = from + (index + 1) * stepMs
    const text = `100.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`
    const span = holderAt(await askSpans(sources, addressSubject(text), at, at, now), at)
    if (span?.lease.hwAddress !== hardwareOf(index)) throw new Error(`${text} was not held by the right client`)
  })
  const clientMs = await timed(async (question) => {
    const spans = await askSpans(sources, clientSubject('mac', hardwareOf(indexOf(question))), from, now, now)
    if (spans.length !== 1) throw new Error(`${spans.length} spans of a client that held one address`)
  })
  await store.close()
  await tables.close()
  return { product, events, addressMs, clientMs }
}

const at = (sorted: ReadonlyArray<number>, share: number): string =>
  (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN).toFixed(2)

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      events: { type: 'string', default: '50000' },
      'events-per-lease': { type: 'string', default: '10' },
      out: { type: 'string', default: 'build/bench' },
    },
  })
  const sizes = values.events.split(',').map(Number)
  const machine = await describeMachine()
  const lab = await Lab.open()
  const measured: Measured[] = []
  try {
    for (const events of sizes) {
      const leases = Math.ceil(events / Number(values['events-per-lease']))
      for (const [missing, open] of [
        [postgresMissing(), openOnPostgres],
        [mariadbMissing(), openOnMariadb],
      ] as const) {
        if (missing === undefined) measured.push(await measure(await open(lab, `history_${events}`), events, leases))
        else process.stderr.write(`skipped: ${missing}\n`)
      }
    }
  } finally {
    await lab.close()
  }
  const headings = [
    'database',
    'events',
    'who held an address, p50 ms',
    'p99 ms',
    'what a client held, p50 ms',
    'p99 ms',
  ]
  const lines = measured.map(({ product, events, addressMs, clientMs }) => [
    product.split(':')[0] ?? product,
    events.toLocaleString('en'),
    at(addressMs, 0.5),
    at(addressMs, 0.99),
    at(clientMs, 0.5),
    at(clientMs, 0.99),
  ])
  process.stdout.write(`${machine.date}, ${machine.processor}, load ${loadAverage().toFixed(1)}\n\n`)
  process.stdout.write(`${table([headings, ...lines])}\n`)
  await mkdir(values.out, { recursive: true })
  await writeFile(join(values.out, 'history.json'), JSON.stringify({ machine, measured }, null, 2))
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench:history: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
