/** The databases of a configuration: the one place that chooses between kinds of store. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import { openEmbedded } from '../adapters/embedded/open.ts'
import { openEventStore, openEventStoreReader } from '../adapters/eventstore/open.ts'
import { makeMemoryLedger, openMemory, openMemoryReader } from '../adapters/memory/memory-store.ts'
import { migrateMysql } from '../adapters/mysql/migration.ts'
import { openMysql, openMysqlReader } from '../adapters/mysql/open.ts'
import type { MysqlOptions } from '../adapters/mysql/options.ts'
import { checkMysqlSettings } from '../adapters/mysql/settings.ts'
import { migratePostgres } from '../adapters/postgres/migration.ts'
import { openPostgres, openPostgresReader } from '../adapters/postgres/open.ts'
import type { PostgresOptions } from '../adapters/postgres/options.ts'
import { checkPostgresSettings } from '../adapters/postgres/settings.ts'
import type { EventReader, EventStore } from '../domain/event-store.ts'
import type { LeaseTables } from '../projections/lease-tables.ts'
import { openMysqlTables } from '../projections/mysql/open.ts'
import { openPostgresTables } from '../projections/postgres/open.ts'
import type { Config, StoreConfig } from './config/model.ts'
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

type Opening<A> = TaskEither<{ readonly reason: string }, A>

/** A database that is there, and what can be opened in it. */
interface Database {
  readonly open: (log: string) => Opening<EventStore>
  readonly openReader: () => Opening<EventReader>
  /** The lease tables beside the ledger; undefined where the database can hold none. */
  readonly openTables: (() => Opening<LeaseTables>) | undefined
  /** Sentences on settings of the database with which the service cannot keep its promises. */
  readonly warnings?: () => Opening<ReadonlyArray<string>>
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
  const opened = await openBoth(config, mode, (database) => database.open(serverName))
  if (E.isLeft(opened)) return opened
  const { ledger: store, tables, database, close } = opened.right
  const warnings = await database.warnings?.()()
  if (warnings !== undefined && E.isRight(warnings)) for (const warning of warnings.right) log.warn({}, warning)
  return E.right({ store, tables, connection: database.connection, failed: database.failed, close })
}

/** Opens the ledger for reading, also while a server runs; starts the embedded database if it does not run. */
export const openForReading = async (config: Config): Promise<Either<string, ReadStores>> => {
  const opened = await openBoth(config, 'share', (database) => database.openReader())
  if (E.isLeft(opened)) return opened
  const { ledger: reader, tables, close } = opened.right
  return E.right({ reader, tables, close })
}

/** Opens the ledger for a command that writes, also while servers run. The name is that of the command's own log. */
export const openWriter = async (config: Config, name: string): Promise<Either<string, WriteStore>> => {
  const database = await reach(config, 'share')
  if (E.isLeft(database)) return database
  const { open, stop } = database.right
  const store = await sentence(open(name))
  if (E.isLeft(store)) {
    await stop()
    return store
  }
  return E.right({ store: store.right, close: () => closeAll([store.right, { close: stop }]) })
}

interface Closable {
  readonly close: () => Promise<void>
}

const closeAll = async (parts: ReadonlyArray<Closable>): Promise<void> => {
  for (const part of parts) await part.close()
}

const sentence = async <A>(opening: Opening<A>): Promise<Either<string, A>> =>
  E.mapLeft(({ reason }: { readonly reason: string }) => reason)(await opening())

/** Opens tables and ledger; closes in reverse order what is open when one of them cannot be. */
const openBoth = async <A extends Closable>(
  config: Config,
  mode: 'own' | 'share',
  openLedger: (database: Database) => Opening<A>,
) => {
  const reached = await reach(config, mode)
  if (E.isLeft(reached)) return reached
  const database = reached.right
  const tables: LeaseTables[] = []
  const open: Closable[] = [{ close: database.stop }]
  const giveUp = async (reason: string): Promise<Either<string, never>> => {
    await closeAll(open.toReversed())
    return E.left(reason)
  }
  for (const opening of tableOpenings(config, database)) {
    const opened = E.isLeft(opening) ? opening : await sentence(opening.right)
    if (E.isLeft(opened)) return giveUp(opened.left)
    tables.push(opened.right)
    open.push(opened.right)
  }
  const ledger = await sentence(openLedger(database))
  if (E.isLeft(ledger)) return giveUp(ledger.left)
  open.splice(1, 0, ledger.right)
  return E.right({ ledger: ledger.right, tables, database, close: () => closeAll(open.toReversed()) })
}

/** The tables beside the ledger, then those of `LeaseLedger.projections`. */
const tableOpenings = (config: Config, database: Database): ReadonlyArray<Either<string, Opening<LeaseTables>>> => [
  ...(database.openTables === undefined ? [] : [E.right(database.openTables())]),
  ...config.ledger.projections.map(({ store }): Either<string, Opening<LeaseTables>> =>
    store._tag === 'postgresql'
      ? E.map(postgresTables)(postgresOptions(store))
      : E.map(mysqlTables)(mysqlOptions(store, store.tableEngine)),
  ),
]

const postgresTables =
  (options: PostgresOptions): Opening<LeaseTables> =>
  async () => {
    const migrated = await migratePostgres(options, 'tables')()
    return E.isLeft(migrated) ? migrated : openPostgresTables(options)()
  }

const mysqlTables =
  (options: MysqlOptions): Opening<LeaseTables> =>
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
