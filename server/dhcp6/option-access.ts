/** Options of DHCPv6 messages as values, and back. Functions that read give `undefined` for what is absent or malformed. */
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import { OPTION6 } from './option-codes.ts'
import { decodeInnerOptions, OPTIONS6_MAX, writeOptions } from './packet.ts'
import type { Option6 } from './packet.ts'

type Options = ReadonlyArray<Option6>

/**
 * Most IAs of one kind in a message, and most addresses or prefixes in all of them together: each can cost a look into
 * the store. A message with more of them is not served.
 */
export const IAS_MAX = 64
export const IA_MEMBERS_MAX = 64

/** Content of the first option of that code. */
export const optionOf = (options: Options, code: number): Uint8Array | undefined => {
  for (const option of options) if (option.code === code) return option.data
  return undefined
}

/** Whether an option of that code is there. */
export const hasOption = (options: Options, code: number): boolean => optionOf(options, code) !== undefined

/** Client identifier: a DUID (RFC 8415 §21.2). */
export const clientDuid = (options: Options): Uint8Array | undefined => duid(optionOf(options, OPTION6.clientId))

/** Server identifier: a DUID (RFC 8415 §21.3). */
export const serverDuid = (options: Options): Uint8Array | undefined => duid(optionOf(options, OPTION6.serverId))

/** A DUID has a type of 2 octets, then 1 to 128 more (RFC 8415 §11.1). */
const duid = (data: Uint8Array | undefined): Uint8Array | undefined =>
  data !== undefined && data.length >= 3 && data.length <= 130 ? data : undefined

/** Codes of the option request option, in their order, no more than {@link OPTIONS6_MAX} (RFC 8415 §21.7). */
export const requestedOptions = (options: Options): number[] => {
  const data = optionOf(options, OPTION6.optionRequest)
  const codes: number[] = []
  if (data === undefined) return codes
  const end = Math.min(data.length, 2 * OPTIONS6_MAX)
  for (let at = 0; at + 2 <= end; at += 2) codes.push(((data[at] as number) << 8) | (data[at + 1] as number))
  return codes
}

/** Since when the client tries, hundredths of a second, uint16 (RFC 8415 §21.9). */
export const elapsedTime = (options: Options): number | undefined => {
  const data = optionOf(options, OPTION6.elapsedTime)
  return data?.length === 2 ? ((data[0] as number) << 8) | (data[1] as number) : undefined
}

/** A status code with its text (RFC 8415 §21.13). */
export interface Status6 {
  readonly code: number
  readonly message: string
}

/** The status of a message, an IA, an address or a prefix. */
export const statusOf = (options: Options): Status6 | undefined => {
  const data = optionOf(options, OPTION6.statusCode)
  if (data === undefined || data.length < 2) return undefined
  const code = ((data[0] as number) << 8) | (data[1] as number)
  return { code, message: new TextDecoder().decode(data.subarray(2)) }
}

/** A status code option. */
export const statusOption = (code: number, message: string): Option6 => ({
  code: OPTION6.statusCode,
  data: new Writer(64).u16(code).bytes(new TextEncoder().encode(message)).finish(),
})

/** An address in an IA_NA (RFC 8415 §21.6). `address` is 16 octets; lifetimes are seconds, uint32. */
export interface IaAddress {
  readonly address: Uint8Array
  readonly preferredSec: number
  readonly validSec: number
  readonly status: Status6 | undefined
}

/** A prefix in an IA_PD (RFC 8415 §21.22). `prefix` is 16 octets, `length` bits. */
export interface IaPrefix {
  readonly prefix: Uint8Array
  readonly length: number
  readonly preferredSec: number
  readonly validSec: number
  readonly status: Status6 | undefined
  /** Content of the PD_EXCLUDE option (RFC 6603 §4.2). */
  readonly exclude: Uint8Array | undefined
}

/** What IA_NA and IA_PD share. `iaid` and the times, in seconds, are uint32. */
export interface Ia {
  readonly iaid: number
  readonly t1Sec: number
  readonly t2Sec: number
  readonly status: Status6 | undefined
}

