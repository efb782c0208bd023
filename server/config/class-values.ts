/** What the functions of class expressions do with octets. None of them throws; what makes no sense is empty. */
import { hexText, ip4Bytes, ip4FromBytes, ip4Text, ip6FromBytes, ip6Text } from '../../domain/address.ts'

export const EMPTY: Uint8Array = new Uint8Array(0)

/** Octets of a text, UTF-8. */
export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Four octets of a number, int32 or uint32. */
export const numberBytes = (value: number): Uint8Array => ip4Bytes(value >>> 0)

/**
 * Part of a value. A negative start counts from the end; a negative length takes what stands before the start; `length`
 * undefined takes all that is left. A start outside of the value gives nothing.
 */
export const substring = (bytes: Uint8Array, start: number, length: number | undefined): Uint8Array => {
  if (start >= bytes.length || start < -bytes.length) return EMPTY
  const from = start < 0 ? bytes.length + start : start
  if (length === undefined) return bytes.subarray(from)
  return length < 0 ? bytes.subarray(Math.max(from + length, 0), from) : bytes.subarray(from, from + length)
}

/** One field, counted from 1, of a value split at any of the octets of `delimiters`. */
export const splitField = (bytes: Uint8Array, delimiters: Uint8Array, field: number): Uint8Array => {
  if (delimiters.length === 0) return field === 1 ? bytes : EMPTY
  let start = 0
  for (let at = 0, count = 1; at <= bytes.length; at++) {
    if (at < bytes.length && !delimiters.includes(bytes[at] as number)) continue
    if (count++ === field) return bytes.subarray(start, at)
    start = at + 1
  }
  return EMPTY
}

export const concat = (a: Uint8Array, b: Uint8Array): Uint8Array => {
  const joined = new Uint8Array(a.length + b.length)
  joined.set(a)
  joined.set(b, a.length)
  return joined
}

export const equal = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false
  return true
}

/** ASCII letters in lower or upper case; other octets stay. */
export const changeCase = (bytes: Uint8Array, upper: boolean): Uint8Array => {
  const [from, to] = upper ? [0x61, 0x7a] : [0x41, 0x5a]
  return bytes.map((octet) => (octet >= from && octet <= to ? octet ^ 0x20 : octet))
}

/** Lower-case hexadecimal text with `separator` between octets. */
export const hexString = (bytes: Uint8Array, separator: Uint8Array): Uint8Array => {
  const glue = Buffer.from(separator).toString('latin1')
  return bytesOf(Array.from(bytes, (octet) => hexText(Uint8Array.of(octet))).join(glue))
}

/** Text of an address of 4 or 16 octets. */
export const addressText = (bytes: Uint8Array): Uint8Array => {
  if (bytes.length === 4) return bytesOf(ip4Text(ip4FromBytes(bytes)))
  return bytes.length === 16 ? bytesOf(ip6Text(ip6FromBytes(bytes))) : EMPTY
}

/** Decimal text of an integer of `size` octets in network order. */
export const integerText = (bytes: Uint8Array, size: 1 | 2 | 4, signed: boolean): Uint8Array => {
  if (bytes.length !== size) return EMPTY
  let value = 0
  for (const octet of bytes) value = value * 256 + octet
  const sign = 2 ** (8 * size - 1)
  return bytesOf(String(signed && value >= sign ? value - 2 * sign : value))
}
