/** Codecs of the single values of a configuration. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import * as t from 'io-ts'
import { ip4Text, ip6Last, ip6Network, ip6Text, parseHex, parseIp4, parseIp6 } from '../../domain/address.ts'
import { parseBinary } from '../options/fields.ts'
import { scalar } from './shape.ts'

/** A codec of one value. */
export type Value<A> = t.Type<A, unknown, unknown>

/** A network or delegated prefix with its text. Host bits are zero. */
export interface PrefixValue<A> {
  readonly prefix: A
  readonly length: number
  readonly text: string
}

/** A subnet. Kea takes host bits in it and means the network; `inexact` is then the text as written. */
export interface SubnetValue<A> extends PrefixValue<A> {
  readonly inexact: string | undefined
}

/** Both ends of a pool, included. */
export interface RangeValue<A> {
  readonly first: A
  readonly last: A
}

export const flag: Value<boolean> = scalar('true or false', (value) => (typeof value === 'boolean' ? value : undefined))

/** Text, possibly empty. */
export const text: Value<string> = scalar('text', (value) => (typeof value === 'string' ? value : undefined))

/** Text of at least one and at most `max` octets. */
export const word = (max = 255): Value<string> =>
  scalar(`text of 1 to ${max} octets`, (value) =>
    typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= max ? value : undefined,
  )

/** Text of at most `max` octets. */
export const shortText = (max: number): Value<string> =>
  scalar(`text of at most ${max} octets`, (value) =>
    typeof value === 'string' && Buffer.byteLength(value) <= max ? value : undefined,
  )

/** A whole number between two bounds, both included. */
export const integer = (least: number, most: number): Value<number> =>
  scalar(`a whole number from ${least} to ${most}`, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most ? value : undefined,
  )

/** Seconds, uint32; 0xffffffff is infinite. */
export const seconds = integer(0, 0xffffffff)
export const port = integer(1, 65535)

/** A number from 0 to 1. */
export const fraction: Value<number> = scalar('a number from 0 to 1', (value) =>
  typeof value === 'number' && value >= 0 && value <= 1 ? value : undefined,
)

/** Seconds that may have decimals, more than none and at most an hour; for timeouts. Decoded to milliseconds. */
export const timeoutMs: Value<number> = scalar('seconds, more than 0 and at most 3600', (value) =>
  typeof value === 'number' && value > 0 && value <= 3600 ? Math.round(value * 1000) : undefined,
)

/** The same, where empty text means that nothing is said. */
export const orEmpty = <A>(codec: Value<A>): Value<A | undefined> =>
  new t.Type<A | undefined, unknown, unknown>(
    codec.name,
    (_u): _u is A | undefined => false,
    (u, context) => (u === '' ? t.success(undefined) : codec.validate(u, context)),
    t.identity,
  )

/** One of some words. */
export const oneOf = <const W extends readonly string[]>(...words: W): Value<W[number]> =>
  scalar(`one of ${words.map((each) => `"${each}"`).join(', ')}`, (value) => words.find((each) => each === value))

export const ip4: Value<number> = scalar('an IPv4 address such as "192.0.2.1"', (value) =>
  typeof value === 'string' ? O.toUndefined(parseIp4(value.trim())) : undefined,
)

export const ip6: Value<bigint> = scalar('an IPv6 address such as "2001:db8::1"', (value) =>
  typeof value === 'string' ? O.toUndefined(parseIp6(value.trim())) : undefined,
)

/** The last IPv4 address of the prefix of `length` bits (0 to 32) that begins at `first`. */
export const ip4Last = (first: number, length: number): number => (first | hostMask(length)) >>> 0

const hostMask = (length: number): number => (length === 32 ? 0 : 0xffffffff >>> length)

const split = (value: unknown, bits: number): readonly [string, number] | undefined => {
  const match = typeof value === 'string' ? /^\s*([^/\s]+)\s*\/\s*(\d{1,3})\s*$/.exec(value) : null
  const length = Number(match?.[2])
  return match?.[1] === undefined || length > bits ? undefined : [match[1], length]
}

