/**
 * Leases, packed, because there are as many as streams. The numbers of a lease stand in a row of doubles, which the
 * garbage collector neither reads nor moves; what many leases have in common stands once; and a state is made from all
 * that when somebody asks for one.
 */
import type { Revision } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import { makeLease } from '../domain/lease.ts'
import type { ClientKey, Lease, Relay, Status, Used } from '../domain/lease.ts'
import type { StreamName } from '../domain/stream.ts'
import { NOWHERE, PlaceIndex } from './place-index.ts'

/** What a lease has in common with most others of its subnet. */
type Common = Readonly<
  Pick<
    Lease,
    | 'fqdnForward'
    | 'fqdnReverse'
    | 'hwSource'
    | 'hwType'
    | 'poolId'
    | 'preferredLifetimeSec'
    | 'subnetId'
    | 'userContext'
    | 'validLifetimeSec'
  >
>

/** What only this lease has, beside its holder; undefined where the key of the holder says all of it. */
type Own = Readonly<Pick<Lease, 'clientId' | 'duid' | 'hostname' | 'hwAddress' | 'iaid'>>

const NOTHING_OWN: Own = {
  clientId: undefined,
  duid: undefined,
  hostname: undefined,
  hwAddress: undefined,
  iaid: undefined,
}

const ownOf = ({ clientId, duid, hostname, hwAddress, hwType, iaid, holder }: Lease): Own | undefined => {
  const nothingElse = clientId === undefined && duid === undefined && hostname === undefined && iaid === undefined
  return nothingElse && hwAddress === hardwareIn(holder, hwType)
    ? undefined
    : { clientId, duid, hostname, hwAddress, iaid }
}

/** The hardware address in `hw:<htype>:<hex>`. */
const hardwareIn = (holder: ClientKey, hwType: number | undefined): string | undefined => {
  const prefix = hwType === ETHERNET ? 'hw:1:' : `hw:${hwType}:`
  return holder.startsWith(prefix) ? holder.slice(prefix.length) : undefined
}

const ETHERNET = 1

/** Keeps one copy of what is equal in many leases. */
class Shared {
  readonly #commons = new Map<string, Common>()
  /** Relays that say nothing but their address, by that address. */
  readonly #relays = new Map<string, Relay>()
  #last: Common | undefined
  #lastRelay: Relay | undefined

