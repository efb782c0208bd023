/** The classes of a DHCPv6 client and the reservation made for it. */
import * as O from 'fp-ts/lib/Option.js'
import { ip4Bytes, ip6Bytes, parseIp6 } from '../../domain/address.ts'
import { classify, classifyAdditional, indexReservations, reservationKey } from '../classes.ts'
import type { ClassAccessor, PacketField } from '../config/class-accessor.ts'
import type { ClassRules, Dhcp6, Identifier6, Reservation6, Subnet6 } from '../config/model.ts'
import type { Arrival6, Client6 } from './exchange.ts'
import { optionOf } from './option-access.ts'
import { OPTION6 } from './option-codes.ts'
import type { Packet6 } from './packet.ts'

/** The reservation for a client: that of the subnets of its link, in their order, else a global one. */
export type ReservationIndex6 = (subnets: ReadonlyArray<Subnet6>, client: Client6) => Reservation6 | undefined

/** Indexes reservations by identifier; identifiers are tried in the order of `host-reservation-identifiers`. */
export const indexClientReservations6 = (config: Dhcp6): ReservationIndex6 => {
  const find = indexReservations<Reservation6, Subnet6>(config)
  return (subnets, client) =>
    find(subnets, () => config.hostIdentifiers.map((type) => reservationKey(type, identifierOf(type, client) ?? '')))
}

const identifierOf = (type: Identifier6, client: Client6): string | undefined =>
  type === 'duid' ? client.duid : client.hwAddress

/** What a message is classified by. */
export interface Classified6 {
  readonly packet: Packet6
  readonly arrival: Arrival6
}

/** The classes that decide which subnets and pools a client may use. */
export const classify6 = (
  config: Dhcp6,
  about: Classified6,
  reservation: Reservation6 | undefined,
): ReadonlySet<string> => {
  const vendor = optionOf(about.packet.options, OPTION6.vendorClass)
  const enterprise =
    vendor === undefined || vendor.length < 4 ? undefined : new DataView(vendor.buffer, vendor.byteOffset).getUint32(0)
  return classify(config.classes, { vendor: enterprise, reservation }, (classes) => classAccessor6(about, classes))
}

/** Those and the additional ones of the places that a client has been given: their subnets and pools. */
export const classifyAdditional6 = (
  config: Dhcp6,
  about: Classified6,
  before: ReadonlySet<string>,
  scopes: ReadonlyArray<ClassRules | undefined>,
): ReadonlySet<string> =>
  classifyAdditional(config.classes, before, scopes, (classes) => classAccessor6(about, classes))

const classAccessor6 = ({ packet, arrival }: Classified6, classes: ReadonlySet<string>): ClassAccessor => ({
  option: (code) => optionOf(packet.options, code),
  relayOption: (nesting, code) => optionOf(packet.relays.at(nesting)?.options ?? [], code),
  relayAddress: (nesting, field) => {
    const relay = packet.relays.at(nesting)
    return field === 'peeraddr' ? relay?.peerAddress : relay?.linkAddress
  },
  packetField: (field) => fieldOf(packet, arrival, field),
  isMember: (name) => classes.has(name),
})

/**
 * Numbers are four octets, as Kea compares them. The address that the message was sent to is known only where a socket
 * listens on one address: on an interface it may have been that of a multicast group.
 */
const fieldOf = (packet: Packet6, arrival: Arrival6, field: PacketField): Uint8Array | undefined => {
  switch (field) {
    case 'iface':
      return arrival.interfaceName === undefined ? undefined : new TextEncoder().encode(arrival.interfaceName)
    case 'src':
      return addressOf(arrival.sourceAddress)
    case 'dst':
      return arrival.localAddress === undefined ? undefined : addressOf(arrival.localAddress)
    case 'len':
      return arrival.octets === undefined ? undefined : ip4Bytes(arrival.octets)
    case 'msgtype':
      return ip4Bytes(packet.messageType)
    case 'transid':
      return ip4Bytes(packet.transactionId)
    default:
      return undefined
  }
}

/** 16 octets of an address whose text may end in `%interface`. */
const addressOf = (text: string): Uint8Array | undefined => {
  const address = parseIp6(text.split('%')[0] ?? '')
  return O.isSome(address) ? ip6Bytes(address.value) : undefined
}
