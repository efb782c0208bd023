/**
 * The DHCPv6 server's decisions: what each message asks of the ledger, and what the answers mean on the wire (RFC 8415
 * §18.3). No sockets and no octets of messages here.
 */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { ip6Bytes, ip6FromBytes } from '../../domain/address.ts'
import { lease6Stream, parseStream, prefix6Stream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { admits } from '../classes.ts'
import type { ClassRules, PdPool, Subnet6, Timers } from '../config/model.ts'
import type { Failure } from '../ledger.ts'
import type { Logger } from '../logger.ts'
import { dropForFailure } from '../own-leases.ts'
import { teeTimes } from '../tee-times.ts'
import { classifyAdditional6 } from './classify.ts'
import { clientKey6 } from './client.ts'
import { Bindings, listedBy } from './bindings.ts'
import type { BindingsOptions, Grant6, IaOutcome, IaRequest, Taken } from './bindings.ts'
import type { Exchange6, Reply6, Verdict6 } from './exchange.ts'
import { encodeExclude, hasOption, requestedOptions } from './option-access.ts'
import type { IaNa, IaPd, Status6 } from './option-access.ts'
import { MESSAGE6, OPTION6, STATUS6 } from './option-codes.ts'
import { subnetContains6 } from './subnets.ts'

/** What the decisions rest on. */
export interface Service6Options extends BindingsOptions {
  readonly log: Logger
}

const SUCCESS: Status6 = { code: STATUS6.success, message: 'done' }
const NO_ADDRESSES: Status6 = { code: STATUS6.noAddrsAvail, message: 'no address is free' }
const NO_PREFIXES: Status6 = { code: STATUS6.noPrefixAvail, message: 'no prefix is free' }
const NO_BINDING: Status6 = { code: STATUS6.noBinding, message: 'this is not leased to this client' }

type Act = (ia: IaRequest, taken: Taken) => IaOutcome | Promise<IaOutcome>

/** Decides on DHCPv6 messages under one configuration. Messages have been validated and are for this server. */
export class Service6 {
  readonly #options: Service6Options
  readonly #bindings: Bindings

  constructor(options: Service6Options) {
    this.#options = options
    this.#bindings = new Bindings(options)
  }

  /** What to answer. Synchronous where the ledger need not be asked. */
  handle(exchange: Exchange6): Verdict6 | Promise<Verdict6> {
    switch (exchange.packet.messageType) {
      case MESSAGE6.solicit:
        return this.#solicit(exchange)
      case MESSAGE6.request:
        return this.#assign(exchange, MESSAGE6.reply, (ia, taken) => this.#bindings.claim(exchange, ia, taken), false)
      case MESSAGE6.renew:
      case MESSAGE6.rebind:
        return this.#assign(exchange, MESSAGE6.reply, (ia, taken) => this.#bindings.renew(exchange, ia, taken), false)
      case MESSAGE6.confirm:
        return this.#confirm(exchange)
      case MESSAGE6.release:
        return this.#end(exchange, 'Release')
      case MESSAGE6.decline:
        return this.#end(exchange, 'Decline')
      default:
        return this.#inform(exchange)
    }
  }

  /**
   * §18.3.1: an Advertise, or with rapid commit on both sides a Reply at once. Where nothing could be committed it is an
   * Advertise all the same, so that the client goes on to listen to other servers.
   */
  #solicit(exchange: Exchange6): Verdict6 | Promise<Verdict6> {
    const commits = ownSubnet(exchange)?.rapidCommit && hasOption(exchange.packet.options, OPTION6.rapidCommit)
    const act: Act = commits
      ? (ia, taken) => this.#bindings.claim(exchange, ia, taken)
      : (ia, taken) => this.#bindings.offer(exchange, ia, taken)
    return this.#assign(exchange, commits ? MESSAGE6.reply : MESSAGE6.advertise, act, commits === true)
  }

  /** Serves every IA of the message. */
  #assign(exchange: Exchange6, messageType: number, act: Act, rapidCommit: boolean): Verdict6 | Promise<Verdict6> {
    if (exchange.subnets.length === 0) return { drop: 'noSubnet' }
    const nas = exchange.iaNas.map((ia) => naRequest(exchange, ia))
    const pds = exchange.iaPds.map((ia) => pdRequest(exchange, ia))
    const all = [...nas, ...pds]
    const taken = listedBy(all)
    const outcomes = all.map((ia) => act(ia, taken))
    const conclude = (settled: ReadonlyArray<IaOutcome>): Verdict6 =>
      this.#assigned(exchange, messageType, nas, pds, settled, rapidCommit)
    return outcomes.some(isPending) ? Promise.all(outcomes).then(conclude) : conclude(outcomes as IaOutcome[])
  }

  /** The reply; silence when the store cannot say what became of an IA (design: never an error for that). */
  #assigned(
    exchange: Exchange6,
    messageType: number,
    nas: ReadonlyArray<IaRequest>,
    pds: ReadonlyArray<IaRequest>,
    outcomes: ReadonlyArray<IaOutcome>,
    rapidCommit: boolean,
  ): Verdict6 {
    const failed = outcomes.find((outcome) => outcome._tag === 'Failed')
    if (failed !== undefined) return { drop: dropForFailure(failed.failure) }
    const granted = outcomes.flatMap((outcome) => (outcome._tag === 'Granted' ? [outcome.grant] : []))
    const times = iaTimes(granted, granted[0]?.place.subnet.timers)
    const iaNas = nas.map((ia, i) => naReply(exchange, ia, outcomes[i] as IaOutcome, times))
    const iaPds = pds.map((ia, i) => pdReply(exchange, ia, outcomes[nas.length + i] as IaOutcome, times))
    const subnet = granted[0]?.place.subnet ?? ownSubnet(exchange)
    const poolOptions = granted[0]?.place.pool?.options
    const classes = this.#classesAt(
      exchange,
      granted.length === 0 ? [subnet] : granted.flatMap(({ place }) => [place.subnet, place.pool]),
    )
    const committed = rapidCommit && granted.length > 0
    const parts = { subnet, iaNas, iaPds, rapidCommit: committed, configured: true, poolOptions, classes }
    return { reply: makeReply(exchange, rapidCommit && !committed ? MESSAGE6.advertise : messageType, parts) }
  }

  /** §18.3.6: what the client's link has to tell. */
  #inform(exchange: Exchange6): Verdict6 {
    const subnet = ownSubnet(exchange)
    const classes = this.#classesAt(exchange, [subnet])
    return { reply: makeReply(exchange, MESSAGE6.reply, { subnet, classes, configured: true }) }
  }

  #classesAt(exchange: Exchange6, scopes: ReadonlyArray<ClassRules | undefined>): ReadonlySet<string> {
    return classifyAdditional6(this.#options.config, exchange, exchange.classes, scopes)
  }

  /** §18.3.3: whether the addresses fit the link; silence when there are none, or the link is not known. */
  #confirm(exchange: Exchange6): Verdict6 {
    const addresses = exchange.iaNas.flatMap((ia) => ia.addresses.map(({ address }) => ip6FromBytes(address)))
    if (exchange.subnets.length === 0) return { drop: 'noSubnet' }
    if (addresses.length === 0) return { drop: 'nothingToConfirm' }
    const onLink = (address: bigint): boolean => exchange.subnets.some((subnet) => subnetContains6(subnet, address))
    const status = addresses.every(onLink)
      ? { code: STATUS6.success, message: 'all addresses are on this link' }
      : { code: STATUS6.notOnLink, message: 'an address does not belong to this link' }
    return { reply: makeReply(exchange, MESSAGE6.reply, { subnet: undefined, status, configured: false }) }
  }

  /** §18.3.7 and §18.3.8: Success at the top, NoBinding for IAs of which nothing was the client's. */
  async #end(exchange: Exchange6, how: 'Release' | 'Decline'): Promise<Verdict6> {
    const nas = exchange.iaNas.map((ia) => naRequest(exchange, ia))
    const pds = how === 'Release' ? exchange.iaPds.map((ia) => pdRequest(exchange, ia)) : []
    const ended = await Promise.all([...nas, ...pds].map((ia) => this.#bindings.end(ia, how)))
    const failed = ended.find(E.isLeft)
    if (failed !== undefined) return { drop: dropForFailure(failed.left) }
    const nothingHeld = ended.map((one) => E.isRight(one) && ![...one.right.values()].some(Boolean))
    if (how === 'Decline') this.#warnDeclined(exchange, ended)
    const unknown = (ia: IaRequest, i: number) => (nothingHeld[i] ? [emptyIa(ia.iaid, NO_BINDING)] : [])
    const iaNas = nas.flatMap(unknown).map((ia) => ({ ...ia, addresses: [] }))
    const iaPds = pds.flatMap((ia, i) => unknown(ia, nas.length + i)).map((ia) => ({ ...ia, prefixes: [] }))
    return {
      reply: makeReply(exchange, MESSAGE6.reply, {
        subnet: undefined,
        iaNas,
        iaPds,
        status: SUCCESS,
        configured: false,
      }),
    }
  }

  #warnDeclined(exchange: Exchange6, ended: ReadonlyArray<E.Either<Failure, ReadonlyMap<StreamName, boolean>>>): void {
    const declined = ended.flatMap((one) => (E.isRight(one) ? [...one.right].filter(([, held]) => held) : []))
    const { config, log } = this.#options
    for (const [stream] of declined) {
      log.warn(
        { lease: stream, client: exchange.client.duid, probationSec: config.declineProbationSec },
        'a client found its address in use by somebody else: it is kept back',
      )
    }
  }
}

