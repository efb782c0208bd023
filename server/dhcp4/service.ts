/**
 * The DHCPv4 server's decisions: what each message asks of the ledger, and what the answer means on the wire (RFC 2131
 * §4.3). No sockets and no octets here.
 */
import * as E from 'fp-ts/lib/Either.js'
import { ip4Text } from '../../domain/address.ts'
import type { Instant } from '../../domain/instant.ts'
import { FOREVER, INFINITE_SEC } from '../../domain/instant.ts'
import type { Lease, LeaseState, Refusal, Terms } from '../../domain/lease.ts'
import { lease4Stream, parseStream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import type { Dhcp4, Subnet4 } from '../config/model.ts'
import type { Answer, Failure, Ledger } from '../ledger.ts'
import { grantKnown } from '../grant-known.ts'
import type { Logger } from '../logger.ts'
import type { Replica } from '../replica.ts'
import type { Spaces } from '../spaces.ts'
import { supersede } from '../supersede.ts'
import { clientKey4 } from './client.ts'
import type { Drop4, Exchange4, Reply4, Verdict4 } from './exchange.ts'
import { requestedAddress, serverIdentifier, wantsRapidCommit } from './option-access.ts'
import { MESSAGE_TYPE, OPTION4 } from './option-codes.ts'
import { admits, indexReservedAddresses, poolOf, reservedAddress, terms4 } from './terms.ts'
import type { ReservedAddresses } from './terms.ts'
import { subnetContains } from './subnets.ts'

/** What the decisions rest on. */
export interface Service4Options {
  readonly config: Dhcp4
  readonly ledger: Ledger
  readonly replica: Replica
  readonly spaces: Spaces
  readonly now: () => Instant
  readonly log: Logger
  /** Whether an address is this server's own identifier on some link. */
  readonly isOwnAddress: (address: number) => boolean
  /** Before a client hears that nothing is free: reads what others wrote, and expires what is due. */
  readonly makeRoom: () => Promise<boolean>
}

/** How long an offer that is not recorded holds its address; Kea's `offer-lifetime: 0`. Seconds. */
const MEMORY_OFFER_SEC = 10

/** Decides on DHCPv4 messages under one configuration. */
export class Service4 {
  readonly #options: Service4Options
  readonly #reserved: ReservedAddresses

  constructor(options: Service4Options) {
    this.#options = options
    this.#reserved = indexReservedAddresses(options.config)
  }

  /** What to answer. Synchronous where the ledger need not be asked. */
  handle(exchange: Exchange4): Verdict4 | Promise<Verdict4> {
    switch (exchange.messageType) {
      case MESSAGE_TYPE.discover:
        return this.#discover(exchange)
      case MESSAGE_TYPE.request:
        return this.#request(exchange)
      case MESSAGE_TYPE.release:
        return this.#release(exchange)
      case MESSAGE_TYPE.decline:
        return this.#decline(exchange)
      case MESSAGE_TYPE.inform:
        return this.#inform(exchange)
      default:
        return { drop: 'unknownMessageType' }
    }
  }

  // -------------------------------------------------------------- DISCOVER, RFC 2131 §4.3.1

  #discover(exchange: Exchange4): Verdict4 | Promise<Verdict4> {
    const offered = this.#offer(exchange)
    if (offered !== undefined) return offered
    return this.#options.makeRoom().then((fresh) => {
      if (!fresh) return { drop: 'storeUnavailable' }
      return this.#offer(exchange) ?? { drop: 'noFreeAddress' }
    })
  }

  /** The offer to make; `undefined` when nothing is free for the client as far as this server knows. */
  #offer(exchange: Exchange4): Verdict4 | Promise<Verdict4> | undefined {
    if (this.#options.ledger.health !== 'up') return { drop: 'storeUnavailable' }
    for (const stream of this.#candidates(exchange)) {
      const place = this.#placeOf(exchange, stream)
      if (place === undefined) continue
      const { subnet, address } = place
      const terms = this.#terms(exchange, subnet, address)
      if (wantsRapidCommit(exchange.packet) && this.#rapidCommit(exchange, subnet)) {
        return this.#claim(exchange, place, terms, false)
      }
      const offerLifetimeSec = subnet.recordOffers ? subnet.offerLifetimeSec : MEMORY_OFFER_SEC
      const held = this.#options.ledger.offer(stream, { type: 'Offer', terms, offerLifetimeSec }, subnet.recordOffers)
      if (E.isRight(held)) {
        return this.#grant(exchange, MESSAGE_TYPE.offer, subnet, address, terms.validLifetimeSec)
      }
      if (held.left._tag === 'Unavailable') return { drop: 'storeUnavailable' }
    }
    return undefined
  }

  /** Rapid commit is on where option 80 is configured for the client (RFC 4039 §4). */
  #rapidCommit(exchange: Exchange4, subnet: Subnet4): boolean {
    return [exchange.reservation?.options, subnet.options, this.#options.config.options].some((scope) =>
      scope?.standard.has(OPTION4.rapidCommit),
    )
  }

  /**
   * Addresses to try, best first: the reserved one, the client's own, the one it asks for, then the one its key leads to.
   * The search is repeated while offers lose, which only happens when the replica lags.
   */
  *#candidates(exchange: Exchange4): Generator<StreamName> {
    const reservation = exchange.reservation?.address
    if (reservation !== undefined) yield lease4Stream(reservation)
    for (const subnet of exchange.subnets) yield* this.#ownStreams(exchange, subnet)
    const wished = requestedAddress(exchange.packet)
    if (wished !== undefined && wished !== 0) yield lease4Stream(wished)
    for (const subnet of exchange.subnets) {
      for (let attempt = 0; attempt < SEARCHES_MAX; attempt++) {
        const found = this.#search(exchange, subnet)
        if (found === undefined) break
        yield found
      }
    }
  }

  #search(exchange: Exchange4, subnet: Subnet4): StreamName | undefined {
    if (!admits(subnet, exchange.classes)) return undefined
    const { spaces } = this.#options
    const open = spaces.of('lease4', subnet.id).filter((_, i) => {
      const pool = subnet.pools[i]
      return pool !== undefined && admits(pool, exchange.classes)
    })
    const holder = clientKey4(exchange.client, subnet.matchClientId)
    return spaces.choose({ allocator: subnet.allocator, holder, subnetId: subnet.id, spaces: open })?.stream
  }

  /** The addresses of a subnet that the client held last, those it still holds first. */
  #ownStreams(exchange: Exchange4, subnet: Subnet4): StreamName[] {
    const { replica } = this.#options
    const own = replica
      .heldBy(clientKey4(exchange.client, subnet.matchClientId))
      .filter((stream) => leaseIn(replica.effective(stream))?.subnetId === subnet.id && stream.startsWith('lease4/'))
    const rank = (stream: StreamName): number => OWN_RANK[replica.effective(stream).status]
    return own.filter((stream) => rank(stream) < 9).sort((a, b) => rank(a) - rank(b))
  }

  // -------------------------------------------------------------- REQUEST, RFC 2131 §4.3.2

  #request(exchange: Exchange4): Verdict4 | Promise<Verdict4> {
    const { packet } = exchange
    const chosen = serverIdentifier(packet)
    if (chosen !== undefined && !this.#isOurs(exchange, chosen)) return { drop: 'notForUs' }
    const wished = requestedAddress(packet)
    const address = wished ?? packet.ciaddr
    if (address === 0) return { drop: 'badRequest' }
    const selecting = chosen !== undefined && wished !== undefined && packet.ciaddr === 0
    const renewing = wished === undefined || packet.ciaddr !== 0
    const place = this.#placeOf(exchange, lease4Stream(address))
    if (place === undefined) return this.#refuseWrongAddress(exchange, address, selecting)
    const terms = this.#terms(exchange, place.subnet, address)
    return renewing ? this.#renew(exchange, place, terms) : this.#claim(exchange, place, terms, !selecting)
  }

  /** An address that this client cannot have here, by the configuration alone: another link, no pool, somebody's reservation. */
  #refuseWrongAddress(exchange: Exchange4, address: number, selecting: boolean): Verdict4 {
    const [subnet] = exchange.subnets
    if (subnet === undefined) return { drop: 'noSubnet' }
    const reserved = exchange.reservation?.address
    const known = reserved !== undefined || exchange.subnets.some((s) => this.#ownStreams(exchange, s).length > 0)
    // Without authority another server may know the client better (RFC 2131 §4.3.2, INIT-REBOOT).
    if (!selecting && !known && !subnet.authoritative) return { drop: 'noRecord' }
    return this.#nak(exchange, subnet, `${ip4Text(address)} is not for this client on this link`)
  }

  async #claim(exchange: Exchange4, place: Place, terms: Terms, ownOnly: boolean): Promise<Verdict4> {
    const stream = lease4Stream(place.address)
    const answer = await this.#options.ledger.execute(stream, { type: 'Claim', terms, ownOnly })
    this.#supersede(exchange, stream, terms, answer)
    return this.#granted(exchange, place, terms, answer)
  }

  async #renew(exchange: Exchange4, place: Place, terms: Terms): Promise<Verdict4> {
    const { cache } = place.subnet
    const share = terms.validLifetimeSec === INFINITE_SEC ? 0 : Math.floor(terms.validLifetimeSec * cache.threshold)
    const reuseSec = Math.min(share, cache.maxAgeSec ?? share)
    const stream = lease4Stream(place.address)
    const answer = await this.#options.ledger.execute(stream, { type: 'Renew', terms, reuseSec })
    this.#supersede(exchange, stream, terms, answer)
    return this.#granted(exchange, place, terms, answer)
  }

  #granted(exchange: Exchange4, place: Place, terms: Terms, answer: Answer): Verdict4 {
    const { subnet, address } = place
    if (E.isRight(answer)) {
      const lease = answer.right.event?.lease ?? leaseIn(answer.right.state)
      const left = answer.right.event === undefined ? this.#secondsLeft(lease) : terms.validLifetimeSec
      return this.#grant(exchange, MESSAGE_TYPE.ack, subnet, address, left)
    }
    const refusal = answer.left
    switch (refusal._tag) {
      case 'HeldByAnother':
      case 'Declined':
        return this.#nak(exchange, subnet, `${ip4Text(address)} is in use by another client`)
      case 'NotHolder':
        if (!subnet.authoritative) return { drop: 'noRecord' }
        return this.#nak(exchange, subnet, `${ip4Text(address)} is not leased to this client`)
      case 'Unavailable':
        return this.#remaining(exchange, place, terms) ?? { drop: 'storeUnavailable' }
      default:
        return { drop: dropFor(refusal) }
    }
  }

  /** While the store is away: the time that is left of a lease that this server knows. Extends nothing, so it is safe to say. */
  #remaining(exchange: Exchange4, place: Place, terms: Terms): Verdict4 | undefined {
    const { state } = this.#options.replica.get(lease4Stream(place.address))
    const bound = state.status === 'bound' && state.lease.holder === terms.holder ? state.lease : undefined
    const left = this.#secondsLeft(bound)
    if (left < 1 || serverIdentifier(exchange.packet) !== undefined) return undefined
    return this.#grant(exchange, MESSAGE_TYPE.ack, place.subnet, place.address, left)
  }

  #secondsLeft(lease: Lease | undefined): number {
    if (lease === undefined) return 0
    if (lease.expiresAt === FOREVER) return INFINITE_SEC
    return Math.max(0, Math.floor((lease.expiresAt - this.#options.now()) / 1000))
  }

  #supersede(exchange: Exchange4, stream: StreamName, terms: Terms, answer: Answer): void {
    if (E.isLeft(answer)) return
    const { replica, ledger, now } = this.#options
    const onLink = new Set(exchange.subnets.map((subnet) => subnet.id))
    supersede({ stream, holder: terms.holder, event: answer.right.event, onLink }, replica, ledger, now())
  }

  // -------------------------------------------------------------- DECLINE, RELEASE, INFORM

  /** RFC 2131 §4.3.4. */
  async #release(exchange: Exchange4): Promise<Verdict4> {
    const { packet } = exchange
    const chosen = serverIdentifier(packet)
    if (chosen !== undefined && !this.#isOurs(exchange, chosen)) return { drop: 'notForUs' }
    if (packet.ciaddr === 0) return { drop: 'badRequest' }
    const holder = this.#holderOf(exchange, packet.ciaddr)
    const { ledger, replica } = this.#options
    const stream = lease4Stream(packet.ciaddr)
    const known = grantKnown(replica, stream, holder)
    const answer = await ledger.execute(stream, { type: 'Release', holder, cause: 'client', ...known })
    return { drop: E.isRight(answer) ? 'released' : dropFor(answer.left) }
  }

  /** RFC 2131 §4.3.3. */
  async #decline(exchange: Exchange4): Promise<Verdict4> {
    const { config, ledger, log } = this.#options
    const chosen = serverIdentifier(exchange.packet)
    if (chosen !== undefined && !this.#isOurs(exchange, chosen)) return { drop: 'notForUs' }
    const address = requestedAddress(exchange.packet)
    if (address === undefined || address === 0) return { drop: 'badRequest' }
    const holder = this.#holderOf(exchange, address)
    const probationSec = config.declineProbationSec
    const stream = lease4Stream(address)
    const known = grantKnown(this.#options.replica, stream, holder)
    const answer = await ledger.execute(stream, { type: 'Decline', holder, probationSec, ...known })
    if (E.isLeft(answer)) return { drop: dropFor(answer.left) }
    log.warn(
      { address: ip4Text(address), client: holder, probationSec },
      'a client found its address in use by somebody else: it is kept back',
    )
    return { drop: 'declined' }
  }

  /** RFC 2131 §4.3.5: parameters only, to the address that the client has. */
  #inform(exchange: Exchange4): Verdict4 {
    const { packet, arrival } = exchange
    const [selected] = exchange.subnets
    if (selected === undefined) return { drop: 'noSubnet' }
    const address = packet.ciaddr !== 0 ? packet.ciaddr : arrival.sourceAddress
    const subnet = exchange.subnets.find((candidate) => subnetContains(candidate, address)) ?? selected
    return {
      reply: {
        messageType: MESSAGE_TYPE.ack,
        exchange,
        subnet,
        yiaddr: 0,
        leaseTimeSec: undefined,
        poolOptions: poolOf(subnet, address)?.options,
        message: undefined,
      },
    }
  }

  // -------------------------------------------------------------- What they share

  #isOurs(exchange: Exchange4, serverId: number): boolean {
    return serverId === exchange.serverId || this.#options.isOwnAddress(serverId)
  }

  /** The key under which the client holds an address: that of the subnet it was leased in. */
  #holderOf(exchange: Exchange4, address: number): string {
    const subnet = exchange.subnets.find((candidate) => subnetContains(candidate, address)) ?? exchange.subnets[0]
    return clientKey4(exchange.client, subnet?.matchClientId ?? true)
  }

  /** The subnet in which this client may have an address; `undefined` when it may not have it at all. */
  #placeOf(exchange: Exchange4, stream: StreamName): Place | undefined {
    const parsed = parseStream(stream)
    if (parsed._tag === 'None' || parsed.value.category !== 'lease4') return undefined
    const { address } = parsed.value
    const subnet = exchange.subnets.find((candidate) => subnetContains(candidate, address))
    if (subnet === undefined) return undefined
    const reserved = reservedAddress(exchange, subnet)
    if (reserved === address) return { subnet, address }
    if (reserved !== undefined && this.#isFreeFor(exchange, subnet, reserved)) return undefined
    const owners = this.#reserved.ownerOf(address)
    if (owners.length > 0 && (exchange.reservation === undefined || !owners.includes(exchange.reservation))) {
      return undefined
    }
    const pool = poolOf(subnet, address)
    return pool !== undefined && admits(subnet, exchange.classes) && admits(pool, exchange.classes)
      ? { subnet, address }
      : undefined
  }

  /** Whether the client's reserved address can be had: otherwise it gets, and keeps, another one meanwhile. */
  #isFreeFor(exchange: Exchange4, subnet: Subnet4, address: number): boolean {
    const state = this.#options.replica.effective(lease4Stream(address))
    if (state.status === 'declined') return false
    return state.status !== 'bound' || state.lease.holder === clientKey4(exchange.client, subnet.matchClientId)
  }

  #terms(exchange: Exchange4, subnet: Subnet4, address: number): Terms {
    const { config, replica } = this.#options
    const holder = clientKey4(exchange.client, subnet.matchClientId)
    const before = leaseIn(replica.get(lease4Stream(address)).state)
    const relayBefore = before?.holder === holder && exchange.packet.ciaddr !== 0 ? before.relay : undefined
    return terms4(config, exchange, subnet, poolOf(subnet, address)?.id ?? 0, this.#crowded(subnet), relayBefore)
  }

  #crowded(subnet: Subnet4): boolean {
    if (subnet.adaptiveLeaseTimeThreshold === undefined) return false
    const spaces = this.#options.spaces.of('lease4', subnet.id)
    const size = spaces.reduce((sum, space) => sum + space.occupancy.size, 0)
    const taken = spaces.reduce((sum, space) => sum + space.occupancy.taken, 0)
    return size > 0 && taken / size > subnet.adaptiveLeaseTimeThreshold
  }

  #grant(exchange: Exchange4, messageType: number, subnet: Subnet4, address: number, seconds: number): Verdict4 {
    const poolOptions = poolOf(subnet, address)?.options
    const reply: Reply4 = {
      messageType,
      exchange,
      subnet,
      yiaddr: address,
      leaseTimeSec: seconds,
      poolOptions,
      message: undefined,
    }
    return { reply }
  }

  #nak(exchange: Exchange4, subnet: Subnet4, message: string): Verdict4 {
    return {
      reply: {
        messageType: MESSAGE_TYPE.nak,
        exchange,
        subnet,
        yiaddr: 0,
        leaseTimeSec: undefined,
        poolOptions: undefined,
        message,
      },
    }
  }
}

interface Place {
  readonly subnet: Subnet4
  readonly address: number
}

/** Searches of one subnet for one DISCOVER: each further one costs a little, and is wanted only when offers collide. */
const SEARCHES_MAX = 4

/** Which of a client's former addresses to offer first; 9 is not at all. */
const OWN_RANK: Readonly<Record<LeaseState['status'], number>> = {
  bound: 0,
  offered: 1,
  expired: 2,
  released: 3,
  revoked: 9,
  declined: 9,
  vacant: 9,
}

const leaseIn = (state: LeaseState): Lease | undefined => (state.status === 'vacant' ? undefined : state.lease)

const dropFor = (reason: Refusal | Failure): Drop4 => {
  switch (reason._tag) {
    case 'Unavailable':
      return 'storeUnavailable'
    case 'Overloaded':
      return 'overloaded'
    case 'Contended':
      return 'contended'
    default:
      return 'notHolder'
  }
}
