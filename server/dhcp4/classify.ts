/** The classes of a client and the reservation made for it. */
import { hexText, ip4Bytes } from '../../domain/address.ts'
import { classify, classifyAdditional, indexReservations, reservationKey } from '../classes.ts'
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
  const find = indexReservations<Reservation4, Subnet4>(config)
  return (subnets, packet, agent) =>
    find(subnets, () =>
      config.hostIdentifiers.flatMap((type) => {
        const identifier = identifierOf(type, packet, agent)
        return identifier === undefined ? [] : [reservationKey(type, hexText(identifier))]
      }),
    )
}

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

/** The classes that decide which subnets and pools a client may use. */
export const classify4 = (config: Dhcp4, about: Classified4): ReadonlySet<string> => {
  const vendor = about.packet.options.get(OPTION4.vendorClassIdentifier)
  const by = {
    vendor: vendor === undefined ? undefined : printableText(vendor),
    reservation: about.reservation,
  }
  return classify(config.classes, by, (classes) => classAccessor4(about, classes))
}

/** Those and the additional ones of the place that a client has been given: its subnet and pool. */
export const classifyAdditional4 = (
  config: Dhcp4,
  about: Omit<Classified4, 'reservation'>,
  before: ReadonlySet<string>,
  scopes: ReadonlyArray<ClassRules | undefined>,
): ReadonlySet<string> =>
  classifyAdditional(config.classes, before, scopes, (classes) => classAccessor4(about, classes))

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
      return arrival.octets === undefined ? undefined : ip4Bytes(arrival.octets)
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