const parsePrefix4 = (value: unknown): PrefixValue<number> | undefined => {
  const [address, length] = split(value, 32) ?? ['', 0]
  const prefix = O.toUndefined(parseIp4(address))
  if (prefix === undefined || (prefix & hostMask(length)) !== 0) return undefined
  return { prefix, length, text: `${address}/${length}` }
}

const parsePrefix6 = (value: unknown): PrefixValue<bigint> | undefined => {
  const [address, length] = split(value, 128) ?? ['', 0]
  const prefix = O.toUndefined(parseIp6(address))
  if (prefix === undefined || ip6Network(prefix, length) !== prefix) return undefined
  return { prefix, length, text: `${address}/${length}` }
}

export const prefix6: Value<PrefixValue<bigint>> = scalar(
  'an IPv6 prefix whose host bits are zero, such as "2001:db8::/64"',
  parsePrefix6,
)

export const subnet4: Value<SubnetValue<number>> = scalar('an IPv4 prefix such as "192.0.2.0/24"', (value) => {
  const [address, length] = split(value, 32) ?? ['', 0]
  const given = O.toUndefined(parseIp4(address))
  if (given === undefined) return undefined
  const prefix = (given & ~hostMask(length)) >>> 0
  const text = `${address}/${length}`
  return { prefix, length, ...subnetText(prefix === given, text, `${ip4Text(prefix)}/${length}`) }
})

export const subnet6: Value<SubnetValue<bigint>> = scalar('an IPv6 prefix such as "2001:db8::/64"', (value) => {
  const [address, length] = split(value, 128) ?? ['', 0]
  const given = O.toUndefined(parseIp6(address))
  if (given === undefined) return undefined
  const prefix = ip6Network(given, length)
  const text = `${address}/${length}`
  return { prefix, length, ...subnetText(prefix === given, text, `${ip6Text(prefix)}/${length}`) }
})

const subnetText = (exact: boolean, written: string, meant: string) =>
  exact ? { text: written, inexact: undefined } : { text: meant, inexact: written }

const parseRange = <A extends number | bigint>(value: unknown, parse: (text: string) => O.Option<A>) => {
  const ends = typeof value === 'string' ? value.split('-').map((end) => O.toUndefined(parse(end.trim()))) : []
  const [first, last] = ends
  return ends.length !== 2 || first === undefined || last === undefined || first > last ? undefined : { first, last }
}

export const range4: Value<RangeValue<number>> = scalar(
  'a range such as "192.0.2.10 - 192.0.2.99" or a prefix such as "192.0.2.0/25"',
  (value) => {
    const prefix = parsePrefix4(value)
    if (prefix === undefined) return parseRange(value, parseIp4)
    return { first: prefix.prefix, last: ip4Last(prefix.prefix, prefix.length) }
  },
)

export const range6: Value<RangeValue<bigint>> = scalar(
  'a range such as "2001:db8::10 - 2001:db8::99" or a prefix such as "2001:db8::/80"',
  (value) => {
    const prefix = parsePrefix6(value)
    if (prefix === undefined) return parseRange(value, parseIp6)
    return { first: prefix.prefix, last: ip6Last(prefix.prefix, prefix.length) }
  },
)

/** Octets in hexadecimal with or without colons, or text in single quotes inside the double ones. */
export const octets = (least: number, most: number): Value<Uint8Array> =>
  scalar(`${least} to ${most} octets in hexadecimal, or text in single quotes`, (value) => {
    const bytes = typeof value === 'string' ? parseBinary(value) : E.left('')
    return E.isRight(bytes) && bytes.right.length >= least && bytes.right.length <= most ? bytes.right : undefined
  })

/** A link-layer address: octets in hexadecimal, separated by colons or dashes. */
export const hardwareAddress: Value<Uint8Array> = scalar('a hardware address such as "1a:1b:1c:1d:1e:1f"', (value) => {
  const bytes = typeof value === 'string' && value !== '' ? O.toUndefined(parseHex(value.trim())) : undefined
  return bytes !== undefined && bytes.length > 0 && bytes.length <= 20 ? bytes : undefined
})
