/** The databases of a configuration: the one place that chooses between kinds of store. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either, Right } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import { setTimeout } from 'node:timers/promises'
import { openEmbedded } from '../adapters/embedded/open.ts'
import { openEventStore, openEventStoreReader } from '../adapters/eventstore/open.ts'
import { makeMemoryLedger, openMemory, openMemoryReader } from '../adapters/memory/memory-store.ts'
import { migrateMysql } from '../adapters/mysql/migration.ts'
import { openMysql, openMysqlReader } from '../adapters/mysql/open.ts'
import { whereText as mysqlWhere } from '../adapters/mysql/options.ts'
import type { MysqlOptions } from '../adapters/mysql/options.ts'
import { checkMysqlSettings } from '../adapters/mysql/settings.ts'
import { migratePostgres } from '../adapters/postgres/migration.ts'
import { openPostgres, openPostgresReader } from '../adapters/postgres/open.ts'
import { whereText as postgresWhere } from '../adapters/postgres/options.ts'
import type { PostgresOptions } from '../adapters/postgres/options.ts'
import { checkPostgresSettings } from '../adapters/postgres/settings.ts'
import type { EventReader, EventStore, LogTaken, ReadError } from '../domain/event-store.ts'
import type { LeaseTables } from '../projections/lease-tables.ts'
import { openMysqlTables } from '../projections/mysql/open.ts'
import { openPostgresTables } from '../projections/postgres/open.ts'
import type { Config, StoreConfig } from './config/model.ts'
import { lateTables } from './late-tables.ts'
import { eventStoreOptions, mysqlOptions, postgresOptions, postgresText } from './store-options.ts'
import type { Logger } from './logger.ts'

/** The ledger and the tables that it is projected into; the tables beside the ledger come first. */
export interface Stores {
  readonly store: EventStore
  readonly tables: ReadonlyArray<LeaseTables>
  /** A connection string for queries, without password; undefined where there is nothing to query. */
  readonly connection: string | undefined
  /** Resolves, with one sentence, if the store has ended for good. */
  readonly failed: Promise<string>
  readonly close: () => Promise<void>
}

/** The ledger for reading, and the tables. */
export interface ReadStores {
  readonly reader: EventReader
  readonly tables: ReadonlyArray<LeaseTables>
  readonly close: () => Promise<void>
}

/** The ledger for a command that writes. */
export interface WriteStore {
  readonly store: EventStore
  readonly close: () => Promise<void>
}

type Opening<A> = TaskEither<ReadError | LogTaken, A>

/** Why something is not open. What may pass by itself can be waited for. */
interface Unopened {
  readonly reason: string
  readonly mayPass: boolean
}

/** A database that is there, and what can be opened in it. */
interface Database {
  readonly open: (log: string) => Opening<EventStore>
  readonly openReader: () => Opening<EventReader>
  /** The lease tables beside the ledger; undefined where the database can hold none. */
  readonly openTables: (() => TaskEither<ReadError, LeaseTables>) | undefined
  /** Sentences on settings of the database with which the service cannot keep its promises. */
  readonly warnings?: () => TaskEither<ReadError, ReadonlyArray<string>>
  readonly connection: string | undefined
  readonly failed: Promise<string>
  readonly stop: () => Promise<void>
}

/** A database that is there for other processes of this machine. */
export type HeldStore = Pick<Database, 'connection' | 'failed' | 'stop'>

/** Sees to it that the database is there, for worker processes. `Left` is one sentence. */
export const holdStore = (config: Config, log: Logger): Promise<Either<string, HeldStore>> => {
  sayEmbedded(config, log)
  return reach(config, 'own')
}

const sayEmbedded = ({ store, ledger }: Config, log: Logger): void => {
  if (store._tag === 'embedded') log.info({ folder: ledger.dataFolder }, 'starting the embedded PostgreSQL')
}

/**
 * Opens the ledger for writing under a server's name. `own`: this process is the one that has the embedded database;
 * `share`: it uses that of another. `Left` is one sentence; then nothing is left open.
 */
