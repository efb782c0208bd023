/** How an EventStoreDB or KurrentDB is reached. */

/** An EventStoreDB or KurrentDB, one node or a cluster, and the ledger in it. */
export interface EventStoreOptions {
  /**
   * `kurrentdb://user:password@host:2113,host:2113?tls=true`, as the database's own clients take it; `esdb://` means
   * the same. TLS is on unless `tls=false`; `tlsCAFile`, `userCertFile` and `userKeyFile` name files. Several hosts
   * are the seeds of one cluster. Without TLS the client sends no credentials.
   */
  readonly connectionString: string
  /** Account, where the connection string names none. */
  readonly user?: string | undefined
  readonly password?: string | undefined
  /** Put before the names of all streams, so that several ledgers can share a database. Default none. */
  readonly prefix?: string | undefined
  /** Added to the limit of a call that may have to connect first. Default 1,000. */
  readonly connectTimeoutMs?: number | undefined
  /** Until a call is answered. Default 2,000. */
  readonly callTimeoutMs?: number | undefined
}

/** How the nodes are to be trusted. Files are PEM. */
export interface EventStoreTls {
  /** Whom to trust; default, what the runtime trusts. */
  readonly caFile?: string | undefined
  /** The certificate of an account, with its key; both or none. */
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  /** Whether a node's certificate is checked at all. Default true. */
  readonly verify?: boolean | undefined
}

/** The connection string of nodes that are given one by one. Without `tls` the connection is plain. */
export const connectionStringOf = (
  hosts: ReadonlyArray<{ readonly host: string; readonly port: number }>,
  tls: EventStoreTls | undefined,
): string => {
  const nodes = hosts.map(({ host, port }) => `${host}:${port}`).join(',')
  const settings = [`tls=${tls !== undefined}`]
  if (tls?.caFile !== undefined) settings.push(`tlsCAFile=${encodeURIComponent(tls.caFile)}`)
  if (tls?.certFile !== undefined) settings.push(`userCertFile=${encodeURIComponent(tls.certFile)}`)
  if (tls?.keyFile !== undefined) settings.push(`userKeyFile=${encodeURIComponent(tls.keyFile)}`)
  if (tls?.verify === false) settings.push('tlsVerifyCert=false')
  return `kurrentdb://${nodes}?${settings.join('&')}`
}

export const CONNECT_TIMEOUT_MS = 1_000
export const CALL_TIMEOUT_MS = 2_000

const SHAPE =
  /^(?<scheme>[a-z]+)(?<discover>\+discover)?:\/\/(?:(?<account>[^@/?]*)@)?(?<hosts>[^/?]+)\/?(?:\?(?<query>.*))?$/
const SCHEMES = ['kurrentdb', 'kurrent', 'kdb', 'esdb']

interface Parts {
  readonly discover: string
  readonly account: string | undefined
  readonly hosts: string
  readonly query: string
}

const partsOf = (connectionString: string): Parts | undefined => {
  const found = SHAPE.exec(connectionString.trim())?.groups
  if (found === undefined || !SCHEMES.includes(found['scheme'] ?? '')) return undefined
  return {
    discover: found['discover'] ?? '',
    account: found['account'],
    hosts: found['hosts'] ?? '',
    query: found['query'] ?? '',
  }
}

/**
 * Until a ping must be answered. Unlike the client's 10 s, since a connection whose other end is gone holds up
 * nobody for longer than a call anyway.
 */
const KEEP_ALIVE_TIMEOUT_MS = 5_000
let clients = 0

/**
 * The connection string for one client; undefined when the options hold none. The old scheme, for which the client
 * prints a warning, becomes the new one. A lost race is always to be an error: with `throwOnAppendFailure=false` the
 * client says of a lost race only that it was lost, not where the stream is.
 *
 * Each string differs from all others in the timeout of its pings, by some ms. gRPC gives channels with equal options
 * one connection, so that a client that is made because the connection of another is dead would get the dead one.
 */
export const clientString = (options: EventStoreOptions): string | undefined => {
  const parts = partsOf(options.connectionString)
  if (parts === undefined) return undefined
  const { user, password } = options
  const own = user === undefined ? undefined : `${encodeURIComponent(user)}:${encodeURIComponent(password ?? '')}`
  const account = parts.account ?? own
  const settings = parts.query.split('&').filter((setting) => setting !== '' && !OURS.test(setting))
  const keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS + (clients++ % 1_000)
  const query = [...settings, 'throwOnAppendFailure=true', `keepAliveTimeout=${keepAliveTimeout}`].join('&')
  return `kurrentdb${parts.discover}://${account === undefined ? '' : `${account}@`}${parts.hosts}?${query}`
}

/** Settings that we make ourselves. */
const OURS = /^(throwOnAppendFailure|keepAliveTimeout)=/i

/** `EventStoreDB host:port,host:port`, for messages. Without account and password. */
export const whereText = (options: EventStoreOptions): string =>
  `EventStoreDB ${partsOf(options.connectionString)?.hosts ?? '(no valid connection string)'}`