  common(lease: Lease): Common {
    if (this.#last !== undefined && sameCommon(this.#last, lease)) return this.#last
    const common = commonOf(lease)
    this.#last = pooled(this.#commons, JSON.stringify(Object.values(common).map((value) => value ?? null)), common)
    return this.#last
  }

  relay(relay: Relay | undefined): Relay | undefined {
    if (relay?.address === undefined || !saysAddressAlone(relay)) return relay
    if (this.#lastRelay?.address !== relay.address) this.#lastRelay = pooled(this.#relays, relay.address, relay)
    return this.#lastRelay
  }
}

/** What comes from clients and relays must not fill the memory; networks have fewer kinds of leases than this. */
const POOLED_MAX = 4_096

const pooled = <A>(pool: Map<string, A>, key: string, value: A): A => {
  const known = pool.get(key)
  if (known === undefined && pool.size < POOLED_MAX) pool.set(key, value)
  return known ?? value
}

const commonOf = (lease: Lease): Common => ({
  fqdnForward: lease.fqdnForward,
  fqdnReverse: lease.fqdnReverse,
  hwSource: lease.hwSource,
  hwType: lease.hwType,
  poolId: lease.poolId,
  preferredLifetimeSec: lease.preferredLifetimeSec,
  subnetId: lease.subnetId,
  userContext: lease.userContext,
  validLifetimeSec: lease.validLifetimeSec,
})

const sameCommon = (common: Common, lease: Lease): boolean =>
  common.subnetId === lease.subnetId &&
  common.poolId === lease.poolId &&
  common.validLifetimeSec === lease.validLifetimeSec &&
  common.preferredLifetimeSec === lease.preferredLifetimeSec &&
  common.hwType === lease.hwType &&
  common.hwSource === lease.hwSource &&
  common.fqdnForward === lease.fqdnForward &&
  common.fqdnReverse === lease.fqdnReverse &&
  common.userContext === lease.userContext

const saysAddressAlone = (relay: Relay): boolean => {
  for (const field in relay) if (field !== 'address' && relay[field as keyof Relay] !== undefined) return false
  return true
}

const STATUSES: ReadonlyArray<Status> = ['offered', 'bound', 'released', 'declined', 'expired', 'revoked']

/** The numbers of a lease, by their column. All are whole and within 2^53, so a double holds them as they are. */
const REVISION = 0
const STATUS = 1
const EXPIRES_AT = 2
const STARTS_AT = 3
const RENEWALS = 4
const TRANSACTION_ID = 5
const COLUMNS = 6

/** Leases of a block, as a power of two: blocks are never moved, however many there come to be. */
const BLOCK_BITS = 10
const BLOCK_MASK = (1 << BLOCK_BITS) - 1

/** The last event of each stream, packed. Streams have places, numbered from 0 in the order in which they came. */
export class PackedLeases {
  readonly #blocks: Float64Array[] = []
  readonly #streams: StreamName[] = []
  readonly #holders: ClientKey[] = []
  readonly #commons: Common[] = []
  readonly #relays: (Relay | undefined)[] = []
  readonly #owns: (Own | undefined)[] = []
  readonly #shared = new Shared()
  readonly #byStream = new PlaceIndex((place) => this.#streams[place] as StreamName)
  readonly #byHolder = new PlaceIndex((place) => this.#holders[place] as ClientKey)

  /** How many streams there are. */
  get size(): number {
    return this.#streams.length
  }

  /** The place of a stream, or {@link NOWHERE}. */
  find(stream: StreamName): number {
    return this.#byStream.find(stream)
  }

  /** The streams whose last holder is this client, in the order of their places. */
  heldBy(holder: ClientKey): StreamName[] {
    const places: number[] = []
    for (let place = this.#byHolder.find(holder); place !== NOWHERE; place = this.#byHolder.findNext(place)) {
      places.push(place)
    }
    return places.sort((a, b) => a - b).map((place) => this.stream(place))
  }

  /** Gives a new stream its place, with what its first event left. */
  add(stream: StreamName, revision: Revision, state: Used): void {
    const place = this.#streams.push(stream) - 1
    this.#byStream.add(place)
    if ((place & BLOCK_MASK) === 0) this.#blocks.push(new Float64Array(COLUMNS << BLOCK_BITS))
    this.#holders.push(state.lease.holder)
    this.#byHolder.add(place)
    this.#fill(place, revision, state)
  }

  /** Keeps what a later event left. */
  set(place: number, revision: Revision, state: Used): void {
    const { holder } = state.lease
    if (this.#holders[place] !== holder) {
      this.#byHolder.remove(place)
      this.#holders[place] = holder
      this.#byHolder.add(place)
    }
    this.#fill(place, revision, state)
  }

  #fill(place: number, revision: Revision, { status, lease }: Used): void {
    const block = this.#blockOf(place)
    const row = rowOf(place)
    block[row + REVISION] = revision
    block[row + STATUS] = STATUSES.indexOf(status)
    block[row + EXPIRES_AT] = lease.expiresAt
    block[row + STARTS_AT] = lease.startsAt
    block[row + RENEWALS] = lease.renewals
    block[row + TRANSACTION_ID] = lease.transactionId
    this.#commons[place] = this.#shared.common(lease)
    this.#relays[place] = this.#shared.relay(lease.relay)
    this.#owns[place] = ownOf(lease)
  }

  /** The one copy of the name that everything else should point to. */
  stream(place: number): StreamName {
    return this.#streams[place] as StreamName
  }

  revision(place: number): Revision {
    return this.#blockOf(place)[rowOf(place) + REVISION] as number
  }

  status(place: number): Status {
    return STATUSES[this.#blockOf(place)[rowOf(place) + STATUS] as number] as Status
  }

  expiresAt(place: number): Instant {
    return this.#blockOf(place)[rowOf(place) + EXPIRES_AT] as number
  }

  /** The state that the last event left. */
  state(place: number): Used {
    const block = this.#blockOf(place)
    const row = rowOf(place)
    const holder = this.#holders[place] as ClientKey
    const common = this.#commons[place] as Common
    const own = this.#owns[place] ?? { ...NOTHING_OWN, hwAddress: hardwareIn(holder, common.hwType) }
    const transactionId = block[row + TRANSACTION_ID] as number
    const terms = { ...common, ...own, holder, relay: this.#relays[place], transactionId }
    const [expiresAt, startsAt] = [block[row + EXPIRES_AT] as number, block[row + STARTS_AT] as number]
    return { status: this.status(place), lease: makeLease(terms, expiresAt, block[row + RENEWALS] as number, startsAt) }
  }

  #blockOf(place: number): Float64Array {
    return this.#blocks[place >> BLOCK_BITS] as Float64Array
  }
}

/** Where the numbers of a place begin in its block. */
const rowOf = (place: number): number => (place & BLOCK_MASK) * COLUMNS
