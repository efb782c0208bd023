/**
 * `ledger verify`: that the ledger was not changed, that it says of each address one thing after the other, that no two
 * clients held one address at once, and that the lease tables show what the ledger says. Counts everything and names
 * the first difference of each kind. Memory holds a little for each stream, never the events.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { Checkpoint, EventReader, LogName, ReadError, Recorded, Revision, Stored } from '../domain/event-store.ts'
import { isoText } from '../domain/instant.ts'
import type { Instant } from '../domain/instant.ts'
import { decodeEvent } from '../domain/lease-codec.ts'
import { statusAfter } from '../domain/lease.ts'
import type { LeaseEvent, Status } from '../domain/lease.ts'
import { categoryOf } from '../domain/stream.ts'
import type { StreamName } from '../domain/stream.ts'
import { addSpan, spanRowOf } from './history.ts'
import type { SpanRow } from './history.ts'
import { overlapsOf } from './history-overlap.ts'
import { differingColumn, rowOf } from './lease-row.ts'
import type { LeaseRow } from './lease-row.ts'
import { LEASES } from './lease-tables.ts'
import type { LeaseTables, SnapshotEnd, Statistic } from './lease-tables.ts'
import { isErased } from './log-page.ts'
import { walkMerged } from './merged-log.ts'
import { countRow, statisticKey } from './statistics.ts'
import { SpanCheck } from './verify-spans.ts'

/** What can be wrong. */
export type Fault =
  /** The event at a position is not the one that was chained there, or is missing. */
  | 'chain'
  /** An event cannot be decoded. */
  | 'event'
  /** Revisions of a stream that are missing or doubled. */
  | 'revision'
  /** A client got an address while another one held it. */
  | 'holder'
  /** A prefix was delegated while somebody else held one that it lies in. */
  | 'overlap'
  /** A row that the ledger does not say, or lacks. */
  | 'row'
  /** A statistic that is not what the rows add up to. */
  | 'statistic'
  /** A span of the history that the ledger does not tell of, or tells otherwise, or that the tables lack. */
  | 'span'
  /** Spans of the history by which two clients held one address at once. */
  | 'disputed'

/** How often something is wrong, and the first time in one sentence. */
export interface Difference {
  readonly count: number
  readonly first: string
}

/** What was looked at and what was found. All is well when `differences` is empty. */
export interface Verified {
  readonly logs: number
  readonly events: number
  /** Events whose personal data was erased: proven to be those that were recorded, with nothing else known. */
  readonly erased: number
  readonly streams: number
  /** Rows of the tables; undefined when no tables were given. */
  readonly rows: number | undefined
  /** Spans of the history; undefined when no tables were given that keep any. */
  readonly spans: number | undefined
  readonly checkpoint: Checkpoint
  readonly differences: Partial<Record<Fault, Difference>>
}

export interface VerifyOptions {
  readonly store: EventReader
  /** The tables to compare; none to look at the ledger alone. */
  readonly tables?: Pick<LeaseTables, 'snapshot' | 'where' | 'history'> | undefined
  /** Whether `stored` is what was chained to `previous`, the hash before it, 32 octets; `genesis` before the first. */
  readonly checkLink: (previous: Uint8Array, stored: Stored) => boolean
  readonly genesis: Uint8Array
  /** Whether positions of a log follow each other without gaps; not so for a store that counts bytes. */
  readonly isGapless?: boolean | undefined
  /** How far clocks of servers may be apart, ms: a lease that was given back may seem to end that much too late. */
  readonly maxClockSkewMs: number
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined
}

const PROGRESS_EVERY = 5_000

/** Looks at everything that was in the ledger when it began. Servers may go on meanwhile. */
export const verify =
  (options: VerifyOptions): TaskEither<ReadError, Verified> =>
  async () => {
    const { store, tables, onProgress } = options
    const verification = new Verification(options)
    // The tables first: whatever they show is then in the ledger. Their rows are kept as digests until they are met.
    if (tables !== undefined) {
      const end = await tables.snapshot(
        LEASES,
        (row) => verification.takeRow(row),
        tables.history === undefined ? undefined : (span) => verification.spans?.takeSpan(span),
      )()
      if (E.isLeft(end)) return end
      verification.takeSnapshotEnd(end.right)
    }
    const heads = await store.heads()()
    if (E.isLeft(heads)) return heads
    const total = Object.values(heads.right).reduce((sum, seq) => sum + seq, 0)
    let done = 0
    const walked = await walkMerged(store, heads.right, (stored) => {
      verification.takeEvent(stored)
      done++
      if (done % PROGRESS_EVERY === 0) onProgress?.({ done, total })
    })
    if (E.isLeft(walked)) return walked
    onProgress?.({ done, total: done })
    const verified = verification.finish(heads.right)
    if (tables === undefined || verification.spans === undefined) return E.right(verified)
    return E.map(() => verified)(await verification.spans.finish(store, tables))
  }