export const openStores = async (
  config: Config,
  { serverName, mode, log }: { readonly serverName: string; readonly mode: 'own' | 'share'; readonly log: Logger },
): Promise<Either<string, Stores>> => {
  if (mode === 'own') sayEmbedded(config, log)
  const opened = await patiently(config, log, () =>
    openBoth(config, mode, (database) => database.open(serverName), lateIfAway(log)),
  )
  if (E.isLeft(opened)) return E.left(opened.left.reason)
  const { ledger: store, tables, database, close } = opened.right
  const warnings = await database.warnings?.()()
  if (warnings !== undefined && E.isRight(warnings)) for (const warning of warnings.right) log.warn({}, warning)
  return E.right({ store, tables, connection: database.connection, failed: database.failed, close })
}

/** Tries again, with `retry-on-startup`, while the reason may pass by itself. */
const patiently = async <A>(
  { store }: Config,
  log: Logger,
  open: () => Promise<Either<Unopened, A>>,
): Promise<Either<Unopened, A>> => {
  const retry = 'reconnect' in store && store.reconnect.retryOnStartup ? store.reconnect : undefined
  for (let tries = 0; ; tries++) {
    const opened = await open()
    if (E.isRight(opened) || !opened.left.mayPass) return opened
    if (retry === undefined || tries >= (retry.triesMax ?? Infinity)) return opened
    log.warn({ waitMs: retry.waitMs }, `${opened.left.reason}; trying again (retry-on-startup)`)
    await setTimeout(retry.waitMs)
  }
}

/** What becomes of further tables whose database is away: a server does not wait for them. */
type WhenAway = (target: TableTarget, reason: string) => LeaseTables | undefined

const lateIfAway =
  (log: Logger): WhenAway =>
  ({ where, open }, reason) => {
    log.warn({ tables: where, reason }, 'lease tables are away: they will be brought up to date when they are back')
    return lateTables(where, open)
  }

/** Opens the ledger for reading, also while a server runs; starts the embedded database if it does not run. */
export const openForReading = async (config: Config): Promise<Either<string, ReadStores>> => {
  const opened = await openBoth(
    config,
    'share',
    (database) => database.openReader(),
    () => undefined,
  )
  if (E.isLeft(opened)) return E.left(opened.left.reason)
  const { ledger: reader, tables, close } = opened.right
  return E.right({ reader, tables, close })
}

/** Opens the ledger for a command that writes, also while servers run. The name is that of the command's own log. */
export const openWriter = async (config: Config, name: string): Promise<Either<string, WriteStore>> => {
  const database = await reach(config, 'share')
  if (E.isLeft(database)) return database
  const { open, stop } = database.right
  const store = await attempt(open(name))
  if (E.isLeft(store)) {
    await stop()
    return E.left(store.left.reason)
  }
  return E.right({ store: store.right, close: () => closeAll([store.right, { close: stop }]) })
}

interface Closable {
  readonly close: () => Promise<void>
}

const closeAll = async (parts: ReadonlyArray<Closable>): Promise<void> => {
  for (const part of parts) await part.close()
}

const attempt = async <A>(opening: Opening<A>): Promise<Either<Unopened, A>> =>
  E.mapLeft(({ _tag, reason }: ReadError | LogTaken) => ({ reason, mayPass: _tag === 'StoreUnavailable' }))(
    await opening(),
  )

/** Opens tables and ledger; closes in reverse order what is open when one of them cannot be. */
const openBoth = async <A extends Closable>(
  config: Config,
  mode: 'own' | 'share',
  openLedger: (database: Database) => Opening<A>,
  whenAway: WhenAway,
) => {
  const reached = E.mapLeft(lasting)(await reach(config, mode))
  if (E.isLeft(reached)) return reached
  const database = reached.right
  const tables: LeaseTables[] = []
  const open: Closable[] = [{ close: database.stop }]
  const giveUp = async (why: Unopened): Promise<Either<Unopened, never>> => {
    await closeAll(open.toReversed())
    return E.left(why)
  }
  for (const target of tableTargets(config, database)) {
    if (E.isLeft(target)) return giveUp(lasting(target.left))
    const opened = await attempt(target.right.open)
    const isAway = E.isLeft(opened) && opened.left.mayPass && !target.right.isBeside
    const found = isAway ? whenAway(target.right, opened.left.reason) : undefined
    if (found === undefined && E.isLeft(opened)) return giveUp(opened.left)
    const there = found ?? (opened as Right<LeaseTables>).right
    tables.push(there)
    open.push(there)
  }
  const ledger = await attempt(openLedger(database))
  if (E.isLeft(ledger)) return giveUp(ledger.left)
  open.splice(1, 0, ledger.right)
  return E.right({ ledger: ledger.right, tables, database, close: () => closeAll(open.toReversed()) })
}