/** An identity association for addresses (RFC 8415 §21.4). */
export interface IaNa extends Ia {
  readonly addresses: ReadonlyArray<IaAddress>
}

/** An identity association for prefix delegation (RFC 8415 §21.21). */
export interface IaPd extends Ia {
  readonly prefixes: ReadonlyArray<IaPrefix>
}

/** All IA_NA options; `undefined` when one is malformed or they are too many. */
export const iaNasOf = (options: Options): IaNa[] | undefined => iasOf(options, OPTION6.iaNa, readIaNa)

/** All IA_PD options; `undefined` when one is malformed or they are too many. */
export const iaPdsOf = (options: Options): IaPd[] | undefined => iasOf(options, OPTION6.iaPd, readIaPd)

/** Reads an IA with at most so many members. */
type ReadIa<T> = (data: Uint8Array, membersMax: number) => { readonly ia: T; readonly members: number } | undefined

const iasOf = <T>(options: Options, code: number, read: ReadIa<T>): T[] | undefined => {
  const found: T[] = []
  let membersLeft = IA_MEMBERS_MAX
  for (const option of options) {
    if (option.code !== code) continue
    const one = read(option.data, membersLeft)
    if (one === undefined || found.length >= IAS_MAX) return undefined
    membersLeft -= one.members
    found.push(one.ia)
  }
  return found
}

const IA_HEADER_OCTETS = 12

const readIaNa: ReadIa<IaNa> = (data, membersMax) => {
  const inner = decodeInnerOptions(data, IA_HEADER_OCTETS)
  const addresses = inner === null ? undefined : members(inner, OPTION6.iaAddress, readAddress, membersMax)
  if (inner === null || addresses === undefined) return undefined
  return { ia: { ...readIa(data, inner), addresses }, members: addresses.length }
}

const readIaPd: ReadIa<IaPd> = (data, membersMax) => {
  const inner = decodeInnerOptions(data, IA_HEADER_OCTETS)
  const prefixes = inner === null ? undefined : members(inner, OPTION6.iaPrefix, readPrefix, membersMax)
  if (inner === null || prefixes === undefined) return undefined
  return { ia: { ...readIa(data, inner), prefixes }, members: prefixes.length }
}

const readIa = (data: Uint8Array, inner: Options): Ia => {
  const reader = new Reader(data)
  return { iaid: reader.u32(), t1Sec: reader.u32(), t2Sec: reader.u32(), status: statusOf(inner) }
}

const members = <T>(
  inner: Options,
  code: number,
  read: (data: Uint8Array) => T | undefined,
  max: number,
): T[] | undefined => {
  const found: T[] = []
  for (const option of inner) {
    if (option.code !== code) continue
    const member = read(option.data)
    if (member === undefined || found.length >= max) return undefined
    found.push(member)
  }
  return found
}

const readAddress = (data: Uint8Array): IaAddress | undefined => {
  const inner = decodeInnerOptions(data, 24)
  if (inner === null) return undefined
  const reader = new Reader(data)
  return { address: reader.take(16), preferredSec: reader.u32(), validSec: reader.u32(), status: statusOf(inner) }
}

const readPrefix = (data: Uint8Array): IaPrefix | undefined => {
  const inner = decodeInnerOptions(data, 25)
  if (inner === null) return undefined
  const reader = new Reader(data)
  const preferredSec = reader.u32()
  const validSec = reader.u32()
  const length = reader.u8()
  if (length > 128) return undefined
  const exclude = optionOf(inner, OPTION6.pdExclude)
  const prefix = withoutHostBits(reader.take(16), length)
  return { prefix, length, preferredSec, validSec, status: statusOf(inner), exclude }
}

