/**
 * Stream names. One address or delegated prefix is one stream, and the name is the key of uniqueness, so there is one
 * place that makes it, from numbers, in canonical text.
 *
 * Stored format: the categories and the form of the names are data on disk and never change. Rejected: one stream a
 * client (two clients could then write one address without meeting), and names with the subnet's id in them (a change
 * of ids in the configuration would let an address be held twice).
 */
import * as O from 'fp-ts/lib/Option.js'
import { ip4Text, ip6Network, ip6Text, parseIp4, parseIp6 } from './address.ts'
import type { Ip4, Ip6 } from './address.ts'

/** The kinds of stream: IPv4 addresses, IPv6 addresses, delegated IPv6 prefixes. */
export type Category = 'lease4' | 'lease6' | 'prefix6'

/** `lease4/192.0.2.5`, `lease6/2001:db8::5` or `prefix6/2001:db8:8000::/56`. */
export type StreamName = string & { readonly StreamName: unique symbol }

/** What a stream stands for. */
export type Resource =
  | { readonly category: 'lease4'; readonly address: Ip4 }
  | { readonly category: 'lease6'; readonly address: Ip6 }
  | { readonly category: 'prefix6'; readonly address: Ip6; readonly prefixLength: number }

/**
 * Joined, because names are kept as long as the process runs: what is put together by `+` or a template keeps all its
 * parts, 190 octets for the address of an IPv4 lease instead of 40.
 */
const nameOf = (...parts: ReadonlyArray<string | number>): StreamName => parts.join('/') as StreamName

/** The stream of an IPv4 address. */
export const lease4Stream = (address: Ip4): StreamName => nameOf('lease4', ip4Text(address))

/** The stream of an IPv6 address. */
export const lease6Stream = (address: Ip6): StreamName => nameOf('lease6', ip6Text(address))

/** The stream of a delegated prefix of `prefixLength` bits; bits of `prefix` beyond the length are cleared. */
export const prefix6Stream = (prefix: Ip6, prefixLength: number): StreamName =>
  nameOf('prefix6', ip6Text(ip6Network(prefix, prefixLength)), prefixLength)

/** The stream of a resource. */
export const streamOf = (resource: Resource): StreamName => {
  switch (resource.category) {
    case 'lease4':
      return lease4Stream(resource.address)
    case 'lease6':
      return lease6Stream(resource.address)
    case 'prefix6':
      return prefix6Stream(resource.address, resource.prefixLength)
  }
}

/** The category of a stream: the text before the first `/`. */
export const categoryOf = (stream: StreamName): Category => stream.slice(0, stream.indexOf('/')) as Category

/** The address or prefix text of a stream: what stands after the category. */
export const addressText = (stream: StreamName): string => stream.slice(stream.indexOf('/') + 1)

/** What the name of a stream stands for; `none` when it is no name that {@link streamOf} makes. */
export const parseStream = (text: string): O.Option<Resource> => {
  const slash = text.indexOf('/')
  const rest = text.slice(slash + 1)
  switch (text.slice(0, slash)) {
    case 'lease4':
      return O.map((address: Ip4): Resource => ({ category: 'lease4', address }))(parseIp4(rest))
    case 'lease6':
      return O.map((address: Ip6): Resource => ({ category: 'lease6', address }))(parseIp6(rest))
    case 'prefix6': {
      const match = /^([^/]+)\/(\d{1,3})$/.exec(rest)
      if (match === null || Number(match[2]) > 128) return O.none
      const prefixLength = Number(match[2])
      return O.map((address: Ip6): Resource => ({ category: 'prefix6', address, prefixLength }))(
        parseIp6(match[1] ?? ''),
      )
    }
    default:
      return O.none
  }
}

/** The stream that a person means by `192.0.2.5`, `2001:DB8::5` or `2001:db8:8000::/56`; `none` if it is none of these. */
export const streamFromText = (text: string): O.Option<StreamName> => {
  const category = text.includes('/') ? 'prefix6' : text.includes(':') ? 'lease6' : 'lease4'
  return O.map(streamOf)(parseStream(`${category}/${text}`))
}
