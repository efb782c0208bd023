/** The DHCPv4 message between octets and {@link Packet4} (RFC 2131 §2, RFC 2132, RFC 3396). */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { Writer } from '../wire/writer.ts'
import { OPTION4 } from './option-codes.ts'

/** Longest datagram that is looked at: octets of UDP payload. More than a jumbo frame carries. */
export const DATAGRAM_OCTETS_MAX = 9216
/** Most options in one datagram, each part of a long one counted; bounds the work that joining them makes. */
export const OPTIONS_MAX = 512
/** Shortest message that is sent: octets; BOOTP relays may drop less (RFC 1542 §2.1). */
export const MESSAGE_OCTETS_MIN = 300
/**
 * Smallest value of option 57, and what a client takes that sends none: octets with IP and UDP headers (RFC 2132
 * §9.10).
 */
export const MAX_MESSAGE_SIZE_MIN = 576
/** Octets of an IPv4 header without options and a UDP header. */
export const IP_UDP_HEADER_OCTETS = 28

/** Octets of the fixed fields, before the magic cookie. */
const FIXED_OCTETS = 236
const OPTIONS_AT = 240
const CHADDR_AT = 28
const CHADDR_OCTETS = 16
const SNAME_AT = 44
const SNAME_OCTETS = 64
const FILE_AT = 108
const FILE_OCTETS = 128
const MAGIC_COOKIE = 0x63825363
const OPTION_PART_OCTETS_MAX = 255
const EMPTY = new Uint8Array(0)

/** A DHCPv4 message. What was decoded are views of the datagram: copy what outlives the handling of it. */
export interface Packet4 {
  /** 1 from a client, 2 from a server. */
  readonly op: number
  /** Hardware type (IANA ARP parameters); 1 is Ethernet. */
  readonly htype: number
  readonly hops: number
  /** Transaction id, uint32. */
  readonly xid: number
  /** Seconds since the client began, as it says; uint16. */
  readonly secs: number
  /** uint16; the highest bit asks for broadcast replies (RFC 2131 §4.1). */
  readonly flags: number
  /** Addresses as uint32; 0 where there is none. */
  readonly ciaddr: number
  readonly yiaddr: number
  readonly siaddr: number
  readonly giaddr: number
  /** The first `hlen` octets of the field: 0 to 16. */
  readonly chaddr: Uint8Array
  /** Up to the first zero octet, at most 64; empty where the field held options. */
  readonly sname: Uint8Array
  /** Up to the first zero octet, at most 128; empty where the field held options. */
  readonly file: Uint8Array
  /**
   * Content by code, in the order received, the parts of a repeated option joined (RFC 3396 §7). Option 52 is not among
   * them: decoding has followed it and encoding writes it where needed.
   */
  readonly options: ReadonlyMap<number, Uint8Array>
}

/** Highest bit of `flags`: the client cannot receive unicast yet (RFC 2131 §4.1). */
export const BROADCAST_FLAG = 0x8000

/** Why octets are no DHCPv4 message; each tag is good as the name of a counter. */
export type Malformed4 =
  /** Shorter than the fixed fields and the cookie. */
  | { readonly _tag: 'tooShort'; readonly offset: number }
  /** Longer than {@link DATAGRAM_OCTETS_MAX}. */
  | { readonly _tag: 'tooLong'; readonly offset: number }
  /** `op` is neither 1 nor 2. */
  | { readonly _tag: 'badOp'; readonly offset: number }
  /** `hlen` is more than the 16 octets that `chaddr` has. */
  | { readonly _tag: 'badHlen'; readonly offset: number }
  /** No magic cookie: plain BOOTP or something else (RFC 2131 §3). */
  | { readonly _tag: 'badCookie'; readonly offset: number }
  /** An option has no length, or reaches past the end of its field. */
  | { readonly _tag: 'truncatedOption'; readonly offset: number }
  /** More than {@link OPTIONS_MAX} options. */
  | { readonly _tag: 'tooManyOptions'; readonly offset: number }
  /** Option 52 is not one octet of 1, 2 or 3 (RFC 2132 §9.3). */
  | { readonly _tag: 'badOverload'; readonly offset: number }

/**
 * Reads a DHCPv4 message. Never throws. A missing end option is accepted, as is anything behind it; an option that
 * reaches past the end is not, because what it holds cannot be known.
 */
