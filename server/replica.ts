/**
 * What a server knows of every stream: the state after the last event it has seen, and beside it what this server is
 * about to write (offers that wait for their batch, grants on their way to the store). The replica answers nothing by
 * itself; the store's unique key does. It only makes right answers quick.
 */
import type { Recorded, Revision } from '../domain/event-store.ts'
import { NO_STREAM } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import { evolve, makeLease, vacant } from '../domain/lease.ts'
import type { ClientKey, Lease, LeaseState, Relay, Status, Used } from '../domain/lease.ts'
import type { StreamName } from '../domain/stream.ts'
import { DueList } from './due-list.ts'

/** The last known state of a stream and the revision that made it; -1 when nothing ever happened. */
export interface Entry {
  readonly revision: Revision
  readonly state: LeaseState
}

/** Told whenever what is known of a stream, or tentatively planned for it, may have changed. */
export type ReplicaListener = (stream: StreamName) => void

/** Whether a stream is held, and until when. */
export interface Standing {
  readonly status: LeaseState['status']
  /** 0 where nothing was ever held. */
  readonly expiresAt: Instant
}

const VACANT: Standing = { status: 'vacant', expiresAt: 0 }

const unknown: Entry = { revision: NO_STREAM, state: vacant }

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

/**
 * A stream with an event, packed, because there are as many as leases: a state is made from it when somebody asks for
 * one. It is never changed; the next event brings another one. `stream` is the one copy of the name that everything
 * else here points to.
 */
class Known implements Entry {
  readonly stream: StreamName
  readonly revision: Revision
  readonly status: Status
  readonly holder: ClientKey
  readonly expiresAt: Instant
  readonly startsAt: Instant
  readonly renewals: number
  readonly transactionId: number
  readonly relay: Relay | undefined
  readonly common: Common
  readonly own: Own | undefined

  constructor(stream: StreamName, revision: Revision, state: Used, holder: ClientKey, shared: Shared) {
    const { lease } = state
    this.stream = stream
    this.revision = revision
    this.status = state.status
    this.holder = holder
    this.expiresAt = lease.expiresAt
    this.startsAt = lease.startsAt
    this.renewals = lease.renewals
    this.transactionId = lease.transactionId
    this.relay = shared.relay(lease.relay)
    this.common = shared.common(lease)
    this.own = ownOf(lease)
  }