/** What is remembered of a stream. */
interface Stream {
  revision: Revision
  status: Status | undefined
  holder: string
  expiresAt: Instant
  /** Events that came before their predecessor. */
  waiting: Map<Revision, Decoded> | undefined
}

interface Decoded {
  readonly stored: Stored
  /** Undefined when it was erased or cannot be read. */
  readonly event: LeaseEvent | undefined
}

/** What the tables show of a stream, until the ledger has said it. */
interface Expected {
  readonly row: LeaseRow
  isSeen: boolean
}

class Verification {
  readonly #options: VerifyOptions
  readonly #differences: Partial<Record<Fault, { count: number; first: string }>> = {}
  readonly #chains = new Map<LogName, { hash: Uint8Array; seq: number }>()
  readonly #streams = new Map<StreamName, Stream>()
  readonly #rows = new Map<StreamName, Expected>()
  readonly #lacking = new Map<StreamName, Revision>()
  #end: SnapshotEnd | undefined
  #events = 0
  #erased = 0
  readonly #prefixes = new Map<string, SpanRow>()
  /** The check of the spans, where tables keep them. */
  readonly spans: SpanCheck | undefined

  constructor(options: VerifyOptions) {
    this.#options = options
    if (options.tables?.history === undefined) return
    this.spans = new SpanCheck(options.maxClockSkewMs, (fault, what) => this.#found(fault, what))
  }

  takeRow(row: LeaseRow): void {
    this.#rows.set(row.stream, { row, isSeen: false })
  }

  takeSnapshotEnd(end: SnapshotEnd): void {
    this.#end = end
    this.spans?.takeEnd()
    const counted = new Map<string, Statistic>()
    for (const { row } of this.#rows.values()) countRow(counted, row, 1)
    const stored = new Map(end.statistics.map((statistic) => [statisticKey(statistic), statistic.leases]))
    for (const key of new Set([...counted.keys(), ...stored.keys()])) {
      const [rows, says] = [counted.get(key)?.leases ?? 0, stored.get(key) ?? 0]
      if (rows !== says) this.#found('statistic', `${key}: the statistic says ${says}, the rows are ${rows}`)
    }
  }

  takeEvent(stored: Stored): void {
    this.#events++
    this.#checkChain(stored)
    const event = this.#decode(stored)
    const stream = this.#streamOf(stored.stream)
    if (stored.revision > stream.revision + 1) {
      stream.waiting ??= new Map()
      if (stream.waiting.has(stored.revision)) this.#doubled(stored)
      stream.waiting.set(stored.revision, { stored, event })
      return
    }
    if (stored.revision <= stream.revision) return this.#doubled(stored)
    this.#follow(stream, { stored, event })
    for (let next = stream.waiting?.get(stream.revision + 1); next !== undefined;) {
      stream.waiting?.delete(next.stored.revision)
      this.#follow(stream, next)
      next = stream.waiting?.get(stream.revision + 1)
    }
  }

  finish(heads: Checkpoint): Verified {
    this.#checkEnds(heads)
    for (const found of overlapsOf(this.#prefixes.values(), this.#options.maxClockSkewMs)) this.#found('overlap', found)
    for (const [name, { revision, waiting }] of this.#streams) {
      if (waiting !== undefined && waiting.size > 0) {
        this.#found('revision', `${name}: revision ${revision + 1} is missing`)
        for (const one of waiting.values()) this.#compareTables(one)
      }
    }
    for (const [name, { row, isSeen }] of this.#rows) {
      if (!isSeen) this.#found('row', `${name}: the tables show revision ${row.revision}, which is not in the ledger`)
    }
    for (const [name, revision] of this.#lacking) {
      const shown = this.#rows.get(name)?.row.revision
      const shows = shown === undefined ? 'have no row' : `show revision ${shown}`
      this.#found('row', `${name}: the tables ${shows}, the ledger has revision ${revision} up to their checkpoint`)
    }
    return {
      logs: Object.keys(heads).length,
      events: this.#events,
      erased: this.#erased,
      streams: this.#streams.size,
      rows: this.#end === undefined ? undefined : this.#rows.size,
      spans: this.spans?.spans,
      checkpoint: heads,
      differences: this.#differences,
    }
  }

  #found(fault: Fault, what: string): void {
    const known = this.#differences[fault]
    if (known === undefined) this.#differences[fault] = { count: 1, first: what }
    else known.count++
  }

  #doubled(stored: Stored): void {
    this.#found('revision', `${stored.stream}: revision ${stored.revision} is there twice, ${placeOf(stored)}`)
  }

  #checkChain(stored: Stored): void {
    const { checkLink, genesis, isGapless = true } = this.#options
    const before = this.#chains.get(stored.log) ?? { hash: genesis, seq: 0 }
    this.#chains.set(stored.log, { hash: stored.hash, seq: stored.seq })
    if (isGapless && stored.seq !== before.seq + 1) {
      this.#found('chain', `${stored.log}: position ${before.seq + 1} is missing`)
    } else if (!checkLink(before.hash, stored)) {
      this.#found('chain', `${placeOf(stored)} (${stored.stream}) is not the event that was recorded there`)
    }
  }

  #checkEnds(heads: Checkpoint): void {
    for (const [log, head] of Object.entries(heads)) {
      const seq = this.#chains.get(log)?.seq ?? 0
      if (seq < head) this.#found('chain', `${log}: nothing can be read after position ${seq}, its last is ${head}`)
    }
    for (const [log, seq] of Object.entries(this.#end?.checkpoint ?? {})) {
      const head = heads[log] ?? 0
      if (seq > head) this.#found('row', `the tables show ${log} up to position ${seq}, the ledger ends at ${head}`)
    }
  }

  #decode(stored: Stored): LeaseEvent | undefined {
    if (isErased(stored)) {
      this.#erased++
      return undefined
    }
    const decoded = decodeEvent(stored.type, stored.schemaVersion, stored.data)
    if (E.isRight(decoded)) return decoded.right
    this.#found('event', `${placeOf(stored)}: ${decoded.left.reason}`)
    return undefined
  }

