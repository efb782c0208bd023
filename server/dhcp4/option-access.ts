/**
 * Options of a DHCPv4 message that handlers read, as values. Each gives `undefined` when the option is absent and when
 * its content is not of the size that its RFC fixes: a broken option is treated as one that was not sent.
 */
import { LABEL_OCTETS_MAX, NAME_OCTETS_MAX } from '../options/fields.ts'
import { Writer } from '../wire/writer.ts'
import { OPTION4 } from './option-codes.ts'
import type { Packet4 } from './packet.ts'

type Options = ReadonlyMap<number, Uint8Array>

/** One octet: the value of a uint8 option. */
export const uint8Option = (options: Options, code: number): number | undefined => {
  const value = options.get(code)
  return value?.length === 1 ? (value[0] as number) : undefined
}

/** Two octets: the value of a uint16 option. */
export const uint16Option = (options: Options, code: number): number | undefined => {
  const value = options.get(code)
  return value?.length === 2 ? ((value[0] as number) << 8) | (value[1] as number) : undefined
}

/** Four octets: the value of a uint32 option, or an address as uint32. */
export const uint32Option = (options: Options, code: number): number | undefined => {
  const value = options.get(code)
  if (value?.length !== 4) return undefined
  return (
    (((value[0] as number) << 24) |
      ((value[1] as number) << 16) |
      ((value[2] as number) << 8) |
      (value[3] as number)) >>>
    0
  )
}

/** Option 53, one of MESSAGE_TYPE or a number that is none (RFC 2132 §9.6). */
export const messageType = (packet: Packet4): number | undefined => uint8Option(packet.options, OPTION4.messageType)

/** Option 50: address as uint32 (RFC 2132 §9.1). */
export const requestedAddress = (packet: Packet4): number | undefined =>
  uint32Option(packet.options, OPTION4.requestedAddress)

/** Option 54: address as uint32 (RFC 2132 §9.7). */
export const serverIdentifier = (packet: Packet4): number | undefined =>
  uint32Option(packet.options, OPTION4.serverIdentifier)

/** Option 51: seconds, uint32; 0xffffffff is infinite (RFC 2132 §9.2, RFC 2131 §3.3). */
export const leaseTime = (packet: Packet4): number | undefined => uint32Option(packet.options, OPTION4.leaseTime)

/** Option 58, T1: seconds, uint32 (RFC 2132 §9.11). */
export const renewalTime = (packet: Packet4): number | undefined => uint32Option(packet.options, OPTION4.renewalTime)

/** Option 59, T2: seconds, uint32 (RFC 2132 §9.12). */
export const rebindingTime = (packet: Packet4): number | undefined =>
  uint32Option(packet.options, OPTION4.rebindingTime)

/** Option 57: octets with IP and UDP headers (RFC 2132 §9.10); see payloadOctetsMax. */
export const maxMessageSize = (packet: Packet4): number | undefined =>
  uint16Option(packet.options, OPTION4.maxMessageSize)

/** Option 118: address as uint32 in the subnet that the client wants (RFC 3011 §2). */
export const subnetSelection = (packet: Packet4): number | undefined =>
  uint32Option(packet.options, OPTION4.subnetSelection)

/** Option 55: the codes that the client wants, in its order of preference (RFC 2132 §9.8); a view. */
export const parameterRequestList = (packet: Packet4): Uint8Array | undefined =>
  packet.options.get(OPTION4.parameterRequestList)

/** Option 61, at least two octets: type and identifier (RFC 2132 §9.14); a view. */
export const clientIdentifier = (packet: Packet4): Uint8Array | undefined => {
  const value = packet.options.get(OPTION4.clientIdentifier)
  return value !== undefined && value.length >= 2 ? value : undefined
}

/** Whether option 80 is there: the client takes an ACK for its DISCOVER (RFC 4039 §4). */
export const wantsRapidCommit = (packet: Packet4): boolean => packet.options.has(OPTION4.rapidCommit)

/** Whether the client asks for broadcast replies (RFC 2131 §4.1). */
export const wantsBroadcast = (packet: Packet4): boolean => (packet.flags & 0x8000) !== 0

/**
 * Option 12 as text without the zeros that some clients end it with (RFC 2132 §2, §3.14); see {@link printableText}.
 */
export const hostname = (packet: Packet4): string | undefined => textOption(packet, OPTION4.hostName)

/** Option 60 as text (RFC 2132 §9.13). */
export const vendorClass = (packet: Packet4): string | undefined => textOption(packet, OPTION4.vendorClassIdentifier)

/**
 * Text of octets that a client sent; `undefined` when they are empty, are not UTF-8, or hold control characters: such
 * text would break a log line, and a zero octet is refused by PostgreSQL.
 */
export const printableText = (bytes: Uint8Array): string | undefined => {
  let text = ''
  for (let at = 0; at < bytes.length; at++) {
    const octet = bytes[at] as number
    if (octet < 0x20 || octet === 0x7f) return undefined
    if (octet > 0x7f) return utf8Text(bytes)
    text += String.fromCharCode(octet)
  }
  return text === '' ? undefined : text
}

