/**
 * The port to every event store.
 *
 * The ledger is a set of logs. Each server process appends to a log of its own, gapless and one commit at a time, so
 * a reader that follows a log by position never misses an event: that, and neither a global lock nor a
 * watermark over running transactions, is what protects readers here. A store that keeps one total order of its own
 * shows it as one log. The order that matters, the order inside a stream, is the revision.
 *
 * The arbiter of every race is the store's unique key over (stream, revision).
 */
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { Instant } from './instant.ts'
import type { LeaseEvent } from './lease.ts'
import type { StreamName } from './stream.ts'

/**
 * Place of an event in its stream; the first has 0. A safe integer: a stream with one event each microsecond would
 * need 285 years to leave it, and adapters fail loudly rather than round beyond it.
 */
export type Revision = number

/** The revision expected of a stream that has no event yet. */
export const NO_STREAM: Revision = -1

/** Name of a log. For SQL stores the name of the server that writes it. */
export type LogName = string

/** Place of an event in its log; the first has 1. 0 is before the first. A safe integer. */
export type Seq = number

/** What a consumer has finished: for each log, the last position. A log that is missing stands at 0. */
export type Checkpoint = Readonly<Record<LogName, Seq>>

/** Before every event. */
export const START: Checkpoint = {}

/** An event that somebody wants to be appended after revision `expected` of its stream. */
export interface Proposal {
  readonly stream: StreamName
  /** Revision of the stream's last event as the proposer knows it; {@link NO_STREAM} when there is none. */
  readonly expected: Revision
  readonly event: LeaseEvent
  readonly recordedAt: Instant
}

/** What became of a proposal. A conflict is an answer, not an error. */
export type Outcome =
  | { readonly _tag: 'Appended'; readonly revision: Revision; readonly seq: Seq }
  /** Another event stands at the proposed revision. `actual` is the last revision of the stream. */
  | { readonly _tag: 'WrongExpectedRevision'; readonly actual: Revision }

/** An event as the store keeps it, without what chains it: as those read it who follow the ledger. `data` is JSON text. */
export interface Unsealed {
  readonly log: LogName
  readonly seq: Seq
  readonly stream: StreamName
  readonly revision: Revision
  readonly type: string
  readonly schemaVersion: number
  readonly recordedAt: Instant
  readonly data: string
}

/** An event as the store keeps it. `hash` are the 32 octets of the chain (see adapters/chain.ts). */
export interface Stored extends Unsealed {
  readonly hash: Uint8Array
}

/** An event of the ledger, decoded. */
export interface Recorded {
  readonly log: LogName
  readonly seq: Seq
  readonly stream: StreamName
  readonly revision: Revision
  readonly recordedAt: Instant
  readonly event: LeaseEvent
}

/** A page of a log or of the ledger, and the checkpoint after it. */
export interface Page {
  readonly events: ReadonlyArray<Unsealed>
  readonly next: Checkpoint
}

/** The store cannot answer now. `reason` is one sentence that names the host. */
export interface StoreUnavailable {
  readonly _tag: 'StoreUnavailable'
  readonly reason: string
}

/** The commit was on its way when the connection was lost or the time ran out: nobody knows yet. Call `settle`. */
export interface OutcomeUnknown {
  readonly _tag: 'OutcomeUnknown'
  readonly reason: string
}

/** Another process writes the log of this server. The only right thing is to stop. */
export interface LogTaken {
  readonly _tag: 'LogTaken'
  readonly reason: string
}

/** The store answers, and what it says cannot be worked with: wrong version, missing privileges, damaged events. */
export interface StoreUnusable {
  readonly _tag: 'StoreUnusable'
  readonly reason: string
}

/** Why a reader got nothing. */
export type ReadError = StoreUnavailable | StoreUnusable

/** Why an append gave no outcomes. After `StoreUnavailable` nothing was and nothing will be written. */
export type AppendError = StoreUnavailable | OutcomeUnknown | LogTaken | StoreUnusable

/** A server that writes or wrote to this ledger, as the store knows it. */
export interface ServerSeen {
  readonly log: LogName
  /** Since its last heartbeat, by the clock of the store. ms. */
  readonly silentMs: number
  readonly startedAt: Instant
  /** It said goodbye. */
  readonly stopped: boolean
  /** Last position of its log, as far as the registry knows; read `heads` for the truth. */
  readonly info: string
}

/** Reading side of a ledger. Safe for any number of processes. */
export interface EventReader {
  /** Events of one stream from revision `from` on, in order, at most `countMax`. */
  readonly readStream: (
    stream: StreamName,
    from: Revision,
    countMax: number,
  ) => TaskEither<ReadError, ReadonlyArray<Stored>>
  /**
   * The last event of each of the streams that has one, in any order. Reads what is committed now: never from a
   * replica that may lag.
   */
  readonly readLatest: (streams: ReadonlyArray<StreamName>) => TaskEither<ReadError, ReadonlyArray<Stored>>
  /**
   * Up to about `countMax` events after the checkpoint, log by log, each log in order, and the checkpoint after them.
   * An empty page means that everything committed before the call has been read; with `seen`, that it has as far as the
   * host at hand has seen it, and as far as `onAppended` has told where somebody listens, which costs a cluster less.
   */
  readonly readAfter: (
    checkpoint: Checkpoint,
    countMax: number,
    freshness?: 'committed' | 'seen',
  ) => TaskEither<ReadError, Page>
  /** Events of one log after position `after`, in order, at most `countMax`. */
  readonly readLog: (log: LogName, after: Seq, countMax: number) => TaskEither<ReadError, ReadonlyArray<Stored>>
  /** The last position of every log. */
  readonly heads: () => TaskEither<ReadError, Checkpoint>
  /** Calls `wake` when something was appended, by anyone. A hint that may come late or not at all; `readAfter` is the truth. */
  readonly onAppended: (wake: () => void) => TaskEither<ReadError, () => Promise<void>>
  /** The store's own clock. */
  readonly clock: () => TaskEither<ReadError, Instant>
  /** All servers that ever wrote, by their heartbeats. */
  readonly servers: () => TaskEither<ReadError, ReadonlyArray<ServerSeen>>
  readonly close: () => Promise<void>
}

/** A ledger opened by one server, which appends to the log of its name. */
export interface EventStore extends EventReader {
  /** The log that this store appends to. */
  readonly log: LogName
  /**
   * Appends what can be appended and says for each proposal what became of it, in order. A loser never costs its
   * neighbours. The batch is transport, not atomicity: no rule spans streams. No two proposals of a batch name one
   * stream. Only one call at a time.
   *
   * After `OutcomeUnknown` only `settle` may be called until it gives the outcomes.
   */
  readonly append: (batch: ReadonlyNonEmptyArray<Proposal>) => TaskEither<AppendError, ReadonlyNonEmptyArray<Outcome>>
  /**
   * Finds out what became of the batch whose outcome is unknown: reads (log, seq) back, and sends the same batch to
   * the same positions again when it is not there, so that the unique keys decide also against a commit that is still
   * on its way. To be called again after `StoreUnavailable` or `OutcomeUnknown`.
   */
  readonly settle: () => TaskEither<AppendError, ReadonlyNonEmptyArray<Outcome>>
  /** Says that this server is alive. `info` is a short text for others to see. */
  readonly heartbeat: (info: string) => TaskEither<AppendError, void>
  /**
   * Keeps `value` under `key` if nothing is kept there yet, and gives what is kept: for what a reinstalled server must
   * find again, such as its DUID.
   */
  readonly remember: (key: string, value: string) => TaskEither<ReadError, string>
}
