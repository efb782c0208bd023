import type { Instant } from '../domain/instant.ts'

/**
 * Things that become due, in whole seconds. Items are never taken off early: whoever takes them asks whether they still
 * are due, so a renewal costs one push and no search. A heap orders the seconds, not the items.
 */
export class DueList<T> {
  readonly #buckets = new Map<number, T[]>()
  readonly #seconds: number[] = []

  /** Notes that `item` is due at `at` (ms; rounded up to the second). */
  add(at: Instant, item: T): void {
    const second = Math.ceil(at / 1000)
    const bucket = this.#buckets.get(second)
    if (bucket !== undefined) bucket.push(item)
    else {
      this.#buckets.set(second, [item])
      this.#push(second)
    }
  }

  /** Takes off items due before `before` (ms) for which `still` holds, at most `countMax`; others are let go. */
  take(before: Instant, countMax: number, still: (item: T) => boolean): T[] {
    const taken: T[] = []
    while (taken.length < countMax) {
      const second = this.#seconds[0]
      if (second === undefined || second * 1000 > before) break
      const bucket = this.#buckets.get(second) ?? []
      while (bucket.length > 0 && taken.length < countMax) {
        const item = bucket.pop() as T
        if (still(item)) taken.push(item)
      }
      if (bucket.length > 0) break
      this.#buckets.delete(second)
      this.#pop()
    }
    return taken
  }

  #push(second: number): void {
    const heap = this.#seconds
    let at = heap.push(second) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if ((heap[parent] as number) <= second) break
      heap[at] = heap[parent] as number
      at = parent
    }
    heap[at] = second
  }

  #pop(): void {
    const heap = this.#seconds
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && (heap[child + 1] as number) < (heap[child] as number)) child++
      if ((heap[child] as number) >= last) break
      heap[at] = heap[child] as number
      at = child
    }
    heap[at] = last
  }
}
