/** Which addresses of a subnet a client may have, and on which terms. */
import { classesIn } from '../classes.ts'
import { clientKey4, hostname4 } from './client.ts'
import type { ClientClass4, Dhcp4, Lifetimes, Pool4, Reservation4, Subnet4 } from '../config/model.ts'
import type { Relay, Terms } from '../../domain/lease.ts'
import type { Exchange4 } from './exchange.ts'
import { leaseTime } from './option-access.ts'
import { subnetContains } from './subnets.ts'

/** The pool of a subnet that an address lies in. */
export const poolOf = (subnet: Subnet4, address: number): Pool4 | undefined =>
  subnet.pools.find((pool) => address >= pool.first && address <= pool.last)

/** The reserved address of the client if it belongs to this subnet. */
export const reservedAddress = (exchange: Exchange4, subnet: Subnet4): number | undefined => {
  const address = exchange.reservation?.address
  return address !== undefined && subnetContains(subnet, address) ? address : undefined
}

/** An address that a client may have, with what follows from it. */
export interface Place4 {
  readonly address: number
  readonly subnet: Subnet4
  /** Undefined for a reserved address outside all pools. */
  readonly pool: Pool4 | undefined
  readonly classes: ReadonlySet<string>
}

/** How long an offer holds its address, and whether it is recorded: as the first class says that has a word, else the subnet. */
export const offerTerms4 = (config: Dhcp4, { subnet, classes }: Place4): { lifetimeSec: number; record: boolean } => {
  const ofClass = classesIn(config.classes, classes).find(
    (each) => each.offerLifetimeSec !== undefined,
  )?.offerLifetimeSec
  if (ofClass === undefined) return { lifetimeSec: subnet.offerLifetimeSec, record: subnet.recordOffers }
  return ofClass === 0 ? { lifetimeSec: MEMORY_OFFER_SEC, record: false } : { lifetimeSec: ofClass, record: true }
}

/** How long an offer that is not recorded holds its address; Kea's `offer-lifetime: 0`. Seconds. */
const MEMORY_OFFER_SEC = 10

/** Lifetime bounds in force: those of the first class that has any, else the subnet's. */
const lifetimesOf = (classes: ReadonlyArray<ClientClass4>, subnet: Subnet4): Lifetimes =>
  classes.find((clientClass) => clientClass.validLifetime !== undefined)?.validLifetime ?? subnet.validLifetime

/**
 * The terms for a client in its place: its key there, and the lifetime it asked for within the bounds, the default if it
 * asked for none. In a `crowded` subnet it is the shortest, or what is left of the client's lease where that is more
 * (`leftSec`). A message that came without the relay keeps what the relay said before (`relayBefore`), so that every
 * event tells where the client is connected.
 */
export const terms4 = (
  config: Dhcp4,
  exchange: Exchange4,
  { subnet, pool, classes }: Place4,
  crowded: boolean,
  leftSec: number,
  relayBefore: Relay | undefined,
): Terms => {
  const { client, packet } = exchange
  const { hostnameRules } = subnet
  const hostname = hostnameRules === undefined ? client.hostname : hostname4(packet, hostnameRules)
  const bounds = lifetimesOf(classesIn(config.classes, classes), subnet)
  const asked = leaseTime(packet)
  const wanted = asked === undefined ? bounds.default : Math.min(Math.max(asked, bounds.min), bounds.max)
  return {
    clientId: client.clientId,
    duid: undefined,
    fqdnForward: undefined,
    fqdnReverse: undefined,
    holder: clientKey4(client, subnet.matchClientId),
    hostname: exchange.reservation?.hostname ?? hostname,
    hwAddress: client.hwAddress,
    hwSource: undefined,
    hwType: client.hwType,
    iaid: undefined,
    poolId: pool?.id ?? 0,
    preferredLifetimeSec: undefined,
    relay: client.relay ?? relayBefore,
    subnetId: subnet.id,
    transactionId: packet.xid,
    userContext: undefined,
    validLifetimeSec: crowded ? Math.max(bounds.min, Math.min(wanted, leftSec)) : wanted,
  }
}

/** Reservations that keep an address of a subnet for one client. */
export interface ReservedAddresses {
  readonly ownerOf: (address: number) => ReadonlyArray<Reservation4>
}

/** Indexes reserved addresses, so that nobody else is given one. */
export const indexReservedAddresses = (config: Dhcp4): ReservedAddresses => {
  const owners = new Map<number, Reservation4[]>()
  const add = (reservation: Reservation4): void => {
    if (reservation.address === undefined) return
    owners.set(reservation.address, [...(owners.get(reservation.address) ?? []), reservation])
  }
  for (const subnet of config.subnets) if (subnet.reservationModes.inSubnet) subnet.reservations.forEach(add)
  if (config.subnets.some((subnet) => subnet.reservationModes.global)) config.globalReservations.forEach(add)
  return { ownerOf: (address) => owners.get(address) ?? [] }
}
