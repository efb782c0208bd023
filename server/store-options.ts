/** What a configuration says of a database, in the words of the adapters: passwords and certificates are read here. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { connectionStringOf } from '../adapters/eventstore/options.ts'
import type { EventStoreOptions, EventStoreTls } from '../adapters/eventstore/options.ts'
import type { MysqlOptions, TableEngine } from '../adapters/mysql/options.ts'
import type { PostgresOptions } from '../adapters/postgres/options.ts'
import type { EventStoreStore, PasswordSource, ServerStore, TlsConfig } from './config/model.ts'

/** Options for PostgreSQL; `Left`, one sentence, when a file or variable that they name is not there. */
export const postgresOptions = (store: ServerStore): Either<string, PostgresOptions> => attempt(() => sqlOptions(store))

/** Options for MySQL and MariaDB; `Left` as for PostgreSQL. */
export const mysqlOptions = (store: ServerStore, tableEngine: TableEngine): Either<string, MysqlOptions> =>
  attempt(() => ({ ...sqlOptions(store), tableEngine }))

/** Options for EventStoreDB; `Left` as for PostgreSQL. */
export const eventStoreOptions = (store: EventStoreStore): Either<string, EventStoreOptions> =>
  attempt(() => ({
    connectionString: store.connectionString ?? connectionStringOf(store.hosts, eventStoreTls(store.tls)),
    user: store.user,
    password: passwordOf(store.password),
    connectTimeoutMs: store.connectTimeoutMs,
    callTimeoutMs: store.statementTimeoutMs,
  }))

/** A connection string for `psql`, without password. */
export const postgresText = (store: ServerStore): string => {
  const [first] = store.hosts
  const user = store.user === undefined ? '' : `&user=${encodeURIComponent(store.user)}`
  return `postgresql:///${store.name}?host=${first?.host ?? ''}&port=${first?.port ?? 5432}${user}`
}

const attempt = <A>(read: () => A): Either<string, A> =>
  E.tryCatch(read, (error) => (error instanceof Error ? error.message : String(error)))

const sqlOptions = (store: ServerStore): PostgresOptions => ({
  hosts: store.hosts,
  database: store.name,
  user: store.user ?? 'lease_ledger',
  password: passwordOf(store.password),
  tls: tlsOf(store.tls),
  connectTimeoutMs: store.connectTimeoutMs,
  statementTimeoutMs: store.statementTimeoutMs,
  preferAgainMs: store.preferAgainMs,
})

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

const isVerified = ({ mode, ca }: TlsConfig): boolean =>
  mode === 'verify-ca' || mode === 'verify-full' || ca !== undefined

/** Throws when a file cannot be read. */
const tlsOf = (tls: TlsConfig): PostgresOptions['tls'] => {
  if (tls.mode === 'disable') return undefined
  if (tls.mode === 'prefer') return 'prefer'
  const options: ConnectionOptions = { rejectUnauthorized: isVerified(tls) }
  if (tls.ca !== undefined) options.ca = readFileSync(tls.ca)
  if (tls.cert !== undefined) options.cert = readFileSync(tls.cert)
  if (tls.key !== undefined) options.key = readFileSync(tls.key)
  if (tls.cipherList !== undefined) options.ciphers = tls.cipherList
  // The certificate is checked, but whose name it has is not: what verify-ca means in libpq.
  if (tls.mode !== 'verify-full' && isVerified(tls)) options.checkServerIdentity = () => undefined
  return options
}

const eventStoreTls = (tls: TlsConfig): EventStoreTls | undefined =>
  tls.mode === 'disable' ? undefined : { caFile: tls.ca, certFile: tls.cert, keyFile: tls.key, verify: isVerified(tls) }
