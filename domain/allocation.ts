/**
 * Choosing an address (design: a function of the client). The client's key gives the place in the pools where the
 * search starts, and the next free place from there is its address. So servers that hear the same DISCOVER offer the same
 * address, different clients land apart, and servers do not race through a pool in step.
 */
import type { ClientKey } from './lease.ts'
import type { Occupancy } from './occupancy.ts'

/**
 * Where the search of a client starts in a space of `size` places (a safe integer): the same on every server, evenly
 * spread over clients. MurmurHash3's finaliser over two FNV-1a passes; nothing here needs to resist an attacker, who can
 * choose client identifiers anyway.
 */
export const startingPlace = (holder: ClientKey, subnetId: number, size: number): number => {
  const high = hash32(holder, subnetId ^ 0x9e3779b9) & 0x1fffff
  const low = hash32(holder, subnetId ^ 0x85ebca6b)
  const fraction = (high * 0x1_0000_0000 + low) / 0x20_0000_0000_0000
  return Math.min(Math.floor(fraction * size), size - 1)
}

/** A 32-bit hash of a text, uint32. */
export const hash32 = (text: string, seed: number): number => {
  let hash = 0x811c9dc5 ^ seed
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** A free place: which of the spaces searched, and the place in it. */
export interface FreePlace {
  readonly space: number
  readonly place: number
}

/**
 * One of several who choose in the same pools at the same time and do not hear the same clients, such as the workers of a
 * server: of places that are free alike it takes those whose number leaves `own` when it is divided by `count`, so that
 * two of them do not offer one address to two clients.
 */
export interface Lane {
  readonly own: number
  readonly count: number
}

/**
 * The first free place at or after `start`, counted over the spaces one after another, wrapping round at the end;
 * `undefined` when every place is taken. With a lane, a near one of the lane if there is any, else the first.
 */
export const findFree = (spaces: ReadonlyArray<Occupancy>, start: number, lane?: Lane): FreePlace | undefined => {
  let first = 0
  let offset = start
  while (first < spaces.length - 1 && offset >= (spaces[first] as Occupancy).size) {
    offset -= (spaces[first] as Occupancy).size
    first++
  }
  // The space that the search starts in is visited twice: from the start to its end, and at last from its beginning.
  for (let step = 0; step <= spaces.length; step++) {
    const space = (first + step) % spaces.length
    const occupancy = spaces[space]
    if (occupancy === undefined) return undefined
    const place = freeIn(occupancy, step === 0 ? offset : 0, lane)
    if (place >= 0) return { space, place }
  }
  return undefined
}

/** The lane of one of several (`inner`) within that of all of them (`outer`), such as of a worker within its server's. */
export const laneWithin = (outer: Lane | undefined, inner: Lane | undefined): Lane | undefined =>
  outer === undefined || inner === undefined
    ? (outer ?? inner)
    : { own: outer.own * inner.count + inner.own, count: outer.count * inner.count }

/** How many places a search looks at for one of its lane, for each that shares the pool. */
const TRIES = 4

const freeIn = (occupancy: Occupancy, from: number, lane: Lane | undefined): number => {
  const first = occupancy.nextFree(from)
  if (lane === undefined) return first
  let place = first
  for (let tries = TRIES * lane.count; tries > 0 && place >= 0; tries--) {
    const away = (lane.own - (place % lane.count) + lane.count) % lane.count
    if (away === 0) return place
    place = occupancy.nextFree(place + away)
  }
  return first
}
