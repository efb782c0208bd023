/** The other end of a datagram: as text, and as the kernel has it (struct sockaddr_in, struct sockaddr_in6). */
import * as O from 'fp-ts/lib/Option.js'
import { ip4Text, ip6Bytes, ip6Text, parseIp4, parseIp6 } from '../../domain/address.ts'
import type { Ip4 } from '../../domain/address.ts'
import { remembered } from '../remembered.ts'
import { interfaceOf, isLinkLocal } from './interfaces.ts'
import { linux, littleEndian } from './native.ts'
import type { Endpoint } from './socket.ts'

const ADDRESS4_AT = 4
const ADDRESS6_AT = 8
const PORT_AT = 2
/** sin6_scope_id, which follows the address: the number of the interface that a link-local one is of. */
const SCOPE_AT = 24
const OCTETS = { 4: 16, 6: 28 } as const

/** Family in machine order, port and address in network order; flow and scope of IPv6 are zero. */
export const socketAddress = (family: 4 | 6, address: Uint8Array, port: number): Uint8Array => {
  const bytes = new Uint8Array(OCTETS[family])
  const view = new DataView(bytes.buffer)
  view.setUint16(0, family === 4 ? linux.AF_INET : linux.AF_INET6, littleEndian)
  view.setUint16(PORT_AT, port)
  bytes.set(address, family === 4 ? ADDRESS4_AT : ADDRESS6_AT)
  return bytes
}

/** Reads and writes the addresses of those that one socket talks with. */
export interface PeerAddresses {
  /** Length of each address, octets. */
  readonly octets: number
  /** The end at `at`. */
  readonly read: (view: DataView, at: number) => Endpoint
  /** The end as octets, which the next call overwrites; undefined when it is none: Node says why. */
  readonly write: (to: Endpoint) => Uint8Array | undefined
}

/** IPv4. */
export const peers4 = (): PeerAddresses => {
  const textOf = remembered((address: Ip4) => ip4Text(address))
  const numberOf = remembered((text: string) => O.toUndefined(parseIp4(text)) ?? -1)
  const name = socketAddress(4, new Uint8Array(4), 0)
  const written = new DataView(name.buffer)
  return {
    octets: OCTETS[4],
    read: (view, at) => ({ address: textOf(view.getUint32(at + ADDRESS4_AT)), port: view.getUint16(at + PORT_AT) }),
    write: ({ address, port }) => {
      const number = numberOf(address)
      if (number < 0 || !isPort(port)) return undefined
      written.setUint16(PORT_AT, port)
      written.setUint32(ADDRESS4_AT, number)
      return name
    },
  }
}

/**
 * IPv6. Link-local addresses are read with their zone `%name`, as Node gives them. On a socket that is bound to its
 * interface, `interfaceName`, they are written with or without one; on others they are left to Node.
 */
export const peers6 = (interfaceName: string | undefined): PeerAddresses => {
  const bytesOf = remembered((text: string) => {
    const parsed = parseIp6(text.split('%', 1)[0] as string)
    const isOurs = O.isSome(parsed) && (interfaceName !== undefined || !isLinkLocal(text))
    return isOurs ? ip6Bytes(parsed.value) : NO_ADDRESS
  })
  const name = socketAddress(6, new Uint8Array(16), 0)
  const written = new DataView(name.buffer)
  // Most datagrams come from where the one before came from; five numbers are sooner compared than made a text.
  const last = new Uint32Array(5)
  let lastText = '::'
  return {
    octets: OCTETS[6],
    read: (view, at) => {
      let same = true
      for (let i = 0; i < 5; i++) {
        const word = view.getUint32(at + ADDRESS6_AT + 4 * i)
        if (word !== last[i]) same = false
        last[i] = word
      }
      if (!same) {
        const high = view.getBigUint64(at + ADDRESS6_AT)
        const text = ip6Text((high << 64n) | view.getBigUint64(at + ADDRESS6_AT + 8))
        const zone = (): string => interfaceName ?? interfaceOf(view.getUint32(at + SCOPE_AT, littleEndian))
        lastText = isLinkLocal(text) ? `${text}%${zone()}` : text
      }
      return { address: lastText, port: view.getUint16(at + PORT_AT) }
    },
    write: ({ address, port }) => {
      const bytes = bytesOf(address)
      if (bytes === NO_ADDRESS || !isPort(port)) return undefined
      written.setUint16(PORT_AT, port)
      name.set(bytes, ADDRESS6_AT)
      return name
    },
  }
}

const isPort = (port: number): boolean => port > 0 && port <= 0xffff

const NO_ADDRESS = new Uint8Array(0)
