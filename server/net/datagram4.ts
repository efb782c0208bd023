import type { Ip4 } from '../../domain/address.ts'

/** The addresses of one IPv4 UDP datagram and its ports, 1..65535. */
export interface Flow4 {
  readonly sourceAddress: Ip4
  readonly sourcePort: number
  readonly destinationAddress: Ip4
  readonly destinationPort: number
}

/** Octets in front of the payload: an IPv4 header without options (RFC 791 §3.1) and a UDP header (RFC 768). */
export const HEADER_BYTES = 28

/**
 * Writes the IPv4 packet that carries `payload` to the start of `packet` and returns its length in octets; 0 when it
 * does not fit. Both checksums are filled in: nobody else does it for a packet socket.
 */
export const writeDatagram4 = (packet: Uint8Array, flow: Flow4, payload: Uint8Array): number => {
  const length = HEADER_BYTES + payload.length
  if (length > packet.length || length > 0xffff) return 0
  const view = new DataView(packet.buffer, packet.byteOffset, length)
  view.setUint8(0, 0x45) // version 4, header of five 32-bit words
  view.setUint8(1, 0)
  view.setUint16(2, length)
  view.setUint16(4, 0) // no identification: a packet that is never fragmented needs none (RFC 6864 §4.1)
  view.setUint16(6, 0x4000) // do not fragment
  view.setUint8(8, TIME_TO_LIVE)
  view.setUint8(9, PROTOCOL_UDP)
  view.setUint16(10, 0)
  view.setUint32(12, flow.sourceAddress)
  view.setUint32(16, flow.destinationAddress)
  view.setUint16(10, internetChecksum(packet, 0, IP_HEADER_BYTES))
  view.setUint16(20, flow.sourcePort)
  view.setUint16(22, flow.destinationPort)
  view.setUint16(24, length - IP_HEADER_BYTES)
  view.setUint16(26, 0)
  packet.set(payload, HEADER_BYTES)
  view.setUint16(26, udpChecksum4(packet, length))
  return length
}

/**
 * Internet checksum (RFC 1071) of the octets from `start` to `end`, uint16, with `initial` added to the sum before.
 * Over data that contains its own right checksum it is 0.
 */
export const internetChecksum = (bytes: Uint8Array, start: number, end: number, initial = 0): number => {
  let sum = initial
  let at = start
  for (; at + 1 < end; at += 2) sum += ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
  if (at < end) sum += (bytes[at] as number) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return ~sum & 0xffff
}

/**
 * UDP checksum of an IPv4 packet of `length` octets without IP options, over the pseudo header too (RFC 768). A zero
 * result is sent as 0xffff, since zero says that there is no checksum.
 */
const udpChecksum4 = (packet: Uint8Array, length: number): number => {
  const pseudoHeader = PROTOCOL_UDP + (length - IP_HEADER_BYTES)
  return internetChecksum(packet, ADDRESSES_AT, length, pseudoHeader) || 0xffff
}

const IP_HEADER_BYTES = 20
/** Offset of the two addresses, which end the IP header: the sum runs from there through the UDP part. */
const ADDRESSES_AT = 12
const PROTOCOL_UDP = 17
const TIME_TO_LIVE = 64
