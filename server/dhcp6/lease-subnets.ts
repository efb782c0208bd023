/** In which subnet a lease has its place by the configuration, whoever holds it: for the checks at the start. */
import { ip6Last } from '../../domain/address.ts'
import type { Ip6 } from '../../domain/address.ts'
import type { Resource } from '../../domain/stream.ts'
import type { Dhcp6, Subnet6 } from '../config/model.ts'
import { lastWhere } from '../last-where.ts'

/** A range of addresses that belongs to a subnet. Ranges of one kind do not overlap; the configuration sees to that. */
interface Range {
  readonly first: Ip6
  readonly last: Ip6
  readonly subnetId: number
}

/**
 * Finds the subnet of an address, which lies in it, or of a delegated prefix, which lies in one of its pools, whatever
 * length that delegates by now, or is reserved in it. A reserved prefix is in its place wherever its client may be: in
 * any subnet of the link, or of all where the reservation is global, so in that in which it was leased (`leasedIn`).
 * Undefined when there is no such subnet.
 */
export const leaseSubnets6 = (config: Dhcp6): ((resource: Resource, leasedIn: number) => number | undefined) => {
  const links = sorted(config.subnets, ({ prefix, prefixLength }) => [{ prefix, length: prefixLength }])
  const pools = sorted(config.subnets, (subnet) =>
    subnet.pdPools.map(({ prefix, prefixLength }) => ({ prefix, length: prefixLength })),
  )
  const reserved = sorted(config.subnets, (subnet) => subnet.reservations.flatMap(({ prefixes }) => prefixes))
  const global = new Set(config.globalReservations.flatMap(({ prefixes }) => prefixes.map(({ prefix }) => prefix)))
  const networks = new Map(config.subnets.map(({ id, sharedNetwork }) => [id, sharedNetwork]))
  const onOneLink = (one: number, other: number): boolean =>
    networks.get(one) !== undefined && networks.get(one) === networks.get(other)
  return (resource, leasedIn) => {
    if (resource.category === 'lease4') return undefined
    const { address } = resource
    if (resource.category === 'lease6') return at(links, address)
    const home = at(reserved, address)
    if (home !== undefined) return onOneLink(home, leasedIn) ? leasedIn : home
    const anywhere = global.has(address) && networks.has(leasedIn) ? leasedIn : undefined
    return anywhere ?? at(pools, address)
  }
}

const sorted = (
  subnets: ReadonlyArray<Subnet6>,
  prefixesOf: (subnet: Subnet6) => ReadonlyArray<{ readonly prefix: Ip6; readonly length: number }>,
): ReadonlyArray<Range> =>
  subnets
    .flatMap((subnet) =>
      prefixesOf(subnet).map(({ prefix, length }): Range => {
        return { first: prefix, last: ip6Last(prefix, length), subnetId: subnet.id }
      }),
    )
    .sort((a, b) => (a.first < b.first ? -1 : 1))

const at = (ranges: ReadonlyArray<Range>, address: Ip6): number | undefined => {
  const found = ranges[lastWhere(ranges, ({ first }) => first <= address)]
  return found !== undefined && address <= found.last ? found.subnetId : undefined
}
