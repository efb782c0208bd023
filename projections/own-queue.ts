/**
 * The events that a server has just appended to its own log and that wait to be projected. Bounded: when it is full it
 * lets go of everything, because the ledger has it, and begins anew with what comes next.
 */
import type { Recorded, Seq } from '../domain/event-store.ts'

export class OwnQueue {
  readonly #max: number
  /** Without gaps. */
  #events: Recorded[] = []
  #head: Seq = 0
  #overflown = false

  constructor(max: number) {
    this.#max = max
  }

  get length(): number {
    return this.#events.length
  }

  /** The last position of the log, as far as it is known. */
  get head(): Seq {
    return this.#head
  }

  /** Whether events had to be let go that have not been read back yet. */
  get overflown(): boolean {
    return this.#overflown
  }

  /** The log reaches at least to `head`. */
  headIs(head: Seq): void {
    this.#head = Math.max(this.#head, head)
  }

  /** Takes events of the log, in order. */
  push(events: ReadonlyArray<Recorded>): void {
    const first = events[0]
    if (first === undefined) return
    if (this.length > 0 && this.#events.at(-1)?.seq !== first.seq - 1) this.clear()
    if (this.length + events.length > this.#max) {
      this.clear()
      this.#overflown = true
    } else for (const event of events) this.#events.push(event)
    this.headIs(events.at(-1)?.seq ?? 0)
  }

  /** The events that follow `at` without a gap, at most `countMax`; none when they are not here. */
  after(at: Seq, countMax: number): ReadonlyArray<Recorded> {
    if (this.hasGapAfter(at)) return []
    return this.#events.slice(0, countMax)
  }

  /** Whether events between `at` and the end of the log are not here. */
  hasGapAfter(at: Seq): boolean {
    return at < this.#head && this.#events[0]?.seq !== at + 1
  }

  /** Forgets the events up to `at`. */
  dropUpTo(at: Seq): void {
    let done = 0
    while ((this.#events[done]?.seq ?? Infinity) <= at) done++
    // A new array, so that nothing points any more to what is done with: what is let go young costs the collector nothing.
    if (done > 0) this.#events = this.#events.slice(done)
    if (!this.hasGapAfter(at)) this.#overflown = false
  }

  clear(): void {
    this.#events = []
  }
}
