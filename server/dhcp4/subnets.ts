/** Which subnet a client is on. */
import type { Dhcp4, Subnet4 } from '../config/model.ts'
import type { Arrival4 } from './exchange.ts'
import { linkSelection } from './option-relay.ts'
import type { RelayAgent } from './option-relay.ts'
import { subnetSelection } from './option-access.ts'
import type { Packet4 } from './packet.ts'

/** Subnets indexed for selection. */
export interface SubnetIndex4 {
  /**
   * The subnets of the link that a message comes from, the selected one first; empty when there is none.
   *
   * A relayed message is placed by link selection (RFC 3527), subnet selection (RFC 3011) or giaddr; the relay addresses of
   * the configuration come before the ranges of the subnets. A message without a relay is placed by the interface it
   * came in by, else by the client's own address or that of the server on the link.
   */
  readonly select: (packet: Packet4, agent: RelayAgent | undefined, arrival: Arrival4) => ReadonlyArray<Subnet4>
}

/** Builds the index. */
export const indexSubnets4 = (config: Dhcp4): SubnetIndex4 => {
  const byRelay = new Map<number, ReadonlyArray<Subnet4>>()
  const byInterface = new Map<string, ReadonlyArray<Subnet4>>()
  const links = new Map<number, ReadonlyArray<Subnet4>>()
  for (const subnet of config.subnets) links.set(subnet.id, linkOf(config, subnet))
  const linkOfId = (subnet: Subnet4): ReadonlyArray<Subnet4> => links.get(subnet.id) ?? [subnet]
  for (const subnet of config.subnets) {
    for (const address of subnet.relayAddresses) setOnce(byRelay, address, linkOfId(subnet))
    if (subnet.interface !== undefined) setOnce(byInterface, subnet.interface, linkOfId(subnet))
  }
  // The longest prefix wins where one subnet lies inside another.
  const sorted = [...config.subnets].sort((a, b) => b.prefixLength - a.prefixLength)
  const containing = (address: number): ReadonlyArray<Subnet4> => {
    const subnet = sorted.find((candidate) => subnetContains(candidate, address))
    return subnet === undefined ? [] : linkOfId(subnet)
  }
  return {
    select: (packet, agent, arrival) => {
      if (packet.giaddr !== 0) {
        const asked = agent === undefined ? undefined : linkSelection(agent)
        const address = asked ?? subnetSelection(packet) ?? packet.giaddr
        return byRelay.get(address) ?? containing(address)
      }
      const onInterface = arrival.interfaceName === undefined ? undefined : byInterface.get(arrival.interfaceName)
      if (onInterface !== undefined) return onInterface
      const ownLink = containing(packet.ciaddr !== 0 ? packet.ciaddr : arrival.localAddress)
      return ownLink.length > 0 ? ownLink : containing(arrival.localAddress)
    },
  }
}

/** Whether an address (uint32) lies in the subnet. */
export const subnetContains = (subnet: Subnet4, address: number): boolean =>
  subnet.prefixLength === 0 || (address ^ subnet.prefix) >>> (32 - subnet.prefixLength) === 0

const linkOf = (config: Dhcp4, subnet: Subnet4): ReadonlyArray<Subnet4> =>
  subnet.sharedNetwork === undefined
    ? [subnet]
    : [subnet, ...config.subnets.filter((other) => other !== subnet && other.sharedNetwork === subnet.sharedNetwork)]

const setOnce = <K, V>(map: Map<K, V>, key: K, value: V): void => {
  if (!map.has(key)) map.set(key, value)
}
