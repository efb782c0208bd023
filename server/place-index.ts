/**
 * Finds places by a text that stands at each: a hash table whose chains run through rows of integers, one a place. Many
 * places may have one text. The garbage collector has nothing to do here: with a `Map` for streams and one for holders a
 * lease took 64 octets more, and a replay longer.
 */
import { randomInt } from 'node:crypto'

/** Nothing, as a place. */
export const NOWHERE = -1

const SIZE_MIN = 1_024

/**
 * Clients choose some of the texts: without a secret they could choose such as fall into one chain. Nothing but the time that
 * a search takes depends on it.
 */
const SECRET = randomInt(2 ** 32) | 0

/** FNV-1a, and the last steps of MurmurHash3, so that the low bits depend on all others. */
const hashOf = (text: string): number => {
  let hash = SECRET
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return hash ^ (hash >>> 13)
}

/** An index of the places 0, 1, 2 and on. A place is added once, and again only after it was removed. */
export class PlaceIndex {
  readonly #textAt: (place: number) => string
  /** First places of the chains. Their number is a power of two and that of the places there is room for. */
  #heads = new Int32Array(SIZE_MIN).fill(NOWHERE)
  #next = new Int32Array(SIZE_MIN)
  #hashes = new Int32Array(SIZE_MIN)

  /** `textAt` gives the text of a place as long as it is in the index. */
  constructor(textAt: (place: number) => string) {
    this.#textAt = textAt
  }

  /** A place with this text, or {@link NOWHERE}. */
  find(text: string): number {
    return this.#following(this.#heads[this.#chainOf(hashOf(text))] as number, text)
  }

  /** The next place with the same text as `place`, in no particular order, or {@link NOWHERE}. */
  findNext(place: number): number {
    return this.#following(this.#next[place] as number, this.#textAt(place))
  }

  #following(from: number, text: string): number {
    let place = from
    while (place !== NOWHERE && this.#textAt(place) !== text) place = this.#next[place] as number
    return place
  }

  /** New places must come in their order. */
  add(place: number): void {
    if (place === this.#heads.length) this.#grow()
    const hash = hashOf(this.#textAt(place))
    this.#hashes[place] = hash
    this.#link(place, hash)
  }

  remove(place: number): void {
    const chain = this.#chainOf(this.#hashes[place] as number)
    let before = NOWHERE
    let at = this.#heads[chain] as number
    while (at !== place) {
      before = at
      at = this.#next[at] as number
    }
    const after = this.#next[place] as number
    if (before === NOWHERE) this.#heads[chain] = after
    else this.#next[before] = after
  }

  #link(place: number, hash: number): void {
    const chain = this.#chainOf(hash)
    this.#next[place] = this.#heads[chain] as number
    this.#heads[chain] = place
  }

  #chainOf(hash: number): number {
    return hash & (this.#heads.length - 1)
  }

  /** All places there is room for are in use, and in the index but for the new one. */
  #grow(): void {
    const count = this.#heads.length
    const hashes = new Int32Array(2 * count)
    hashes.set(this.#hashes)
    this.#hashes = hashes
    this.#next = new Int32Array(2 * count)
    this.#heads = new Int32Array(2 * count).fill(NOWHERE)
    for (let place = 0; place < count; place++) this.#link(place, hashes[place] as number)
  }
}
