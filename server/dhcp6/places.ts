/** Which addresses and prefixes a DHCPv6 client may have, and on which terms. */
import * as O from 'fp-ts/lib/Option.js'
import { ip6Last } from '../../domain/address.ts'
import type { ClientKey, Relay, Terms } from '../../domain/lease.ts'
import { lease6Stream, parseStream, prefix6Stream } from '../../domain/stream.ts'
import type { Resource, StreamName } from '../../domain/stream.ts'
import type { ClientClass6, Dhcp6, Lifetimes, PdPool, Pool6, Reservation6, Subnet6 } from '../config/model.ts'
import { admits } from '../classes.ts'
import { hostname6 } from './client.ts'
import type { Exchange6 } from './exchange.ts'
import { subnetContains6 } from './subnets.ts'

/** Addresses (IA_NA) or delegated prefixes (IA_PD). */
export type IaKind = 'na' | 'pd'

/** An address or prefix, and the subnet and pool that it belongs to for a client. */
export interface Place6 {
  readonly stream: StreamName
  readonly resource: Extract<Resource, { category: 'lease6' | 'prefix6' }>
  readonly subnet: Subnet6
  readonly pool: Pool6 | PdPool | undefined
}

/** The streams of a client's reservation. */
export const reservedStreams = (reservation: Reservation6 | undefined, kind: IaKind): StreamName[] => {
  if (reservation === undefined) return []
  return kind === 'na'
    ? reservation.addresses.map(lease6Stream)
    : reservation.prefixes.map(({ prefix, length }) => prefix6Stream(prefix, length))
}

/** Which reservation keeps a stream for its owner. */
export const indexReservedStreams = (config: Dhcp6): ReadonlyMap<StreamName, ReadonlyArray<Reservation6>> => {
  const owners = new Map<StreamName, Reservation6[]>()
  const add = (reservation: Reservation6): void => {
    for (const stream of [...reservedStreams(reservation, 'na'), ...reservedStreams(reservation, 'pd')]) {
      owners.set(stream, [...(owners.get(stream) ?? []), reservation])
    }
  }
  for (const subnet of config.subnets) if (subnet.reservationModes.inSubnet) subnet.reservations.forEach(add)
  config.globalReservations.forEach(add)
  return owners
}

/** The place of a stream for a client; `undefined` when the client may not have it here. */
export const placeOf6 = (
  exchange: Exchange6,
  stream: StreamName,
  owners: ReadonlyMap<StreamName, ReadonlyArray<Reservation6>>,
): Place6 | undefined => {
  const parsed = parseStream(stream)
  if (O.isNone(parsed) || parsed.value.category === 'lease4') return undefined
  const resource = parsed.value
  const reservedFor = owners.get(stream) ?? []
  const own = exchange.reservation !== undefined && reservedFor.includes(exchange.reservation)
  if (reservedFor.length > 0 && !own) return undefined
  for (const subnet of exchange.subnets) {
    if (!admits(subnet, exchange.classes)) continue
    const pool = poolIn(subnet, resource)
    if (pool !== undefined && (own || admits(pool, exchange.classes))) return { stream, resource, subnet, pool }
    if (own && belongs(subnet, resource)) return { stream, resource, subnet, pool: undefined }
  }
  return undefined
}

/** A reserved address belongs to the subnet that it lies in; a reserved prefix to whichever subnet the client is on. */
const belongs = (subnet: Subnet6, resource: Place6['resource']): boolean =>
  resource.category === 'prefix6' || subnetContains6(subnet, resource.address)

const poolIn = (subnet: Subnet6, resource: Place6['resource']): Pool6 | PdPool | undefined => {
  const { address } = resource
  if (resource.category === 'lease6') return subnet.pools.find((pool) => address >= pool.first && address <= pool.last)
  return subnet.pdPools.find(
    (pool) =>
      resource.prefixLength === pool.delegatedLength &&
      address >= pool.prefix &&
      address <= ip6Last(pool.prefix, pool.prefixLength),
  )
}

/** Lifetimes that the client would like, in seconds; 0 is no wish. */
export interface Wish {
  readonly preferredSec: number
  readonly validSec: number
}

/** What an IA brings to the terms of its lease. */
export interface IaTerms {
  readonly iaid: number
  /** The client with this IAID. */
  readonly holder: ClientKey
  readonly wish: Wish
  /** What relays said of the client before, which counts while it speaks past them. */
  readonly relayBefore: Relay | undefined
  /** In a crowded subnet, what is left of the client's lease; undefined where there is room. */
  readonly crowded: Wish | undefined
}

const bounded = (wished: number, bounds: Lifetimes): number =>
  wished === 0 ? bounds.default : Math.min(Math.max(wished, bounds.min), bounds.max)

const shortened = (wanted: number, { min }: Lifetimes, leftSec: number | undefined): number =>
  leftSec === undefined ? wanted : Math.max(min, Math.min(wanted, leftSec))

/**
 * The terms for an IA of a client: lifetimes as wished within the bounds of the client's first class that has any, else of
 * the subnet; the preferred lifetime never beyond the valid one (RFC 8415 §21.6). In a crowded subnet they are the shortest,
 * or what is left of the client's lease where that is more.
 */
export const terms6 = (
  exchange: Exchange6,
  classes: ReadonlyArray<ClientClass6>,
  place: Place6,
  { iaid, holder, wish, relayBefore, crowded }: IaTerms,
): Terms => {
  const { client, packet, reservation } = exchange
  const { subnet, pool } = place
  const valid = classes.find((one) => one.validLifetime !== undefined)?.validLifetime ?? subnet.validLifetime
  const preferred =
    classes.find((one) => one.preferredLifetime !== undefined)?.preferredLifetime ?? subnet.preferredLifetime
  const { hostnameRules } = subnet
  const hostname = hostnameRules === undefined ? client.hostname : hostname6(packet, hostnameRules)
  const validLifetimeSec = shortened(bounded(wish.validSec, valid), valid, crowded?.validSec)
  const preferredSec = shortened(bounded(wish.preferredSec, preferred), preferred, crowded?.preferredSec)
  return {
    clientId: undefined,
    duid: client.duid,
    fqdnForward: undefined,
    fqdnReverse: undefined,
    holder,
    hostname: reservation?.hostname ?? hostname,
    hwAddress: client.hwAddress,
    hwSource: client.hwSource,
    hwType: client.hwType,
    iaid,
    poolId: pool?.id ?? 0,
    preferredLifetimeSec: Math.min(preferredSec, validLifetimeSec),
    relay: client.relay ?? relayBefore,
    subnetId: subnet.id,
    transactionId: packet.transactionId,
    userContext: undefined,
    validLifetimeSec,
  }
}
