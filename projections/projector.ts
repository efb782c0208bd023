/**
 * Keeps the lease tables of one database current, log by log. A server projects the log that it writes itself, from
 * the events that it has just appended; what it could not keep up with is read back from the ledger. The log of a
 * server that is gone is taken on by whoever notices first that nobody moves it.
 *
 * The tables say who is right: a batch names the position that it starts from, and one that starts elsewhere changes
 * nothing. So it does no harm when two servers project one log, only double work, and the slower one steps back.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, LogName, ReadError, Recorded, Seq } from '../domain/event-store.ts'
import type { Undecodable } from '../domain/lease-codec.ts'
import { spanRowsOf } from './history.ts'
import { aheadOfLedger, LEASES } from './lease-tables.ts'
import type { LeaseTables } from './lease-tables.ts'
import { readPage, rowsOf } from './log-page.ts'
import type { LogPage } from './log-page.ts'
import { OwnQueue } from './own-queue.ts'
import { Pause, realTimer } from './timer.ts'
import type { Timer } from './timer.ts'

/** What the projector needs of a logger: pino's calls, fields first. */
export interface ProjectorLog {
  readonly info: (fields: object, message: string) => void
  readonly warn: (fields: object, message: string) => void
  readonly error: (fields: object, message: string) => void
}

export interface ProjectorOptions {
  readonly store: EventReader
  readonly tables: Pick<LeaseTables, 'apply' | 'checkpoint' | 'where'>
  readonly log: ProjectorLog
  /** The log whose events are offered; undefined for one that only looks after others. */
  readonly own: LogName | undefined
  readonly timer?: Timer
  /** Events of a batch at most. */
  readonly batchMax?: number
  /** Offered events that are held in memory at most. */
  readonly queueMax?: number
  /** How long to gather after the first offered event, unless a batch is full before. */
  readonly gatherMs?: number
  /** The same while many events come: a batch costs the database as much as some twenty rows, however few it has. */
  readonly gatherBusyMs?: number
  /** Between two looks at the logs of others. One that has not moved from one look to the next has nobody. */
  readonly surveyMs?: number
  readonly retryMinMs?: number
  readonly retryMaxMs?: number
  /** From this lag on, in events, it is warned of. */
  readonly lagWarn?: number
}

/** Where a projector stands. `lag` counts the events of all logs that the tables do not show yet, as last seen. */
export type ProjectorState =
  /** Events are read back from the ledger, or the tables cannot be reached (`reason`). */
  | { readonly _tag: 'CatchingUp'; readonly lag: number; readonly reason: string | undefined }
  | { readonly _tag: 'Live'; readonly lag: number }
  /** More was appended than memory holds; what was let go will be read back from the ledger. */
  | { readonly _tag: 'AtCapacity'; readonly lag: number }
  | { readonly _tag: 'Stopped'; readonly reason: string }

const DEFAULTS = {
  timer: realTimer,
  batchMax: 1_000,
  queueMax: 50_000,
  gatherMs: 25,
  gatherBusyMs: 100,
  surveyMs: 2_000,
  retryMinMs: 100,
  retryMaxMs: 5_000,
  lagWarn: 10_000,
}

/** Many events come while a batch has at least so many: from 200 a second on, until there are fewer than 50. */
const BUSY_BATCH = 5

/** A stop goes on projecting what is queued for this long. */
const DRAIN_MS = 5_000

/** The tables must be seen ahead of the ledger this often in a row: a reader that lags looks the same at first. */
const AHEAD_MAX = 3

type Problem = ReadError | Undecodable | { readonly _tag: 'TablesAhead'; readonly reason: string }

/** A log that somebody else wrote and this projector carries on. */
interface Adopted {
  at: Seq
  head: Seq
}

/** How a log of somebody else stood when it was last looked at. */
interface Seen {
  readonly at: Seq
  readonly head: Seq
}

