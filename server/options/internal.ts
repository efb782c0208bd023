/**
 * Options whose layout no list of fields describes: classless static routes (RFC 3442) and encrypted DNS resolvers
 * (RFC 9463). Their text is the notation that Kea has for them.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import { formatIpv6, parseBinary, parseFqdn, parseIpv4, parseIpv6, readName, splitFields, toHex } from './fields.ts'
import type { Universe } from './fields.ts'

/** Which option is meant: all that a layout is found by. */
export interface OptionPlace {
  readonly space: string
  readonly code: number
  readonly name: string
}

/** Octets that `text` means for an option of type `internal`; the left side is a sentence without a full stop. */
export const encodeInternal = (definition: OptionPlace, text: string): Either<string, Uint8Array> => {
  const layout = layoutOf(definition)
  return layout === undefined ? E.left(noLayout(definition)) : layout.encode(text)
}

/** Text of such an option as {@link encodeInternal} takes it; `null` when the octets do not have the layout. */
export const formatInternal = (definition: OptionPlace, bytes: Uint8Array): string | null =>
  layoutOf(definition)?.format(bytes) ?? null

/** Whether there is a layout for the option: a custom definition may not be `internal`. */
export const hasInternalLayout = (definition: OptionPlace): boolean => layoutOf(definition) !== undefined

interface Layout {
  readonly encode: (text: string) => Either<string, Uint8Array>
  readonly format: (bytes: Uint8Array) => string | null
}

const noLayout = (definition: OptionPlace): string =>
  `${definition.name} has no text form; give its content in hexadecimal with csv-format false`

// RFC 3442: one octet of prefix length, only the octets of the subnet that the length covers, then the router.

const encodeRoutes = (text: string): Either<string, Uint8Array> => {
  const out = new Writer(64)
  const routes = splitFields(text)
  for (const route of routes) {
    const parts = /^([\d.]+)\s*\/\s*(\d{1,2})\s*-\s*([\d.]+)$/.exec(route)
    const subnet = parseIpv4(parts?.[1] ?? '')
    const router = parseIpv4(parts?.[3] ?? '')
    const length = Number(parts?.[2])
    if (parts === null || E.isLeft(subnet) || E.isLeft(router) || length > 32) {
      return E.left(`"${route}" is not a route such as 192.0.2.0/24 - 192.0.2.1`)
    }
    const covered = maskedPrefix(subnet.right, length)
    if (subnet.right.some((octet, at) => octet !== (covered[at] ?? 0))) {
      return E.left(`"${route}" has bits in the subnet beyond its length`)
    }
    out.u8(length).bytes(covered).bytes(router.right)
  }
  return routes.length === 0 ? E.left('no route is given') : E.right(out.finish())
}

const formatRoutes = (bytes: Uint8Array): string | null => {
  const input = new Reader(bytes)
  const routes: string[] = []
  while (input.left > 0) {
    const length = input.u8()
    const octets = (length + 7) >> 3
    if (length > 32 || input.left < octets + 4) return null
    const subnet = new Uint8Array(4)
    subnet.set(input.take(octets))
    routes.push(`${subnet.join('.')}/${length} - ${input.take(4).join('.')}`)
  }
  return routes.length === 0 ? null : routes.join(', ')
}

const maskedPrefix = (address: Uint8Array, length: number): Uint8Array => {
  const octets = (length + 7) >> 3
  const covered = address.slice(0, octets)
  if (length % 8 !== 0) covered[octets - 1] = (covered[octets - 1] as number) & (0xff << (8 - (length % 8)))
  return covered
}

// RFC 9463 §4.1 and §5.1. DHCPv4 has a length before each resolver, so that several fit into one option, and lengths of
// one octet inside; DHCPv6 has one resolver an option and lengths of two octets.

/**
 * Service parameters with a notation of their own (RFC 9460 §14.3.2, RFC 9461 §5); others are written `keyNUMBER=HEX`.
 */
