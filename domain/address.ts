/**
 * Addresses as numbers: IPv4 as an unsigned 32-bit `number`, IPv6 as an unsigned 128-bit `bigint`. Text is made for
 * stream names, rows and people, always in the canonical form (dotted decimal; RFC 5952), because the name of a
 * stream is the key of uniqueness: two spellings of one address must give one stream.
 */
import { Address6 } from 'ip-address'
import * as O from 'fp-ts/lib/Option.js'

/** An IPv4 address, uint32 in host order. */
export type Ip4 = number

/** An IPv6 address or prefix, unsigned 128 bits. */
export type Ip6 = bigint

/** Dotted decimal text of an IPv4 address. */
export const ip4Text = (address: Ip4): string =>
  `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`

/**
 * The IPv4 address written as four decimal octets; `none` for anything else (leading zeros, masks, names). A plain loop,
 * because the replica reads one from the name of a stream at every event.
 */
export const parseIp4 = (text: string): O.Option<Ip4> => {
  let address = 0
  let octet = -1
  let octets = 0
  for (let i = 0; i <= text.length; i++) {
    const digit = i === text.length ? DOT : text.charCodeAt(i) - 48
    if (digit === DOT) {
      if (octet < 0 || ++octets > 4) return O.none
      address = address * 256 + octet
      octet = -1
    } else {
      if (digit < 0 || digit > 9 || octet === 0) return O.none
      octet = octet < 0 ? digit : octet * 10 + digit
      if (octet > 255) return O.none
    }
  }
  return octets === 4 ? O.some(address) : O.none
}

/** `.`, counted from `0`. */
const DOT = 46 - 48

/** Four octets in network order. */
export const ip4Bytes = (address: Ip4): Uint8Array =>
  Uint8Array.of(address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255)

/** The address in the first four octets of `bytes`, network order. */
export const ip4FromBytes = (bytes: Uint8Array): Ip4 =>
  (((bytes[0] ?? 0) << 24) | ((bytes[1] ?? 0) << 16) | ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0)) >>> 0

/**
 * Text of an IPv6 address in the form of RFC 5952: lower case, no leading zeros, the longest run of two or more zero
 * groups (the first of equals) as `::`. Written out here because it runs for every DHCPv6 lease.
 */
export const ip6Text = (address: Ip6): string => {
  const groups = groupsOf(address)
  let bestStart = -1
  let bestLength = 1
  for (let i = 0; i < 8; i++) {
    let length = 0
    while (i + length < 8 && groups[i + length] === 0) length++
    if (length > bestLength) {
      bestStart = i
      bestLength = length
    }
    i += length
  }
  let text = ''
  for (let i = 0; i < 8; i++) {
    if (i === bestStart) {
      text += '::'
      i += bestLength - 1
    } else {
      if (text !== '' && !text.endsWith(':')) text += ':'
      text += (groups[i] as number).toString(16)
    }
  }
  return text
}

const groupsOf = (address: Ip6): number[] => {
  const groups = new Array<number>(8)
  const high = BigInt.asUintN(64, address >> 64n)
  const low = BigInt.asUintN(64, address)
  const words = [Number(high >> 32n), Number(high & 0xffffffffn), Number(low >> 32n), Number(low & 0xffffffffn)]
  for (let i = 0; i < 4; i++) {
    const word = words[i] as number
    groups[2 * i] = word >>> 16
    groups[2 * i + 1] = word & 0xffff
  }
  return groups
}

/** The IPv6 address in any of its valid spellings, without zone and without prefix length; else `none`. */
export const parseIp6 = (text: string): O.Option<Ip6> => {
  if (readGroups(text)) return O.some(groupsToIp6())
  if (text.includes('/') || text.includes('%') || !Address6.isValid(text)) return O.none
  return O.some(BigInt(new Address6(text).bigInt()))
}

/** What {@link readGroups} read. */
const GROUPS = new Uint16Array(8)
const COLON = 0x3a

/**
 * Reads groups of hexadecimal digits with at most one `::` into {@link GROUPS}. `false` for all else, which the library
 * decides on: it knows every spelling, and takes ten times as long, several times for each DHCPv6 message.
 */
const readGroups = (text: string): boolean => {
  const end = text.length
  let count = 0
  let gap = -1
  let at = 0
  if (text.startsWith('::')) {
    gap = 0
    at = 2
  }
  while (at < end) {
    let value = 0
    const from = at
    for (let digit = 0; at < end && (digit = hexDigit(text.charCodeAt(at))) >= 0; at++) value = value * 16 + digit
    if (at === from || at - from > 4 || count === 8) return false
    GROUPS[count++] = value
    if (at === end) break
    if (text.charCodeAt(at++) !== COLON || at === end) return false
    if (text.charCodeAt(at) !== COLON) continue
    if (gap >= 0) return false
    gap = count
    at++
  }
  if (gap < 0) return count === 8
  if (count > 7) return false
  GROUPS.copyWithin(8 - (count - gap), gap, count)
  GROUPS.fill(0, gap, 8 - (count - gap))
  return true
}

/** The value of a hexadecimal digit by its code; -1 for any other character. */
const hexDigit = (code: number): number => {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

const groupsToIp6 = (): Ip6 =>
  (BigInt(pair(0)) << 96n) | (BigInt(pair(2)) << 64n) | (BigInt(pair(4)) << 32n) | BigInt(pair(6))

const pair = (at: number): number => (GROUPS[at] as number) * 0x1_0000 + (GROUPS[at + 1] as number)

/** Sixteen octets in network order. */
export const ip6Bytes = (address: Ip6): Uint8Array => {
  HALVES.setBigUint64(0, address >> 64n)
  HALVES.setBigUint64(8, address)
  return OCTETS.slice()
}

const OCTETS = new Uint8Array(16)
const HALVES = new DataView(OCTETS.buffer)

/** The address in the first sixteen octets of `bytes`, network order; shorter input counts as zero. */
export const ip6FromBytes = (bytes: Uint8Array): Ip6 => {
  if (bytes.length < 16) return 0n
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  return (view.getBigUint64(0) << 64n) | view.getBigUint64(8)
}

/** The first address of the prefix of `length` bits (0 to 128) that `address` lies in. */
export const ip6Network = (address: Ip6, length: number): Ip6 =>
  (address >> BigInt(128 - length)) << BigInt(128 - length)

/** The last address of the prefix of `length` bits (0 to 128) that `address` lies in. */
export const ip6Last = (address: Ip6, length: number): Ip6 =>
  ip6Network(address, length) | ((1n << BigInt(128 - length)) - 1n)

/** Lower-case hexadecimal text without separators. */
export const hexText = (bytes: Uint8Array): string => {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i] as number]
  return text
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

/** The octets of hexadecimal text; colons, dashes and dots between octets are passed over. `none` if it is not hex. */
export const parseHex = (text: string): O.Option<Uint8Array> => {
  const digits = text.replace(/[:.-]/g, '')
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) return O.none
  const bytes = new Uint8Array(digits.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(digits.slice(2 * i, 2 * i + 2), 16)
  return O.some(bytes)
}
