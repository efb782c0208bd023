/**
 * DHCPv6 messages between octets and values (RFC 8415 §8, §9): a client's message, possibly inside Relay-forward
 * messages. Options stay octets, in the order received; option-access.ts reads them.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import { MESSAGE6, OPTION6 } from './option-codes.ts'

/** Longest message that a UDP datagram can carry, octets: its 16-bit length counts the UDP header's 8 too (RFC 768). */
export const DATAGRAM6_OCTETS_MAX = 65_527
/** Most options in one message or relay header; bounds the work that a packet can make. */
export const OPTIONS6_MAX = 512
/** Most relays between client and server: HOP_COUNT_LIMIT is 8, but 32 is what servers accepted before (RFC 8415 §7.6). */
export const RELAYS_MAX = 32

/** An option: its code and its content, a view of the datagram. */
export interface Option6 {
  readonly code: number
  readonly data: Uint8Array
}

/** One relay's header. Addresses are 16 octets. */
export interface Relay6 {
  readonly hopCount: number
  readonly linkAddress: Uint8Array
  readonly peerAddress: Uint8Array
  /** Without the relay message option. */
  readonly options: ReadonlyArray<Option6>
}

/** A message of a client or server, and the relays it came through. What was decoded are views: copy what is kept. */
export interface Packet6 {
  /** The one nearest to the server first; empty when the message came directly. */
  readonly relays: ReadonlyArray<Relay6>
  readonly messageType: number
  /** uint24. */
  readonly transactionId: number
  readonly options: ReadonlyArray<Option6>
}

/** Why octets are no DHCPv6 message; each tag is good as the name of a counter. */
export type Malformed6 =
  | { readonly _tag: 'tooShort'; readonly offset: number }
  | { readonly _tag: 'tooLong'; readonly offset: number }
  /** An option reaches past the end of its message. */
  | { readonly _tag: 'truncatedOption'; readonly offset: number }
  | { readonly _tag: 'tooManyOptions'; readonly offset: number }
  /** A Relay-forward or Relay-reply without a relay message in it, or with more than one. */
  | { readonly _tag: 'badRelayMessage'; readonly offset: number }
  /** A Relay-reply where Relay-forward is expected, or the other way round (RFC 8415 §16.13, §16.14). */
  | { readonly _tag: 'wrongDirection'; readonly offset: number }
  | { readonly _tag: 'tooManyRelays'; readonly offset: number }

const RELAY_HEADER_OCTETS = 34
const MESSAGE_HEADER_OCTETS = 4

const malformed = (_tag: Malformed6['_tag'], offset: number): Either<Malformed6, never> => E.left({ _tag, offset })

/**
 * Reads a datagram: relay headers from the outside in, then the message itself. `relayType` is the only kind of relay
 * message that may be around it: Relay-forward towards servers, Relay-reply towards clients.
 */
export const decodePacket6 = (
  bytes: Uint8Array,
  relayType: number = MESSAGE6.relayForward,
): Either<Malformed6, Packet6> => {
  if (bytes.length > DATAGRAM6_OCTETS_MAX) return malformed('tooLong', DATAGRAM6_OCTETS_MAX)
  const relays: Relay6[] = []
  let message = bytes
  for (;;) {
    const type = message[0]
    if (type !== MESSAGE6.relayForward && type !== MESSAGE6.relayReply) break
    const offset = message.byteOffset - bytes.byteOffset
    if (type !== relayType) return malformed('wrongDirection', offset)
    if (relays.length >= RELAYS_MAX) return malformed('tooManyRelays', offset)
    const header = decodeRelay(message, bytes)
    if (E.isLeft(header)) return header
    relays.push(header.right.relay)
    message = header.right.inner
  }
  if (message.length < MESSAGE_HEADER_OCTETS) return malformed('tooShort', message.byteOffset - bytes.byteOffset)
  const options = decodeOptions(message, MESSAGE_HEADER_OCTETS, bytes)
  if (E.isLeft(options)) return options
  const [messageType = 0, high = 0, middle = 0, low = 0] = message
  return E.right({ relays, messageType, transactionId: (high << 16) | (middle << 8) | low, options: options.right })
}