const PARAMETER_KEYS = { alpn: 1, port: 3, dohpath: 7 } as const

const encodeResolvers = (universe: Universe, text: string): Either<string, Uint8Array> => {
  const resolvers = text.split('|')
  if (universe === 6 && resolvers.length > 1)
    return E.left('a DHCPv6 option holds one resolver; repeat the option instead')
  const out = new Writer(128)
  for (const each of resolvers) {
    const resolver = encodeResolver(universe, each.trim())
    if (E.isLeft(resolver)) return resolver
    if (universe === 4) out.u16(resolver.right.length)
    out.bytes(resolver.right)
  }
  return E.right(out.finish())
}

const encodeResolver = (universe: Universe, text: string): Either<string, Uint8Array> => {
  const [priorityText = '', nameText = '', addressesText, parametersText, ...surplus] = splitFields(text)
  const priority = Number(priorityText)
  if (!/^\d{1,5}$/.test(priorityText) || priority > 0xffff || nameText === '' || surplus.length > 0) {
    return E.left(`"${text}" is not a resolver: write PRIORITY, NAME, ADDRESS ADDRESS, PARAMETER=VALUE ...`)
  }
  const name = parseFqdn(nameText)
  if (E.isLeft(name)) return name
  const out = new Writer(64).u16(priority)
  writeLength(out, universe, name.right.length)
  out.bytes(name.right)
  if (addressesText === undefined) return E.right(out.finish())

  const addresses = new Writer(64)
  for (const each of addressesText.split(/\s+/)) {
    const address = universe === 4 ? parseIpv4(each) : parseIpv6(each)
    if (E.isLeft(address)) return address
    addresses.bytes(address.right)
  }
  if (universe === 4 && addresses.length > 0xff) return E.left('a resolver has more than 63 addresses')
  writeLength(out, universe, addresses.length)
  out.bytes(addresses.finish())
  const parameters = encodeParameters(parametersText ?? '')
  return E.isLeft(parameters) ? parameters : E.right(out.bytes(parameters.right).finish())
}

const writeLength = (out: Writer, universe: Universe, length: number): Writer =>
  universe === 4 ? out.u8(length) : out.u16(length)

const encodeParameters = (text: string): Either<string, Uint8Array> => {
  const parameters = new Map<number, Uint8Array>()
  for (const each of text.split(/\s+/).filter((part) => part !== '')) {
    const parameter = encodeParameter(each)
    if (E.isLeft(parameter)) return parameter
    const [key, value] = parameter.right
    if (parameters.has(key)) return E.left(`the service parameter of "${each}" is given twice`)
    parameters.set(key, value)
  }
  // The keys must stand in ascending order (RFC 9460 §2.2).
  const out = new Writer(64)
  for (const [key, value] of [...parameters].sort(([a], [b]) => a - b)) out.u16(key).u16(value.length).bytes(value)
  return E.right(out.finish())
}

const encodeParameter = (text: string): Either<string, readonly [number, Uint8Array]> => {
  const equals = text.indexOf('=')
  const name = text.slice(0, Math.max(equals, 0))
  const value = text.slice(equals + 1)
  if (name === 'alpn' && value !== '') return encodeAlpn(value)
  if (name === 'port' && /^\d{1,5}$/.test(value) && Number(value) <= 0xffff) {
    return E.right([PARAMETER_KEYS.port, new Writer(2).u16(Number(value)).finish()])
  }
  if (name === 'dohpath' && value !== '') return E.right([PARAMETER_KEYS.dohpath, new TextEncoder().encode(value)])
  const key = Number(/^key(\d{1,5})$/.exec(name)?.[1] ?? Number.NaN)
  const octets = parseBinary(value)
  if (key <= 0xffff && E.isRight(octets)) return E.right([key, octets.right])
  return E.left(`"${text}" is not a service parameter: write alpn=, port=, dohpath= or keyNUMBER=HEX`)
}

