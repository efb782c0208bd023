/**
 * Keeps the replica current: reads what all servers append, woken by the store's hints and, because hints may be lost,
 * by a timer that is quick while others write and slow while nobody does.
 *
 * A reading that follows others rests for a moment before the next one, so that what is appended meanwhile comes in one
 * page: a page costs as much as many events. A reading that somebody waits for does not.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, LogName, Page, ReadError, Unsealed } from '../domain/event-store.ts'
import type { Timer } from '../projections/timer.ts'
import { applyStored } from './ledger.ts'
import type { Logger } from './logger.ts'
import type { Replica } from './replica.ts'

/** What a follower is made of. Times in ms. */
export interface FollowerOptions {
  readonly store: EventReader
  readonly replica: Replica
  /** The log that this server appends to, whose new events the replica takes in as they are appended. */
  readonly own: LogName
  /** Where the replica stands when the follower is made. */
  readonly from: Checkpoint
  readonly log: Logger
  readonly timer: Timer
  readonly pageMax: number
  readonly pollMinMs: number
  readonly pollMaxMs: number
  /** After a reading on a hint, until the next: after one that brought a few events, and after one that brought many. */
  readonly restMs: number
  readonly restBusyMs: number
  readonly onFatal: (reason: string) => void
  /** Told how many events have been read in this catch-up so far, page by page. */
  readonly onProgress?: (read: number) => void
}

/**
 * Events that are taken in without a pause, half a millisecond or so. A page is more than a socket holds, and the store
 * goes on sending only when the connection has a turn.
 */
const TURN_EVENTS = 100

/**
 * So many events in one reading are many: more than 1,000 a second. Then they are read in fewer, larger pages, since of
 * several servers on a machine each spends as much on asking as on what it is told.
 */
const BUSY_EVENTS = 30

/** A page, or why there is none. */
type Answer = Either<ReadError, Page>

/** Follows the ledger from a checkpoint on. */
export class Follower {
  readonly #options: FollowerOptions
  #checkpoint: Checkpoint
  #running: Promise<boolean> | undefined
  #again = false
  #resting = false
  #hinted = false
  #cancel: () => void = () => undefined
  #pollMs: number
  /** Events of the last reading. */
  #lastRead = 0
  #unsubscribe: () => Promise<void> = () => Promise.resolve()
  #following = false
  #stopped = false

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#checkpoint = options.from
    this.#pollMs = options.pollMaxMs
  }

  /** Up to where the replica has taken in the other servers' logs, and its own as it stood when following began. */
  get checkpoint(): Checkpoint {
    return this.#checkpoint
  }

  /**
   * Reads to the end of the ledger as it is when called. `false` when the store cannot be reached; then the replica
   * stands somewhere between.
   */
  catchUp(): Promise<boolean> {
    if (this.#running !== undefined) {
      // A run under way may have read past the place where the caller wants to be sure of: one more after it.
      this.#again = true
      return this.#running.then(() => this.#running ?? this.catchUp())
    }
    return this.#run(true)
  }

  #run(toTheEnd: boolean): Promise<boolean> {
    this.#running = this.#read(toTheEnd).finally(() => {
      this.#running = undefined
      if (this.#stopped) return
      if (this.#again) {
        this.#again = false
        void this.#run(true)
      } else if (this.#hinted && !this.#resting) this.#hear()
    })
    return this.#running
  }

  /** Something was appended by somebody. */
  #hear(): void {
    this.#hinted = this.#resting || this.#running !== undefined
    if (this.#hinted || this.#stopped) return
    this.#resting = true
    const rested = (): void => {
      this.#resting = false
      if (this.#hinted) this.#hear()
    }
    const { timer, restMs, restBusyMs } = this.#options
    void this.#run(false).then(() => timer.after(this.#lastRead < BUSY_EVENTS ? restMs : restBusyMs, rested))
  }

  /** Begins to follow; call after the first `catchUp`. */
  async start(): Promise<void> {
    this.#following = true
    const subscribed = await this.#options.store.onAppended(() => this.#hear())()
    if (E.isRight(subscribed)) this.#unsubscribe = subscribed.right
    else this.#options.log.warn({ reason: subscribed.left.reason }, 'no wake-ups from the store; polling only')
    this.#schedule()
  }

  /** Stops following. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#unsubscribe()
    await this.#running
  }

  /** Once it follows, this server's own log is asked for from its very end, since nobody else writes there. */
  #asked(from: Checkpoint): Checkpoint {
    return this.#following ? { ...from, [this.#options.own]: Number.MAX_SAFE_INTEGER } : from
  }

  /**
   * Reads pages: to the end, which an empty page proves, or until one is not full. The store is asked for a page as soon
   * as the one before has come, up to two ahead of what the replica takes in, so that neither waits for the other.
   */
  async #read(toTheEnd: boolean): Promise<boolean> {
    const { store, pageMax, onFatal, onProgress, log } = this.#options
    const freshness = toTheEnd ? 'committed' : 'seen'
    const ask = (from: Checkpoint): Promise<Answer> => store.readAfter(this.#asked(from), pageMax, freshness)()
    const isLast = ({ events }: Page): boolean => events.length === 0 || (!toTheEnd && events.length < pageMax)
    const askAfter = (answer: Answer | undefined): Promise<Answer> | undefined =>
      answer === undefined || E.isLeft(answer) || isLast(answer.right) ? undefined : ask(answer.right.next)
    let coming: Promise<Answer | undefined> = ask(this.#checkpoint)
    let after = coming.then(askAfter)
    let count = 0
    for (;;) {
      const answer = await coming
      if (answer === undefined) break
      if (E.isLeft(answer)) {
        if (answer.left._tag === 'StoreUnusable') onFatal(answer.left.reason)
        log.debug({ reason: answer.left.reason }, 'cannot follow the ledger now')
        return false
      }
      coming = after
      after = after.then(askAfter)
      const { events, next } = answer.right
      if (!(await this.#takeIn(events))) return false
      this.#checkpoint = this.#following
        ? { ...next, [this.#options.own]: this.#checkpoint[this.#options.own] ?? 0 }
        : next
      count += events.length
      if (events.length > 0) onProgress?.(count)
    }
    this.#lastRead = count
    this.#pollMs = count > 0 ? this.#options.pollMinMs : Math.min(this.#pollMs * 2, this.#options.pollMaxMs)
    return true
  }

  /**
   * Takes in a page, a part at a time with a turn for all else in between: for packets, and for the connection to the
   * store, which sends the question for the next page only when it has a turn.
   */
  async #takeIn(events: ReadonlyArray<Unsealed>): Promise<boolean> {
    const { replica, onFatal, timer } = this.#options
    for (let at = 0; at < events.length; at++) {
      if (at > 0 && at % TURN_EVENTS === 0) await new Promise<void>((resolve) => timer.soon(resolve))
      if (!applyStored(replica, events[at] as Unsealed, onFatal)) return false
    }
    return true
  }

  #schedule(): void {
    if (this.#stopped) return
    const { timer } = this.#options
    this.#cancel = timer.after(
      this.#pollMs,
      () => void (this.#running ?? this.#run(false)).finally(() => this.#schedule()),
    )
  }
}