const decodeRelay = (
  message: Uint8Array,
  whole: Uint8Array,
): Either<Malformed6, { readonly relay: Relay6; readonly inner: Uint8Array }> => {
  const at = message.byteOffset - whole.byteOffset
  if (message.length < RELAY_HEADER_OCTETS) return malformed('tooShort', at)
  const all = decodeOptions(message, RELAY_HEADER_OCTETS, whole)
  if (E.isLeft(all)) return all
  const options: Option6[] = []
  let inner: Uint8Array | undefined
  for (const option of all.right) {
    if (option.code !== OPTION6.relayMessage) options.push(option)
    else if (inner === undefined) inner = option.data
    else return malformed('badRelayMessage', at)
  }
  if (inner === undefined) return malformed('badRelayMessage', at)
  const hopCount = message[1] as number
  const relay = { hopCount, linkAddress: message.subarray(2, 18), peerAddress: message.subarray(18, 34), options }
  return E.right({ relay, inner })
}

const decodeOptions = (message: Uint8Array, from: number, whole: Uint8Array): Either<Malformed6, Option6[]> => {
  const options: Option6[] = []
  let at = from
  while (at < message.length) {
    const offset = message.byteOffset - whole.byteOffset + at
    if (options.length >= OPTIONS6_MAX) return malformed('tooManyOptions', offset)
    if (at + 4 > message.length) return malformed('truncatedOption', offset)
    const code = ((message[at] as number) << 8) | (message[at + 1] as number)
    const length = ((message[at + 2] as number) << 8) | (message[at + 3] as number)
    at += 4
    if (at + length > message.length) return malformed('truncatedOption', offset)
    options.push({ code, data: message.subarray(at, at + length) })
    at += length
  }
  return E.right(options)
}

/** Reads the options inside an option, such as those of an IA; `null` when they do not fill it exactly. */
export const decodeInnerOptions = (data: Uint8Array, from: number): Option6[] | null => {
  if (from > data.length) return null
  const reader = new Reader(data, from)
  const options: Option6[] = []
  while (reader.left > 0 && options.length < OPTIONS6_MAX) {
    const code = reader.u16()
    const length = reader.u16()
    options.push({ code, data: reader.take(length) })
  }
  return reader.finish() === 'ok' ? options : null
}

/**
 * Appends options: code, length, content each. Content above 65,535 octets gets a wrong length, but what holds it is longer
 * than any datagram, so {@link encodePacket6} lets none of it out.
 */
export const writeOptions = (out: Writer, options: ReadonlyArray<Option6>): Writer => {
  for (const { code, data } of options) out.u16(code).u16(data.length).bytes(data)
  return out
}

/** Encoding is synchronous and copies at the end, so one buffer serves all messages. */
const scratch = new Writer(2048)

/**
 * Octets of a message. Around it, for each of `relays`, a header of `relayType`: Relay-reply for a server's answer
 * (RFC 8415 §19.3), Relay-forward for what a relay sends on. `undefined` when no datagram is long enough for it, which
 * a peer brings about by asking for enough to be echoed.
 */
export const encodePacket6 = (packet: Packet6, relayType: number = MESSAGE6.relayReply): Uint8Array | undefined => {
  const out = scratch.reset()
  const innerStarts: number[] = []
  for (const relay of packet.relays) {
    out.u8(relayType).u8(relay.hopCount).bytes(relay.linkAddress).bytes(relay.peerAddress)
    writeOptions(out, relay.options).u16(OPTION6.relayMessage).u16(0)
    innerStarts.push(out.length)
  }
  out.u32(((packet.messageType & 0xff) << 24) | (packet.transactionId & 0xffffff))
  writeOptions(out, packet.options)
  if (out.length > DATAGRAM6_OCTETS_MAX) return undefined
  for (const start of innerStarts) out.patchU16(start - 2, out.length - start)
  return out.message()
}

/**
 * The relay headers of the answer: addresses as they came, interface-id and relay source port returned (RFC 8415
 * §19.3, RFC 8357 §4.2), and what the relay asked to have echoed (RFC 4994).
 */
export const relaysOfReply = (relays: ReadonlyArray<Relay6>): Relay6[] =>
  relays.map((relay) => {
    const asked = codesAsked(relay.options)
    const echoed = ({ code }: Option6): boolean =>
      code === OPTION6.interfaceId || code === OPTION6.relaySourcePort || asked?.has(code) === true
    return { ...relay, options: relay.options.filter(echoed) }
  })

/** Codes in echo request options; `undefined` for the many relays that send none. */
const codesAsked = (options: ReadonlyArray<Option6>): Set<number> | undefined => {
  let codes: Set<number> | undefined
  for (const { code, data } of options) {
    if (code !== OPTION6.echoRequest) continue
    codes ??= new Set()
    for (let at = 0; at + 2 <= data.length; at += 2) codes.add(((data[at] as number) << 8) | (data[at + 1] as number))
  }
  return codes
}
