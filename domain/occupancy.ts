/**
 * Which places of a pool are taken, and the next free one after a given place. A tree of bitmaps: a bit of level 0
 * is one place, a bit of level n says that a whole word of level n - 1 is full. A search climbs over full words and comes
 * down at the first gap, so it costs the same at 50 % and at 99.99 %: a few steps a level, one level for each 32-fold.
 *
 * Words of small pools are one typed array; those of large ones (a /64 too) are kept only where something is taken, so
 * memory follows the number of leases and never the size of the pool.
 */
export class Occupancy {
  /** Places, numbered from 0. A safe integer. */
  readonly size: number
  #taken = 0
  readonly #levels: Words[]

  constructor(size: number) {
    this.size = size
    this.#levels = []
    let words = size
    do {
      words = Math.ceil(words / 32)
      this.#levels.push(words <= DENSE_WORDS_MAX ? new DenseWords(words) : new SparseWords())
    } while (words > 1)
  }

  /** How many places are taken. */
  get taken(): number {
    return this.#taken
  }

  /** Whether `place` is taken. */
  has(place: number): boolean {
    return (this.#word(0, Math.floor(place / 32)) & (1 << (place % 32))) !== 0
  }

  /** Takes `place`; taking it again changes nothing. */
  add(place: number): void {
    if (this.has(place)) return
    this.#taken++
    let at = place
    for (const words of this.#levels) {
      const index = Math.floor(at / 32)
      const word = words.get(index) | (1 << (at % 32))
      words.set(index, word)
      if (word !== FULL) return
      at = index
    }
  }

  /** Frees `place`; freeing it again changes nothing. */
  delete(place: number): void {
    if (!this.has(place)) return
    this.#taken--
    let at = place
    for (const words of this.#levels) {
      const index = Math.floor(at / 32)
      const before = words.get(index)
      words.set(index, before & ~(1 << (at % 32)))
      if (before !== FULL) return
      at = index
    }
  }

  /** The first free place at or after `from`; -1 when there is none up to the end. */
  nextFree(from: number): number {
    if (from >= this.size) return -1
    let at = from
    for (let level = 0; level < this.#levels.length; level++) {
      const index = Math.floor(at / 32)
      const gaps = ~this.#word(level, index) & (-1 << (at % 32))
      if (gaps !== 0) return this.#descend(level, index * 32 + lowestBit(gaps))
      at = index + 1
    }
    return -1
  }

  #descend(level: number, place: number): number {
    let at = place
    for (let below = level - 1; below >= 0; below--) at = at * 32 + lowestBit(~this.#word(below, at))
    return at < this.size ? at : -1
  }

  #word(level: number, index: number): number {
    return (this.#levels[level] as Words).get(index)
  }
}

const FULL = -1

/** Pools of up to 2^24 places (2 MiB of bits) are kept as plain arrays. */
const DENSE_WORDS_MAX = 1 << 19

const lowestBit = (word: number): number => 31 - Math.clz32(word & -word)

interface Words {
  get(index: number): number
  set(index: number, word: number): void
}

class DenseWords implements Words {
  readonly #words: Int32Array
  constructor(count: number) {
    this.#words = new Int32Array(count)
  }
  get(index: number): number {
    return this.#words[index] ?? 0
  }
  set(index: number, word: number): void {
    this.#words[index] = word
  }
}

class SparseWords implements Words {
  readonly #words = new Map<number, number>()
  get(index: number): number {
    return this.#words.get(index) ?? 0
  }
  set(index: number, word: number): void {
    if (word === 0) this.#words.delete(index)
    else this.#words.set(index, word)
  }
}
