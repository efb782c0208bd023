/** How an EventStoreDB or KurrentDB is reached. */

/** An EventStoreDB or KurrentDB, one node or a cluster, and the ledger in it. */
export interface EventStoreOptions {
  /**
   * `kurrentdb://user:password@host:2113,host:2113?tls=true`, as the database's own clients take it; `esdb://` means the
   * same. TLS is on unless `tls=false`; `tlsCAFile`, `userCertFile` and `userKeyFile` name files. Several hosts are the
   * seeds of one cluster. Without TLS the client sends no credentials.
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
 * The connection string as the client is given it; undefined when it is none. The old scheme, for which the client
 * prints a warning, becomes the new one, and a lost race is always to be an error: with `throwOnAppendFailure=false`
 * the client says of a lost race only that it was lost, not where the stream is.
 */
export const clientString = (options: EventStoreOptions): string | undefined => {
  const parts = partsOf(options.connectionString)
  if (parts === undefined) return undefined
  const { user, password } = options
  const own = user === undefined ? undefined : `${encodeURIComponent(user)}:${encodeURIComponent(password ?? '')}`
  const account = parts.account ?? own
  const settings = parts.query
    .split('&')
    .filter((setting) => setting !== '' && !/^throwOnAppendFailure=/i.test(setting))
  const query = [...settings, 'throwOnAppendFailure=true'].join('&')
  return `kurrentdb${parts.discover}://${account === undefined ? '' : `${account}@`}${parts.hosts}?${query}`
}

/** `EventStoreDB host:port,host:port`, for messages. Without account and password. */
export const whereText = (options: EventStoreOptions): string =>
  `EventStoreDB ${partsOf(options.connectionString)?.hosts ?? '(no valid connection string)'}`