  get state(): Used {
    const own = this.own ?? { ...NOTHING_OWN, hwAddress: hardwareIn(this.holder, this.common.hwType) }
    const terms = { ...this.common, ...own, holder: this.holder, relay: this.relay, transactionId: this.transactionId }
    return { status: this.status, lease: makeLease(terms, this.expiresAt, this.renewals, this.startsAt) }
  }
}

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

  common(lease: Lease): Common {
    if (this.#last !== undefined && sameCommon(this.#last, lease)) return this.#last
    const common = commonOf(lease)
    this.#last = pooled(this.#commons, JSON.stringify(Object.values(common).map((value) => value ?? null)), common)
    return this.#last
  }

  relay(relay: Relay | undefined): Relay | undefined {
    if (relay?.address === undefined || !saysAddressAlone(relay)) return relay
    return pooled(this.#relays, relay.address, relay)
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

/** The in-memory replica. All leases of all protocols are in one replica. */
export class Replica {
  readonly #entries = new Map<StreamName, Known>()
  readonly #tentative = new Map<StreamName, Used>()
  readonly #byHolder: HolderIndex = new Map()
  /** Offers in memory, by the client that they were made to. */
  readonly #offeredTo: HolderIndex = new Map()
  readonly #due = new DueList<StreamName>()
  readonly #lapses = new DueList<StreamName>()
  readonly #shared = new Shared()
  #listener: ReplicaListener = () => undefined

  /** Streams that have at least one event. */
  get size(): number {
    return this.#entries.size
  }

  /** All streams with their state, in no particular order. */
  entries(): IterableIterator<[StreamName, Entry & { readonly state: Used }]> {
    return this.#entries.entries()
  }

  /** Streams that this server is about to write, or has offered without writing. */
  tentativeStreams(): IterableIterator<StreamName> {
    return this.#tentative.keys()
  }

  /** Calls `listener` on every change from now on; there is one listener. */
  listen(listener: ReplicaListener): void {
    this.#listener = listener
  }

  /** What the ledger says of a stream, as far as it has been read. */
  get(stream: StreamName): Entry {
    return this.#entries.get(stream) ?? unknown
  }

  /** The state to decide new offers on: what is about to be written, else what is known. */
  effective(stream: StreamName): LeaseState {
    return this.#tentative.get(stream) ?? this.get(stream).state
  }

  /** What {@link effective} says in short, without making a state: it is asked for at every change of every stream. */
  standing(stream: StreamName): Standing {
    const planned = this.#tentative.get(stream)
    if (planned !== undefined) return { status: planned.status, expiresAt: planned.lease.expiresAt }
    return this.#entries.get(stream) ?? VACANT
  }

  /** Takes in an event; `false` when this or a later one of its stream is known already. */
  apply(recorded: Recorded): boolean {
    const before = this.#entries.get(recorded.stream)
    if (before !== undefined && recorded.revision <= before.revision) return false
    // Every event carries the whole lease, so the state before it need not be unpacked.
    this.load(recorded.stream, recorded.revision, evolve(vacant, recorded.event) as Used)
    return true
  }

  /**
   * Sets a stream to a state that is known to stand at `revision`: from a snapshot, or from `apply`. Whatever was planned
   * for the stream is void: it was decided on an older state, and must not hide this one.
   */
  load(stream: StreamName, revision: Revision, state: Used): void {
    this.#forget(stream)
    const before = this.#entries.get(stream)
    const { holder, expiresAt } = state.lease
    const same = before?.holder === holder
    // The index of holders keeps the text of the first event: the later ones are copies.
    const known = new Known(before?.stream ?? stream, revision, state, same ? before.holder : holder, this.#shared)
    this.#entries.set(known.stream, known)
    if (!same) {
      if (before !== undefined) unindex(this.#byHolder, before.holder, known.stream)
      index(this.#byHolder, holder, known.stream)
    }
    if (state.status === 'bound' || state.status === 'declined') this.#due.add(expiresAt, known.stream)
    if (state.status === 'offered') this.#lapses.add(expiresAt, known.stream)
    this.#listener(stream)
  }

  /** Notes what this server is about to write, or an offer that it keeps to itself. */
  plan(stream: StreamName, state: Used): void {
    this.#forget(stream)
    this.#tentative.set(stream, state)
    if (state.status === 'offered') {
      index(this.#offeredTo, state.lease.holder, stream)
      this.#lapses.add(state.lease.expiresAt, stream)
    }
    this.#listener(stream)
  }

  /** Forgets the plan for a stream: it came to pass, or will not. */
  unplan(stream: StreamName): void {
    if (this.#forget(stream)) this.#listener(stream)
  }

  /** Streams whose last holder is this client, whatever became of them since, and those that it is being offered. */
  heldBy(holder: ClientKey): ReadonlyArray<StreamName> {
    const held = listOf(this.#byHolder.get(holder))
    const offered = this.#offeredTo.get(holder)
    return offered === undefined ? held : [...new Set([...held, ...listOf(offered)])]
  }

  /** Streams whose lease or probation ended by `before`; each is given once for each end. At most `countMax`. */
  takeDue(before: Instant, countMax: number): StreamName[] {
    return this.#due.take(before, countMax, (stream) => {
      const { state } = this.get(stream)
      return (state.status === 'bound' || state.status === 'declined') && state.lease.expiresAt <= before
    })
  }

  /** Puts a stream back on the list that `takeDue` reads, when its expiry could not be written. */
  postpone(stream: StreamName, until: Instant): void {
    this.#due.add(until, stream)
  }

  /** Lets go of offers that have lapsed. Returns the streams whose unwritten offers were dropped. */
  lapse(now: Instant): StreamName[] {
    const dropped: StreamName[] = []
    const lapsed = this.#lapses.take(now, Infinity, () => true)
    for (const stream of lapsed) {
      const planned = this.#tentative.get(stream)
      if (planned?.status === 'offered' && planned.lease.expiresAt <= now) {
        this.#forget(stream)
        dropped.push(stream)
      }
      this.#listener(stream)
    }
    return dropped
  }

  /** Drops the plan for a stream; whether there was one. */
  #forget(stream: StreamName): boolean {
    const planned = this.#tentative.get(stream)
    if (planned === undefined) return false
    this.#tentative.delete(stream)
    if (planned.status === 'offered') unindex(this.#offeredTo, planned.lease.holder, stream)
    return true
  }
}

/** Streams by client. Nearly every client has one, which then needs no list. */
type HolderIndex = Map<ClientKey, StreamName | StreamName[]>

const listOf = (streams: StreamName | StreamName[] | undefined): ReadonlyArray<StreamName> =>
  streams === undefined ? [] : typeof streams === 'string' ? [streams] : streams

const index = (byHolder: HolderIndex, holder: ClientKey, stream: StreamName): void => {
  const streams = byHolder.get(holder)
  if (streams === undefined) byHolder.set(holder, stream)
  else if (typeof streams === 'string') {
    if (streams !== stream) byHolder.set(holder, [streams, stream])
  } else if (!streams.includes(stream)) streams.push(stream)
}

const unindex = (byHolder: HolderIndex, holder: ClientKey, stream: StreamName): void => {
  const streams = byHolder.get(holder)
  if (streams === stream) byHolder.delete(holder)
  else if (Array.isArray(streams)) {
    const others = streams.filter((other) => other !== stream)
    byHolder.set(holder, others.length === 1 ? (others[0] as StreamName) : others)
  }
}
