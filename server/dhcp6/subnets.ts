/** Which subnet a DHCPv6 client is on. */
import * as O from 'fp-ts/lib/Option.js'
import { hexText, ip6FromBytes, ip6Network, parseIp6 } from '../../domain/address.ts'
import type { Ip6 } from '../../domain/address.ts'
import type { Dhcp6, Subnet6 } from '../config/model.ts'
import type { Arrival6 } from './exchange.ts'
import { optionOf } from './option-access.ts'
import { OPTION6 } from './option-codes.ts'
import type { Relay6 } from './packet.ts'

/** Subnets indexed for selection. */
export interface SubnetIndex6 {
  /**
   * The subnets of the link that a message comes from, the selected one first; empty when there is none.
   *
   * A relayed message is placed by the interface-id nearest to the client, by relay addresses of the configuration, or by
   * the nearest link-address that is one (RFC 8415 §13.1); others by the interface they came in by, else by a source
   * address that is not link-local.
   */
  readonly select: (relays: ReadonlyArray<Relay6>, arrival: Arrival6) => ReadonlyArray<Subnet6>
}

/** Builds the index. */
export const indexSubnets6 = (config: Dhcp6): SubnetIndex6 => {
  const links = new Map<number, ReadonlyArray<Subnet6>>()
  const byInterfaceId = new Map<string, ReadonlyArray<Subnet6>>()
  const byRelay = new Map<Ip6, ReadonlyArray<Subnet6>>()
  const byInterface = new Map<string, ReadonlyArray<Subnet6>>()
  for (const subnet of config.subnets) links.set(subnet.id, linkOf(config, subnet))
  const linkOfSubnet = (subnet: Subnet6): ReadonlyArray<Subnet6> => links.get(subnet.id) ?? [subnet]
  for (const subnet of config.subnets) {
    const link = linkOfSubnet(subnet)
    if (subnet.interfaceId !== undefined) setOnce(byInterfaceId, hexText(subnet.interfaceId), link)
    for (const address of subnet.relayAddresses) setOnce(byRelay, address, link)
    if (subnet.interface !== undefined) setOnce(byInterface, subnet.interface, link)
  }
  const sorted = [...config.subnets].sort((a, b) => b.prefixLength - a.prefixLength)
  const containing = (address: Ip6): ReadonlyArray<Subnet6> => {
    const subnet = sorted.find((candidate) => subnetContains6(candidate, address))
    return subnet === undefined ? [] : linkOfSubnet(subnet)
  }
  const relayed = (relays: ReadonlyArray<Relay6>): ReadonlyArray<Subnet6> => {
    const fromClient = [...relays].reverse()
    for (const relay of fromClient) {
      const id = optionOf(relay.options, OPTION6.interfaceId)
      const found = id === undefined ? undefined : byInterfaceId.get(hexText(id))
      if (found !== undefined) return found
    }
    const address = fromClient.map((relay) => ip6FromBytes(relay.linkAddress)).find((one) => one !== 0n)
    return address === undefined ? [] : (byRelay.get(address) ?? containing(address))
  }
  return {
    select: (relays, { interfaceName, sourceAddress }) => {
      if (relays.length > 0) return relayed(relays)
      const onInterface = interfaceName === undefined ? undefined : byInterface.get(interfaceName)
      if (onInterface !== undefined) return onInterface
      const source = parseIp6(sourceAddress.split('%')[0] ?? '')
      return O.isSome(source) ? containing(source.value) : []
    },
  }
}

/** Whether an address lies in the subnet. */
export const subnetContains6 = (subnet: Subnet6, address: Ip6): boolean =>
  ip6Network(address, subnet.prefixLength) === subnet.prefix

const linkOf = (config: Dhcp6, subnet: Subnet6): ReadonlyArray<Subnet6> =>
  subnet.sharedNetwork === undefined
    ? [subnet]
    : [subnet, ...config.subnets.filter((other) => other !== subnet && other.sharedNetwork === subnet.sharedNetwork)]

const setOnce = <K, V>(map: Map<K, V>, key: K, value: V): void => {
  if (!map.has(key)) map.set(key, value)
}
