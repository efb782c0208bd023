/**
 * The field types that DHCP options are made of, between the text of a configuration and octets on the wire. Both ways
 * stand beside each other, one `switch` each, so that a new type cannot be added to one and forgotten in the other.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { Address6 } from 'ip-address'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Reader } from '../wire/reader.ts'
import type { Writer } from '../wire/writer.ts'

/** Type of one field of an option, under Kea's names. */
export type FieldType =
  | 'binary'
  | 'boolean'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'ipv4-address'
  | 'ipv6-address'
  | 'ipv6-prefix'
  | 'psid'
  | 'string'
  | 'tuple'
  | 'fqdn'

/** DHCPv4 or DHCPv6: decides the width of a tuple's length (RFC 3925 §3, RFC 8415 §21.15) and name compression. */
export type Universe = 4 | 6

/** A domain name on the wire, with the root label: octets (RFC 1035 §2.3.4). */
export const NAME_OCTETS_MAX = 255
/** One label of a domain name: octets (RFC 1035 §2.3.4). */
export const LABEL_OCTETS_MAX = 63

const INTEGER_RANGES = {
  uint8: [0, 0xff],
  uint16: [0, 0xffff],
  uint32: [0, 0xffffffff],
  int8: [-0x80, 0x7f],
  int16: [-0x8000, 0x7fff],
  int32: [-0x80000000, 0x7fffffff],
} as const

type IntegerType = keyof typeof INTEGER_RANGES

/**
 * Appends the octets that `text` means for a field of `type`. The left side is the reason, as one sentence without a
 * full stop, and then nothing was appended.
 */
export const writeField = (out: Writer, type: FieldType, text: string, universe: Universe): Either<string, void> => {
  switch (type) {
    case 'binary':
      return appended(out, parseBinary(text))
    case 'boolean':
      return writeBoolean(out, text)
    case 'uint8':
    case 'uint16':
    case 'uint32':
    case 'int8':
    case 'int16':
    case 'int32':
      return writeInteger(out, type, text)
    case 'ipv4-address':
      return appended(out, parseIpv4(text))
    case 'ipv6-address':
      return appended(out, parseIpv6(text))
    case 'ipv6-prefix':
      return appended(out, parseIpv6Prefix(text))
    case 'psid':
      return writePsid(out, text)
    case 'string':
      return appended(out, E.right(utf8.encode(text)))
    case 'tuple':
      return writeTuple(out, text, universe)
    case 'fqdn':
      return appended(out, parseFqdn(text))
  }
}

/**
 * Reads one field of `type` as text that {@link writeField} takes back; `null` when the octets do not hold one. A
 * binary or string field takes everything that is left. `whole` is the option's content, which `in` reads from:
 * compressed names (RFC 3397) point into it.
 */
export const readField = (input: Reader, type: FieldType, whole: Uint8Array, universe: Universe): string | null => {
  switch (type) {
    case 'binary':
      return `0x${toHex(input.rest())}`
    case 'string':
      return escapeCommas(decodeString(input.rest()))
    case 'boolean': {
      if (input.left < 1) return null
      const value = input.u8()
      return value === 1 ? 'true' : value === 0 ? 'false' : null
    }
    case 'uint8':
      return input.left < 1 ? null : String(input.u8())
    case 'uint16':
      return input.left < 2 ? null : String(input.u16())
    case 'uint32':
      return input.left < 4 ? null : String(input.u32())
    case 'int8':
      return input.left < 1 ? null : String((input.u8() << 24) >> 24)
    case 'int16':
      return input.left < 2 ? null : String((input.u16() << 16) >> 16)
    case 'int32':
      return input.left < 4 ? null : String(input.u32() | 0)
    case 'ipv4-address':
      return input.left < 4 ? null : input.take(4).join('.')
    case 'ipv6-address':
      return input.left < 16 ? null : formatIpv6(input.take(16))
    case 'ipv6-prefix':
      return readIpv6Prefix(input)
    case 'psid':
      return readPsid(input)
    case 'tuple':
      return readTuple(input, universe)
    case 'fqdn': {
      const name = readName(whole, input.offset, universe === 4)
      if (name === null) return null
      input.skip(name.next - input.offset)
      return name.text
    }
  }
}

/**
 * Octets of hexadecimal text, with or without `0x`, in pairs or groups separated by colons or spaces, or of text in
 * single quotes, which stands for its own octets. An odd number of digits is read with a leading zero, as Kea does.
 */