export const decodePacket4 = (bytes: Uint8Array): Either<Malformed4, Packet4> => {
  if (bytes.length < OPTIONS_AT) return malformed('tooShort', bytes.length)
  if (bytes.length > DATAGRAM_OCTETS_MAX) return malformed('tooLong', DATAGRAM_OCTETS_MAX)
  const op = u8(bytes, 0)
  if (op !== 1 && op !== 2) return malformed('badOp', 0)
  const hlen = u8(bytes, 2)
  if (hlen > CHADDR_OCTETS) return malformed('badHlen', 2)
  if (u32(bytes, FIXED_OCTETS) !== MAGIC_COOKIE) return malformed('badCookie', FIXED_OCTETS)

  const options = new Map<number, Uint8Array>()
  const failure = readAllOptions(bytes, options)
  if (failure !== null) return E.left(failure)
  const overload = overloadOf(options)
  if (overload !== 0) options.delete(OPTION4.overload)
  return E.right({
    op,
    htype: u8(bytes, 1),
    hops: u8(bytes, 3),
    xid: u32(bytes, 4),
    secs: u16(bytes, 8),
    flags: u16(bytes, 10),
    ciaddr: u32(bytes, 12),
    yiaddr: u32(bytes, 16),
    siaddr: u32(bytes, 20),
    giaddr: u32(bytes, 24),
    chaddr: view(bytes, CHADDR_AT, hlen),
    sname: (overload & OVERLOAD_SNAME) !== 0 ? EMPTY : terminated(bytes, SNAME_AT, SNAME_OCTETS),
    file: (overload & OVERLOAD_FILE) !== 0 ? EMPTY : terminated(bytes, FILE_AT, FILE_OCTETS),
    options,
  })
}

/** What {@link encodePacket4} keeps to. */
export interface EncodeLimits4 {
  /** Octets of UDP payload, as {@link payloadOctetsMax} has it; without it, {@link DATAGRAM_OCTETS_MAX}. */
  readonly maxSize?: number
  /** Told the code of each option that found no room. */
  readonly onDropped?: (code: number) => void
}

/**
 * Octets of a message, at least 300, ended and padded. Option 53 stands first and 82 last (RFC 3046 §2.1), what is
 * longer than 255 octets is split (RFC 3396 §6), the rest keeps its order. When that exceeds `maxSize`, essential
 * options go first, others follow where they fit, then into `file` and `sname` if those are empty (option 52), and
 * what finds no room is left out, the last first. Essential options are written even beyond `maxSize`.
 */
export const encodePacket4 = (packet: Packet4, limits: EncodeLimits4 = {}): Uint8Array => {
  const maxSize = Math.min(limits.maxSize ?? DATAGRAM_OCTETS_MAX, DATAGRAM_OCTETS_MAX)
  const relayAgent = packet.options.get(OPTION4.relayAgent)
  let octets = relayAgent === undefined ? 1 : 1 + encodedOctets(relayAgent)
  for (const [code, value] of packet.options) {
    if (isOrdinary(code)) octets += encodedOctets(value)
  }
  if (OPTIONS_AT + octets > maxSize) return encodeCrowded(packet, maxSize, limits.onDropped)

  const out = scratch.reset()
  writeFixed(out, packet, packet.sname, packet.file)
  const messageType = packet.options.get(OPTION4.messageType)
  if (messageType !== undefined) writeOption(out, OPTION4.messageType, messageType)
  for (const [code, value] of packet.options) {
    if (isOrdinary(code) && code !== OPTION4.messageType) writeOption(out, code, value)
  }
  return finishOptions(out, relayAgent)
}

/** Messages are written here one after the other and copied out at their length. */
const scratch = new Writer(DATAGRAM_OCTETS_MAX)

/**
 * Most octets of UDP payload for a reply to a client whose option 57 is `maxMessageSize`, which counts the IP and UDP
 * headers too (RFC 2132 §9.10); a client that sent none, or too small a one, takes 576 (RFC 2131 §2).
 */
export const payloadOctetsMax = (maxMessageSize: number | undefined): number =>
  Math.max(maxMessageSize ?? MAX_MESSAGE_SIZE_MIN, MAX_MESSAGE_SIZE_MIN) - IP_UDP_HEADER_OCTETS

const OVERLOAD_FILE = 1
const OVERLOAD_SNAME = 2

