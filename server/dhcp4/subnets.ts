/** Which subnet a client is on. */
import type { Dhcp4, Subnet4 } from '../config/model.ts'
import { lastWhere } from '../last-where.ts'
import type { Arrival4 } from './exchange.ts'
import { linkSelection } from './option-relay.ts'
import type { RelayAgent } from './option-relay.ts'
import { subnetSelection } from './option-access.ts'
import type { Packet4 } from './packet.ts'

/** The subnets of one link, the selected one first: one, or those of a shared network. */
export type Link4 = ReadonlyArray<Subnet4>

/** Subnets indexed for selection. */
export interface SubnetIndex4 {
  /**
   * The links that a message may come from, best first; empty when there is none. There are several where the
   * configuration gives one relay or interface to several subnets, which then tell their clients apart by class.
   *
   * A relayed message is placed by link selection (RFC 3527), subnet selection (RFC 3011) or giaddr; the relay addresses of
   * the configuration come before the ranges of the subnets. A message without a relay is placed by subnet selection,
   * by the address that the client uses if that is not on another interface of ours, or by where it came in.
   */
  readonly select: (packet: Packet4, agent: RelayAgent | undefined, arrival: Arrival4) => ReadonlyArray<Link4>
  /** The subnet that an address (uint32) lies in. */
  readonly find: (address: number) => Subnet4 | undefined
}

/** Builds the index. */
export const indexSubnets4 = (config: Dhcp4): SubnetIndex4 => {
  const byRelay = new Map<number, Link4[]>()
  const byInterface = new Map<string, Link4[]>()
  const links = new Map(config.subnets.map((subnet) => [subnet, linkOf(config, subnet)]))
  for (const [subnet, link] of links) {
    for (const address of subnet.relayAddresses) addLink(byRelay, address, link)
    if (subnet.interface !== undefined) addLink(byInterface, subnet.interface, link)
  }
  const find = finder(config.subnets)
  const containing = (address: number): ReadonlyArray<Link4> => {
    const subnet = find(address)
    return subnet === undefined ? [] : [links.get(subnet) ?? [subnet]]
  }
  const direct = (packet: Packet4, arrival: Arrival4): ReadonlyArray<Link4> => {
    const { interfaceName, localAddress } = arrival
    const own = interfaceName === undefined ? undefined : byInterface.get(interfaceName)
    const here = own ?? containing(localAddress)
    if (packet.ciaddr === 0 || here.some((link) => isOn(link, packet.ciaddr))) return here
    // A client behind a relay renews by unicast, which no relay marks: it is where its address says. One that has its
    // address from another interface of ours has moved here.
    const [there] = containing(packet.ciaddr)
    const moved = there?.some((subnet) => subnet.interface !== undefined && subnet.interface !== interfaceName)
    return there === undefined || moved ? here : [there]
  }
  return {
    find,
    select: (packet, agent, arrival) => {
      const asked = (agent === undefined ? undefined : linkSelection(agent)) ?? subnetSelection(packet)
      if (packet.giaddr === 0) return asked === undefined ? direct(packet, arrival) : containing(asked)
      const address = asked ?? packet.giaddr
      return byRelay.get(address) ?? containing(address)
    },
  }
}

const isOn = (link: Link4, address: number): boolean => link.some((subnet) => subnetContains(subnet, address))

/** Finds the subnet of an address; subnets do not overlap. */
const finder = (subnets: ReadonlyArray<Subnet4>): ((address: number) => Subnet4 | undefined) => {
  const sorted = [...subnets].sort((a, b) => a.prefix - b.prefix)
  return (address) => {
    const found = sorted[lastWhere(sorted, ({ prefix }) => prefix <= address)]
    return found !== undefined && subnetContains(found, address) ? found : undefined
  }
}

/** Whether an address (uint32) lies in the subnet. */
export const subnetContains = (subnet: Subnet4, address: number): boolean =>
  subnet.prefixLength === 0 || (address ^ subnet.prefix) >>> (32 - subnet.prefixLength) === 0

const linkOf = (config: Dhcp4, subnet: Subnet4): Link4 =>
  subnet.sharedNetwork === undefined
    ? [subnet]
    : [subnet, ...config.subnets.filter((other) => other !== subnet && other.sharedNetwork === subnet.sharedNetwork)]

/** A shared network is one link, whichever of its subnets the configuration named. */
const addLink = <K>(map: Map<K, Link4[]>, key: K, link: Link4): void => {
  const links = map.get(key) ?? []
  const [subnet] = link
  if (!links.some((known) => subnet !== undefined && known.includes(subnet))) map.set(key, [...links, link])
}
