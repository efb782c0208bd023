/**
 * The streams of a ledger in EventStoreDB. Beside the streams of the leases, named as in domain/stream.ts:
 *
 *     log/<server>        links to the lease events that the server appended, in the order of its log
 *     server/<server>     each start and stop of the server; its last event says who has the name
 *     heartbeat/<server>  the last sign of life ($maxCount 1)
 *     servers             the names of all servers, each entered at its first start
 *     property/<key>      what `remember` keeps
 *     clock               written to be told the time ($maxCount 1)
 *
 * Stored format: these names are data on disk and never change.
 */
import type { LogName } from '../../domain/event-store.ts'
import type { StreamName } from '../../domain/stream.ts'

/** The names of a ledger's streams, with its prefix. */
export interface Names {
  readonly lease: (stream: StreamName) => string
  /** The lease stream of a name; takes the prefix away. */
  readonly leaseOf: (name: string) => StreamName
  readonly log: (log: LogName) => string
  readonly server: (log: LogName) => string
  readonly heartbeat: (log: LogName) => string
  readonly servers: string
  readonly property: (key: string) => string
  readonly clock: string
  /** What the names of all lease streams begin with. */
  readonly leasePrefixes: string[]
  /** What the names of all logs begin with. */
  readonly logPrefixes: string[]
}

/** The names of the ledger that is told apart by `prefix`. */
export const makeNames = (prefix = ''): Names => ({
  lease: (stream) => prefix + stream,
  leaseOf: (name) => name.slice(prefix.length) as StreamName,
  log: (log) => `${prefix}log/${log}`,
  server: (log) => `${prefix}server/${log}`,
  heartbeat: (log) => `${prefix}heartbeat/${log}`,
  servers: `${prefix}servers`,
  property: (key) => `${prefix}property/${key}`,
  clock: `${prefix}clock`,
  leasePrefixes: ['lease4/', 'lease6/', 'prefix6/'].map((category) => prefix + category),
  logPrefixes: [`${prefix}log/`],
})
