/**
 * The pools of the configuration as spaces of numbered places, kept in step with the replica: which addresses and prefixes
 * are free to be chosen. One structure for IPv4 pools, IPv6 pools and pools of delegated prefixes.
 */
import * as O from 'fp-ts/lib/Option.js'
import { findFree, startingPlace } from '../domain/allocation.ts'
import type { Lane } from '../domain/allocation.ts'
import type { Instant } from '../domain/instant.ts'
import type { ClientKey, LeaseState } from '../domain/lease.ts'
import { Occupancy } from '../domain/occupancy.ts'
import { lease4Stream, lease6Stream, parseStream, prefix6Stream } from '../domain/stream.ts'
import type { Category, Resource, StreamName } from '../domain/stream.ts'
import type { Dhcp4, Dhcp6 } from './config/model.ts'
import { lastWhere } from './last-where.ts'
import type { Replica } from './replica.ts'

/** A pool as places: place 0 is its first address or prefix. */
export interface Space {
  readonly category: Category
  readonly subnetId: number
  readonly poolId: number
  /** First address of place 0. IPv4 addresses as bigint too: spaces are searched by address. */
  readonly first: bigint
  /** Last address of the last place. */
  readonly last: bigint
  /** Addresses a place: 1, or 2^(128 - delegated length). As a power of two. */
  readonly shift: bigint
  readonly prefixLength: number
  readonly occupancy: Occupancy
  /** Places that are reserved: never free for a search. */
  readonly blocked: Set<number>
  /** Live prefixes of other lengths that overlap a place, left from a time when the delegated length was another. */
  readonly foreign: Map<number, Set<StreamName>>
}

/** How the start of a search is chosen. */
export interface Choice {
  readonly allocator: 'hashed' | 'iterative' | 'random'
  readonly holder: ClientKey
  readonly subnetId: number
  /** The spaces that the client may have addresses from. */
  readonly spaces: ReadonlyArray<Space>
}

/** An address or prefix that is free as far as this server knows. */
export interface Free {
  readonly stream: StreamName
  readonly space: Space
}

/** Pools larger than this many places are searched only in their first 2^52; a hash spreads clients evenly over those. */
const PLACES_MAX = 2 ** 52

/** All pools of a configuration. Make a new one when the configuration changes. */
export class Spaces {
  readonly #sorted: Record<Category, Space[]> = { lease4: [], lease6: [], prefix6: [] }
  readonly #bySubnet = new Map<string, Space[]>()
  readonly #cursors = new Map<string, number>()
  readonly #replica: Replica
  readonly #now: () => Instant
  readonly #random: () => number
  readonly #lane: () => Lane | undefined