/** Options without which a reply is of no use, or breaks a rule: they are placed first and never dropped. */
const ESSENTIAL: readonly number[] = [
  OPTION4.messageType,
  OPTION4.serverIdentifier,
  OPTION4.leaseTime,
  OPTION4.clientIdentifier,
  OPTION4.subnetMask,
  OPTION4.renewalTime,
  OPTION4.rebindingTime,
  OPTION4.rapidCommit,
  OPTION4.message,
]

const malformed = (_tag: Malformed4['_tag'], offset: number): Either<Malformed4, never> => E.left({ _tag, offset })

const u8 = (bytes: Uint8Array, at: number): number => bytes[at] as number
const u16 = (bytes: Uint8Array, at: number): number => (u8(bytes, at) << 8) | u8(bytes, at + 1)
const u32 = (bytes: Uint8Array, at: number): number => ((u16(bytes, at) << 16) | u16(bytes, at + 2)) >>> 0

// Not subarray(): on a Buffer that makes a Buffer, which is slower to make and compares unequal in tests.
const view = (bytes: Uint8Array, at: number, length: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + at, length)

/** The octets of a field up to the first zero. */
const terminated = (bytes: Uint8Array, at: number, octets: number): Uint8Array => {
  if (u8(bytes, at) === 0) return EMPTY
  let length = 1
  while (length < octets && u8(bytes, at + length) !== 0) length++
  return view(bytes, at, length)
}

/** Reads the options field, then `file`, then `sname`, as far as option 52 says (RFC 2131 §4.1, RFC 3396 §5). */
const readAllOptions = (bytes: Uint8Array, options: Map<number, Uint8Array>): Malformed4 | null => {
  const state = { count: 0 }
  const failure = readOptions(bytes, OPTIONS_AT, bytes.length, options, state)
  if (failure !== null || !options.has(OPTION4.overload)) return failure
  const overload = overloadOf(options)
  if (overload === 0) return { _tag: 'badOverload', offset: OPTIONS_AT }
  if ((overload & OVERLOAD_FILE) !== 0) {
    const inFile = readOptions(bytes, FILE_AT, FILE_AT + FILE_OCTETS, options, state)
    if (inFile !== null) return inFile
  }
  if ((overload & OVERLOAD_SNAME) !== 0) {
    const inSname = readOptions(bytes, SNAME_AT, SNAME_AT + SNAME_OCTETS, options, state)
    if (inSname !== null) return inSname
  }
  // An option 52 inside the fields that it opens would be joined to the first: it has no meaning there.
  return overloadOf(options) === 0 ? { _tag: 'badOverload', offset: OPTIONS_AT } : null
}

const readOptions = (
  bytes: Uint8Array,
  start: number,
  end: number,
  options: Map<number, Uint8Array>,
  state: { count: number },
): Malformed4 | null => {
  let at = start
  while (at < end) {
    const code = u8(bytes, at)
    if (code === OPTION4.pad) {
      at++
      continue
    }
    if (code === OPTION4.end) return null
    if (at + 2 > end) return { _tag: 'truncatedOption', offset: at }
    const length = u8(bytes, at + 1)
    if (at + 2 + length > end) return { _tag: 'truncatedOption', offset: at }
    if (++state.count > OPTIONS_MAX) return { _tag: 'tooManyOptions', offset: at }
    const value = view(bytes, at + 2, length)
    const earlier = options.get(code)
    options.set(code, earlier === undefined ? value : joined(earlier, value))
    at += 2 + length
  }
  return null
}

const joined = (first: Uint8Array, second: Uint8Array): Uint8Array => {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}

/** 1 to 3 as option 52 says, 0 when it is absent or wrong. */
const overloadOf = (options: ReadonlyMap<number, Uint8Array>): number => {
  const value = options.get(OPTION4.overload)
  const fields = value?.length === 1 ? u8(value, 0) : 0
  return fields <= 3 ? fields : 0
}

/** Whether the encoder takes the option as it comes: pad, end and overload are its own, and 82 goes last. */
const isOrdinary = (code: number): boolean =>
  code !== OPTION4.pad && code !== OPTION4.end && code !== OPTION4.overload && code !== OPTION4.relayAgent

/** Octets that a value takes with the code and length of each of its parts. */
const encodedOctets = (value: Uint8Array): number =>
  value.length <= OPTION_PART_OCTETS_MAX
    ? 2 + value.length
    : value.length + 2 * Math.ceil(value.length / OPTION_PART_OCTETS_MAX)

