/** Who sent a DHCPv4 message. */
import { hexText, ip4Text } from '../../domain/address.ts'
import type { ClientKey, Relay } from '../../domain/lease.ts'
import type { HostnameRules } from '../config/model.ts'
import { recordedName, scrubbedDomain, scrubbedName } from '../hostnames.ts'
import { RELAY_SUBOPTION } from './option-codes.ts'
import { clientFqdn, clientIdentifier, hostname } from './option-access.ts'
import type { Client4 } from './exchange.ts'
import type { RelayAgent } from './option-relay.ts'
import type { Packet4 } from './packet.ts'

/** Reads identity, hostname and the relay's information; `undefined` when neither hardware address nor client identifier is there. */
export const readClient4 = (packet: Packet4, agent: RelayAgent | undefined): Client4 | undefined => {
  const identifier = clientIdentifier(packet)
  if (packet.chaddr.length === 0 && identifier === undefined) return undefined
  return {
    hwType: packet.htype,
    hwAddress: hexText(packet.chaddr),
    clientId: identifier === undefined ? undefined : hexText(identifier),
    hostname: hostname4(packet, undefined),
    relay: relayOf(packet, agent),
  }
}

/** The key of a client in a subnet: its client identifier, or where that does not count its hardware address. */
export const clientKey4 = (client: Client4, matchClientId: boolean): ClientKey =>
  client.clientId !== undefined && (matchClientId || client.hwAddress === '')
    ? `id:${client.clientId}`
    : `hw:${client.hwType}:${client.hwAddress}`

/** The name that a client gives itself, in option 81 or else 12, under the rules of its subnet. */
export const hostname4 = (packet: Packet4, rules: HostnameRules | undefined): string | undefined => {
  const domain = clientFqdn(packet)?.name
  return recordedName(domain ? scrubbedDomain(domain, rules) : scrubbedName(hostname(packet) ?? '', rules))
}

const relayOf = (packet: Packet4, agent: RelayAgent | undefined): Relay | undefined => {
  if (packet.giaddr === 0 && agent === undefined) return undefined
  const relay: { -readonly [K in keyof Relay]: Relay[K] } = {}
  if (packet.giaddr !== 0) relay.address = ip4Text(packet.giaddr)
  if (agent === undefined) return relay
  const circuitId = agent.get(RELAY_SUBOPTION.circuitId)
  const relayId = agent.get(RELAY_SUBOPTION.relayId)
  const remoteId = agent.get(RELAY_SUBOPTION.remoteId)
  const subscriberId = agent.get(RELAY_SUBOPTION.subscriberId)
  if (circuitId !== undefined) relay.circuitId = hexText(circuitId)
  if (relayId !== undefined) relay.relayId = hexText(relayId)
  if (remoteId !== undefined) relay.remoteId = hexText(remoteId)
  if (subscriberId !== undefined) relay.subscriberId = hexText(subscriberId)
  return relay
}
