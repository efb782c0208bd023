/** The databases of a configuration: the one place that chooses between kinds of store. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { openEmbedded } from '../adapters/embedded/open.ts'
import { makeMemoryLedger, openMemory, openMemoryReader } from '../adapters/memory/memory-store.ts'
import { migratePostgres } from '../adapters/postgres/migration.ts'
import { openPostgres, openPostgresReader } from '../adapters/postgres/open.ts'
import type { PostgresOptions } from '../adapters/postgres/options.ts'
import type { EventReader, EventStore } from '../domain/event-store.ts'
import type { LeaseTables } from '../projections/lease-tables.ts'
import { openPostgresTables } from '../projections/postgres/open.ts'
import type { Config, PasswordSource, ServerStore, StoreConfig, TlsConfig } from './config/model.ts'
import type { Logger } from './logger.ts'

/** The ledger and the tables that it is projected into; the tables beside the ledger come first. */
export interface Stores {
  readonly store: EventStore
  readonly tables: ReadonlyArray<LeaseTables>
  /** A connection string for queries, without password; undefined where the store cannot be queried. */
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

/** A database that is there, and how it ends. */
interface Database {
  readonly postgres: PostgresOptions | undefined
  readonly connection: string | undefined
  readonly failed: Promise<string>
  readonly stop: () => Promise<void>
}

/** Opens the ledger for writing under a server's name. `Left` is one sentence; then nothing is left open. */
export const openStores = async (config: Config, serverName: string, log: Logger): Promise<Either<string, Stores>> => {
  if (config.store._tag === 'embedded')
    log.info({ folder: config.ledger.dataFolder }, 'starting the embedded PostgreSQL')
  const database = await reach(config, 'own')
  if (E.isLeft(database)) return database
  const { postgres, connection, failed, stop } = database.right
  const tables = await openTables(config, postgres)
  if (E.isLeft(tables)) {
    await stop()
    return tables
  }
  const opened = await openStore(postgres, serverName)
  if (E.isLeft(opened)) {
    await closeAll(tables.right)
    await stop()
    return opened
  }
  const store = opened.right
  return E.right({
    store,
    tables: tables.right,
    connection,
    failed,
    close: async () => {
      await closeAll(tables.right)
      await store.close()
      await stop()
    },
  })
}

/** Opens the ledger for reading, also while a server runs; starts the embedded database if it does not run. */
export const openForReading = async (config: Config): Promise<Either<string, ReadStores>> => {
  const database = await reach(config, 'share')
  if (E.isLeft(database)) return database
  const { postgres, stop } = database.right
  const opened =
    postgres === undefined
      ? E.right(openMemoryReader(makeMemoryLedger(Date.now)))
      : E.mapLeft(({ reason }: { reason: string }) => reason)(await openPostgresReader(postgres)())
  if (E.isLeft(opened)) {
    await stop()
    return opened
  }
  const tables = await openTables(config, postgres)
  if (E.isLeft(tables)) {
    await opened.right.close()
    await stop()
    return tables
  }
  return E.right({
    reader: opened.right,
    tables: tables.right,
    close: async () => {
      await closeAll(tables.right)
      await opened.right.close()
      await stop()
    },
  })
}

/** Opens the ledger for a command that writes, also while servers run. The name is that of the command's own log. */
export const openWriter = async (
  config: Config,
  name: string,
): Promise<Either<string, { readonly store: EventStore; readonly close: () => Promise<void> }>> => {
  const database = await reach(config, 'share')
  if (E.isLeft(database)) return database
  const { postgres, stop } = database.right
  const store = await openStore(postgres, name)
  if (E.isLeft(store)) {
    await stop()
    return store
  }
  return E.right({
    store: store.right,
    close: async () => {
      await store.right.close()
      await stop()
    },
  })
}

const closeAll = async (tables: ReadonlyArray<LeaseTables>): Promise<void> => {
  for (const one of tables) await one.close()
}

const never = new Promise<string>(() => undefined)

/** Makes sure that the database of the configuration is there. */
const reach = async (config: Config, mode: 'own' | 'share'): Promise<Either<string, Database>> => {
  const { store } = config
  switch (store._tag) {
    case 'embedded': {
      const embedded = await openEmbedded({ dataFolder: config.ledger.dataFolder, mode })()
      if (E.isLeft(embedded)) return E.left(embedded.left.reason)
      const { options, url, failed, stop } = embedded.right
      return E.right({ postgres: options, connection: url, failed, stop })
    }
    case 'postgresql': {
      const options = postgresOptions(store)
      if (E.isLeft(options)) return options
      const connection = connectionText(store)
      return E.right({ postgres: options.right, connection, failed: never, stop: () => Promise.resolve() })
    }
    case 'memory':
      return E.right({ postgres: undefined, connection: undefined, failed: never, stop: () => Promise.resolve() })
    default:
      return E.left(`lease-database of type ${storeName(store)} is not supported yet; use postgresql or embedded`)
  }
}

const storeName = (store: StoreConfig): string => store._tag

const openStore = async (
  postgres: PostgresOptions | undefined,
  serverName: string,
): Promise<Either<string, EventStore>> => {
  if (postgres === undefined) return E.right(openMemory(makeMemoryLedger(Date.now), serverName))
  return E.mapLeft(({ reason }: { reason: string }) => reason)(await openPostgres(postgres, serverName)())
}

const openTables = async (
  config: Config,
  postgres: PostgresOptions | undefined,
): Promise<Either<string, ReadonlyArray<LeaseTables>>> => {
  const targets: PostgresOptions[] = postgres === undefined ? [] : [postgres]
  for (const { name, store } of config.ledger.projections) {
    if (store._tag !== 'postgresql') return E.left(`projection ${name}: tables in MySQL are not supported yet`)
    const options = postgresOptions(store)
    if (E.isLeft(options)) return options
    targets.push(options.right)
  }
  const opened: LeaseTables[] = []
  for (const target of targets) {
    const tables = await openMigrated(target)
    if (E.isLeft(tables)) {
      await closeAll(opened)
      return tables
    }
    opened.push(tables.right)
  }
  return E.right(opened)
}

const openMigrated = async (options: PostgresOptions): Promise<Either<string, LeaseTables>> => {
  const migrated = await migratePostgres(options, 'tables')()
  if (E.isLeft(migrated)) return E.left(migrated.left.reason)
  return E.mapLeft(({ reason }: { reason: string }) => reason)(await openPostgresTables(options)())
}

const postgresOptions = (store: ServerStore): Either<string, PostgresOptions> => {
  try {
    return E.right({
      hosts: store.hosts,
      database: store.name,
      user: store.user ?? 'lease_ledger',
      password: passwordOf(store.password),
      tls: tlsOf(store.tls),
      connectTimeoutMs: store.connectTimeoutMs,
      statementTimeoutMs: store.statementTimeoutMs,
    })
  } catch (error) {
    return E.left(error instanceof Error ? error.message : String(error))
  }
}

const connectionText = (store: ServerStore): string => {
  const [first] = store.hosts
  const user = store.user === undefined ? '' : `&user=${encodeURIComponent(store.user)}`
  return `postgresql:///${store.name}?host=${first?.host ?? ''}&port=${first?.port ?? 5432}${user}`
}

/** Throws one sentence when the password's file or variable is not there. */
const passwordOf = (source: PasswordSource): string | undefined => {
  switch (source._tag) {
    case 'None':
      return undefined
    case 'Literal':
      return source.password
    case 'File':
      return readFileSync(source.path, 'utf8').trimEnd()
    case 'Environment': {
      const password = process.env[source.variable]
      if (password === undefined) {
        throw new Error(`the environment variable ${source.variable}, which holds the password, is not set`)
      }
      return password
    }
  }
}

/** Throws when a file cannot be read. */
const tlsOf = (tls: TlsConfig): ConnectionOptions | undefined => {
  if (tls.mode === 'disable' || tls.mode === 'prefer') return undefined
  const read = (path: string | undefined): Buffer | undefined => (path === undefined ? undefined : readFileSync(path))
  const verify = tls.mode === 'verify-ca' || tls.mode === 'verify-full' || tls.ca !== undefined
  const options: ConnectionOptions = { rejectUnauthorized: verify }
  if (tls.ca !== undefined) options.ca = read(tls.ca)
  if (tls.cert !== undefined) options.cert = read(tls.cert)
  if (tls.key !== undefined) options.key = read(tls.key)
  if (tls.cipherList !== undefined) options.ciphers = tls.cipherList
  if (tls.mode !== 'verify-full' && verify) options.checkServerIdentity = () => undefined
  return options
}