const writeFixed = (out: Writer, packet: Packet4, sname: Uint8Array, file: Uint8Array): void => {
  out.u8(packet.op).u8(packet.htype).u8(packet.chaddr.length).u8(packet.hops)
  out.u32(packet.xid).u16(packet.secs).u16(packet.flags)
  out.u32(packet.ciaddr).u32(packet.yiaddr).u32(packet.siaddr).u32(packet.giaddr)
  out.padded(packet.chaddr, CHADDR_OCTETS).padded(sname, SNAME_OCTETS).padded(file, FILE_OCTETS)
  out.u32(MAGIC_COOKIE)
}

const writeOption = (out: Writer, code: number, value: Uint8Array): void => {
  if (value.length <= OPTION_PART_OCTETS_MAX) {
    out.u8(code).u8(value.length).bytes(value)
    return
  }
  for (let at = 0; at < value.length; at += OPTION_PART_OCTETS_MAX) {
    const part = value.subarray(at, at + OPTION_PART_OCTETS_MAX)
    out.u8(code).u8(part.length).bytes(part)
  }
}

const finishOptions = (out: Writer, relayAgent: Uint8Array | undefined): Uint8Array => {
  if (relayAgent !== undefined) writeOption(out, OPTION4.relayAgent, relayAgent)
  out.u8(OPTION4.end)
  if (out.length < MESSAGE_OCTETS_MIN) out.padded(EMPTY, MESSAGE_OCTETS_MIN - out.length)
  return out.message()
}

/** One of the three fields that hold options, with the octets left in it. */
interface Room {
  readonly out: Writer
  left: number
}

const room = (left: number): Room => ({ out: new Writer(Math.max(left, 1)), left })

/** The way of a message with more options than fit into the options field. */
const encodeCrowded = (packet: Packet4, maxSize: number, onDropped: EncodeLimits4['onDropped']): Uint8Array => {
  const relayAgent = packet.options.get(OPTION4.relayAgent)
  const tail = (relayAgent === undefined ? 0 : encodedOctets(relayAgent)) + 1 + OVERLOAD_OPTION_OCTETS
  const inOptions = room(maxSize - OPTIONS_AT - tail)
  const inFile = room(packet.file.length === 0 ? FILE_OCTETS - 1 : 0)
  const inSname = room(packet.sname.length === 0 ? SNAME_OCTETS - 1 : 0)
  const rooms = [inOptions, inFile, inSname]
  for (const [code, value] of byImportance(packet.options)) {
    const octets = encodedOctets(value)
    const fitting = rooms.find((each) => each.left >= octets)
    const chosen = fitting ?? (ESSENTIAL.includes(code) ? inOptions : undefined)
    if (chosen === undefined) {
      onDropped?.(code)
      continue
    }
    writeOption(chosen.out, code, value)
    chosen.left -= octets
  }
  const overload = (inFile.out.length > 0 ? OVERLOAD_FILE : 0) | (inSname.out.length > 0 ? OVERLOAD_SNAME : 0)
  const out = new Writer(Math.max(MESSAGE_OCTETS_MIN, OPTIONS_AT + inOptions.out.length + tail))
  writeFixed(out, packet, overloaded(inSname.out, packet.sname), overloaded(inFile.out, packet.file))
  out.bytes(inOptions.out.finish())
  if (overload !== 0) out.u8(OPTION4.overload).u8(1).u8(overload)
  return finishOptions(out, relayAgent)
}

const OVERLOAD_OPTION_OCTETS = 3

/** The essential options in their order, then the others in theirs. */
const byImportance = (options: ReadonlyMap<number, Uint8Array>): [number, Uint8Array][] => {
  const ordered: [number, Uint8Array][] = []
  for (const code of ESSENTIAL) {
    const value = options.get(code)
    if (value !== undefined) ordered.push([code, value])
  }
  for (const [code, value] of options) {
    if (isOrdinary(code) && !ESSENTIAL.includes(code)) ordered.push([code, value])
  }
  return ordered
}

/** A field that holds options, ended; or what it held anyway. */
const overloaded = (options: Writer, field: Uint8Array): Uint8Array =>
  options.length === 0 ? field : options.u8(OPTION4.end).finish()
