/**
 * What a DHCPv6 message asks of the ledger for one identity association: to offer, claim, renew, release or decline
 * addresses or prefixes. The same for IA_NA and IA_PD.
 */
import * as E from 'fp-ts/lib/Either.js'
import { FOREVER, INFINITE_SEC } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import type { ClientKey, Lease, LeaseEvent, LeaseState } from '../../domain/lease.ts'
import type { StreamName } from '../../domain/stream.ts'
import type { ClassRules, Dhcp6, Reservation6, Subnet6 } from '../config/model.ts'
import { admits, classesIn } from '../classes.ts'
import { grantKnown } from '../grant-known.ts'
import type { Answer, Failure, Ledger } from '../ledger.ts'
import { leaseIn, ownFirst, reuseSecOf } from '../own-leases.ts'
import type { Replica } from '../replica.ts'
import type { Space, Spaces } from '../spaces.ts'
import { supersede } from '../supersede.ts'
import { classifyAdditional6 } from './classify.ts'
import type { Exchange6 } from './exchange.ts'
import { indexReservedStreams, placeOf6, reservedStreams, terms6 } from './places.ts'
import type { IaKind, Place6, Wish } from './places.ts'

/** What an IA asks for: the addresses or prefixes that it lists, as streams, with the lifetimes it would like. */
export interface IaRequest {
  readonly kind: IaKind
  readonly iaid: number
  /** Whose it is: the client with this IAID. */
  readonly holder: ClientKey
  readonly listed: ReadonlyArray<{ readonly stream: StreamName; readonly wish: Wish }>
  /** Length of the prefix that the client would like, where it lists none; 0 is no wish (RFC 8415 §18.2.1). */
  readonly lengthWished: number
}

/** An address or prefix that is offered or granted. Lifetimes in seconds, uint32. */
export interface Grant6 {
  readonly place: Place6
  readonly preferredSec: number
  readonly validSec: number
}

/** What became of an IA. */
export type IaOutcome =
  | { readonly _tag: 'Granted'; readonly grant: Grant6 }
  /** Nothing is free, as the store has confirmed. */
  | { readonly _tag: 'NoneFree' }
  | { readonly _tag: 'Failed'; readonly failure: Failure }

/**
 * Which IA of the message has a stream: at first those that list one, so that no other IA of the client is given what is
 * reserved for it; then those that get one.
 */
export type Taken = Map<StreamName, IaRequest>

/** What the IAs of a message list, each stream for the first that lists it. */
export const listedBy = (ias: ReadonlyArray<IaRequest>): Taken => {
  const taken: Taken = new Map()
  for (const ia of ias) for (const { stream } of ia.listed) if (!taken.has(stream)) taken.set(stream, ia)
  return taken
}

/** What the bindings rest on. */
export interface BindingsOptions {
  readonly config: Dhcp6
  readonly ledger: Ledger
  readonly replica: Replica
  readonly spaces: Spaces
  readonly now: () => Instant
  readonly makeRoom: () => Promise<boolean>
}

interface Candidate {
  readonly place: Place6
  readonly wish: Wish
}

const CATEGORY = { na: 'lease6', pd: 'prefix6' } as const

/** How long an offer holds what it offers. Seconds. */
const OFFER_SEC = 10

/** Searches for one IA: each further one is wanted only when others win what was chosen. */
const SEARCHES_MAX = 8

const NOTHING: ReadonlySet<StreamName> = new Set()

/** Carries out what identity associations ask for. */
export class Bindings {
  readonly #options: BindingsOptions
  readonly #owners: ReadonlyMap<StreamName, ReadonlyArray<Reservation6>>

  constructor(options: BindingsOptions) {
    this.#options = options
    this.#owners = indexReservedStreams(options.config)
  }

