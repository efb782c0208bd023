/** The classes of a client and the reservation made for it. */
import { hexText, ip4Bytes } from '../../domain/address.ts'
import type { ClassAccessor, PacketField } from '../config/class-accessor.ts'
import type { ClassRules, Dhcp4, Identifier4, Reservation4, Subnet4 } from '../config/model.ts'
import type { Arrival4 } from './exchange.ts'
import { clientIdentifier, printableText } from './option-access.ts'
import { OPTION4, RELAY_SUBOPTION } from './option-codes.ts'
import type { RelayAgent } from './option-relay.ts'
import type { Packet4 } from './packet.ts'

/** The reservation for the sender of a message: that of the subnets of its link, in their order, else a global one. */
export type ReservationIndex4 = (
  subnets: ReadonlyArray<Subnet4>,
  packet: Packet4,
  agent: RelayAgent | undefined,
) => Reservation4 | undefined

/** Indexes reservations by identifier; identifiers are tried in the order of `host-reservation-identifiers`. */
export const indexClientReservations4 = (config: Dhcp4): ReservationIndex4 => {
  const bySubnet = new Map<number, Map<string, Reservation4>>()
  for (const subnet of config.subnets) {
    if (subnet.reservationModes.inSubnet) bySubnet.set(subnet.id, indexed(subnet.reservations))
  }
  const global = indexed(config.globalReservations)
  const none = global.size === 0 && [...bySubnet.values()].every((index) => index.size === 0)
  if (none) return () => undefined
  return (subnets, packet, agent) => {
    const keys = config.hostIdentifiers.map((type) => keyOf(type, identifierOf(type, packet, agent)))
    const find = (index: Map<string, Reservation4> | undefined): Reservation4 | undefined => {
      for (const key of keys) {
        const found = key === undefined ? undefined : index?.get(key)
        if (found !== undefined) return found
      }
      return undefined
    }
    for (const subnet of subnets) {
      const found = find(bySubnet.get(subnet.id))
      if (found !== undefined) return found
    }
    return subnets[0]?.reservationModes.global ? find(global) : undefined
  }
}

const indexed = (reservations: readonly Reservation4[]): Map<string, Reservation4> =>
  new Map(reservations.map((one) => [`${one.identifierType}/${hexText(one.identifier)}`, one]))

const keyOf = (type: Identifier4, identifier: Uint8Array | undefined): string | undefined =>
  identifier === undefined ? undefined : `${type}/${hexText(identifier)}`

/** RFC 4361 §6.1: a client identifier of type 255 is an IAID of four octets and a DUID. */
const RFC4361_TYPE = 255
const RFC4361_DUID_AT = 5

const identifierOf = (type: Identifier4, packet: Packet4, agent: RelayAgent | undefined): Uint8Array | undefined => {
  const clientId = clientIdentifier(packet)
  switch (type) {
    case 'hw-address':
      return packet.chaddr.length > 0 ? packet.chaddr : undefined
    case 'client-id':
      return clientId
    case 'circuit-id':
      return agent?.get(RELAY_SUBOPTION.circuitId)
    case 'duid':
      return clientId?.[0] === RFC4361_TYPE ? clientId.subarray(RFC4361_DUID_AT) : undefined
  }
}

/** What a message is classified by. */
export interface Classified4 {
  readonly packet: Packet4
  readonly agent: RelayAgent | undefined
  readonly arrival: Arrival4
  readonly reservation: Reservation4 | undefined
}

/**
 * The classes of a client, in Kea's order: those of every client and of its vendor class, those of its reservation, and
 * those whose test it passes. They decide which subnets and pools it may use.
 */
export const classify4 = (config: Dhcp4, about: Classified4): ReadonlySet<string> => {
  const { packet, reservation } = about
  const classes = new Set<string>(['ALL'])
  const vendor = packet.options.get(OPTION4.vendorClassIdentifier)
  const vendorText = vendor === undefined ? undefined : printableText(vendor)
  if (vendorText !== undefined) classes.add(`VENDOR_CLASS_${vendorText}`)
  classes.add(reservation === undefined ? 'UNKNOWN' : 'KNOWN')
  for (const name of reservation?.clientClasses ?? []) classes.add(name)
  if (config.classes.length === 0) return classes
  const accessor = classAccessor4(about, classes)
  for (const { name, test, onlyInAdditionalList } of config.classes) {
    if (!onlyInAdditionalList && test?.(accessor)) classes.add(name)
  }
  return classes
}

/**
 * The classes of a client that has been given its place: those from before, and the additional ones that its subnet and
 * its pool list. These decide no place any more, only what the client is told.
 */
export const classifyAdditional4 = (
  config: Dhcp4,
  about: Omit<Classified4, 'reservation'>,
  before: ReadonlySet<string>,
  scopes: ReadonlyArray<ClassRules | undefined>,
): ReadonlySet<string> => {
  const names = scopes.flatMap((scope) => scope?.additionalClasses ?? [])
  if (names.length === 0) return before
  const classes = new Set(before)
  const accessor = classAccessor4(about, classes)
  for (const name of names) {
    const listed = config.classes.find((candidate) => candidate.name === name)
    if (listed !== undefined && (listed.test === undefined || listed.test(accessor))) classes.add(name)
  }
  return classes
}

const classAccessor4 = (
  { packet, agent, arrival }: Omit<Classified4, 'reservation'>,
  classes: ReadonlySet<string>,
): ClassAccessor => ({
  option: (code) => packet.options.get(code),
  relayOption: (_nesting, code) => agent?.get(code),
  relayAddress: () => undefined,
  packetField: (field) => fieldOf(packet, arrival, field),
  isMember: (name) => classes.has(name),
})

/** Numbers are four octets, as Kea compares them. */
const fieldOf = (packet: Packet4, arrival: Arrival4, field: PacketField): Uint8Array | undefined => {
  switch (field) {
    case 'iface':
      return arrival.interfaceName === undefined ? undefined : new TextEncoder().encode(arrival.interfaceName)
    case 'src':
      return ip4Bytes(arrival.sourceAddress)
    case 'dst':
      return ip4Bytes(arrival.localAddress)
    case 'len':
      return undefined
    case 'mac':
      return packet.chaddr
    case 'hlen':
      return ip4Bytes(packet.chaddr.length)
    case 'msgtype':
      return ip4Bytes(packet.options.get(OPTION4.messageType)?.[0] ?? 0)
    case 'transid':
      return ip4Bytes(packet.xid)
    case 'htype':
    case 'ciaddr':
    case 'giaddr':
    case 'yiaddr':
    case 'siaddr':
      return ip4Bytes(packet[field])
  }
}
