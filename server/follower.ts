/**
 * Keeps the replica current: reads what all servers append, woken by the store's hints and, because hints may be lost,
 * by a timer that is quick while others write and slow while nobody does.
 *
 * A reading that follows others rests for a moment before the next one, so that what is appended meanwhile comes in one
 * page: a page costs as much as many events. A reading that somebody waits for does not.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, LogName, Stored } from '../domain/event-store.ts'
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
  /** After a reading on a hint, until the next. */
  readonly restMs: number
  readonly onFatal: (reason: string) => void
  /** Told how many events have been read in this catch-up so far, page by page. */
  readonly onProgress?: (read: number) => void
}

/** Events that are taken in without a pause: a millisecond or two. */
const TURN_EVENTS = 500

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
    void this.#run(false).then(() => this.#options.timer.after(this.#options.restMs, rested))
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
   * Reads pages: to the end, which an empty page proves, or until one is not full. The store looks for the next page while
   * the replica takes in the one before.
   */
  async #read(toTheEnd: boolean): Promise<boolean> {
    const { store, pageMax, onFatal, onProgress, log } = this.#options
    const freshness = toTheEnd ? 'committed' : 'seen'
    let count = 0
    let reading = store.readAfter(this.#asked(this.#checkpoint), pageMax, freshness)()
    for (;;) {
      const page = await reading
      if (E.isLeft(page)) {
        if (page.left._tag === 'StoreUnusable') onFatal(page.left.reason)
        log.debug({ reason: page.left.reason }, 'cannot follow the ledger now')
        return false
      }
      const { events, next } = page.right
      const isLast = events.length === 0 || (!toTheEnd && events.length < pageMax)
      if (!isLast) reading = store.readAfter(this.#asked(next), pageMax, freshness)()
      if (!(await this.#takeIn(events))) return false
      this.#checkpoint = this.#following
        ? { ...next, [this.#options.own]: this.#checkpoint[this.#options.own] ?? 0 }
        : next
      count += events.length
      if (events.length > 0) onProgress?.(count)
      if (isLast) break
    }
    this.#pollMs = count > 0 ? this.#options.pollMinMs : Math.min(this.#pollMs * 2, this.#options.pollMaxMs)
    return true
  }

  /**
   * Takes in a page, a part at a time with a turn for all else in between: for packets, and for the connection to the
   * store, which sends the question for the next page only when it has a turn.
   */
  async #takeIn(events: ReadonlyArray<Stored>): Promise<boolean> {
    const { replica, onFatal, timer } = this.#options
    for (let at = 0; at < events.length; at++) {
      if (at > 0 && at % TURN_EVENTS === 0) await new Promise<void>((resolve) => timer.soon(resolve))
      if (!applyStored(replica, events[at] as Stored, onFatal)) return false
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