const isPending = (outcome: IaOutcome | Promise<IaOutcome>): boolean => outcome instanceof Promise

/** The first subnet of the link that lets the client in: what it is told comes from there when it has no lease. */
const ownSubnet = ({ subnets, classes }: Exchange6): Subnet6 | undefined =>
  subnets.find((subnet) => admits(subnet, classes))

const makeReply = (
  exchange: Exchange6,
  messageType: number,
  parts: Pick<Reply6, 'subnet' | 'configured'> & Partial<Reply6>,
): Reply6 => ({
  messageType,
  exchange,
  iaNas: [],
  iaPds: [],
  status: undefined,
  rapidCommit: false,
  poolOptions: undefined,
  classes: exchange.classes,
  ...parts,
})

const naRequest = ({ client }: Exchange6, ia: IaNa): IaRequest => ({
  kind: 'na',
  iaid: ia.iaid,
  holder: clientKey6(client, ia.iaid),
  listed: ia.addresses
    .filter(({ address }) => ip6FromBytes(address) !== 0n)
    .map(({ address, preferredSec, validSec }) => ({
      stream: lease6Stream(ip6FromBytes(address)),
      wish: { preferredSec, validSec },
    })),
  lengthWished: 128,
})

/** A listed prefix of `::` is only a wish for a length (RFC 8415 §18.2.1). */
const pdRequest = ({ client }: Exchange6, ia: IaPd): IaRequest => ({
  kind: 'pd',
  iaid: ia.iaid,
  holder: clientKey6(client, ia.iaid),
  listed: ia.prefixes
    .filter(({ prefix }) => ip6FromBytes(prefix) !== 0n)
    .map(({ prefix, length, preferredSec, validSec }) => ({
      stream: prefix6Stream(ip6FromBytes(prefix), length),
      wish: { preferredSec, validSec },
    })),
  lengthWished: ia.prefixes[0]?.length ?? 0,
})