const encodeAlpn = (value: string): Either<string, readonly [number, Uint8Array]> => {
  const out = new Writer(32)
  for (const protocol of value.split(',')) {
    const octets = new TextEncoder().encode(protocol)
    if (octets.length === 0 || octets.length > 0xff) return E.left(`"${protocol}" is not a protocol name for alpn`)
    out.u8(octets.length).bytes(octets)
  }
  return E.right([PARAMETER_KEYS.alpn, out.finish()])
}

const formatResolvers = (universe: Universe, bytes: Uint8Array): string | null => {
  if (universe === 6) return formatResolver(universe, bytes)
  const input = new Reader(bytes)
  const resolvers: string[] = []
  while (input.left >= 2) {
    const length = input.u16()
    const resolver = length > input.left ? null : formatResolver(universe, input.take(length))
    if (resolver === null) return null
    resolvers.push(resolver)
  }
  return input.left > 0 || resolvers.length === 0 ? null : resolvers.join(' | ')
}

const formatResolver = (universe: Universe, bytes: Uint8Array): string | null => {
  const input = new Reader(bytes)
  const priority = input.u16()
  const nameBytes = input.take(readLength(input, universe))
  const name = readName(nameBytes, 0, false)
  if (input.finish() === 'short' || name === null || name.next !== nameBytes.length) return null
  if (input.left === 0) return `${priority}, ${name.text}`
  const addressBytes = input.take(readLength(input, universe))
  const size = universe === 4 ? 4 : 16
  if (input.finish() === 'short' || addressBytes.length === 0 || addressBytes.length % size !== 0) return null
  const addresses: string[] = []
  for (let at = 0; at < addressBytes.length; at += size) {
    const address = addressBytes.subarray(at, at + size)
    addresses.push(universe === 4 ? address.join('.') : formatIpv6(address))
  }
  const parameters = formatParameters(input)
  if (parameters === null) return null
  return `${priority}, ${name.text}, ${addresses.join(' ')}${parameters === '' ? '' : `, ${parameters}`}`
}

const readLength = (input: Reader, universe: Universe): number => (universe === 4 ? input.u8() : input.u16())

const formatParameters = (input: Reader): string | null => {
  const parameters: string[] = []
  while (input.left > 0) {
    const key = input.u16()
    const value = input.take(input.u16())
    if (input.finish() === 'short') return null
    parameters.push(formatParameter(key, value))
  }
  return parameters.join(' ')
}

const formatParameter = (key: number, value: Uint8Array): string => {
  if (key === PARAMETER_KEYS.port && value.length === 2) return `port=${new Reader(value).u16()}`
  const text = Buffer.from(value).toString('latin1')
  if (key === PARAMETER_KEYS.dohpath && /^[!-+\--[\]-{}~]+$/.test(text)) return `dohpath=${text}`
  if (key === PARAMETER_KEYS.alpn) {
    const protocols = readAlpn(value)
    if (protocols !== null) return `alpn=${protocols.join('\\,')}`
  }
  return `key${key}=0x${toHex(value)}`
}

const readAlpn = (value: Uint8Array): string[] | null => {
  const input = new Reader(value)
  const protocols: string[] = []
  while (input.left > 0) {
    const protocol = Buffer.from(input.take(input.u8())).toString('latin1')
    if (input.finish() === 'short' || !/^[!-+\--[\]-{}~]+$/.test(protocol)) return null
    protocols.push(protocol)
  }
  return protocols.length === 0 ? null : protocols
}

const layouts = new Map<string, Layout>([
  ['dhcp4/121', { encode: encodeRoutes, format: formatRoutes }],
  ['dhcp4/162', { encode: (text) => encodeResolvers(4, text), format: (bytes) => formatResolvers(4, bytes) }],
  ['dhcp6/144', { encode: (text) => encodeResolvers(6, text), format: (bytes) => formatResolvers(6, bytes) }],
])

const layoutOf = (definition: OptionPlace): Layout | undefined => layouts.get(`${definition.space}/${definition.code}`)
