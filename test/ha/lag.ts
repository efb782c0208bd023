/**
 * How long after an event was committed by one server another one knows it: two servers on one PostgreSQL, DHCPv4
 * exchanges at a rate through the first, and a clock at the replica of the second.
 *
 * `node test/ha/lag.ts [exchanges a second] [seconds]` prints one line.
 */
import * as E from 'fp-ts/lib/Either.js'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { realTimer } from '../../projections/timer.ts'
import { loadConfig } from '../../server/config/load.ts'
import type { Config } from '../../server/config/model.ts'
import { openCore } from '../../server/core.ts'
import { percentile } from '../../server/simulator/run.ts'
import { openStores } from '../../server/stores.ts'
import { freePort } from '../support/ports.ts'
import { startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { run, until } from '../support/process.ts'
import { makeLeaseLedger } from '../support/server-under-test.ts'
import { silent } from '../support/servers.ts'

/** What was measured. Times in ms from the commit, by PostgreSQL's own record, to the second server's replica. */
export interface Lag {
  readonly events: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Granted by the first server meanwhile, a second. */
  readonly perSecond: number
  /** Processor time of the second server for each event that it only follows. */
  readonly microseconds: number
}

const LEDGER_CLI = fileURLToPath(new URL('../../server/ledger-cli.ts', import.meta.url))

/** Measures at `rate` exchanges a second for `seconds`. */
export const measureLag = async (rate: number, seconds: number): Promise<Lag> => {
  const folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-lag-`))
  const database = await startPostgres({ settings: { track_commit_timestamp: 'on' } })
  const port = await freePort()
  const first = makeLeaseLedger({ folder: join(folder, 'first') })
  try {
    await first.start(configOf(database, 'first', port))
    const second = await openReplica(database, folder)
    try {
      const idle = process.cpuUsage()
      const perSecond = await load(port, rate, seconds)
      const { user, system } = process.cpuUsage(idle)
      const lag = await compare(database, second.seenAt)
      return { ...lag, perSecond, microseconds: (user + system) / lag.events }
    } finally {
      await second.close()
    }
  } finally {
    await first.stop()
    await database.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

const configOf = ({ host, port, user, database }: TestPostgres, name: string, dhcpPort: number) => ({
  Dhcp4: {
    'interfaces-config': { interfaces: [] },
    'lease-database': { type: 'postgresql', host, port, user, name: database },
    'valid-lifetime': 3_600,
    subnet4: [{ id: 1, subnet: '198.19.0.0/16', pools: [{ pool: '198.19.1.0 - 198.19.255.0' }] }],
  },
  LeaseLedger: { 'server-name': name, listen: { dhcp4: [{ address: '127.0.0.1', port: dhcpPort }] } },
})

/** The second server without its sockets: store, replica and follower as the service puts them together. */
const openReplica = async (database: TestPostgres, folder: string) => {
  const file = join(folder, 'second.json')
  await writeFile(file, JSON.stringify(configOf(database, 'second', 1)))
  const loaded = loadConfig([file], {})
  if (E.isLeft(loaded)) throw new Error(JSON.stringify(loaded.left))
  const config: Config = loaded.right
  const stores = orThrow(await openStores(config, { serverName: 'second', mode: 'own', log: silent }))
  const fatal = (reason: string): void => {
    throw new Error(reason)
  }
  const options = { log: silent, now: Date.now, timer: realTimer, onFatal: fatal }
  const core = orThrow(await openCore(config, options, stores))
  const seenAt = new Map<string, number>()
  const apply = core.replica.apply.bind(core.replica)
  core.replica.apply = (recorded) => {
    const isNews = apply(recorded)
    const key = `${recorded.stream}/${recorded.revision}`
    if (isNews && recorded.log === 'first') seenAt.set(key, performance.timeOrigin + performance.now())
    return isNews
  }
  const close = async (): Promise<void> => {
    await core.stop()
    await stores.close()
  }
  return { seenAt, close }
}

const orThrow = <A>(answer: E.Either<string, A>): A => {
  if (E.isLeft(answer)) throw new Error(answer.left)
  return answer.right
}

/** Plays the clients in a process of their own; gives the leases granted a second. */
const load = async (port: number, rate: number, seconds: number): Promise<number> => {
  const words = ['--port', String(port), '--link', '198.19.0.1', '--rate', String(rate), '--seconds', String(seconds)]
  const command = [process.execPath, LEDGER_CLI, 'client', ...words, '--clients', String(rate * seconds), '--json']
  const { stdout, stderr } = await run(command, { timeoutMs: (seconds + 30) * 1_000 })
  const line = stdout.trim().split('\n').at(-1) ?? ''
  if (!line.startsWith('{')) throw new Error(stdout + stderr)
  const { results } = JSON.parse(line) as { results: { granted: number; elapsedMs: number }[] }
  const [acquired] = results
  return acquired === undefined ? 0 : (acquired.granted * 1_000) / acquired.elapsedMs
}

const compare = async (
  database: TestPostgres,
  seenAt: ReadonlyMap<string, number>,
): Promise<Omit<Lag, 'perSecond' | 'microseconds'>> => {
  const sql = postgres(database.url, { max: 1, onnotice: () => undefined })
  try {
    const count = async (): Promise<number> =>
      Number((await sql`SELECT count(*) AS count FROM events WHERE type = 'LeaseClaimed'`)[0]?.['count'])
    const claims = await count()
    await until('the second server to know all claims', () => seenAt.size >= claims, 10_000)
    const rows = await sql`
      SELECT stream, revision, extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000 AS committed_at
      FROM events`
    const lags = rows
      .map((row) => (seenAt.get(`${row['stream']}/${row['revision']}`) ?? Infinity) - Number(row['committed_at']))
      .sort((a, b) => a - b)
    return { events: lags.length, p50: percentile(lags, 0.5), p99: percentile(lags, 0.99), max: lags.at(-1) ?? 0 }
  } finally {
    await sql.end({ timeout: 1 })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [rate = 1_000, seconds = 10] = process.argv.slice(2).map(Number)
  const { events, p50, p99, max, perSecond, microseconds } = await measureLag(rate, seconds)
  const [low, high, most] = [p50, p99, max].map((ms) => ms.toFixed(1))
  console.log(
    `${events} events at ${perSecond.toFixed(0)} leases/s: replica lag p50 ${low} ms, p99 ${high} ms, max ${most} ms; ` +
      `following takes ${microseconds.toFixed(0)} µs of processor time an event`,
  )
}