interface IaTimes {
  readonly t1Sec: number
  readonly t2Sec: number
}

/** One T1 and T2 for all IAs, by the shortest preferred lifetime (RFC 8415 §18.3.10.1); 0 leaves them to the client. */
const iaTimes = (granted: ReadonlyArray<Grant6>, timers: Timers | undefined): IaTimes => {
  if (granted.length === 0 || timers === undefined) return { t1Sec: 0, t2Sec: 0 }
  const shortest = Math.min(...granted.map(({ preferredSec }) => preferredSec))
  const { renew, rebind } = teeTimes(timers, shortest)
  return { t1Sec: renew ?? 0, t2Sec: rebind ?? 0 }
}

const emptyIa = (iaid: number, status: Status6) => ({ iaid, t1Sec: 0, t2Sec: 0, status })

const naReply = (exchange: Exchange6, ia: IaRequest, outcome: IaOutcome, times: IaTimes): IaNa => {
  if (outcome._tag !== 'Granted')
    return { ...emptyIa(ia.iaid, NO_ADDRESSES), addresses: withdrawnAddresses(exchange, ia) }
  const { place, preferredSec, validSec } = outcome.grant
  const address = { address: ip6Bytes(place.resource.address), preferredSec, validSec, status: undefined }
  const over = withdrawnAddresses(exchange, ia, place.stream)
  return { iaid: ia.iaid, ...times, status: undefined, addresses: [address, ...over] }
}

