/** Writing what is imported into the ledger: leases through the aggregate, events of an export as they were. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import { EMPTY_HEAD, seal } from '../../adapters/chain.ts'
import type { Head } from '../../adapters/chain.ts'
import type { AppendError, EventStore, LogName, Outcome, Proposal, Stored } from '../../domain/event-store.ts'
import { NO_STREAM } from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'
import { decodeEvent, decodeStored } from '../../domain/lease-codec.ts'
import { decide, evolve, vacant } from '../../domain/lease.ts'
import type { StreamName } from '../../domain/stream.ts'
import type { Found } from './item.ts'

const BATCH_MAX = 500

const SETTLE_MAX = 10

type Written = Either<AppendError, ReadonlyNonEmptyArray<Outcome>>

/** Appends, and finds out what became of a batch whose answer was lost. */
const appendSettled = async (store: EventStore, batch: ReadonlyNonEmptyArray<Proposal>): Promise<Written> => {
  let written: Written = await store.append(batch)()
  for (let i = 0; i < SETTLE_MAX && E.isLeft(written) && written.left._tag === 'OutcomeUnknown'; i++) {
    written = await store.settle()()
  }
  return written
}

/** What an import did. */
export interface Imported {
  readonly imported: number
  /** Leases of addresses of which the ledger knows more already; they were left as they are. */
  readonly known: number
  /**
   * Those of them that have changed at the other server since they were imported, and of which nothing else is known
   * here: the ledger has them as they no longer are, such as with an end that has been put off since.
   */
  readonly changed: ReadonlyArray<Found>
}

export interface ImportOptions {
  readonly store: EventStore
  readonly source: string
  readonly now: Instant
  /** Decides, and writes nothing. */
  readonly dryRun: boolean
  readonly onProgress?: (done: number) => void
}

/** One LeaseImported event for each lease of whose address the ledger knows nothing. Streams are named once each. */
export const importLeases = async (
  found: ReadonlyArray<Found>,
  options: ImportOptions,
): Promise<Either<AppendError | { readonly reason: string }, Imported>> => {
  const { store, source, now, dryRun, onProgress } = options
  let [imported, known] = [0, 0]
  const changed: Found[] = []
  for (let at = 0; at < found.length; at += BATCH_MAX) {
    const part = found.slice(at, at + BATCH_MAX)
    const latest = await store.readLatest(part.map(({ stream }) => stream))()
    if (E.isLeft(latest)) return latest
    const byStream = new Map(latest.right.map((stored) => [stored.stream, stored]))
    const proposals: Proposal[] = []
    for (const item of part) {
      const { stream, lease: there, status } = item
      // A clock ahead of ours, or a row that cannot say since when: nobody has held anything since a time to come.
      const lease = { ...there, startsAt: Math.min(there.startsAt, now) }
      const stored = byStream.get(stream)
      if (stored !== undefined && hasChanged(stored, item)) changed.push(item)
      const state = stateAfter(stored)
      const decided = decide({ maxClockSkewMs: 0 })(state, { type: 'Import', lease, status, source }, now)
      if (E.isLeft(decided) || O.isNone(decided.right)) known++
      else proposals.push({ stream, expected: NO_STREAM, event: decided.right.value, recordedAt: now })
    }
    const [first, ...rest] = proposals
    if (first !== undefined && !dryRun) {
      const written = await appendSettled(store, [first, ...rest])
      if (E.isLeft(written)) return written
      const lost = written.right.filter(({ _tag }) => _tag !== 'Appended').length // somebody was quicker
      imported += proposals.length - lost
      known += lost
    } else imported += proposals.length
    onProgress?.(Math.min(at + BATCH_MAX, found.length))
  }
  return E.right({ imported, known, changed })
}

/** Whether the ledger knows a lease only from an import, and otherwise than it is now. */
const hasChanged = (stored: Stored, { lease, status }: Found): boolean => {
  const decoded = decodeStored(stored)
  if (E.isLeft(decoded) || decoded.right.event.type !== 'LeaseImported') return false
  const { event } = decoded.right
  const { holder, expiresAt } = event.lease
  return event.status !== status || holder !== lease.holder || expiresAt !== lease.expiresAt
}

const stateAfter = (stored: Stored | undefined): ReturnType<typeof evolve> | typeof vacant => {
  if (stored === undefined) return vacant
  const decoded = decodeStored(stored)
  // What cannot be read (any more) is known all the same.
  const lease = E.isRight(decoded) ? decoded.right.event : undefined
  return lease === undefined ? ({ status: 'expired' } as ReturnType<typeof evolve>) : evolve(vacant, lease)
}

/** Opens the log of a name; `Left` is one sentence. */
export type OpenLog = (log: LogName) => Promise<Either<string, EventStore>>

/** Events of one log that are not written yet. */
interface Batch {
  readonly events: Stored[]
  readonly proposals: Proposal[]
}

/** How many events of the ledger are read at once to compare them with those of the file. */
const PAGE_MAX = 1_000

