/** Who sent a DHCPv6 message. */
import { hexText, ip6FromBytes, ip6Text } from '../../domain/address.ts'
import type { ClientKey, Relay } from '../../domain/lease.ts'
import type { HostnameRules, MacSource } from '../config/model.ts'
import { recordedName, scrubbedDomain } from '../hostnames.ts'
import { hardwareAddressOf } from './duid.ts'
import type { HardwareAddress } from './duid.ts'
import type { Arrival6, Client6 } from './exchange.ts'
import { clientDuid, clientFqdn6, optionOf } from './option-access.ts'
import { OPTION6 } from './option-codes.ts'
import type { Packet6, Relay6 } from './packet.ts'

/** Kea's numbers of the places where a hardware address may be learnt (`lease_hwaddr_source`). */
const HW_SOURCE = { linkLocal: 2, duid: 4, clientLinkLayerOption: 8 } as const

/** Reads identity, hardware address, hostname and the relays' information. */
export const readClient6 = (packet: Packet6, arrival: Arrival6, sources: readonly MacSource[]): Client6 => {
  const duid = clientDuid(packet.options)
  const hardware = hardwareOf(packet, arrival, duid, sources)
  return {
    duid: duid === undefined ? '' : hexText(duid),
    hwType: hardware?.type,
    hwAddress: hardware === undefined ? undefined : hexText(hardware.address),
    hwSource: hardware?.source,
    hostname: hostname6(packet, undefined),
    relay: relayOf(packet.relays),
  }
}

/** The name that a client gives itself in its FQDN option, under the rules of its subnet. */
export const hostname6 = (packet: Packet6, rules: HostnameRules | undefined): string | undefined =>
  recordedName(scrubbedDomain(clientFqdn6(packet.options)?.name ?? '', rules))

/** The key of one identity association of a client (RFC 8415 §12). */
export const clientKey6 = (client: Client6, iaid: number): ClientKey => `duid:${client.duid}/${iaid}`

interface Learnt extends HardwareAddress {
  readonly source: number
}

/** The hardware address by the first of Kea's `mac-sources` that knows one. */
const hardwareOf = (
  packet: Packet6,
  arrival: Arrival6,
  duid: Uint8Array | undefined,
  sources: readonly MacSource[],
): Learnt | undefined => {
  for (const source of sources) {
    const any = source === 'any'
    const option = any || source === 'client-link-addr-option' ? fromRelay(packet.relays) : undefined
    if (option !== undefined) return { ...option, source: HW_SOURCE.clientLinkLayerOption }
    const embedded = (any || source === 'duid') && duid !== undefined ? hardwareAddressOf(duid) : undefined
    if (embedded !== undefined) return { ...embedded, source: HW_SOURCE.duid }
    const eui64 = any || source === 'ipv6-link-local' ? fromLinkLocal(packet.relays, arrival) : undefined
    if (eui64 !== undefined) return { ...eui64, source: HW_SOURCE.linkLocal }
  }
  return undefined
}

/** Client link-layer address option of the relay nearest to the client (RFC 6939). */
const fromRelay = (relays: ReadonlyArray<Relay6>): HardwareAddress | undefined => {
  const last = relays.at(-1)
  const data = last === undefined ? undefined : optionOf(last.options, OPTION6.clientLinkLayerAddress)
  if (data === undefined || data.length < 3) return undefined
  return { type: ((data[0] as number) << 8) | (data[1] as number), address: data.subarray(2) }
}

/** The Ethernet address inside a link-local address of modified EUI-64 form (RFC 4291, appendix A). */
const fromLinkLocal = (relays: ReadonlyArray<Relay6>, arrival: Arrival6): HardwareAddress | undefined => {
  const peer = relays.at(-1)?.peerAddress
  const id = peer === undefined ? interfaceIdOf(arrival.sourceAddress) : peer.subarray(8)
  if (id === undefined || id[3] !== 0xff || id[4] !== 0xfe) return undefined
  const address = Uint8Array.of((id[0] as number) ^ 2, id[1] as number, id[2] as number, ...id.subarray(5, 8))
  return { type: 1, address }
}

/** The last 64 bits of a textual link-local address, which is all that `fe80::a:b:c:d` spells out. */
const interfaceIdOf = (text: string): Uint8Array | undefined => {
  const match = /^fe80::([0-9a-f]{0,4}):([0-9a-f]{1,4}):([0-9a-f]{1,4}):([0-9a-f]{1,4})(%|$)/i.exec(text)
  if (match === null) return undefined
  const groups = match.slice(1, 5).map((group) => parseInt(group || '0', 16))
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]))
}

const RELAY_OPTIONS = {
  interfaceId: OPTION6.interfaceId,
  relayId: OPTION6.relayId,
  remoteId: OPTION6.remoteId,
  subscriberId: OPTION6.subscriberId,
} as const

/** What the relay nearest to the client said, and where it did not say a thing, the next one. */
const relayOf = (relays: ReadonlyArray<Relay6>): Relay | undefined => {
  const nearest = relays.at(-1)
  if (nearest === undefined) return undefined
  const relay: { -readonly [K in keyof Relay]: Relay[K] } = {}
  const link = ip6FromBytes(nearest.linkAddress)
  if (link !== 0n) relay.address = ip6Text(link)
  relay.peer = ip6Text(ip6FromBytes(nearest.peerAddress))
  for (const [name, code] of Object.entries(RELAY_OPTIONS) as [keyof typeof RELAY_OPTIONS, number][]) {
    for (let i = relays.length - 1; i >= 0; i--) {
      const data = optionOf((relays[i] as Relay6).options, code)
      if (data !== undefined) {
        relay[name] = hexText(data)
        break
      }
    }
  }
  return relay
}
