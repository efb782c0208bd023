/**
 * A map for entries that come and go, thousands a second, of which few are there at a time.
 *
 * A `Map` moves to a new table whenever as many entries have come as it has room for, and the table that it leaves points
 * to the next one. One of them that has grown old by chance keeps all that follow alive, with the entries in them, until
 * the old generation is collected: at 4,000 leases a second three megabytes were copied out of the young generation each
 * time, of which half was this. So nothing is deleted here; an entry that goes leaves its key behind, and when there are
 * many of those the rest moves to a map to which nothing points.
 */
export class PassingMap<K, V> {
  #entries = new Map<K, V | undefined>()
  #size = 0

  /** How many entries there are. */
  get size(): number {
    return this.#size
  }

  /** The value of an entry; undefined where there is none. */
  get(key: K): V | undefined {
    return this.#entries.get(key)
  }

  /** Whether there is an entry. */
  has(key: K): boolean {
    return this.#entries.get(key) !== undefined
  }

  /** Makes an entry, or gives the one that is there another value and leaves it in its place. */
  set(key: K, value: V): void {
    if (!this.has(key)) {
      this.#size++
      if (this.#entries.size >= KEYS_MIN && this.#entries.size > 4 * this.#size) this.#renew()
      // One that comes again comes last, as in a Map, and not where it was before.
      this.#entries.delete(key)
    }
    this.#entries.set(key, value)
  }

  /** Ends an entry. Whether there was one. */
  delete(key: K): boolean {
    if (!this.has(key)) return false
    this.#entries.set(key, undefined)
    this.#size--
    return true
  }

  /** Ends all entries. */
  clear(): void {
    this.#entries = new Map()
    this.#size = 0
  }

  /** The keys of the entries, in the order in which they came. Entries may end meanwhile. */
  *keys(): IterableIterator<K> {
    for (const [key, value] of this.#entries) if (value !== undefined) yield key
  }

  /** The values of the entries, in the order in which they came. Entries may end meanwhile. */
  *values(): IterableIterator<V> {
    for (const value of this.#entries.values()) if (value !== undefined) yield value
  }

  #renew(): void {
    const entries = new Map<K, V>()
    for (const [key, value] of this.#entries) if (value !== undefined) entries.set(key, value)
    this.#entries = entries
  }
}

/** With fewer keys than that, what was left behind is let be. */
const KEYS_MIN = 512