  constructor(
    replica: Replica,
    now: () => Instant,
    random: () => number,
    dhcp4: Dhcp4 | undefined,
    dhcp6: Dhcp6 | undefined,
    lane: () => Lane | undefined = () => undefined,
  ) {
    this.#replica = replica
    this.#now = now
    this.#random = random
    this.#lane = lane
    for (const space of [...spaces4(dhcp4), ...spaces6(dhcp6)]) {
      this.#sorted[space.category].push(space)
      const key = `${space.category}/${space.subnetId}`
      this.#bySubnet.set(key, [...(this.#bySubnet.get(key) ?? []), space])
    }
    for (const sorted of Object.values(this.#sorted)) sorted.sort((a, b) => (a.first < b.first ? -1 : 1))
    this.#block(dhcp4, dhcp6)
    replica.forEachStanding((stream, status, expiresAt) => this.#sync(stream, this.#occupies(status, expiresAt)))
    for (const stream of replica.tentativeStreams()) this.sync(stream)
  }

  /** The pools of a subnet, in the order of the configuration. */
  of(category: Category, subnetId: number): ReadonlyArray<Space> {
    return this.#bySubnet.get(`${category}/${subnetId}`) ?? []
  }

  /** Brings the places of a stream in step with the replica. */
  sync(stream: StreamName): void {
    this.#sync(stream, this.#occupied(stream))
  }

  #sync(stream: StreamName, occupied: boolean): void {
    const parsed = parseStream(stream)
    if (O.isNone(parsed)) return
    const resource = parsed.value
    this.#cover(resource, (space, place) => {
      if (resource.category === 'prefix6' && resource.prefixLength !== space.prefixLength) {
        noteForeign(space, place, stream, occupied)
      }
      const taken = space.foreign.has(place) || space.blocked.has(place)
      if (taken || (isOwn(space, resource) ? occupied : this.#occupied(streamAt(space, place))))
        space.occupancy.add(place)
      else space.occupancy.delete(place)
    })
  }

  #occupied(stream: StreamName): boolean {
    const { status, expiresAt } = this.#replica.standing(stream)
    return this.#occupies(status, expiresAt)
  }

  #occupies(status: LeaseState['status'], expiresAt: Instant): boolean {
    return status === 'bound' || status === 'declined' || (status === 'offered' && this.#now() < expiresAt)
  }

  /** The space that an address or prefix belongs to as a place of its own; `undefined` when it is outside all pools. */
  containing(resource: Resource): Space | undefined {
    const space = this.#spaceAt(resource.category, BigInt(resource.address))
    return space !== undefined && isOwn(space, resource) ? space : undefined
  }

  /** Whether a live prefix of another length lies around or inside this one, as far as this server knows. */
  isOverlapped(resource: Resource): boolean {
    let overlapped = false
    this.#cover(resource, (space, place) => {
      overlapped ||= space.foreign.has(place)
    })
    return overlapped
  }

  /** The share of a subnet's places that is taken, as far as this server knows: 0 to 1; 0 where it has none. */
  usedShare(category: Category, subnetId: number): number {
    let size = 0
    let taken = 0
    for (const { occupancy } of this.of(category, subnetId)) {
      size += occupancy.size
      taken += occupancy.taken
    }
    return size === 0 ? 0 : taken / size
  }

  /** A free address or prefix for a client; `undefined` when all are taken as far as this server knows. */
  choose(choice: Choice): Free | undefined {
    const { spaces } = choice
    if (spaces.length === 0) return undefined
    const size = spaces.reduce((sum, space) => sum + space.occupancy.size, 0)
    const found = findFree(
      spaces.map((space) => space.occupancy),
      this.#start(choice, Math.min(size, Number.MAX_SAFE_INTEGER)),
      this.#lane(),
    )
    if (found === undefined) return undefined
    const space = spaces[found.space] as Space
    return { space, stream: streamAt(space, found.place) }
  }

  #start(choice: Choice, size: number): number {
    switch (choice.allocator) {
      case 'hashed':
        return startingPlace(choice.holder, choice.subnetId, size)
      case 'random':
        return Math.floor(this.#random() * size)
      case 'iterative': {
        const key = `${choice.spaces[0]?.category}/${choice.subnetId}`
        const at = this.#cursors.get(key) ?? 0
        this.#cursors.set(key, (at + 1) % size)
        return at
      }
    }
  }

  /** Reserved addresses inside pools are taken for good: only their owners get them, and those do not search. */
  #block(dhcp4: Dhcp4 | undefined, dhcp6: Dhcp6 | undefined): void {
    const block = (resource: Resource): void => {
      this.#cover(resource, (space, place) => {
        space.blocked.add(place)
        space.occupancy.add(place)
      })
    }
    const lists4 = [dhcp4?.globalReservations ?? [], ...(dhcp4?.subnets ?? []).map((subnet) => subnet.reservations)]
    for (const { address } of lists4.flat()) if (address !== undefined) block({ category: 'lease4', address })
    const lists6 = [dhcp6?.globalReservations ?? [], ...(dhcp6?.subnets ?? []).map((subnet) => subnet.reservations)]
    for (const { addresses, prefixes } of lists6.flat()) {
      for (const address of addresses) block({ category: 'lease6', address })
      for (const { prefix, length } of prefixes) {
        block({ category: 'prefix6', address: prefix, prefixLength: length })
      }
    }
  }

  /** Every place that shares an address with `resource`: one, unless the delegated length was another once. */
  #cover(resource: Resource, visit: (space: Space, place: number) => void): void {
    const first = BigInt(resource.address)
    const last = resource.category === 'prefix6' ? first | ((1n << BigInt(128 - resource.prefixLength)) - 1n) : first
    for (const space of this.#overlapping(resource.category, first, last)) {
      const from = first < space.first ? 0 : Number((first - space.first) >> space.shift)
      const to = last > space.last ? space.occupancy.size - 1 : Number((last - space.first) >> space.shift)
      for (let place = from; place <= to && place < space.occupancy.size; place++) visit(space, place)
    }
  }

  #overlapping(category: Category, first: bigint, last: bigint): Space[] {
    const spaces = this.#sorted[category]
    const found: Space[] = []
    for (let i = this.#indexAt(category, last); i >= 0; i--) {
      const space = spaces[i] as Space
      if (space.last < first) break
      found.push(space)
    }
    return found
  }

  #spaceAt(category: Category, address: bigint): Space | undefined {
    const space = this.#sorted[category][this.#indexAt(category, address)]
    return space !== undefined && address <= space.last ? space : undefined
  }

  /** Index of the last space that begins at or before `address`; -1 when none does. Pools do not overlap. */
  #indexAt(category: Category, address: bigint): number {
    return lastWhere(this.#sorted[category], ({ first }) => first <= address)
  }
}

