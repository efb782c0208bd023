/** The databases of a configuration: `lease-database` and the targets of `LeaseLedger.projections`. */
import type * as t from 'io-ts'
import { isIP } from 'node:net'
import type { Host, PasswordSource, ServerStore, StoreConfig, TlsConfig } from './model.ts'
import type { Report } from './report.ts'
import type { Fields, Placed } from './shape.ts'
import type { storeFields } from './store-shapes.ts'

/** A database as written. */
export type StoreText = Placed & { readonly type: t.TypeOf<typeof storeFields.required.type> } & Fields<
    typeof storeFields.optional
  >

const DEFAULT_PORT = { postgresql: 5432, mysql: 3306, eventstore: 2113 } as const
const CONNECT_TIMEOUT_MS = 1000
const STATEMENT_TIMEOUT_MS = 2000
const PREFER_AGAIN_MS = 5000
/** Kea's default is none, which would ask without a pause. */
const RECONNECT_WAIT_MS = 1000
const DEFAULT_DATABASE = 'kea'

/** Keys that mean nothing to a store of one's own. */
const REMOTE_ONLY = ['host', 'user', 'password', 'password-file', 'password-env', 'connection-string'] as const

/** Resolves a database; undefined when something is wrong with it, which is reported. */
export const resolveStore = (written: StoreText, report: Report): StoreConfig | undefined => {
  switch (written.type) {
    case 'memory':
      return { _tag: 'memory' }
    case 'memfile':
    case 'embedded':
      return resolveEmbedded(written, report)
    case 'postgresql':
      return remote(written, 'postgresql', report, (base) => ({ _tag: 'postgresql', ...base }))
    case 'mysql':
      return remote(written, 'mysql', report, (base) => ({
        _tag: 'mysql',
        ...base,
        tableEngine: written['table-engine'] ?? 'InnoDB',
      }))
    case 'eventstore':
      return remote(written, 'eventstore', report, (base) => ({
        _tag: 'eventstore',
        ...base,
        connectionString: written['connection-string'],
      }))
  }
}

const resolveEmbedded = (written: StoreText, report: Report): StoreConfig => {
  if (written.type === 'memfile') {
    const folder = 'LeaseLedger.data-folder'
    report.warn(
      `lease-database memfile means the embedded database here: leases are kept in ${folder}, not in a lease file`,
    )
  }
  for (const key of REMOTE_ONLY) {
    if (!written[key]) continue
    // Those who change an old file over to memfile leave the account of the database in it, which Kea passes over.
    if (written.type === 'memfile') report.ignore(key, 'lease-database is of the type memfile')
    else report.error([...written.at, key], `${key} is not for the type ${written.type}`, 'key')
  }
  return { _tag: 'embedded', port: written.port ?? 0 }
}

type Remote = 'postgresql' | 'mysql' | 'eventstore'

const remote = (
  written: StoreText,
  type: Remote,
  report: Report,
  make: (base: ServerStore) => StoreConfig,
): StoreConfig | undefined => {
  if (type !== 'mysql' && written['table-engine'] !== undefined) {
    report.error([...written.at, 'table-engine'], 'table-engine is for the type mysql only', 'key')
  }
  if (type !== 'eventstore' && written['connection-string'] !== undefined) {
    report.error([...written.at, 'connection-string'], 'connection-string is for the type eventstore only', 'key')
  }
  if (type === 'eventstore' && written['prefer-again-time'] !== undefined) {
    const message = 'prefer-again-time is not for the type eventstore, whose cluster itself chooses its leader'
    report.error([...written.at, 'prefer-again-time'], message, 'key')
  }
  warnOfReconnection(written, report)
  const hosts = hostsOf(written, type, report)
  const password = passwordOf(written, report)
  if (hosts === undefined || password === undefined) return undefined
  return make({
    hosts,
    password,
    name: written.name ?? DEFAULT_DATABASE,
    user: written.user || undefined,
    tls: tlsOf(written, type, report),
    connectTimeoutMs: written['connect-timeout'] ?? CONNECT_TIMEOUT_MS,
    statementTimeoutMs: written['statement-timeout'] ?? STATEMENT_TIMEOUT_MS,
    preferAgainMs: written['prefer-again-time'] ?? PREFER_AGAIN_MS,
    reconnect: {
      triesMax: written['max-reconnect-tries'],
      waitMs: written['reconnect-wait-time'] || RECONNECT_WAIT_MS,
      onFail: written['on-fail'] ?? 'stop-retry-exit',
      retryOnStartup: written['retry-on-startup'] ?? false,
    },
  })
}

