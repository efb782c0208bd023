/** A generated ledger on a real PostgreSQL or MariaDB, and the commands over it. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { openMysql } from '../../adapters/mysql/open.ts'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { openPostgres } from '../../adapters/postgres/open.ts'
import type { EventStore, LogName, Proposal } from '../../domain/event-store.ts'
import type { StreamName } from '../../domain/stream.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { fill } from '../../projections/replay.ts'
import { ledgerProgram } from '../../server/cli/program.ts'
import { startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { run } from '../support/process.ts'
import { makeSite } from './audit-events.ts'
import type { SiteSize, Truth, Written } from './audit-events.ts'
import { batchOf, must } from './proposals.ts'

/** What a command said. */
export interface Answered {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A ledger with its configuration file, and the command line over it. */
export interface AuditSite<Server = TestPostgres> {
  readonly server: Server
  readonly truth: ReadonlyArray<Truth>
  readonly proposals: Written['proposals']
  readonly events: number
  readonly folder: string
  readonly config: string
  /** Writes a configuration for another database of the same server; gives the file. */
  readonly configFor: (database: string, more?: object) => Promise<string>
  /** Runs `ledger` with arguments, on `config` unless another file is named. */
  readonly ledger: (args: ReadonlyArray<string>, config?: string) => Promise<Answered>
  /** Runs `ledger` without any configuration. */
  readonly ledgerAlone: (args: ReadonlyArray<string>) => Promise<Answered>
  /** The same as `ledger` within this process, which takes less time; one at a time. */
  readonly ask: (args: ReadonlyArray<string>, config?: string) => Promise<Answered>
  readonly stop: () => Promise<void>
}

const PROGRAM = resolve(import.meta.dirname, '../../server/ledger-cli.ts')

/** Words that run `ledger`. */
export const LEDGER: ReadonlyArray<string> = [process.execPath, PROGRAM]

/** How a ledger is filled on some database. */
interface Ground {
  readonly openStore: (log: LogName) => Promise<EventStore>
  readonly openTables: () => Promise<LeaseTables>
  /** Kea's `lease-database` for a database of that server. */
  readonly store: (database: string) => object
  readonly database: string
}

/** Starts PostgreSQL, writes the ledger in the order in which it happened, and projects it. */
export const openAuditSite = async (size: SiteSize): Promise<AuditSite> => {
  const server = await startPostgres()
  const { host, port, user, database } = server
  const options = { hosts: [{ host, port }], database, user, statementTimeoutMs: 30_000 }
  const ground: Ground = {
    openStore: (log) => must(openPostgres(options, log)),
    openTables: async () => {
      await must(migratePostgres(options, 'tables'))
      return must(openPostgresTables(options))
    },
    store: (name) => ({ type: 'postgresql', name, host, port, user }),
    database,
  }
  return openSite(server, ground, makeSite(size))
}

/** The same on MariaDB. */
export const openMariadbSite = async (size: SiteSize): Promise<AuditSite<TestMariadb>> => {
  const server = await startMariadb()
  const { host, port, user, password, database } = server
  const options = { hosts: [{ host, port }], database, user, password, statementTimeoutMs: 30_000 }
  const ground: Ground = {
    openStore: async (log) => {
      await must(migrateMysql(options, 'ledger'))
      return must(openMysql(options, log))
    },
    openTables: async () => {
      await must(migrateMysql(options, 'tables'))
      return must(openMysqlTables(options))
    },
    store: (name) => ({ type: 'mysql', name, host, port, user, password }),
    database,
  }
  return openSite(server, ground, makeSite(size))
}

const openSite = async <Server extends { readonly stop: () => Promise<void> }>(
  server: Server,
  ground: Ground,
  site: Written,
): Promise<AuditSite<Server>> => {
  const folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-audit-`))
  const stop = async (): Promise<void> => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await chmod(folder, 0o755)
    await fillSite(ground, site)
    return await commandsOver(server, ground, site, folder, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

/** Writes the ledger and projects it. */
const fillSite = async (ground: Ground, site: Written): Promise<void> => {
  const stores = new Map<LogName, EventStore>()
  for (const log of ['alpha', 'beta']) stores.set(log, await ground.openStore(log))
  await writeAll(stores, site.proposals)
  const tables = await ground.openTables()
  await must(fill({ store: stores.get('alpha') as EventStore, tables, batchMax: 20_000 }))
  await tables.close()
  for (const store of stores.values()) await store.close()
}

const commandsOver = async <Server>(
  server: Server,
  ground: Ground,
  site: Written,
  folder: string,
  stop: () => Promise<void>,
): Promise<AuditSite<Server>> => {
  const configFor = async (database: string, more: object = {}): Promise<string> => {
    const file = join(folder, `${database}.json`)
    const Dhcp4 = { 'lease-database': ground.store(database), subnet4: [] }
    await writeFile(file, JSON.stringify({ Dhcp4, LeaseLedger: { 'data-folder': folder, ...more } }))
    return file
  }
  const config = await configFor(ground.database)
  const ledgerAlone = async (args: ReadonlyArray<string>): Promise<Answered> => {
    const { code, stdout, stderr } = await run([...LEDGER, ...args], { timeoutMs: 60_000, env: { TZ: 'UTC' } })
    return { code, out: stdout, err: stderr }
  }
  return {
    server,
    truth: site.truth,
    proposals: site.proposals,
    events: site.proposals.length,
    folder,
    config,
    configFor,
    ledger: ([name = '', ...rest], file = config) => ledgerAlone([name, '-c', file, ...rest]),
    ledgerAlone,
    ask: ([name = '', ...rest], file = config) => runHere([name, '-c', file, ...rest]),
    stop,
  }
}

const BATCH = 500

/** In about the order of time: what comes to a stream of the batch again waits for the next one. Two logs at once. */
const writeAll = async (stores: ReadonlyMap<LogName, EventStore>, written: Written['proposals']): Promise<void> => {
  const ordered = written.toSorted(([, one], [, other]) => one.recordedAt - other.recordedAt)
  let waiting: Written['proposals'] = []
  for (let next = 0; next < ordered.length || waiting.length > 0;) {
    const streams = new Set<StreamName>()
    const batches = new Map<LogName, Proposal[]>([...stores.keys()].map((log) => [log, []]))
    const later: (typeof ordered)[number][] = []
    const take = (one: (typeof ordered)[number]): void => {
      const [log, proposal] = one
      if (streams.has(proposal.stream)) return void later.push(one)
      streams.add(proposal.stream)
      batches.get(log)?.push(proposal)
    }
    for (const one of waiting) take(one)
    for (; next < ordered.length && streams.size < BATCH; next++) take(ordered[next] as (typeof ordered)[number])
    await Promise.all([...batches].map(([log, batch]) => send(stores.get(log) as EventStore, batch)))
    waiting = later
  }
}

const send = async (store: EventStore, [first, ...rest]: ReadonlyArray<Proposal>): Promise<void> => {
  if (first === undefined) return
  const outcomes = await must(store.append(batchOf(first, ...rest)))
  if (outcomes.some(({ _tag }) => _tag !== 'Appended')) throw new Error('not as it happened')
}

/** The end of a command that would have been the end of its process. */
class Exit extends Error {
  readonly code: number
  constructor(code: number) {
    super(`exit ${code}`)
    this.code = code
  }
}

let before: Promise<unknown> = Promise.resolve()

/** Runs `ledger` in this process, with its output caught: one after the other, also when a test has given one up. */
const runHere = (args: ReadonlyArray<string>): Promise<Answered> => {
  const running = before.then(() => runNow(args))
  before = running.catch(() => undefined)
  return running
}

const runNow = async (args: ReadonlyArray<string>): Promise<Answered> => {
  const said = { out: '', err: '' }
  const { exit, exitCode } = process
  const [stdout, stderr] = [process.stdout.write, process.stderr.write]
  const caught =
    (where: 'out' | 'err') =>
    (text: string | Uint8Array, ...rest: ReadonlyArray<unknown>): boolean => {
      said[where] += typeof text === 'string' ? text : Buffer.from(text).toString()
      const done = rest.at(-1)
      if (typeof done === 'function') (done as () => void)()
      return true
    }
  process.stdout.write = caught('out') as typeof process.stdout.write
  process.stderr.write = caught('err') as typeof process.stderr.write
  process.exit = ((code: number) => {
    throw new Exit(code)
  }) as typeof process.exit
  process.exitCode = undefined
  try {
    await ledgerProgram().parseAsync(args, { from: 'user' })
    return { code: Number(process.exitCode ?? 0), ...said }
  } catch (error) {
    if (error instanceof Exit) return { code: error.code, ...said }
    throw error
  } finally {
    Object.assign(process, { exit, exitCode })
    process.stdout.write = stdout
    process.stderr.write = stderr
  }
}