  /** Holds an address or prefix for the client (Solicit); at once, unless what is free must be asked of the store. */
  offer(exchange: Exchange6, ia: IaRequest, taken: Taken): IaOutcome | Promise<IaOutcome> {
    if (!this.#hasPlaces(exchange, ia)) return { _tag: 'NoneFree' }
    return (
      this.#offerOnce(exchange, ia, taken) ??
      this.#withRoom(async () => this.#offerOnce(exchange, ia, taken) ?? { _tag: 'NoneFree' })
    )
  }

  /**
   * Gives an address or prefix: the one that the client lists if it can be had, else another (Request, rapid commit), but
   * none of `except`. Deviates from RFC 8415 §18.3.2 where the client lists what does not belong to its link: instead of
   * NotOnLink, after which it would begin anew, it gets at once what it would get then.
   */
  async claim(
    exchange: Exchange6,
    ia: IaRequest,
    taken: Taken,
    except: ReadonlySet<StreamName> = NOTHING,
  ): Promise<IaOutcome> {
    if (!this.#hasPlaces(exchange, ia)) return { _tag: 'NoneFree' }
    const claimed = await this.#claimOnce(exchange, ia, taken, except)
    if (claimed !== undefined) return claimed
    return this.#withRoom(async () => (await this.#claimOnce(exchange, ia, taken, except)) ?? { _tag: 'NoneFree' })
  }

  /**
   * Extends what the client lists and holds (Renew, Rebind). What it does not hold it is given anew if it is free, else
   * something else, and so for what an operator took away: it must not be left without (RFC 8415 §18.3.4). A client that
   * has a reservation by now moves to it. While the store is away, what is left of the lease.
   */
  async renew(exchange: Exchange6, ia: IaRequest, taken: Taken): Promise<IaOutcome> {
    if (this.#shouldMove(exchange, ia, taken)) return this.claim(exchange, ia, taken)
    const revoked = new Set<StreamName>()
    for (const { stream, wish } of ia.listed) {
      const place = placeOf6(exchange, stream, this.#owners)
      if (place === undefined || !isOpen(taken, stream, ia)) continue
      const terms = this.#terms(exchange, place, ia, wish)
      const reuseSec = reuseSecOf(place.subnet.cache, terms.validLifetimeSec)
      const answer = await this.#options.ledger.execute(stream, { type: 'Renew', terms, reuseSec })
      if (E.isRight(answer)) {
        taken.set(stream, ia)
        this.#supersede(exchange, ia, stream, answer.right.event)
        return { _tag: 'Granted', grant: this.#grantOf(place, answer) }
      }
      const left = this.#leftOf(place, terms.holder, answer)
      if (left !== undefined) return { _tag: 'Granted', grant: left }
      if (isFailure(answer.left)) return { _tag: 'Failed', failure: answer.left }
      if (this.#options.replica.get(stream).state.status === 'revoked') revoked.add(stream)
    }
    return this.claim(exchange, ia, taken, revoked)
  }

  /** Gives back, or declines, what the client lists. For each stream whether the client held it. */
  async end(ia: IaRequest, how: 'Release' | 'Decline'): Promise<E.Either<Failure, ReadonlyMap<StreamName, boolean>>> {
    const held = new Map<StreamName, boolean>()
    const { holder } = ia
    const { ledger, config, replica } = this.#options
    const grants = ia.listed.map(({ stream }) => ({ stream, known: grantKnown(replica, stream, holder) }))
    for (const { stream, known } of grants) {
      const answer = await ledger.execute(
        stream,
        how === 'Release'
          ? { type: 'Release', holder, cause: 'client', ...known }
          : { type: 'Decline', holder, probationSec: config.declineProbationSec, ...known },
      )
      if (E.isLeft(answer) && isFailure(answer.left)) return E.left(answer.left)
      held.set(stream, E.isRight(answer))
    }
    return E.right(held)
  }

  async #withRoom(again: () => Promise<IaOutcome>): Promise<IaOutcome> {
    if (!(await this.#options.makeRoom())) return { _tag: 'Failed', failure: { _tag: 'Unavailable' } }
    return again()
  }

  #offerOnce(exchange: Exchange6, ia: IaRequest, taken: Taken): IaOutcome | undefined {
    for (const { place, wish } of this.#candidates(exchange, ia, taken, NOTHING)) {
      const { stream } = place
      const terms = this.#terms(exchange, place, ia, wish)
      const held = this.#options.ledger.offer(stream, { type: 'Offer', terms, offerLifetimeSec: OFFER_SEC }, true)
      if (E.isRight(held)) {
        taken.set(stream, ia)
        const { preferredLifetimeSec, validLifetimeSec } = terms
        const grant = { place, preferredSec: preferredLifetimeSec ?? validLifetimeSec, validSec: validLifetimeSec }
        return { _tag: 'Granted', grant }
      }
      if (held.left._tag === 'Unavailable') return { _tag: 'Failed', failure: held.left }
    }
    return undefined
  }

  async #claimOnce(
    exchange: Exchange6,
    ia: IaRequest,
    taken: Taken,
    except: ReadonlySet<StreamName>,
  ): Promise<IaOutcome | undefined> {
    for (const { place, wish } of this.#candidates(exchange, ia, taken, except)) {
      const { stream } = place
      const terms = this.#terms(exchange, place, ia, wish)
      taken.set(stream, ia)
      const answer = await this.#options.ledger.execute(stream, { type: 'Claim', terms, ownOnly: false })
      if (E.isRight(answer)) {
        this.#supersede(exchange, ia, stream, answer.right.event)
        return { _tag: 'Granted', grant: this.#grantOf(place, answer) }
      }
      taken.delete(stream)
      if (isFailure(answer.left)) return { _tag: 'Failed', failure: answer.left }
    }
    return undefined
  }

  /** What the IA may have, best first, each once: reserved, held, listed, then where the client's key leads. */
  *#candidates(
    exchange: Exchange6,
    ia: IaRequest,
    taken: Taken,
    except: ReadonlySet<StreamName>,
  ): Generator<Candidate> {
    const wish = ia.listed[0]?.wish ?? { preferredSec: 0, validSec: 0 }
    const known = [
      ...reservedStreams(exchange.reservation, ia.kind).map((stream) => ({ stream, wish })),
      ...this.#ownStreams(exchange, ia).map((stream) => ({ stream, wish })),
      ...ia.listed,
    ]
    const tried = new Set(except)
    for (const { stream, wish: wished } of known) {
      if (tried.has(stream)) continue
      tried.add(stream)
      const place = this.#openPlace(exchange, ia, stream, taken)
      if (place !== undefined) yield { place, wish: wished }
    }
    for (const subnet of exchange.subnets) {
      if (!admits(subnet, exchange.classes)) continue
      let circles = false
      for (let attempt = 0; attempt < SEARCHES_MAX; attempt++) {
        const stream = this.#search(exchange, ia, subnet, circles)
        if (stream === undefined) break
        // A search that leads to the same place again would do so for ever; from somewhere else it may not.
        circles = tried.has(stream)
        if (circles) continue
        tried.add(stream)
        const place = this.#openPlace(exchange, ia, stream, taken)
        if (place !== undefined) yield { place, wish }
      }
    }
  }

  #openPlace(exchange: Exchange6, ia: IaRequest, stream: StreamName, taken: Taken): Place6 | undefined {
    if (!isOpen(taken, stream, ia)) return undefined
    const place = placeOf6(exchange, stream, this.#owners)
    // Live prefixes of another length are in nobody's way but here: as streams they differ (the length was changed).
    const overlapped = ia.kind === 'pd' && place !== undefined && this.#options.spaces.isOverlapped(place.resource)
    return overlapped ? undefined : place
  }

  /** The next free place of a subnet; with `anywhere` not by its allocator, but from any place. */
  #search(exchange: Exchange6, ia: IaRequest, subnet: Subnet6, anywhere: boolean): StreamName | undefined {
    const pools: ReadonlyArray<ClassRules> = ia.kind === 'na' ? subnet.pools : subnet.pdPools
    const open = this.#options.spaces.of(CATEGORY[ia.kind], subnet.id).filter((_, i) => {
      const pool = pools[i]
      return pool !== undefined && admits(pool, exchange.classes)
    })
    const fitting = open.filter((space) => space.prefixLength === ia.lengthWished)
    const allocator = anywhere ? 'random' : ia.kind === 'na' ? subnet.allocator : subnet.pdAllocator
    const { holder } = ia
    const choose = (spaces: ReadonlyArray<Space>): StreamName | undefined =>
      this.#options.spaces.choose({ allocator, holder, subnetId: subnet.id, spaces })?.stream
    return choose(fitting) ?? (fitting.length < open.length ? choose(open) : undefined)
  }

  /** Whether the configuration has anything at all for this IA; if not, the store need not be asked what is free. */
  #hasPlaces(exchange: Exchange6, ia: IaRequest): boolean {
    const { classes, subnets, reservation } = exchange
    if (reservedStreams(reservation, ia.kind).length > 0) return true
    return subnets.some((subnet) => {
      const pools: ReadonlyArray<ClassRules> = ia.kind === 'na' ? subnet.pools : subnet.pdPools
      return admits(subnet, classes) && pools.some((pool) => admits(pool, classes))
    })
  }

  /** Whether something is reserved for the client that none of its IAs has yet, so that this one should get it. */
  #shouldMove(exchange: Exchange6, ia: IaRequest, taken: Taken): boolean {
    const reserved = reservedStreams(exchange.reservation, ia.kind)
    if (reserved.length === 0 || this.#options.ledger.health !== 'up') return false
    if (ia.listed.some(({ stream }) => reserved.includes(stream))) return false
    return reserved.some((stream) => {
      const { status } = this.#options.replica.effective(stream)
      return status !== 'bound' && status !== 'declined' && this.#openPlace(exchange, ia, stream, taken) !== undefined
    })
  }

  /** What this IA holds or held last on the link, what it still holds first. */
  #ownStreams(exchange: Exchange6, ia: IaRequest): StreamName[] {
    const { replica } = this.#options
    const held = replica.heldBy(ia.holder)
    if (held.length === 0) return []
    const prefix = `${CATEGORY[ia.kind]}/`
    const onLink = new Set(exchange.subnets.map((subnet) => subnet.id))
    const own = held.filter((stream) => {
      const lease = leaseIn(replica.effective(stream))
      return stream.startsWith(prefix) && lease !== undefined && onLink.has(lease.subnetId)
    })
    return ownFirst(replica, own)
  }