/** Bits behind the length of a prefix mean nothing (RFC 8415 §21.22); with them one prefix would have many names. */
const withoutHostBits = (prefix: Uint8Array, length: number): Uint8Array => {
  const whole = length >> 3
  const partial = (prefix[whole] ?? 0) & (0xff00 >> (length & 7))
  const clean = new Uint8Array(16)
  clean.set(prefix.subarray(0, whole))
  if (whole < 16) clean[whole] = partial
  return clean
}

// An IA and an option inside it are written one at a time, and copied when they are whole.
const iaScratch = new Writer(512)
const innerScratch = new Writer(128)

/** Writes an IA_NA. */
export const iaNaOption = (ia: IaNa): Option6 => {
  const out = iaHeader(ia)
  for (const { address, preferredSec, validSec, status } of ia.addresses) {
    const inner = innerScratch.reset().bytes(address).u32(preferredSec).u32(validSec)
    if (status !== undefined) writeOptions(inner, [statusOption(status.code, status.message)])
    writeOptions(out, [{ code: OPTION6.iaAddress, data: inner.finish() }])
  }
  return { code: OPTION6.iaNa, data: withStatus(out, ia.status) }
}

/** Writes an IA_PD. */
export const iaPdOption = (ia: IaPd): Option6 => {
  const out = iaHeader(ia)
  for (const { prefix, length, preferredSec, validSec, status, exclude } of ia.prefixes) {
    const inner = innerScratch.reset().u32(preferredSec).u32(validSec).u8(length).bytes(prefix)
    if (exclude !== undefined) writeOptions(inner, [{ code: OPTION6.pdExclude, data: exclude }])
    if (status !== undefined) writeOptions(inner, [statusOption(status.code, status.message)])
    writeOptions(out, [{ code: OPTION6.iaPrefix, data: inner.finish() }])
  }
  return { code: OPTION6.iaPd, data: withStatus(out, ia.status) }
}

const iaHeader = ({ iaid, t1Sec, t2Sec }: Ia): Writer => iaScratch.reset().u32(iaid).u32(t1Sec).u32(t2Sec)

const withStatus = (out: Writer, status: Status6 | undefined): Uint8Array => {
  if (status !== undefined) writeOptions(out, [statusOption(status.code, status.message)])
  return out.finish()
}

/**
 * Content of PD_EXCLUDE (RFC 6603 §4.2): the length of the excluded prefix and the bits of it that follow the delegated
 * one. `excluded` is a 128-bit prefix of `length` bits inside a delegated prefix of `delegatedLength` bits.
 */
export const encodeExclude = (excluded: bigint, length: number, delegatedLength: number): Uint8Array => {
  const bits = length - delegatedLength
  const octets = Math.ceil(bits / 8)
  const subnetId = (excluded >> BigInt(128 - length)) & ((1n << BigInt(bits)) - 1n)
  const padded = subnetId << BigInt(octets * 8 - bits)
  const out = new Writer(octets + 1).u8(length)
  for (let i = octets - 1; i >= 0; i--) out.u8(Number((padded >> BigInt(8 * i)) & 0xffn))
  return out.finish()
}

/** Flags of the client FQDN option (RFC 4704 §4.1). */
export const FQDN6_FLAG = { server: 0x01, overridden: 0x02, noUpdate: 0x04 } as const

/** The client's name and flags (RFC 4704 §4); the name without final dot. */
export const clientFqdn6 = (options: Options): { readonly flags: number; readonly name: string } | undefined => {
  const data = optionOf(options, OPTION6.clientFqdn)
  if (data === undefined || data.length < 1) return undefined
  const labels: string[] = []
  for (let at = 1; at < data.length;) {
    const length = data[at] as number
    if (length === 0) break
    if (length > 63 || at + 1 + length > data.length) return undefined
    let label = ''
    for (let i = at + 1; i <= at + length; i++) {
      const octet = data[i] as number
      if (octet <= 0x20 || octet > 0x7e || octet === 0x2e) return undefined
      label += String.fromCharCode(octet)
    }
    labels.push(label)
    at += 1 + length
  }
  const name = labels.join('.')
  return name.length > 253 ? undefined : { flags: data[0] as number, name }
}