export class Projector {
  readonly #options: ProjectorOptions & typeof DEFAULTS
  readonly #queue: OwnQueue
  readonly #pause: Pause
  readonly #backOff: Pause
  readonly #adopted = new Map<LogName, Adopted>()
  readonly #seen = new Map<LogName, Seen>()
  #running: Promise<void> | undefined
  #stopping = false
  #drainEnds = false
  #stopped: string | undefined
  #trouble: string | undefined
  /** Where the tables stand in the own log; undefined until they have been asked. */
  #at: Seq | undefined
  /** Events of the last batch of the own log. */
  #lastBatch = 0
  #aheadSeen = 0
  #surveyDue = true
  #cancelSurvey: () => void = () => undefined
  #othersLag = 0
  #laggingLoud = false
  #eventsApplied = 0
  #rowsWritten = 0

  constructor(options: ProjectorOptions) {
    this.#options = { ...DEFAULTS, ...options }
    this.#queue = new OwnQueue(this.#options.queueMax)
    this.#pause = new Pause(this.#options.timer)
    this.#backOff = new Pause(this.#options.timer)
  }

  /** Starts following; call once. */
  start(): void {
    // A defect here must not end the server: tables can be rebuilt, and clients cannot wait.
    this.#running = this.#run().catch((error: unknown) =>
      this.#end(error instanceof Error ? error.message : String(error)),
    )
  }

  /** Events that this server has just appended to its log, in order. Never waits and never fails. */
  offer(events: ReadonlyArray<Recorded>): void {
    if (this.#stopped !== undefined) return
    const wasEmpty = this.#queue.length === 0
    this.#queue.push(events)
    if (wasEmpty || this.#queue.length >= this.#options.batchMax) this.#pause.wake()
  }

  /** Projects what was offered, for a few seconds at most if the tables do not take it, and stops. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#pause.wake()
    this.#backOff.wake()
    const cancel = this.#options.timer.after(DRAIN_MS, () => (this.#drainEnds = true))
    await this.#running
    cancel()
    this.#cancelSurvey()
    this.#stopped ??= 'it was stopped'
  }

  get state(): ProjectorState {
    if (this.#stopped !== undefined) return { _tag: 'Stopped', reason: this.#stopped }
    const lag = this.lag
    if (this.#queue.overflown) return { _tag: 'AtCapacity', lag }
    const behind = this.#at === undefined || this.#mustRead()
    return this.#trouble !== undefined || behind
      ? { _tag: 'CatchingUp', lag, reason: this.#trouble }
      : { _tag: 'Live', lag }
  }

  /** Events of all logs that the tables do not show yet, as last seen. */
  get lag(): number {
    return this.#ownLag() + this.#othersLag
  }

  /** Since the start: events projected, and rows that were written for them. */
  get counters(): { readonly events: number; readonly rows: number } {
    return { events: this.#eventsApplied, rows: this.#rowsWritten }
  }

  #ownLag(): number {
    return Math.max(0, this.#queue.head - (this.#at ?? 0))
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#finished()) {
      const stepped = await this.#step()
      if (E.isRight(stepped)) {
        failures = 0
        this.#recovered()
        if (!this.#stopping) await this.#pace(stepped.right)
        else if (!stepped.right) break
        continue
      }
      failures++
      if (this.#isFinal(stepped.left)) return
      this.#failed(stepped.left.reason, failures)
      if (this.#stopping) break // what is left will be read from the ledger at the next start
      const { retryMinMs, retryMaxMs } = this.#options
      await this.#backOff.wait(Math.min(retryMinMs * 2 ** (failures - 1), retryMaxMs))
    }
  }

  #finished(): boolean {
    return this.#drainEnds || (this.#stopping && this.#at !== undefined && this.#ownLag() === 0)
  }

  /** One batch of each log that lags. Whether there was anything to do. */
  async #step(): Promise<Either<Problem, boolean>> {
    if (this.#at === undefined || (this.#surveyDue && !this.#stopping)) {
      const surveyed = await this.#survey()
      if (E.isLeft(surveyed)) return surveyed
    }
    let progress = false
    if (this.#ownLag() > 0) {
      const advanced = await this.#advanceOwn()
      if (E.isLeft(advanced)) return advanced
      progress = advanced.right
    }
    if (this.#stopping) return E.right(progress)
    for (const [log, adopted] of this.#adopted) {
      const advanced = await this.#advanceAdopted(log, adopted)
      if (E.isLeft(advanced)) return advanced
      progress ||= advanced.right
    }
    return E.right(progress)
  }

  async #advanceOwn(): Promise<Either<Problem, boolean>> {
    const log = this.#options.own as LogName
    const at = this.#at as Seq
    const page = await this.#ownPage(log, at)
    if (E.isLeft(page)) return page
    if (page.right.to === at) return E.right(false)
    const applied = await this.#apply(log, at, page.right)
    if (E.isLeft(applied)) return applied
    this.#at = applied.right
    this.#lastBatch = page.right.events.length
    this.#queue.dropUpTo(this.#at)
    return E.right(true)
  }

  async #ownPage(log: LogName, at: Seq): Promise<Either<Problem, LogPage>> {
    const events = this.#queue.after(at, this.#options.batchMax)
    const last = events.at(-1)
    return last === undefined
      ? readPage(this.#options.store, log, at, this.#options.batchMax)
      : E.right({ events, to: last.seq })
  }

  async #advanceAdopted(log: LogName, adopted: Adopted): Promise<Either<Problem, boolean>> {
    if (adopted.at >= adopted.head) return E.right(false)
    const page = await readPage(this.#options.store, log, adopted.at, this.#options.batchMax)
    if (E.isLeft(page)) return page
    if (page.right.to === adopted.at) return E.right(false)
    const moved = await this.#apply(log, adopted.at, page.right)
    if (E.isLeft(moved)) return moved
    // Somebody else moves it: let them. The next survey sees whether they go on.
    if (moved.right > page.right.to || (moved.right > adopted.at && moved.right < page.right.to)) {
      this.#adopted.delete(log)
      this.#seen.delete(log)
      return E.right(true)
    }
    adopted.at = moved.right
    return E.right(true)
  }

  /** Writes a page; gives where the tables stand in the log afterwards, wherever that is. */
  async #apply(log: LogName, from: Seq, page: LogPage): Promise<Either<Problem, Seq>> {
    const rows = rowsOf(page.events)
    if (E.isLeft(rows)) return rows
    const applied = await this.#options.tables.apply(LEASES, log, from, page.to, rows.right, spanRowsOf(page.events))()
    if (E.isLeft(applied)) return applied
    if (applied.right._tag === 'Elsewhere') return E.right(applied.right.checkpointAt)
    this.#eventsApplied += page.to - from
    this.#rowsWritten += rows.right.length
    return E.right(page.to)
  }

  /** Looks where the tables and the logs stand, and takes on logs that nobody projects. */
  async #survey(): Promise<Either<Problem, void>> {
    // In this order: whatever the tables show is then in the ledger, unless that is older than they are.
    const checkpoint = await this.#options.tables.checkpoint(LEASES)()
    if (E.isLeft(checkpoint)) return checkpoint
    const heads = await this.#options.store.heads()()
    if (E.isLeft(heads)) return heads
    const ahead = this.#checkNotAhead(checkpoint.right, heads.right)
    if (E.isLeft(ahead)) return ahead
    const { own } = this.#options
    if (own !== undefined) {
      this.#at = checkpoint.right[own] ?? 0
      this.#queue.headIs(heads.right[own] ?? 0)
      this.#queue.dropUpTo(this.#at)
    } else this.#at = 0
    this.#scheduleSurvey()
    this.#surveyOthers(checkpoint.right, heads.right)
    this.#reportLag()
    return E.right(undefined)
  }

  #scheduleSurvey(): void {
    this.#surveyDue = false
    this.#cancelSurvey()
    this.#cancelSurvey = this.#options.timer.after(this.#options.surveyMs, () => {
      this.#surveyDue = true
      this.#pause.wake()
    })
  }

  #surveyOthers(checkpoint: Checkpoint, heads: Checkpoint): void {
    this.#othersLag = 0
    for (const [log, head] of Object.entries(heads)) {
      if (log === this.#options.own) continue
      const at = checkpoint[log] ?? 0
      const before = this.#seen.get(log)
      const adopted = this.#adopted.get(log)
      this.#seen.set(log, { at, head })
      this.#othersLag += head - at
      const isStuck = head > at && before !== undefined && before.at === at && before.head > at
      if (isStuck && adopted === undefined) {
        this.#options.log.info({ log, events: head - at }, 'nobody projects this log: taking it on')
      }
      if (isStuck || (adopted !== undefined && before?.head !== head)) this.#adopted.set(log, { at, head })
      else if (adopted !== undefined && at >= head) this.#adopted.delete(log)
    }
  }

  /** A ledger that ends before the tables do was restored from a backup older than they are. */
  #checkNotAhead(checkpoint: Checkpoint, heads: Checkpoint): Either<Problem, void> {
    const reason = aheadOfLedger(this.#options.tables.where, checkpoint, heads)
    if (reason === undefined) {
      this.#aheadSeen = 0
      return E.right(undefined)
    }
    this.#aheadSeen++
    return E.left({ _tag: 'TablesAhead', reason })
  }

  /** Whether there is no use in trying again; then it has stopped and said why. */
  #isFinal(problem: Problem): boolean {
    const isFinal = problem._tag === 'Undecodable' || (problem._tag === 'TablesAhead' && this.#aheadSeen >= AHEAD_MAX)
    if (isFinal) this.#end(problem.reason)
    return isFinal
  }

  #end(reason: string): void {
    this.#stopped = reason
    this.#queue.clear()
    this.#options.log.error({ reason }, 'the lease tables are not kept current any more')
  }

  /** Said when trouble begins and then ever more seldom. */
  #failed(reason: string, failures: number): void {
    this.#trouble = reason
    this.#surveyDue = true // what is known of the tables may be out of date when they come back
    const isRare = (failures & (failures - 1)) === 0
    if (isRare) this.#options.log.warn({ reason, attempts: failures, lag: this.lag }, 'the lease tables fall behind')
  }

  #recovered(): void {
    if (this.#trouble === undefined) return
    this.#trouble = undefined
    this.#options.log.info({ lag: this.lag }, 'the lease tables can be written again')
  }

  #reportLag(): void {
    const { log, lagWarn, tables } = this.#options
    const lag = this.lag
    if (lag >= lagWarn) log.warn({ lag, tables: tables.where }, 'the lease tables are behind the ledger, in events')
    else if (this.#laggingLoud) log.info({ lag, tables: tables.where }, 'the lease tables have caught up')
    this.#laggingLoud = lag >= lagWarn
  }

  /** Whether there are events that only the ledger has. */
  #mustRead(): boolean {
    if (this.#queue.hasGapAfter(this.#at ?? 0)) return true
    return [...this.#adopted.values()].some(({ at, head }) => at < head)
  }

  #gatherMs(): number {
    const { gatherMs, gatherBusyMs } = this.#options
    return this.#lastBatch >= BUSY_BATCH ? Math.max(gatherMs, gatherBusyMs) : gatherMs
  }

  /** Until there is enough to do: at once when behind, else when some events have gathered. */
  async #pace(progress: boolean): Promise<void> {
    const { batchMax, surveyMs } = this.#options
    const isBusy = (): boolean =>
      this.#surveyDue || this.#stopping || this.#queue.length >= batchMax || (progress && this.#mustRead())
    if (isBusy()) return
    if (this.#queue.length === 0) await this.#pause.wait(surveyMs)
    if (this.#queue.length > 0 && !isBusy()) await this.#pause.wait(this.#gatherMs())
  }
}
