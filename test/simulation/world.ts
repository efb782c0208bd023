/**
 * A time of its own: events in the order of a clock that only this world moves, and chance that one seed decides. Nothing
 * in a simulation may wait for anything else, so the same seed gives the same run to the letter.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { Instant } from '../../domain/instant.ts'
import type { Timer } from '../../projections/timer.ts'

interface Planned {
  readonly at: Instant
  readonly order: number
  readonly act: () => void
  cancelled: boolean
}

/** A world that begins at `start`. */
export class World {
  #now: Instant
  #order = 0
  #planned: Planned[] = []
  #state: number

  constructor(seed: number, start: Instant) {
    this.#state = seed >>> 0
    this.#now = start
  }

  /** True time, which no server knows. */
  get now(): Instant {
    return this.#now
  }

  /** A number from 0 up to but not including 1 (mulberry32). */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number {
    return min + Math.floor(this.random() * (max - min + 1))
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.random() < probability
  }

  /** Calls `act` after `ms` of true time unless what it gives is called before. */
  after(ms: number, act: () => void): () => void {
    const planned = { at: this.#now + ms, order: this.#order++, act, cancelled: false }
    this.#insert(planned)
    return () => {
      planned.cancelled = true
    }
  }

  /** The timer of a part of the world that stands still from the moment `isAlive` is false. */
  timer(isAlive: () => boolean): Timer {
    const guarded = (act: () => void) => () => {
      if (isAlive()) act()
    }
    return {
      after: (ms, act) => this.after(ms, guarded(act)),
      soon: (act) => void this.after(0, guarded(act)),
    }
  }

  /** Resolves after `ms` of true time. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve))
  }

  /** Lets everything happen up to `until`, calling `check` after each step. */
  async run(until: Instant, check: () => void): Promise<void> {
    for (;;) {
      const next = this.#planned[0]
      if (next === undefined || next.at > until) break
      this.#removeFirst()
      if (next.cancelled) continue
      this.#now = next.at
      next.act()
      // One real turn of the event loop runs everything that promises have made ready, and nothing else is going on.
      await turn()
      check()
    }
    this.#now = until
  }

  #insert(planned: Planned): void {
    const heap = this.#planned
    let at = heap.push(planned) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(planned, heap[parent] as Planned)) break
      heap[at] = heap[parent] as Planned
      at = parent
    }
    heap[at] = planned
  }

  #removeFirst(): void {
    const heap = this.#planned
    const last = heap.pop() as Planned
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Planned, heap[child] as Planned)) child++
      if (!isBefore(heap[child] as Planned, last)) break
      heap[at] = heap[child] as Planned
      at = child
    }
    heap[at] = last
  }
}

const isBefore = (a: Planned, b: Planned): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