export const parseBinary = (text: string): Either<string, Uint8Array> => {
  const trimmed = text.trim()
  if (trimmed.length >= 2 && trimmed.startsWith("'") && trimmed.endsWith("'")) {
    return E.right(utf8.encode(trimmed.slice(1, -1)))
  }
  const digits = hexDigits(trimmed)
  if (digits === null) return E.left(`"${text}" is neither hexadecimal nor text in single quotes`)
  const even = digits.length % 2 === 0 ? digits : `0${digits}`
  return E.right(new Uint8Array(Buffer.from(even, 'hex')))
}

/** The four octets of an IPv4 address in dotted form. */
export const parseIpv4 = (text: string): Either<string, Uint8Array> =>
  isIPv4(text)
    ? E.right(Uint8Array.from(text.split('.'), Number))
    : E.left(`"${text}" is not an IPv4 address such as 192.0.2.1`)

/** The sixteen octets of an IPv6 address; a zone is not allowed. */
export const parseIpv6 = (text: string): Either<string, Uint8Array> => {
  if (!isIPv6(text) || text.includes('%')) return E.left(`"${text}" is not an IPv6 address such as 2001:db8::1`)
  const bytes = new Uint8Array(16)
  let value = new Address6(text).bigInt()
  for (let at = 15; at >= 0; at--) {
    bytes[at] = Number(value & 0xffn)
    value >>= 8n
  }
  return E.right(bytes)
}

/** IPv6 address of sixteen octets in its canonical text (RFC 5952). */
export const formatIpv6 = (bytes: Uint8Array): string => Address6.fromByteArray([...bytes]).correctForm()

/**
 * A domain name in uncompressed wire form, always absolute: `example.org` and `example.org.` mean the same (RFC 1035
 * §3.1).
 */
export const parseFqdn = (text: string): Either<string, Uint8Array> => {
  const name = text.trim()
  if (name === '.') return E.right(new Uint8Array(1))
  const labels = (name.endsWith('.') ? name.slice(0, -1) : name).split('.')
  const wire: number[] = []
  for (const label of labels) {
    if (label.length === 0) return E.left(`"${text}" is not a domain name: it has an empty label`)
    if (label.length > LABEL_OCTETS_MAX) {
      return E.left(`"${text}" is not a domain name: a label is longer than ${LABEL_OCTETS_MAX} octets`)
    }
    if (!/^[\x21-\x5b\x5d-\x7e]+$/.test(label)) {
      return E.left(`"${text}" is not a domain name: only printable ASCII is allowed (write other scripts as xn--)`)
    }
    wire.push(label.length)
    for (let at = 0; at < label.length; at++) wire.push(label.charCodeAt(at))
  }
  wire.push(0)
  return wire.length > NAME_OCTETS_MAX
    ? E.left(`"${text}" is not a domain name: it is longer than ${NAME_OCTETS_MAX} octets`)
    : E.right(Uint8Array.from(wire))
}

/**
 * A domain name at `start` with its final dot, and the offset behind it; `null` when it is malformed. A compression
 * pointer must point backwards, so the reading ends whatever the octets are.
 */
export const readName = (
  whole: Uint8Array,
  start: number,
  compressed: boolean,
): { readonly text: string; readonly next: number } | null => {
  const labels: string[] = []
  let at = start
  let earliest = start
  let next = -1
  for (let octets = 1; octets <= NAME_OCTETS_MAX;) {
    const length = whole[at]
    if (length === undefined) return null
    if (length === 0) return { text: `${labels.join('.')}.`, next: next < 0 ? at + 1 : next }
    if (length >= 0xc0) {
      const low = whole[at + 1]
      const target = ((length & 0x3f) << 8) | (low ?? 0)
      if (!compressed || low === undefined || target >= earliest) return null
      if (next < 0) next = at + 2
      earliest = target
      at = target
      continue
    }
    if (length > LABEL_OCTETS_MAX || at + 1 + length > whole.length) return null
    labels.push(latin1(whole.subarray(at + 1, at + 1 + length)))
    octets += 1 + length
    at += 1 + length
  }
  return null
}

/**
 * Fields of `text` between commas, without surrounding blanks. A backslash makes the comma behind it part of the field;
 * empty fields are passed over, as Kea does, so that a trailing comma is harmless.
 */
export const splitFields = (text: string): string[] => {
  const fields: string[] = []
  let field = ''
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (char === '\\' && text.charAt(at + 1) === ',') {
      field += ','
      at++
    } else if (char === ',') {
      fields.push(field.trim())
      field = ''
    } else {
      field += char
    }
  }
  fields.push(field.trim())
  return fields.filter((each) => each !== '')
}

/** Lower-case hexadecimal digits of octets. */
export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')

const utf8 = new TextEncoder()
const utf8Strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')