/** Flags of the client FQDN option (RFC 4702 §2.1). */
export const FQDN_FLAG = { server: 0x01, overridden: 0x02, encoded: 0x04, noUpdate: 0x08 } as const

/** Option 81. */
export interface ClientFqdn {
  /** S: the server shall do the forward update. */
  readonly server: boolean
  /** O: the server did otherwise than S asked; set only by servers. */
  readonly overridden: boolean
  /** E: the name is in DNS wire form, not ASCII; the reply keeps the form. */
  readonly encoded: boolean
  /** N: no updates at all. */
  readonly noUpdate: boolean
  /** Labels joined by dots, without the final one; empty when the client sent no name. */
  readonly name: string
  /** Whether the name lacks its domain: no root label, or in ASCII no final dot (RFC 4702 §2.3.1). */
  readonly partial: boolean
}

/** Option 81 in either encoding; `undefined` also when the name is malformed or not printable ASCII (RFC 4702 §2). */
export const clientFqdn = (packet: Packet4): ClientFqdn | undefined => {
  const option = packet.options.get(OPTION4.clientFqdn)
  if (option === undefined || option.length < 3) return undefined
  const flags = option[0] as number
  const encoded = (flags & FQDN_FLAG.encoded) !== 0
  const named = encoded ? wireName(option.subarray(3)) : asciiName(option.subarray(3))
  if (named === undefined) return undefined
  return {
    server: (flags & FQDN_FLAG.server) !== 0,
    overridden: (flags & FQDN_FLAG.overridden) !== 0,
    encoded,
    noUpdate: (flags & FQDN_FLAG.noUpdate) !== 0,
    ...named,
  }
}

/**
 * Content of option 81 for a reply, the two RCODE octets being 255 as a server sends them (RFC 4702 §2.2); `undefined`
 * when the name has an empty or too long label, or characters that are not printable ASCII.
 */
export const encodeClientFqdn = (fqdn: ClientFqdn): Uint8Array | undefined => {
  const out = new Writer(64)
  const flags =
    (fqdn.server ? FQDN_FLAG.server : 0) |
    (fqdn.overridden ? FQDN_FLAG.overridden : 0) |
    (fqdn.encoded ? FQDN_FLAG.encoded : 0) |
    (fqdn.noUpdate ? FQDN_FLAG.noUpdate : 0)
  out.u8(flags).u8(0xff).u8(0xff)
  if (!isName(fqdn.name)) return fqdn.name === '' ? out.finish() : undefined
  if (!fqdn.encoded) return out.bytes(ascii(fqdn.partial ? fqdn.name : `${fqdn.name}.`)).finish()
  for (const label of fqdn.name.split('.')) out.u8(label.length).bytes(ascii(label))
  return fqdn.partial ? out.finish() : out.u8(0).finish()
}

const utf8Strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const utf8Text = (bytes: Uint8Array): string | undefined => {
  try {
    const text = utf8Strict.decode(bytes)
    return /\p{Cc}/u.test(text) ? undefined : text
  } catch {
    return undefined
  }
}

const textOption = (packet: Packet4, code: number): string | undefined => {
  const value = packet.options.get(code)
  if (value === undefined) return undefined
  let length = value.length
  while (length > 0 && value[length - 1] === 0) length--
  return printableText(value.subarray(0, length))
}

type Named = Pick<ClientFqdn, 'name' | 'partial'>

/** A name as labels without compression, the root label left out in a partial one (RFC 4702 §2.3.1). */
const wireName = (bytes: Uint8Array): Named | undefined => {
  if (bytes.length > NAME_OCTETS_MAX) return undefined
  const labels: string[] = []
  let at = 0
  while (at < bytes.length) {
    const length = bytes[at] as number
    if (length === 0) return at + 1 === bytes.length ? named(labels.join('.'), false) : undefined
    if (length > LABEL_OCTETS_MAX || at + 1 + length > bytes.length) return undefined
    const label = printableText(bytes.subarray(at + 1, at + 1 + length))
    if (label === undefined || label.includes('.')) return undefined
    labels.push(label)
    at += 1 + length
  }
  return named(labels.join('.'), true)
}

const asciiName = (bytes: Uint8Array): Named | undefined => {
  let length = bytes.length
  while (length > 0 && bytes[length - 1] === 0) length--
  if (length === 0) return { name: '', partial: true }
  const text = printableText(bytes.subarray(0, length))
  if (text === undefined) return undefined
  return text.endsWith('.') ? named(text.slice(0, -1), false) : named(text, true)
}

const named = (name: string, partial: boolean): Named | undefined =>
  name === '' || isName(name) ? { name, partial } : undefined

/** Dotted labels of printable ASCII, none empty or too long, short enough with a root label. */
const isName = (name: string): boolean =>
  name.length + 2 <= NAME_OCTETS_MAX && /^[!-~]+$/.test(name) && name.split('.').every(isLabel)

const isLabel = (label: string): boolean => label.length > 0 && label.length <= LABEL_OCTETS_MAX

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0))
