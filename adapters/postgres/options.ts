/** How a PostgreSQL is reached. */
import type { ConnectionOptions } from 'node:tls'

/** One place where the database may be. A host that begins with `/` is the folder of a Unix socket. */
export interface PostgresHost {
  readonly host: string
  readonly port: number
}

/** A PostgreSQL database and the account that uses it. */
export interface PostgresOptions {
  /** In order of preference; the first that accepts writes is used, and returned to when it is well again. */
  readonly hosts: ReadonlyArray<PostgresHost>
  readonly database: string
  readonly user: string
  readonly password?: string | undefined
  /**
   * Material for TLS as node:tls takes it (`ca`, `cert`, `key`, `rejectUnauthorized`). `prefer` is TLS where the server
   * offers it, whoever it is, and else a plain connection; none is a plain connection. No TLS on Unix sockets.
   */
  readonly tls?: ConnectionOptions | 'prefer' | undefined
  /** Until a connection stands, authenticated, to one host. Default 1,000. */
  readonly connectTimeoutMs?: number | undefined
  /** Until a statement is answered. Default 2,000. */
  readonly statementTimeoutMs?: number | undefined
  /** How long to stay with another host before the preferred one is tried again. Default 5,000. */
  readonly preferAgainMs?: number | undefined
  /** Server settings of each connection. */
  readonly settings?: Readonly<Record<string, string>> | undefined
}

export const CONNECT_TIMEOUT_MS = 1_000
export const STATEMENT_TIMEOUT_MS = 2_000
export const PREFER_AGAIN_MS = 5_000

/** `host:port`, or the folder of the socket, for messages. */
export const hostText = ({ host, port }: PostgresHost): string => (host.startsWith('/') ? host : `${host}:${port}`)

/** `host:port,host:port/database`, for messages. Without account and password. */
export const whereText = ({ hosts, database }: PostgresOptions): string =>
  `PostgreSQL ${hosts.map(hostText).join(',')}/${database}`
