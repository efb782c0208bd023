/**
 * What a server knows of every stream: the state after the last event it has seen, and beside it what this server is
 * about to write (offers that wait for their batch, grants on their way to the store). The replica answers nothing by
 * itself; the store's unique key does. It only makes right answers quick.
 */
import type { Recorded, Revision } from '../domain/event-store.ts'
import { NO_STREAM } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import { evolve, vacant } from '../domain/lease.ts'
import type { ClientKey, LeaseState, Status, Used } from '../domain/lease.ts'
import type { StreamName } from '../domain/stream.ts'
import { DueList } from './due-list.ts'
import { PackedLeases } from './packed-leases.ts'
import { PassingMap } from './passing-map.ts'
import { NOWHERE } from './place-index.ts'

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

/** The in-memory replica. All leases of all protocols are in one replica. */
export class Replica {
  readonly #leases = new PackedLeases()
  readonly #tentative = new PassingMap<StreamName, Used>()
  /** Streams that are offered or about to be written, by the client that they are for. */
  readonly #plannedFor: HolderIndex = new PassingMap()
  readonly #due = new DueList<StreamName>()
  readonly #lapses = new DueList<StreamName>()
  #listener: ReplicaListener = () => undefined

  /** Streams that have at least one event. */
  get size(): number {
    return this.#leases.size
  }

  /** Calls `visit` with every stream that has at least one event and what the ledger says of it in short. */
  forEachStanding(visit: (stream: StreamName, status: Status, expiresAt: Instant) => void): void {
    for (let place = 0; place < this.#leases.size; place++) {
      visit(this.#leases.stream(place), this.#leases.status(place), this.#leases.expiresAt(place))
    }
  }

  /** All of them with their state. */
  *entries(): Generator<readonly [StreamName, Entry & { readonly state: Used }]> {
    for (let place = 0; place < this.#leases.size; place++) {
      yield [this.#leases.stream(place), { revision: this.#leases.revision(place), state: this.#leases.state(place) }]
    }
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
    const place = this.#leases.find(stream)
    if (place === NOWHERE) return unknown
    return { revision: this.#leases.revision(place), state: this.#leases.state(place) }
  }

  /** The revision of {@link get}, without making a state. */
  revision(stream: StreamName): Revision {
    const place = this.#leases.find(stream)
    return place === NOWHERE ? NO_STREAM : this.#leases.revision(place)
  }

  /** The state to decide new offers on: what is about to be written, else what is known. */
  effective(stream: StreamName): LeaseState {
    return this.#tentative.get(stream) ?? this.get(stream).state
  }

  /** What this server is about to write to a stream, or has offered without writing. */
  planned(stream: StreamName): Used | undefined {
    return this.#tentative.get(stream)
  }

  /** What {@link effective} says in short, without making a state: it is asked for at every change of every stream. */
  standing(stream: StreamName): Standing {
    const planned = this.#tentative.get(stream)
    if (planned !== undefined) return { status: planned.status, expiresAt: planned.lease.expiresAt }
    return this.#known(stream)
  }

  #known(stream: StreamName): Standing {
    const place = this.#leases.find(stream)
    if (place === NOWHERE) return VACANT
    return { status: this.#leases.status(place), expiresAt: this.#leases.expiresAt(place) }
  }

  /** Takes in an event; `false` when this or a later one of its stream is known already. */
  apply(recorded: Recorded): boolean {
    const { stream, revision, event } = recorded
    const place = this.#leases.find(stream)
    if (place !== NOWHERE && revision <= this.#leases.revision(place)) return false
    // Every event carries the whole lease, so the state before it need not be unpacked.
    this.#take(stream, place, revision, evolve(vacant, event) as Used)
    return true
  }

  /**
   * Sets a stream to a state that is known to stand at `revision`, as a snapshot says. Whatever was planned for the
   * stream is void: it was decided on an older state, and must not hide this one.
   */
  load(stream: StreamName, revision: Revision, state: Used): void {
    this.#take(stream, this.#leases.find(stream), revision, state)
  }

  #take(name: StreamName, place: number, revision: Revision, state: Used): void {
    // The name as the first event had it is what all else points to: later ones are copies.
    const stream = place === NOWHERE ? name : this.#leases.stream(place)
    this.#forget(stream)
    if (place === NOWHERE) this.#leases.add(stream, revision, state)
    else this.#leases.set(place, revision, state)
    const { expiresAt } = state.lease
    if (state.status === 'bound' || state.status === 'declined') this.#due.add(expiresAt, stream)
    if (state.status === 'offered') this.#lapses.add(expiresAt, stream)
    this.#listener(stream)
  }

  /** Notes what this server is about to write, or an offer that it keeps to itself. */
  plan(stream: StreamName, state: Used): void {
    this.#forget(stream)
    this.#tentative.set(stream, state)
    index(this.#plannedFor, state.lease.holder, stream)
    if (state.status === 'offered') this.#lapses.add(state.lease.expiresAt, stream)
    this.#listener(stream)
  }

  /** Forgets the plan for a stream: it came to pass, or will not. */
  unplan(stream: StreamName): void {
    if (this.#forget(stream)) this.#listener(stream)
  }

  /**
   * Streams whose last holder is this client, whatever became of them since, and those that it is being offered or about to
   * be granted: a message that comes twice must lead to one address, also while the first grant is on its way to the store.
   */
  heldBy(holder: ClientKey): ReadonlyArray<StreamName> {
    const held = this.#leases.heldBy(holder)
    const planned = this.#plannedFor.get(holder)
    return planned === undefined ? held : [...new Set([...held, ...listOf(planned)])]
  }

  /** Streams whose lease or probation ended by `before`; each is given once for each end. At most `countMax`. */
  takeDue(before: Instant, countMax: number): StreamName[] {
    return this.#due.take(before, countMax, (stream) => {
      const { status, expiresAt } = this.#known(stream)
      return (status === 'bound' || status === 'declined') && expiresAt <= before
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
    unindex(this.#plannedFor, planned.lease.holder, stream)
    return true
  }
}

/** Streams by client. Nearly every client has one, which then needs no list. */
type HolderIndex = PassingMap<ClientKey, StreamName | StreamName[]>

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