const lasting = (reason: string): Unopened => ({ reason, mayPass: false })

/** Lease tables that are to be written. */
interface TableTarget {
  readonly where: string
  readonly open: TaskEither<ReadError, LeaseTables>
  /** They stand beside the ledger, and are away when it is. */
  readonly isBeside: boolean
}

/** The tables beside the ledger, then those of `LeaseLedger.projections`. */
const tableTargets = (config: Config, database: Database): ReadonlyArray<Either<string, TableTarget>> => [
  ...(database.openTables === undefined
    ? []
    : [E.right({ where: 'beside the ledger', open: database.openTables(), isBeside: true })]),
  ...config.ledger.projections.map(({ store }): Either<string, TableTarget> =>
    store._tag === 'postgresql'
      ? E.map((options: PostgresOptions) => ({
          where: postgresWhere(options),
          open: postgresTables(options),
          isBeside: false,
        }))(postgresOptions(store))
      : E.map((options: MysqlOptions) => ({ where: mysqlWhere(options), open: mysqlTables(options), isBeside: false }))(
          mysqlOptions(store, store.tableEngine),
        ),
  ),
]

const postgresTables =
  (options: PostgresOptions): TaskEither<ReadError, LeaseTables> =>
  async () => {
    const migrated = await migratePostgres(options, 'tables')()
    return E.isLeft(migrated) ? migrated : openPostgresTables(options)()
  }

const mysqlTables =
  (options: MysqlOptions): TaskEither<ReadError, LeaseTables> =>
  async () => {
    const migrated = await migrateMysql(options, 'tables')()
    return E.isLeft(migrated) ? migrated : openMysqlTables(options)()
  }

const NEVER_FAILS = { failed: new Promise<string>(() => undefined), stop: () => Promise.resolve() }

const onPostgres = (options: PostgresOptions): Pick<Database, 'open' | 'openReader' | 'openTables' | 'warnings'> => ({
  open: (log) => openPostgres(options, log),
  openReader: () => openPostgresReader(options),
  openTables: () => postgresTables(options),
  warnings: () => checkPostgresSettings(options),
})

const onMysql = (options: MysqlOptions): Database => ({
  open: (log) => openMysql(options, log),
  openReader: () => openMysqlReader(options),
  openTables: () => mysqlTables(options),
  warnings: () => checkMysqlSettings(options),
  connection: undefined,
  ...NEVER_FAILS,
})

const inMemory = (): Database => {
  const ledger = makeMemoryLedger(Date.now)
  return {
    open: (log) => async () => E.right(openMemory(ledger, log)),
    openReader: () => async () => E.right(openMemoryReader(ledger)),
    openTables: undefined,
    connection: undefined,
    ...NEVER_FAILS,
  }
}

/** Makes sure that the database of the configuration is there, as far as that is up to us. */
const reach = async (config: Config, mode: 'own' | 'share'): Promise<Either<string, Database>> => {
  const { store } = config
  switch (store._tag) {
    case 'embedded': {
      const embedded = await openEmbedded({ dataFolder: config.ledger.dataFolder, mode })()
      if (E.isLeft(embedded)) return E.left(embedded.left.reason)
      const { options, url, failed, stop } = embedded.right
      return E.right({ ...onPostgres(options), connection: url, failed, stop })
    }
    case 'postgresql':
      return E.map((options: PostgresOptions): Database => ({
        ...onPostgres(options),
        connection: postgresText(store),
        ...NEVER_FAILS,
      }))(postgresOptions(store))
    case 'mysql':
      return E.map(onMysql)(mysqlOptions(store, store.tableEngine))
    case 'eventstore':
      return reachEventStore(store)
    case 'memory':
      return E.right(inMemory())
  }
}

const reachEventStore = (store: Extract<StoreConfig, { _tag: 'eventstore' }>): Either<string, Database> =>
  E.map((options: Parameters<typeof openEventStore>[0]): Database => ({
    open: (log) => openEventStore(options, log),
    openReader: () => openEventStoreReader(options),
    openTables: undefined,
    connection: undefined,
    ...NEVER_FAILS,
  }))(eventStoreOptions(store))