  #streamOf(name: StreamName): Stream {
    const known = this.#streams.get(name)
    if (known !== undefined) return known
    const stream: Stream = { revision: -1, status: undefined, holder: '', expiresAt: 0, waiting: undefined }
    this.#streams.set(name, stream)
    return stream
  }

  /** The next event of a stream. */
  #follow(stream: Stream, decoded: Decoded): void {
    const { stored, event } = decoded
    stream.revision = stored.revision
    this.#compareTables(decoded)
    if (event === undefined) {
      stream.status = undefined
      return
    }
    if (categoryOf(stored.stream) === 'prefix6') addSpan(this.#prefixes, spanRowOf({ ...stored, event }))
    const { holder, startsAt, expiresAt } = event.lease
    const status = statusAfter(event)
    if (status === 'bound' && holder !== stream.holder && startsAt < this.#heldUntil(stream)) {
      this.#found(
        'holder',
        `${stored.stream}: ${holder} has it from ${isoText(startsAt)}, ${stream.holder} had it until ` +
          `${isoText(stream.expiresAt)} (${placeOf(stored)})`,
      )
    }
    // What somebody was only offered says nothing of who held it before, and until when.
    if (status === 'offered') return
    // A lease that was over when it was imported tells no time up to which somebody had it.
    const isPast = event.type === 'LeaseImported' && status !== 'bound'
    Object.assign(stream, { status: isPast ? undefined : status, holder, expiresAt })
  }

  /** Until when the holder before had it for sure. */
  #heldUntil({ status, expiresAt }: Stream): Instant {
    switch (status) {
      case 'bound':
      case 'expired':
        return expiresAt
      case 'released':
      case 'revoked':
        // Ended by the clock of one server and given anew by that of another.
        return expiresAt - this.#options.maxClockSkewMs
      default:
        return -Infinity
    }
  }

  /** What the tables must show of an event, if they are so far. */
  #compareTables({ stored, event }: Decoded): void {
    if (this.#end === undefined || stored.seq > (this.#end.checkpoint[stored.log] ?? 0)) return
    if (event === undefined) this.spans?.takeErased(stored.stream)
    else this.spans?.takeEvent({ ...stored, event })
    this.#compareRow(stored, event)
  }

  /** The tables must show the last event up to their checkpoint, column by column. */
  #compareRow(stored: Stored, event: LeaseEvent | undefined): void {
    const expected = this.#rows.get(stored.stream)
    if (expected === undefined || expected.row.revision < stored.revision) {
      if (event !== undefined) this.#lacking.set(stored.stream, stored.revision)
      return
    }
    if (expected.row.revision > stored.revision) return
    expected.isSeen = true
    if (event === undefined) return
    const recorded: Recorded = { ...stored, event }
    const column = differingColumn(rowOf(recorded), expected.row)
    if (column !== undefined) {
      this.#found(
        'row',
        `${stored.stream}: ${column} is ${String(expected.row[column])} in the tables and ` +
          `${String(rowOf(recorded)[column])} by the ledger (${placeOf(stored)})`,
      )
    }
  }
}

const placeOf = ({ log, seq }: Stored): string => `event ${log}/${seq}`