/**
 * What a client that renews or rebinds lists and does not have any more goes back with lifetimes 0 (RFC 8415 §18.3.4).
 * What others list are wishes, and need no answer.
 */
const withdrawn = (exchange: Exchange6, ia: IaRequest, kept: StreamName | undefined): StreamName[] => {
  const { messageType } = exchange.packet
  if (messageType !== MESSAGE6.renew && messageType !== MESSAGE6.rebind) return []
  return ia.listed.flatMap(({ stream }) => (stream === kept ? [] : [stream]))
}

const withdrawnAddresses = (exchange: Exchange6, ia: IaRequest, kept?: StreamName): IaNa['addresses'] =>
  withdrawn(exchange, ia, kept).map((stream) => ({ ...NO_TIME, address: listedBytes(stream) }))

const listedBytes = (stream: StreamName): Uint8Array => {
  const parsed = parseStream(stream)
  return ip6Bytes(O.isSome(parsed) ? BigInt(parsed.value.address) : 0n)
}

const NO_TIME = { preferredSec: 0, validSec: 0, status: undefined }

const pdReply = (exchange: Exchange6, ia: IaRequest, outcome: IaOutcome, times: IaTimes): IaPd => {
  if (outcome._tag !== 'Granted') return { ...emptyIa(ia.iaid, NO_PREFIXES), prefixes: withdrawnPrefixes(exchange, ia) }
  const { place, preferredSec, validSec } = outcome.grant
  const { resource } = place
  const length = resource.category === 'prefix6' ? resource.prefixLength : 128
  const exclude = excludeOf(exchange, outcome.grant, length)
  const prefix = { prefix: ip6Bytes(resource.address), length, preferredSec, validSec, status: undefined, exclude }
  const over = withdrawnPrefixes(exchange, ia, place.stream)
  return { iaid: ia.iaid, ...times, status: undefined, prefixes: [prefix, ...over] }
}

const withdrawnPrefixes = (exchange: Exchange6, ia: IaRequest, kept?: StreamName): IaPd['prefixes'] =>
  withdrawn(exchange, ia, kept).map((stream) => {
    const length = Number(stream.slice(stream.lastIndexOf('/') + 1))
    return { ...NO_TIME, prefix: listedBytes(stream), length, exclude: undefined }
  })

/** The excluded prefix, for clients that ask for it (RFC 6603 §4.3): of the reservation, else of the pool. */
const excludeOf = (exchange: Exchange6, grant: Grant6, length: number): Uint8Array | undefined => {
  if (!requestedOptions(exchange.packet.options).includes(OPTION6.pdExclude)) return undefined
  const { resource, pool } = grant.place
  const reserved = exchange.reservation?.prefixes.find(({ prefix }) => prefix === resource.address)?.excluded
  const excluded = reserved ?? (pool !== undefined && 'excluded' in pool ? (pool as PdPool).excluded : undefined)
  return excluded === undefined ? undefined : encodeExclude(excluded.prefix, excluded.length, length)
}