/** Whether a stream is a place of the space by itself, not just an overlap with one. */
const isOwn = (space: Space, resource: Resource): boolean =>
  resource.category !== 'prefix6' || resource.prefixLength === space.prefixLength

const noteForeign = (space: Space, place: number, stream: StreamName, occupied: boolean): void => {
  const streams = space.foreign.get(place) ?? new Set()
  if (occupied) space.foreign.set(place, streams.add(stream))
  else if (streams.delete(stream) && streams.size === 0) space.foreign.delete(place)
}

const streamAt = (space: Space, place: number): StreamName => {
  const address = space.first + (BigInt(place) << space.shift)
  switch (space.category) {
    case 'lease4':
      return lease4Stream(Number(address))
    case 'lease6':
      return lease6Stream(address)
    case 'prefix6':
      return prefix6Stream(address, space.prefixLength)
  }
}

const makeSpace = (
  category: Category,
  subnetId: number,
  poolId: number,
  range: { first: bigint; last: bigint },
  prefixLength: number,
  shift: bigint,
): Space => {
  const count = ((range.last - range.first) >> shift) + 1n
  const size = count > BigInt(PLACES_MAX) ? PLACES_MAX : Number(count)
  const occupancy = new Occupancy(size)
  return {
    category,
    subnetId,
    poolId,
    ...range,
    shift,
    prefixLength,
    occupancy,
    blocked: new Set(),
    foreign: new Map(),
  }
}

const spaces4 = (dhcp4: Dhcp4 | undefined): Space[] =>
  (dhcp4?.subnets ?? []).flatMap((subnet) =>
    subnet.pools.map((pool) =>
      makeSpace('lease4', subnet.id, pool.id, { first: BigInt(pool.first), last: BigInt(pool.last) }, 32, 0n),
    ),
  )

const spaces6 = (dhcp6: Dhcp6 | undefined): Space[] =>
  (dhcp6?.subnets ?? []).flatMap((subnet) => [
    ...subnet.pools.map((pool) => makeSpace('lease6', subnet.id, pool.id, pool, 128, 0n)),
    ...subnet.pdPools.map((pool) => {
      const last = pool.prefix | ((1n << BigInt(128 - pool.prefixLength)) - 1n)
      const shift = BigInt(128 - pool.delegatedLength)
      return makeSpace('prefix6', subnet.id, pool.id, { first: pool.prefix, last }, pool.delegatedLength, shift)
    }),
  ])
