/** The classes of a DHCPv6 client and the reservation made for it. */
import { hexText, ip4Bytes } from '../../domain/address.ts'
import type { ClassAccessor } from '../config/class-accessor.ts'
import type { Dhcp6, Identifier6, Reservation6, Subnet6 } from '../config/model.ts'
import type { Client6 } from './exchange.ts'
import { optionOf } from './option-access.ts'
import { OPTION6 } from './option-codes.ts'
import type { Packet6 } from './packet.ts'

/** The reservation for a client: that of the subnets of its link, in their order, else a global one. */
export type ReservationIndex6 = (subnets: ReadonlyArray<Subnet6>, client: Client6) => Reservation6 | undefined

/** Indexes reservations by identifier; identifiers are tried in the order of `host-reservation-identifiers`. */
export const indexClientReservations6 = (config: Dhcp6): ReservationIndex6 => {
  const bySubnet = new Map<number, Map<string, Reservation6>>()
  for (const subnet of config.subnets) {
    if (subnet.reservationModes.inSubnet) bySubnet.set(subnet.id, indexed(subnet.reservations))
  }
  const global = indexed(config.globalReservations)
  return (subnets, client) => {
    const keys = config.hostIdentifiers.map((type) => `${type}/${identifierOf(type, client) ?? ''}`)
    const find = (index: Map<string, Reservation6> | undefined): Reservation6 | undefined => {
      for (const key of keys) {
        const found = index?.get(key)
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

const indexed = (reservations: readonly Reservation6[]): Map<string, Reservation6> =>
  new Map(reservations.map((one) => [`${one.identifierType}/${hexText(one.identifier)}`, one]))

const identifierOf = (type: Identifier6, client: Client6): string | undefined =>
  type === 'duid' ? client.duid : client.hwAddress

/** What a message is classified by. */
export interface Classified6 {
  readonly packet: Packet6
  readonly reservation: Reservation6 | undefined
  readonly subnet: Subnet6 | undefined
}

/** The classes of a client, in Kea's order: see the DHCPv4 twin. */
export const classify6 = (config: Dhcp6, about: Classified6): ReadonlySet<string> => {
  const { packet, reservation, subnet } = about
  const classes = new Set<string>(['ALL'])
  const vendor = optionOf(packet.options, OPTION6.vendorClass)
  if (vendor !== undefined && vendor.length >= 4) {
    classes.add(`VENDOR_CLASS_${new DataView(vendor.buffer, vendor.byteOffset).getUint32(0)}`)
  }
  classes.add(reservation === undefined ? 'UNKNOWN' : 'KNOWN')
  for (const name of reservation?.clientClasses ?? []) classes.add(name)
  if (config.classes.length === 0) return classes
  const accessor = classAccessor6(about, classes)
  for (const { name, test, onlyInAdditionalList } of config.classes) {
    if (!onlyInAdditionalList && test?.(accessor)) classes.add(name)
  }
  for (const name of subnet?.additionalClasses ?? []) {
    const listed = config.classes.find((candidate) => candidate.name === name)
    if (listed !== undefined && (listed.test === undefined || listed.test(accessor))) classes.add(name)
  }
  return classes
}

const classAccessor6 = ({ packet }: Classified6, classes: ReadonlySet<string>): ClassAccessor => ({
  option: (code) => optionOf(packet.options, code),
  relayOption: (nesting, code) => optionOf(packet.relays.at(nesting)?.options ?? [], code),
  relayAddress: (nesting, field) => {
    const relay = packet.relays.at(nesting)
    return field === 'peeraddr' ? relay?.peerAddress : relay?.linkAddress
  },
  packetField: (field) => {
    if (field === 'msgtype') return ip4Bytes(packet.messageType)
    return field === 'transid' ? ip4Bytes(packet.transactionId) : undefined
  },
  isMember: (name) => classes.has(name),
})
