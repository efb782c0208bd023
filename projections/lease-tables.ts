/**
 * The port to the lease tables of a database: what the projector writes and a server starts from.
 *
 * The rows and the checkpoint move in one transaction and only forward from the position that the writer names, so any
 * number of writers may try, and a batch that comes twice changes nothing.
 */
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { Checkpoint, LogName, ReadError, Seq } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import type { Identifier, SpanRow } from './history.ts'
import type { KeaLeaseType, LeaseRow, LeaseTable } from './lease-row.ts'

/** What became of a batch. */
export type Applied =
  | { readonly _tag: 'Applied' }
  /** The checkpoint of the log does not stand where the writer thought; nothing was changed. */
  | { readonly _tag: 'Elsewhere'; readonly checkpointAt: Seq }

/** How many leases of a pool stand in a state, as Kea's `lease4_pool_stat` and `lease6_pool_stat` count: 0 and 1. */
export interface Statistic {
  readonly table: LeaseTable
  readonly subnetId: number
  readonly poolId: number
  /** 0 in `lease4`, which has no such column. */
  readonly leaseType: KeaLeaseType
  readonly state: 0 | 1
  readonly leases: number
}

/** What can be asked of the spans of a database. They are as far as its checkpoint. */
export interface HistoryTable {
  /** The spans of a client that overlap a time, both ends inclusive, by their start. */
  readonly ofClient: (
    identifier: Identifier,
    from: Instant,
    to: Instant,
  ) => TaskEither<ReadError, ReadonlyArray<SpanRow>>
  /** The spans of what lies in a prefix or is covered by it; text such as `198.51.100.0/24` or an address. */
  readonly within: (prefix: string) => TaskEither<ReadError, ReadonlyArray<SpanRow>>
  /** Every span, in any order. `onSpan` is called synchronously and must not throw. */
  readonly all: (onSpan: (row: SpanRow) => void) => TaskEither<ReadError, void>
}

/** What a snapshot says beside its rows. */
export interface SnapshotEnd {
  /** The rows show every event up to here and none after. */
  readonly checkpoint: Checkpoint
  /** The pool statistics that are not zero, in any order. */
  readonly statistics: ReadonlyArray<Statistic>
}

/** The lease tables of one database. */
export interface LeaseTables {
  /** Where they are, for messages; without account and password. */
  readonly where: string
  /**
   * Moves the checkpoint of `projection` for `log` from `from` to `to` and writes the rows, all or nothing. A row takes
   * the place of one with a lower revision only. No two rows name one stream. Spans are merged with those of the same
   * name (`mergeSpans`); no two have one name. One call at a time.
   */
  readonly apply: (
    projection: string,
    log: LogName,
    from: Seq,
    to: Seq,
    rows: ReadonlyArray<LeaseRow>,
    spans?: ReadonlyArray<SpanRow>,
  ) => TaskEither<ReadError, Applied>
  /** How far the tables are. */
  readonly checkpoint: (projection: string) => TaskEither<ReadError, Checkpoint>
  /**
   * Every row, as they stood at one moment, in any order; and, with `onSpan`, every span of that moment where spans are
   * kept, those of one address one after the other. Both are called synchronously and must not throw.
   */
  readonly snapshot: (
    projection: string,
    onRow: (row: LeaseRow) => void,
    onSpan?: (span: SpanRow) => void,
  ) => TaskEither<ReadError, SnapshotEnd>
  /** The spans that these tables keep; undefined where they keep none, and the ledger itself must be read through. */
  readonly history?: HistoryTable | undefined
  /**
   * Empty tables beside the live ones, to be filled through the same `apply` and then put in their place. With `resume`
   * those that an interrupted rebuild left, if there are any. `StoreUnusable` while another rebuild holds them.
   */
  readonly shadow: (resume: boolean) => TaskEither<ReadError, ShadowTables>
  /**
   * Empty tables under a name of their own, `as_of_…`, for the past. `of` says in a few words of which past: with
   * `resume` those of the same past that an interrupted filling left under that name are given, if there are any; what
   * else stands there is dropped. Undefined where there is no such thing.
   */
  readonly past?: ((name: string, of: string, resume: boolean) => TaskEither<ReadError, PastTables>) | undefined
  readonly close: () => Promise<void>
}

/** What {@link LeaseTables.apply} is given, as one. */
export interface Batch {
  readonly projection: string
  readonly log: LogName
  readonly from: Seq
  readonly to: Seq
  readonly rows: ReadonlyArray<LeaseRow>
  readonly spans: ReadonlyArray<SpanRow>
}

/** Tables of a past moment. `finish`, when they are filled, makes them ready for questions as of `now`. */
export interface PastTables extends Omit<LeaseTables, 'shadow' | 'past'> {
  /** The views to ask when they are finished, as SQL writes their names. */
  readonly views: { readonly leases: string; readonly history: string }
  readonly finish: (now: Instant) => TaskEither<ReadError, void>
}

/** Tables that are being rebuilt. `close` leaves them for a rebuild that resumes. */
export interface ShadowTables extends Omit<LeaseTables, 'shadow' | 'past'> {
  /** Puts them in the place of the live tables, in one transaction. Readers see the old ones or the new ones. */
  readonly swap: () => TaskEither<ReadError, void>
}

/**
 * One sentence when tables at `checkpoint` show more than a ledger with these `heads` holds, as after the ledger was
 * restored from a backup older than they are: then they are no snapshot of it, and must be rebuilt. Ask the tables
 * first and the ledger then, or a server that appends in between looks like it.
 */
export const aheadOfLedger = (where: string, checkpoint: Checkpoint, heads: Checkpoint): string | undefined => {
  for (const [log, at] of Object.entries(checkpoint)) {
    const head = heads[log] ?? 0
    if (at > head) {
      return (
        `${where}: the lease tables show the log of ${log} up to ${at}, and the ledger has it up to ${head}: ` +
        'the ledger is older than the tables; run `ledger replay`'
      )
    }
  }
  return undefined
}

/** The projection that keeps the lease tables, as its checkpoints are named. */
export const LEASES = 'leases'
