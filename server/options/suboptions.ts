/** Options inside an option: the content of an encapsulated space (RFC 2132 §8.4, RFC 3925 §4, RFC 8415 §21.17). */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import type { Universe } from './fields.ts'

/** Most options read from one encapsulating option. */
export const SUBOPTIONS_READ_MAX = 512

/** Content by code; the order is that of the wire. */
export type Suboptions = ReadonlyMap<number, Uint8Array>

/**
 * Octets of options one behind the other: code and length of one octet each in DHCPv4, of two in DHCPv6. The left side
 * says which does not fit, as a sentence without a full stop.
 */
export const encodeSuboptions = (universe: Universe, suboptions: Suboptions): Either<string, Uint8Array> => {
  const out = new Writer(64)
  for (const [code, value] of suboptions) {
    const most = universe === 4 ? 0xff : 0xffff
    if (value.length > most) return E.left(`the encapsulated option ${code} is longer than ${most} octets`)
    if (universe === 4) out.u8(code).u8(value.length)
    else out.u16(code).u16(value.length)
    out.bytes(value)
  }
  return E.right(out.finish())
}

/**
 * The options in `bytes`, as views; `null` when one reaches past the end or there are too many. Of a repeated one the
 * first counts. In DHCPv4 no code is pad or end, because vendors and RFC 3046 do use 0 and 255 for their own: give
 * `padded` for option 43, which has both (RFC 2132 §8.4).
 */
export const decodeSuboptions = (universe: Universe, bytes: Uint8Array, padded = false): Suboptions | null => {
  const input = new Reader(bytes)
  const suboptions = new Map<number, Uint8Array>()
  for (let count = 0; input.left > 0; count++) {
    if (count >= SUBOPTIONS_READ_MAX) return null
    const code = universe === 4 ? input.u8() : input.u16()
    if (padded && code === 0) continue
    if (padded && code === 0xff) break
    const value = input.take(universe === 4 ? input.u8() : input.u16())
    if (input.finish() === 'short') return null
    if (!suboptions.has(code)) suboptions.set(code, value)
  }
  return suboptions
}

/**
 * Content of option 125 (DHCPv4) or 17 (DHCPv6): the enterprise number and its options, in DHCPv4 with their length
 * between (RFC 3925 §4, RFC 8415 §21.17). `enterprise` is a uint32 of IANA's list.
 */
export const encodeVendorOptions = (
  universe: Universe,
  enterprise: number,
  suboptions: Suboptions,
): Either<string, Uint8Array> => {
  const content = encodeSuboptions(universe, suboptions)
  if (E.isLeft(content)) return content
  const out = new Writer(64).u32(enterprise)
  if (universe === 4) {
    if (content.right.length > 0xff) return E.left(`the options of vendor ${enterprise} are longer than 255 octets`)
    out.u8(content.right.length)
  }
  return E.right(out.bytes(content.right).finish())
}

/** The options of each vendor in an option 125, by enterprise number; `null` when it is malformed (RFC 3925 §4). */
export const decodeVendorOptions4 = (bytes: Uint8Array): ReadonlyMap<number, Suboptions> | null => {
  const input = new Reader(bytes)
  const vendors = new Map<number, Suboptions>()
  while (input.left > 0) {
    const enterprise = input.u32()
    const content = input.take(input.u8())
    if (input.finish() === 'short') return null
    const suboptions = decodeSuboptions(4, content)
    if (suboptions === null) return null
    if (!vendors.has(enterprise)) vendors.set(enterprise, suboptions)
  }
  return vendors
}