const decodeString = (bytes: Uint8Array): string => {
  try {
    return utf8Strict.decode(bytes)
  } catch {
    return latin1(bytes)
  }
}

const escapeCommas = (text: string): string => text.replaceAll(',', '\\,')

const hexDigits = (text: string): string | null => {
  const plain = /^0x/i.test(text) ? text.slice(2) : text
  if (/^[0-9a-f]*$/i.test(plain)) return plain
  const groups = plain.includes(':') ? plain.split(':') : plain.split(/ +/)
  let digits = ''
  for (const group of groups) {
    const pair = group.trim()
    if (!/^[0-9a-f]{1,2}$/i.test(pair)) return null
    digits += pair.padStart(2, '0')
  }
  return digits
}

const appended = (out: Writer, bytes: Either<string, Uint8Array>): Either<string, void> => {
  if (E.isLeft(bytes)) return bytes
  out.bytes(bytes.right)
  return E.right(undefined)
}

const writeBoolean = (out: Writer, text: string): Either<string, void> => {
  if (text !== 'true' && text !== 'false' && text !== '1' && text !== '0') {
    return E.left(`"${text}" is not a boolean: write true or false`)
  }
  out.u8(text === 'true' || text === '1' ? 1 : 0)
  return E.right(undefined)
}

const writeInteger = (out: Writer, type: IntegerType, text: string): Either<string, void> => {
  const [least, most] = INTEGER_RANGES[type]
  const value = Number(text)
  if (!/^(?:[+-]?\d{1,10}|0x[0-9a-f]{1,8})$/i.test(text) || value < least || value > most) {
    return E.left(`"${text}" is not a ${type}: write a whole number from ${least} to ${most}`)
  }
  if (type === 'uint8' || type === 'int8') out.u8(value)
  else if (type === 'uint16' || type === 'int16') out.u16(value)
  else out.u32(value)
  return E.right(undefined)
}

const parseIpv6Prefix = (text: string): Either<string, Uint8Array> => {
  const slash = text.indexOf('/')
  const lengthText = text.slice(slash + 1).trim()
  const length = Number(lengthText)
  const address = parseIpv6(text.slice(0, Math.max(slash, 0)).trim())
  if (slash < 0 || E.isLeft(address) || !/^\d{1,3}$/.test(lengthText) || length > 128) {
    return E.left(`"${text}" is not an IPv6 prefix such as 2001:db8::/32`)
  }
  const octets = (length + 7) >> 3
  const wire = new Uint8Array(1 + octets)
  wire[0] = length
  wire.set(address.right.subarray(0, octets), 1)
  if (length % 8 !== 0) wire[octets] = (wire[octets] as number) & (0xff << (8 - (length % 8)))
  return E.right(wire)
}

const readIpv6Prefix = (input: Reader): string | null => {
  const length = input.u8()
  const octets = (length + 7) >> 3
  if (length > 128 || input.left < octets) return null
  const address = new Uint8Array(16)
  address.set(input.take(octets))
  return `${formatIpv6(address)}/${length}`
}

/** PSID and its length, the PSID left-aligned in 16 bits (RFC 7597 §5.1, RFC 7598 §4.5). */
const writePsid = (out: Writer, text: string): Either<string, void> => {
  const parts = /^(\d{1,5})\s*\/\s*(\d{1,2})$/.exec(text)
  const psid = Number(parts?.[1])
  const length = Number(parts?.[2])
  if (parts === null || length > 16 || psid >= 2 ** length) {
    return E.left(`"${text}" is not a PSID such as 3/4 (the value, and its length of at most 16 bits)`)
  }
  out.u8(length).u16(psid << (16 - length))
  return E.right(undefined)
}

const readPsid = (input: Reader): string | null => {
  if (input.left < 3) return null
  const length = input.u8()
  const value = input.u16()
  return length > 16 ? null : `${value >> (16 - length)}/${length}`
}

const writeTuple = (out: Writer, text: string, universe: Universe): Either<string, void> => {
  const bytes = utf8.encode(text)
  const most = universe === 4 ? 0xff : 0xffff
  if (bytes.length > most) return E.left(`a tuple of ${bytes.length} octets is longer than ${most}`)
  if (universe === 4) out.u8(bytes.length)
  else out.u16(bytes.length)
  out.bytes(bytes)
  return E.right(undefined)
}

const readTuple = (input: Reader, universe: Universe): string | null => {
  if (input.left < (universe === 4 ? 1 : 2)) return null
  const length = universe === 4 ? input.u8() : input.u16()
  return length > input.left ? null : escapeCommas(decodeString(input.take(length)))
}
