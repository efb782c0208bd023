/**
 * The DHCPv4 server's decisions: what each message asks of the ledger, and what the answer means on the wire (RFC 2131
 * §4.3). No sockets and no octets here.
 */
import * as E from 'fp-ts/lib/Either.js'
import { ip4Text } from '../../domain/address.ts'
import type { Instant } from '../../domain/instant.ts'
import { FOREVER, INFINITE_SEC } from '../../domain/instant.ts'
import type { Claim, Lease, Refusal, Renew, Terms } from '../../domain/lease.ts'
import { lease4Stream, parseStream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { admits } from '../classes.ts'
import type { Dhcp4, Subnet4 } from '../config/model.ts'
import type { Answer, Done, Failure, Ledger } from '../ledger.ts'
import { grantKnown } from '../grant-known.ts'
import type { Logger } from '../logger.ts'
import { dropForFailure, leaseIn, NOT_OWN, ownFirst, OWN_RANK, reuseSecOf } from '../own-leases.ts'
import type { Replica } from '../replica.ts'
import type { Spaces } from '../spaces.ts'
import { supersede } from '../supersede.ts'
import { classifyAdditional4 } from './classify.ts'
import { clientKey4 } from './client.ts'
import type { Client4, Drop4, Exchange4, Reply4, Verdict4 } from './exchange.ts'
import { isConfigured } from './fill-options.ts'
import { requestedAddress, serverIdentifier, wantsRapidCommit } from './option-access.ts'
import { MESSAGE_TYPE, OPTION4 } from './option-codes.ts'
import type { RelayAgent } from './option-relay.ts'
import type { Packet4 } from './packet.ts'
import { stashedAgent } from './stash.ts'
import { subnetContains } from './subnets.ts'
import { indexReservedAddresses, offerTerms4, poolOf, reservedAddress, terms4 } from './terms.ts'
import type { Place4, ReservedAddresses } from './terms.ts'

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
  /** Before a client is refused, or ignored, on what this server knows: reads what others wrote. */
  readonly catchUp: () => Promise<boolean>
}

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

  /** What the relay said of a client that now comes past it, where the configuration wants that kept. */
  stashedAgent(packet: Packet4, client: Client4): RelayAgent | undefined {
    const { config, replica } = this.#options
    return config.stashAgentOptions ? stashedAgent(replica, packet, client) : undefined
  }

  // -------------------------------------------------------------- DISCOVER, RFC 2131 §4.3.1

  #discover(exchange: Exchange4): Verdict4 | Promise<Verdict4> {
    if (wantsRapidCommit(exchange.packet)) return this.#commitAtOnce(exchange)
    return this.#offer(exchange) ?? this.#offerAfterMakingRoom(exchange)
  }

  async #offerAfterMakingRoom(exchange: Exchange4): Promise<Verdict4> {
    if (!(await this.#options.makeRoom())) return { drop: 'storeUnavailable' }
    return this.#offer(exchange) ?? { drop: 'noFreeAddress' }
  }

  /** The offer to make; `undefined` when nothing is free for the client as far as this server knows. */
  #offer(exchange: Exchange4): Verdict4 | undefined {
    const { config, ledger } = this.#options
    if (ledger.health !== 'up') return { drop: 'storeUnavailable' }
    for (const stream of this.#candidates(exchange)) {
      const place = this.#placeOf(exchange, stream)
      if (place === undefined) continue
      const terms = this.#terms(exchange, place)
      const { lifetimeSec, record } = offerTerms4(config, place)
      const held = ledger.offer(stream, { type: 'Offer', terms, offerLifetimeSec: lifetimeSec }, record)
      if (E.isRight(held)) return this.#reply(exchange, MESSAGE_TYPE.offer, place, terms.validLifetimeSec)
      if (held.left._tag === 'Unavailable') return { drop: 'storeUnavailable' }
    }
    return undefined
  }

  /**
   * Rapid commit, which is on where option 80 is configured for the client (RFC 4039 §4): claims the first address that can
   * be had. Nobody is refused here; a client for which this leads nowhere is made an ordinary offer.
   */
  async #commitAtOnce(exchange: Exchange4): Promise<Verdict4> {
    for (const stream of this.#candidates(exchange)) {
      const place = this.#placeOf(exchange, stream)
      if (place === undefined) continue
      if (!this.#allowsRapidCommit(exchange, place)) break
      const terms = this.#terms(exchange, place)
      const answer = await this.#options.ledger.execute(stream, { type: 'Claim', terms, ownOnly: false })
      if (E.isRight(answer)) {
        this.#supersede(exchange, stream, terms, answer)
        return this.#acknowledge(exchange, place, terms, answer.right)
      }
      if (dropFor(answer.left) !== 'notHolder') return { drop: dropFor(answer.left) }
    }
    return this.#offer(exchange) ?? this.#offerAfterMakingRoom(exchange)
  }

  #allowsRapidCommit(exchange: Exchange4, { subnet, pool, classes }: Place4): boolean {
    const sources = { exchange, subnet, poolOptions: pool?.options, classes }
    return isConfigured(this.#options.config, sources, OPTION4.rapidCommit)
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
    return ownFirst(replica, own)
  }

  // -------------------------------------------------------------- REQUEST, RFC 2131 §4.3.2

  #request(exchange: Exchange4): Verdict4 | Promise<Verdict4> {
    const { packet } = exchange
    const chosen = serverIdentifier(packet)
    if (chosen !== undefined && !this.#isOurs(exchange, chosen)) return { drop: 'notForUs' }
    const wished = requestedAddress(packet)
    // A client that has an address means that one, whatever else it names.
    const address = packet.ciaddr !== 0 ? packet.ciaddr : (wished ?? 0)
    if (address === 0) return { drop: 'badRequest' }
    const from: Requesting = packet.ciaddr !== 0 ? 'using' : chosen !== undefined ? 'selecting' : 'rebooting'
    const place = this.#placeOf(exchange, lease4Stream(address))
    return place === undefined ? this.#requestElsewhere(exchange, address, from) : this.#take(exchange, place, from)
  }

  #take(exchange: Exchange4, place: Place4, from: Requesting): Promise<Verdict4> {
    const terms = this.#terms(exchange, place)
    if (from !== 'using')
      return this.#execute(exchange, place, from, { type: 'Claim', terms, ownOnly: from === 'rebooting' })
    const reuseSec = reuseSecOf(place.subnet.cache, terms.validLifetimeSec)
    return this.#execute(exchange, place, from, { type: 'Renew', terms, reuseSec })
  }

  /**
   * An address that this client cannot have here: it is of another link or outside the pools, or reserved for somebody
   * else, or another one is reserved for the client. The last depends on who has that one, which others may have changed.
   */
  async #requestElsewhere(exchange: Exchange4, address: number, from: Requesting): Promise<Verdict4> {
    const { ledger, catchUp } = this.#options
    if (ledger.health !== 'up' || !(await catchUp())) {
      return this.#remaining(exchange, address) ?? { drop: 'storeUnavailable' }
    }
    const place = this.#placeOf(exchange, lease4Stream(address))
    if (place !== undefined) return this.#take(exchange, place, from)
    const [subnet] = exchange.subnets
    if (subnet === undefined) return { drop: 'noSubnet' }
    // Without authority another server may know a stranger better (RFC 2131 §4.3.2, INIT-REBOOT).
    if (from !== 'selecting' && !subnet.authoritative && !this.#isKnown(exchange)) return { drop: 'noRecord' }
    return this.#nak(exchange, subnet, `${ip4Text(address)} is not for this client on this link`)
  }

  async #execute(exchange: Exchange4, place: Place4, from: Requesting, command: Claim | Renew): Promise<Verdict4> {
    const stream = lease4Stream(place.address)
    const answer = await this.#options.ledger.execute(stream, command)
    if (E.isRight(answer)) {
      this.#supersede(exchange, stream, command.terms, answer)
      return this.#acknowledge(exchange, place, command.terms, answer.right)
    }
    switch (answer.left._tag) {
      case 'HeldByAnother':
      case 'Declined':
        return this.#refuse(exchange, place, from !== 'rebooting', 'is in use by another client')
      case 'NotHolder':
        return this.#refuse(exchange, place, false, 'is not leased to this client')
      case 'Unavailable':
        return this.#remaining(exchange, place.address) ?? { drop: 'storeUnavailable' }
      default:
        return { drop: dropFor(answer.left) }
    }
  }

  #acknowledge(exchange: Exchange4, place: Place4, terms: Terms, { event, state }: Done): Verdict4 {
    const left = event === undefined ? this.#secondsLeft(leaseIn(state)) : terms.validLifetimeSec
    return this.#reply(exchange, MESSAGE_TYPE.ack, place, left)
  }

  /** What the store has refused. A client of which there is no record is answered only with authority. */
  async #refuse(exchange: Exchange4, { subnet, address }: Place4, always: boolean, why: string): Promise<Verdict4> {
    if (!always && !subnet.authoritative && !this.#isKnown(exchange)) {
      if (!(await this.#options.catchUp())) return { drop: 'storeUnavailable' }
      if (!this.#isKnown(exchange)) return { drop: 'noRecord' }
    }
    return this.#nak(exchange, subnet, `${ip4Text(address)} ${why}`)
  }

  /** Whether there is a record of the client: an address reserved for it, or a lease on any link that it has or had last. */
  #isKnown(exchange: Exchange4): boolean {
    if (exchange.reservation?.address !== undefined) return true
    const { replica } = this.#options
    return [true, false].some((matchClientId) =>
      replica
        .heldBy(clientKey4(exchange.client, matchClientId))
        .some((stream) => stream.startsWith('lease4/') && OWN_RANK[replica.effective(stream).status] < NOT_OWN),
    )
  }

  /** While the store is away: the time that is left of a lease that this server knows. Extends nothing, so it is safe to say. */
  #remaining(exchange: Exchange4, address: number): Verdict4 | undefined {
    const subnet = exchange.subnets.find((candidate) => subnetContains(candidate, address))
    if (subnet === undefined || serverIdentifier(exchange.packet) !== undefined) return undefined
    const { state } = this.#options.replica.get(lease4Stream(address))
    const holder = clientKey4(exchange.client, subnet.matchClientId)
    const left = this.#secondsLeft(state.status === 'bound' && state.lease.holder === holder ? state.lease : undefined)
    return left < 1
      ? undefined
      : this.#reply(exchange, MESSAGE_TYPE.ack, this.#placeIn(exchange, subnet, address), left)
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
    return this.#reply(
      exchange,
      MESSAGE_TYPE.ack,
      { ...this.#placeIn(exchange, subnet, address), address: 0 },
      undefined,
    )
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
  #placeOf(exchange: Exchange4, stream: StreamName): Place4 | undefined {
    const parsed = parseStream(stream)
    if (parsed._tag === 'None' || parsed.value.category !== 'lease4') return undefined
    const { address } = parsed.value
    const subnet = exchange.subnets.find((candidate) => subnetContains(candidate, address))
    if (subnet === undefined) return undefined
    const reserved = reservedAddress(exchange, subnet)
    if (reserved === address) return this.#placeIn(exchange, subnet, address)
    if (reserved !== undefined && this.#isFreeFor(exchange, subnet, reserved)) return undefined
    const owners = this.#reserved.ownerOf(address)
    if (owners.length > 0 && (exchange.reservation === undefined || !owners.includes(exchange.reservation))) {
      return undefined
    }
    const pool = poolOf(subnet, address)
    return pool !== undefined && admits(pool, exchange.classes)
      ? this.#placeIn(exchange, subnet, address, pool)
      : undefined
  }

  #placeIn(exchange: Exchange4, subnet: Subnet4, address: number, pool = poolOf(subnet, address)): Place4 {
    const { packet, agent, arrival } = exchange
    const about = { packet, agent, arrival }
    const classes = classifyAdditional4(this.#options.config, about, exchange.classes, [subnet, pool])
    return { address, subnet, pool, classes }
  }

  /** Whether the client's reserved address can be had: otherwise it gets, and keeps, another one meanwhile. */
  #isFreeFor(exchange: Exchange4, subnet: Subnet4, address: number): boolean {
    const state = this.#options.replica.effective(lease4Stream(address))
    if (state.status === 'declined') return false
    return state.status !== 'bound' || state.lease.holder === clientKey4(exchange.client, subnet.matchClientId)
  }

  #terms(exchange: Exchange4, place: Place4): Terms {
    const { config, replica } = this.#options
    const { subnet, address } = place
    const holder = clientKey4(exchange.client, subnet.matchClientId)
    const { state } = replica.get(lease4Stream(address))
    const before = state.status !== 'vacant' && state.lease.holder === holder ? state.lease : undefined
    const relayBefore = exchange.packet.ciaddr !== 0 ? before?.relay : undefined
    const leftSec = state.status === 'bound' ? this.#secondsLeft(before) : 0
    return terms4(config, exchange, place, this.#crowded(subnet), leftSec, relayBefore)
  }

  #crowded(subnet: Subnet4): boolean {
    const threshold = subnet.adaptiveLeaseTimeThreshold
    return threshold !== undefined && this.#options.spaces.usedShare('lease4', subnet.id) > threshold
  }

  #nak(exchange: Exchange4, subnet: Subnet4, message: string): Verdict4 {
    const place = { address: 0, subnet, pool: undefined, classes: exchange.classes }
    return this.#reply(exchange, MESSAGE_TYPE.nak, place, undefined, message)
  }

  #reply(
    exchange: Exchange4,
    messageType: number,
    { address, subnet, pool, classes }: Place4,
    leaseTimeSec: number | undefined,
    message?: string,
  ): Verdict4 {
    const reply: Reply4 = {
      messageType,
      exchange,
      subnet,
      yiaddr: address,
      leaseTimeSec,
      poolOptions: pool?.options,
      classes,
      message,
    }
    return { reply }
  }
}

/**
 * Where a REQUEST comes from (RFC 2131 §4.3.2): SELECTING, INIT-REBOOT, or a client that uses its address, in RENEWING or
 * REBINDING, which a server answers alike.
 */
type Requesting = 'selecting' | 'rebooting' | 'using'

/** Searches of one subnet for one DISCOVER: each further one costs a little, and is wanted only when offers collide. */
const SEARCHES_MAX = 4

const dropFor = (reason: Refusal | Failure): Drop4 => {
  switch (reason._tag) {
    case 'Unavailable':
    case 'Overloaded':
    case 'Contended':
      return dropForFailure(reason)
    default:
      return 'notHolder'
  }
}