/** Once it runs, a server whose database is away serves what it can and tries for ever. */
const warnOfReconnection = (written: StoreText, report: Report): void => {
  const onFail = written['on-fail']
  if (onFail !== undefined && onFail !== 'serve-retry-continue') {
    report.ignore('on-fail', 'a server whose database is away answers what it knows and tries for ever')
  }
  const tries = written['max-reconnect-tries']
  if (tries !== undefined && written['retry-on-startup'] !== true) {
    report.ignore('max-reconnect-tries', 'only with retry-on-startup, at the start, are the tries counted')
  }
}

const hostsOf = (written: StoreText, type: Remote, report: Report): readonly Host[] | undefined => {
  const at = [...written.at, written['connection-string'] === undefined ? 'host' : 'connection-string']
  const text = written['connection-string'] === undefined ? written.host || 'localhost' : listOfUrl(written)
  const port = written.port ?? DEFAULT_PORT[type]
  const hosts = (text ?? '').split(',').map((each) => hostOf(each.trim(), port))
  const good = hosts.filter((host) => host !== undefined)
  if (good.length === hosts.length) return good
  const expected =
    written['connection-string'] === undefined
      ? 'expected host names or addresses separated by commas, each with :port if need be, an IPv6 address in [ ]'
      : 'expected esdb:// or kurrentdb:// with hosts separated by commas'
  report.error(at, expected)
  return undefined
}

const listOfUrl = (written: StoreText): string | undefined =>
  /^(?:esdb|kurrentdb)(?:\+discover)?:\/\/(?:[^@/]*@)?([^/?]+)/.exec(written['connection-string'] ?? '')?.[1]

/** `name`, `name:port`, `[v6]:port`, a bare IPv6 address, or the folder of a Unix socket. */
const hostOf = (entry: string, port: number): Host | undefined => {
  if (entry.startsWith('/')) return { host: entry, port }
  if (isIP(entry) === 6) return { host: entry, port }
  const match = /^(?:\[([^\]]+)\]|([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?))(?::(\d{1,5}))?$/.exec(entry)
  const host = match?.[1] ?? match?.[2]
  const own = match?.[3] === undefined ? port : Number(match[3])
  if (host === undefined || own < 1 || own > 65535) return undefined
  return match?.[1] !== undefined && isIP(host) !== 6 ? undefined : { host, port: own }
}

const passwordOf = (written: StoreText, report: Report): PasswordSource | undefined => {
  const sources: PasswordSource[] = []
  if (written.password) sources.push({ _tag: 'Literal', password: written.password })
  if (written['password-file'] !== undefined) sources.push({ _tag: 'File', path: written['password-file'] })
  if (written['password-env'] !== undefined) sources.push({ _tag: 'Environment', variable: written['password-env'] })
  if (sources.length <= 1) return sources[0] ?? { _tag: 'None' }
  report.error(written.at, 'expected only one of password, password-file and password-env')
  return undefined
}

/** Material for TLS, of which `prefer` uses nothing: it takes whom it meets. */
const TLS_MATERIAL = ['trust-anchor', 'cert-file', 'key-file', 'cipher-list'] as const

const tlsOf = (written: StoreText, type: Remote, report: Report): TlsConfig => {
  const ca = written['trust-anchor']
  const cert = written['cert-file']
  const key = written['key-file']
  if ((cert === undefined) !== (key === undefined)) {
    const given = cert === undefined ? 'key-file' : 'cert-file'
    report.error([...written.at, given], 'expected cert-file and key-file together', 'key')
  }
  const material = TLS_MATERIAL.find((name) => written[name] !== undefined)
  if (written['ssl-mode'] === 'prefer') {
    const expected = 'expected require, verify-ca or verify-full, or disable'
    const at = [...written.at, 'ssl-mode']
    if (type === 'eventstore') report.error(at, `${expected}: an EventStoreDB does not offer both TLS and none`)
    else if (material !== undefined) report.error(at, `${expected}: with prefer, ${material} would not be used`)
  }
  const otherwise = type === 'eventstore' ? 'disable' : 'prefer'
  const implied = ca !== undefined ? 'verify-ca' : material !== undefined ? 'require' : otherwise
  return { mode: written['ssl-mode'] ?? implied, ca, cert, key, cipherList: written['cipher-list'] }
}