  #supersede(exchange: Exchange6, ia: IaRequest, stream: StreamName, event: LeaseEvent | undefined): void {
    const { replica, ledger, now } = this.#options
    const onLink = new Set(exchange.subnets.map((subnet) => subnet.id))
    supersede({ stream, holder: ia.holder, event, onLink }, replica, ledger, now())
  }

  /**
   * While the store is away, what is left of a lease that a client says it uses (Renew, Rebind). A client that asks for a
   * lease is told nothing: it may have given back the one that this server still knows of.
   */
  #leftOf(place: Place6, holder: ClientKey, answer: Answer): Grant6 | undefined {
    if (E.isRight(answer) || answer.left._tag !== 'Unavailable') return undefined
    const { state } = this.#options.replica.get(place.stream)
    if (state.status !== 'bound' || state.lease.holder !== holder) return undefined
    const grant = this.#remaining(place, state.lease)
    return grant.validSec > 0 ? grant : undefined
  }

  #grantOf(
    place: Place6,
    answer: E.Right<{ readonly state: LeaseState; readonly event: { lease: Lease } | undefined }>,
  ): Grant6 {
    const { event, state } = answer.right
    if (event !== undefined) {
      const { validLifetimeSec, preferredLifetimeSec } = event.lease
      return { place, preferredSec: preferredLifetimeSec ?? validLifetimeSec, validSec: validLifetimeSec }
    }
    const lease = leaseIn(state)
    return lease === undefined ? { place, preferredSec: 0, validSec: 0 } : this.#remaining(place, lease)
  }

  /** The time that is left of a lease: what a repeated request, and one that cannot be recorded, may be told. */
  #remaining(place: Place6, lease: Lease): Grant6 {
    if (lease.expiresAt === FOREVER) {
      return { place, preferredSec: lease.preferredLifetimeSec ?? INFINITE_SEC, validSec: INFINITE_SEC }
    }
    const validSec = Math.max(0, Math.floor((lease.expiresAt - this.#options.now()) / 1000))
    const passed = lease.validLifetimeSec - validSec
    const preferredSec = Math.max(0, (lease.preferredLifetimeSec ?? lease.validLifetimeSec) - passed)
    return { place, preferredSec, validSec }
  }

  #terms(exchange: Exchange6, place: Place6, ia: IaRequest, wish: Wish): ReturnType<typeof terms6> {
    const { config, replica } = this.#options
    const { state } = replica.get(place.stream)
    const before = leaseIn(state)
    const own = before?.holder === ia.holder ? before : undefined
    const left = (): Wish => (state.status === 'bound' && own !== undefined ? this.#remaining(place, own) : NO_TIME)
    const crowded = this.#isCrowded(place) ? left() : undefined
    const names = classifyAdditional6(config, exchange, exchange.classes, [place.subnet, place.pool])
    const classes = classesIn(config.classes, names)
    return terms6(exchange, classes, place, {
      iaid: ia.iaid,
      holder: ia.holder,
      wish,
      relayBefore: own?.relay,
      crowded,
    })
  }

  /** Whether so much of the subnet is taken that leases are to be short. */
  #isCrowded({ subnet, resource }: Place6): boolean {
    const threshold = subnet.adaptiveLeaseTimeThreshold
    return threshold !== undefined && this.#options.spaces.usedShare(resource.category, subnet.id) > threshold
  }
}

const NO_TIME: Wish = { preferredSec: 0, validSec: 0 }

const isOpen = (taken: Taken, stream: StreamName, ia: IaRequest): boolean => {
  const owner = taken.get(stream)
  return owner === undefined || (owner.iaid === ia.iaid && owner.kind === ia.kind)
}

const isFailure = (reason: { readonly _tag: string }): reason is Failure =>
  reason._tag === 'Unavailable' || reason._tag === 'Overloaded' || reason._tag === 'Contended'
