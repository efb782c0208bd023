/**
 * Keeps the replica current: reads what all servers append, woken by the store's hints and, because hints may be lost,
 * by a timer that is quick while others write and slow while nobody does.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, Recorded, Seq } from '../domain/event-store.ts'
import { applyStored } from './ledger.ts'
import type { Logger } from './logger.ts'
import type { Replica } from './replica.ts'

/** What a follower is made of. Times in ms. */
export interface FollowerOptions {
  readonly store: EventReader
  readonly replica: Replica
  /** Where the replica stands when the follower is made. */
  readonly from: Checkpoint
  readonly log: Logger
  readonly pageMax: number
  readonly pollMinMs: number
  readonly pollMaxMs: number
  readonly onFatal: (reason: string) => void
  /** Told how many events have been read in this catch-up so far, page by page. */
  readonly onProgress?: (read: number) => void
}

/** Follows the ledger from a checkpoint on. */
export class Follower {
  readonly #options: FollowerOptions
  #checkpoint: Checkpoint
  #running: Promise<boolean> | undefined
  #again = false
  #timer: NodeJS.Timeout | undefined
  #pollMs: number
  #unsubscribe: () => Promise<void> = () => Promise.resolve()
  #stopped = false

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#checkpoint = options.from
    this.#pollMs = options.pollMaxMs
  }

  /** Up to where the replica has taken in every log. */
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
    this.#running = this.#read().finally(() => {
      this.#running = undefined
      if (this.#again && !this.#stopped) {
        this.#again = false
        void this.catchUp()
      }
    })
    return this.#running
  }

  /** Begins to follow; call after the first `catchUp`. */
  async start(): Promise<void> {
    const subscribed = await this.#options.store.onAppended(() => void this.catchUp())()
    if (E.isRight(subscribed)) this.#unsubscribe = subscribed.right
    else this.#options.log.warn({ reason: subscribed.left.reason }, 'no wake-ups from the store; polling only')
    this.#schedule()
  }

  /** Notes events of this server's own log that the replica took in when they were appended. In order of the log. */
  passOwn(events: ReadonlyArray<Recorded>): void {
    const last = events.at(-1)
    const first = events[0]
    if (last === undefined || first === undefined) return
    // Only when nothing of the log lies between: otherwise the gap is read in the ordinary way.
    if ((this.#checkpoint[last.log] ?? 0) === first.seq - 1) this.#moveTo(last.log, last.seq)
  }

  /** Stops following. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#unsubscribe()
    await this.#running
  }

  #moveTo(log: string, seq: Seq): void {
    this.#checkpoint = { ...this.#checkpoint, [log]: seq }
  }

  async #read(): Promise<boolean> {
    const { store, replica, pageMax, onFatal, onProgress, log } = this.#options
    let count = 0
    for (;;) {
      const page = await store.readAfter(this.#checkpoint, pageMax)()
      if (E.isLeft(page)) {
        if (page.left._tag === 'StoreUnusable') onFatal(page.left.reason)
        log.debug({ reason: page.left.reason }, 'cannot follow the ledger now')
        return false
      }
      const { events, next } = page.right
      for (const stored of events) if (!applyStored(replica, stored, onFatal)) return false
      // Own events may have been passed on while the page was on its way: never go back behind them.
      this.#checkpoint = furthest(this.#checkpoint, next)
      if (events.length === 0) break
      count += events.length
      onProgress?.(count)
    }
    this.#pollMs = count > 0 ? this.#options.pollMinMs : Math.min(this.#pollMs * 2, this.#options.pollMaxMs)
    return true
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => void this.catchUp().finally(() => this.#schedule()), this.#pollMs)
  }
}

const furthest = (a: Checkpoint, b: Checkpoint): Checkpoint => {
  const merged: Record<string, Seq> = { ...a }
  for (const [log, seq] of Object.entries(b)) merged[log] = Math.max(merged[log] ?? 0, seq)
  return merged
}
