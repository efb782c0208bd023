/**
 * One connection to the database of the lease tables, made when it is needed and made anew after it was lost. A
 * statement that the driver sends twice does no harm here: the checkpoint lets a batch pass once.
 */
import { isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import type { ConnectionOptions, PeerCertificate } from 'node:tls'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import postgres from 'postgres'
import type { ReadError } from '../../domain/event-store.ts'

/** A PostgreSQL database that holds, or is to hold, lease tables. */
export interface PostgresTablesOptions {
  /** In order of preference; the first that accepts writes is used. `/…` is the folder of a socket and stands alone. */
  readonly hosts: ReadonlyArray<{ readonly host: string; readonly port: number }>
  readonly database: string
  readonly user: string
  readonly password?: string | undefined
  /** As node:tls takes it; `prefer` is TLS where the server offers it, whoever it is; none is a plain connection. */
  readonly tls?: ConnectionOptions | 'prefer' | undefined
  /** The schema of the tables. Default `public`. */
  readonly schema?: string | undefined
  /** Until a connection stands. Default 1,000. */
  readonly connectTimeoutMs?: number | undefined
  /** Until a batch is answered. Default 5,000: nothing waits for it. */
  readonly statementTimeoutMs?: number | undefined
}

const CONNECT_TIMEOUT_MS = 1_000
const STATEMENT_TIMEOUT_MS = 5_000

/** A connection and its deadline. */
export interface Connection {
  /**
   * Runs `act` and gives what it gave, or why the database did not do it. One that is late loses the connection; with
   * `progress`, a number that changes while all is well, late is only who stands still.
   */
  readonly run: <A>(
    act: (sql: postgres.Sql) => PromiseLike<A>,
    progress?: () => number,
  ) => Promise<Either<ReadError, A>>
  readonly close: () => Promise<void>
}

/** `PostgreSQL host:port,host:port/database`, for messages. */
export const whereText = ({ hosts, database }: PostgresTablesOptions): string =>
  `PostgreSQL ${hosts.map(({ host, port }) => (host.startsWith('/') ? host : `${host}:${port}`)).join(',')}/${database}`

/** A connection to the first host that accepts writes. Nothing is opened before the first statement. */
export const makeConnection = (options: PostgresTablesOptions): Connection => {
  let { tls } = options
  let sql = connect(options)
  let closed = false
  const where = whereText(options)
  // The server ends a statement at its own limit; this is for a server that does not answer at all.
  const silenceMs =
    (options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS) +
    (options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS) * options.hosts.length
  const drop = (): void => {
    const dropped = sql
    if (!closed) sql = connect({ ...options, tls })
    void dropped.end({ timeout: 0 }).catch(() => undefined)
  }
  const attempt = async <A>(act: (sql: postgres.Sql) => PromiseLike<A>, progress: () => number): Promise<A> => {
    let late: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_, reject) => {
      const watch = (before: number): void => {
        late = setTimeout(() => {
          const now = progress()
          if (now !== before) return watch(now)
          reject(new Error(`no answer within ${silenceMs} ms`))
          drop()
        }, silenceMs)
      }
      watch(progress())
    })
    try {
      return await Promise.race([act(sql), deadline])
    } finally {
      clearTimeout(late)
    }
  }

  return {
    run: async (act, progress = () => 0) => {
      for (let again = options.tls === 'prefer'; ; again = false) {
        if (closed) return E.left({ _tag: 'StoreUnavailable', reason: `${where}: the connection was closed` })
        try {
          return E.right(await attempt(act, progress))
        } catch (error) {
          if (!again || (error as { readonly code?: string }).code !== NOT_ADMITTED) {
            return E.left(toReadError(where, error))
          }
          // The host may want this account without TLS, or with it again (pg_hba.conf: hostnossl, hostssl).
          tls = tls === 'prefer' ? undefined : 'prefer'
          drop()
        }
      }
    },
    close: async () => {
      closed = true
      await sql.end({ timeout: 1 }).catch(() => undefined)
    },
  }
}

const connect = (options: PostgresTablesOptions): postgres.Sql => {
  const { hosts, database, user, password, tls } = options
  const sockets = hosts.some(({ host }) => host.startsWith('/'))
  const driverOptions = {
    ...(sockets && hosts[0] !== undefined
      ? { path: `${hosts[0].host}/.s.PGSQL.${hosts[0].port}` }
      : { host: hosts.map(({ host }) => host), port: hosts.map(({ port }) => port) }),
    database,
    user,
    password: password ?? '',
    ssl: sockets ? false : sslOf(tls, hosts),
    target_session_attrs: 'read-write',
    max: 1,
    idle_timeout: 0,
    max_lifetime: null,
    fetch_types: false,
    backoff: () => 0,
    connect_timeout: (options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS) / 1000,
    onnotice: () => undefined,
    connection: {
      application_name: 'lease-ledger tables',
      statement_timeout: options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS,
      // Rows and checkpoint are lost together, and the ledger has what was lost: no need to wait for the disk.
      synchronous_commit: 'off',
      TimeZone: 'UTC',
    },
  }
  return postgres(driverOptions as unknown as postgres.Options<{}>)
}

/**
 * The driver knows names of hosts and no addresses when it comes to the name in a certificate, and node:tls would take
 * `localhost` for one. A host that is given by its address must be one of those that were given so.
 */
const sslOf = (tls: PostgresTablesOptions['tls'], hosts: PostgresTablesOptions['hosts']) => {
  if (tls === undefined || tls === 'prefer') return tls ?? false
  const checkName = (name: string, certificate: PeerCertificate): Error | undefined => {
    const isNamed = hosts.some(({ host }) => host === name)
    const names = isNamed ? [name] : hosts.map(({ host }) => host).filter((host) => isIP(host) !== 0)
    const errors = names.map((each) => checkServerIdentity(each, certificate))
    return errors.includes(undefined) ? undefined : (errors[0] ?? checkServerIdentity(name, certificate))
  }
  return { checkServerIdentity: checkName, ...tls }
}

/** SQLSTATE invalid_authorization_specification: no entry of pg_hba.conf fits; whether it is TLS is a part of it. */
const NOT_ADMITTED = '28000'

/** SQLSTATE classes after which the same statement may succeed later: connection, transaction, resources, operator. */
const PASSING_CLASSES = ['08', '25', '40', '53', '55', '57', '58']

/** Nothing that the driver throws is passed on but its text: its errors carry parameters with them. */
const toReadError = (where: string, error: unknown): ReadError => {
  const { message, code, severity } = error as { message?: string; code?: string; severity?: string }
  const reason = `${where}: ${message ?? String(error)}`
  const refused = severity !== undefined && code !== undefined && !PASSING_CLASSES.includes(code.slice(0, 2))
  return refused
    ? { _tag: 'StoreUnusable', reason: `${reason} (SQLSTATE ${code})` }
    : { _tag: 'StoreUnavailable', reason }
}