/**
 * Takes the events of an export over as they were: same logs, positions, times and hashes. What the ledger has already
 * must be the same. Feed the lines in their order, then call `finish`.
 */
export class ExportImport {
  readonly #open: OpenLog
  readonly #stores = new Map<LogName, EventStore>()
  readonly #heads = new Map<LogName, Head>()
  readonly #known = new Map<LogName, number>()
  readonly #pages = new Map<LogName, ReadonlyArray<Stored>>()
  readonly #batches = new Map<LogName, Batch>()
  /** The streams of all batches: each stands in one of them once, so the batches may be written in any order. */
  readonly #pending = new Set<StreamName>()
  imported = 0
  known = 0

  constructor(open: OpenLog) {
    this.#open = open
  }

  /** `Left` is one sentence; then the import cannot go on. */
  async take(stored: Stored): Promise<Either<string, void>> {
    const { log, seq, stream } = stored
    const opened = await this.#reach(log)
    if (E.isLeft(opened)) return opened
    const place = `event ${log}/${seq}`
    if (seq <= (this.#known.get(log) ?? 0)) {
      this.known++
      const there = await this.#recorded(opened.right, log, seq)
      if (E.isLeft(there)) return there
      const same = there.right !== undefined && sameHash(there.right, stored)
      return same ? E.right(undefined) : E.left(`${place} of the ledger is another one than that of the file`)
    }
    const head = this.#heads.get(log) ?? EMPTY_HEAD
    if (seq !== head.seq + 1) return E.left(`${log}: position ${head.seq + 1} is missing in the file`)
    const decoded = decodeEvent(stored.type, stored.schemaVersion, stored.data)
    if (E.isLeft(decoded)) return E.left(`${place}: ${decoded.left.reason}`)
    const { revision, recordedAt } = stored
    const proposal: Proposal = { stream, expected: revision - 1, event: decoded.right, recordedAt }
    const sealed = seal(head.hash, log, seq, proposal)
    if (!sameHash(sealed, stored)) return E.left(`${place} is not the event that was recorded there`)
    if (this.#pending.has(stream)) {
      const flushed = await this.finish()
      if (E.isLeft(flushed)) return flushed
    }
    this.#heads.set(log, { seq, hash: sealed.hash })
    const batch = this.#batches.get(log) ?? { events: [], proposals: [] }
    this.#batches.set(log, batch)
    batch.events.push(stored)
    batch.proposals.push(proposal)
    this.#pending.add(stream)
    return batch.events.length < BATCH_MAX ? E.right(undefined) : this.#write(log)
  }

  /** Writes what is gathered. */
  async finish(): Promise<Either<string, void>> {
    for (const log of [...this.#batches.keys()]) {
      const written = await this.#write(log)
      if (E.isLeft(written)) return written
    }
    return E.right(undefined)
  }

  async #write(log: LogName): Promise<Either<string, void>> {
    const batch = this.#batches.get(log)
    this.#batches.delete(log)
    const [first, ...rest] = batch?.proposals ?? []
    if (batch === undefined || first === undefined) return E.right(undefined)
    const written = await appendSettled(this.#stores.get(log) as EventStore, [first, ...rest])
    if (E.isLeft(written)) return E.left(written.left.reason)
    for (const [index, outcome] of written.right.entries()) {
      const { seq, stream } = batch.events[index] as Stored
      if (outcome._tag !== 'Appended' || outcome.seq !== seq)
        return E.left(`event ${log}/${seq}: the ledger has other events of ${stream}`)
      this.#pending.delete(stream)
    }
    this.imported += batch.events.length
    return E.right(undefined)
  }

  /** The event that the ledger has at a position. */
  async #recorded(store: EventStore, log: LogName, seq: number): Promise<Either<string, Stored | undefined>> {
    const page = this.#pages.get(log) ?? []
    const found = page[seq - (page[0]?.seq ?? 0)]
    if (found !== undefined) return E.right(found)
    const read = await store.readLog(log, seq - 1, PAGE_MAX)()
    if (E.isLeft(read)) return E.left(read.left.reason)
    this.#pages.set(log, read.right)
    return E.right(read.right[0])
  }

  async #reach(log: LogName): Promise<Either<string, EventStore>> {
    const open = this.#stores.get(log)
    if (open !== undefined) return E.right(open)
    const opened = await this.#open(log)
    if (E.isLeft(opened)) return opened
    const heads = await opened.right.heads()()
    if (E.isLeft(heads)) return E.left(heads.left.reason)
    const seq = heads.right[log] ?? 0
    const last = seq === 0 ? E.right([]) : await opened.right.readLog(log, seq - 1, 1)()
    if (E.isLeft(last)) return E.left(last.left.reason)
    this.#stores.set(log, opened.right)
    this.#known.set(log, seq)
    this.#heads.set(log, last.right[0] ?? EMPTY_HEAD)
    return opened
  }
}

const sameHash = (one: Stored, other: Stored): boolean => Buffer.from(one.hash).equals(Buffer.from(other.hash))
