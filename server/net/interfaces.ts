import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { readFileSync, readdirSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { SocketError } from './socket-error.ts'

/** An address of an interface: text without zone, and the length of its prefix in bits. */
export interface InterfaceAddress {
  readonly address: string
  readonly prefixLength: number
}

/** A network interface as it stands now. */
export interface NetworkInterface {
  readonly name: string
  /** The kernel's number of it (ifindex), from 1; 0 when it cannot be known. */
  readonly index: number
  /** Hardware address, 6 octets on Ethernet; empty on interfaces without one. */
  readonly hardwareAddress: Uint8Array
  /** ARP hardware type (RFC 826 and IANA's list): 1 is Ethernet, 772 Linux' loopback; 0 when it cannot be known. */
  readonly hardwareType: number
  /** Largest IP packet, octets. */
  readonly mtu: number
  /** Switched on by the administrator. */
  readonly up: boolean
  /** Up and with a carrier: traffic can flow. */
  readonly running: boolean
  readonly loopback: boolean
  readonly broadcast: boolean
  /** IPv4 addresses in the kernel's order; Node reports them only while the interface is running. */
  readonly ipv4: readonly InterfaceAddress[]
  /** IPv6 addresses, link-local ones included, that duplicate address detection has passed (RFC 4862 §5.4). */
  readonly ipv6: readonly InterfaceAddress[]
}

/** All interfaces, in the order of their index. Those without addresses are known on Linux only. */
export const listInterfaces = (): readonly NetworkInterface[] => {
  const addressed = networkInterfaces()
  const names = new Set([...listDirectory(SYSFS), ...Object.keys(addressed)])
  const unusable = tentativeAddresses()
  return [...names]
    .map((name) => describe(name, addressed[name] ?? [], unusable))
    .filter((found) => found !== undefined)
    .sort((a, b) => a.index - b.index)
}

/** The interface of that name. Refuses `NoSuchInterface`, naming those that exist, and `InterfaceDown`. */
export const findInterface = (name: string): Either<SocketError, NetworkInterface> => {
  const all = listInterfaces()
  const found = all.find((one) => one.name === name)
  if (found === undefined) {
    const others = all.map((one) => one.name).join(', ')
    return E.left({ _tag: 'NoSuchInterface', message: `there is no interface ${name}; there are ${others}` })
  }
  if (!found.up) {
    const message = `the interface ${name} is down; switch it on (ip link set ${name} up)`
    return E.left({ _tag: 'InterfaceDown', message })
  }
  return E.right(found)
}

/** The first IPv4 address: a server identifier for this link (RFC 2131 §4.1). Refuses `NoAddress`. */
export const serverAddress4 = (found: NetworkInterface): Either<SocketError, string> => {
  const first = found.ipv4[0]
  if (first !== undefined) return E.right(first.address)
  const why = found.running ? 'add one, since clients must be able to reach the server' : 'it has no carrier'
  return E.left({ _tag: 'NoAddress', message: `the interface ${found.name} has no IPv4 address; ${why}` })
}

/** The link-local IPv6 address, without zone. Refuses `NoAddress`. */
export const linkLocalAddress = (found: NetworkInterface): Either<SocketError, string> => {
  const first = found.ipv6.find((one) => isLinkLocal(one.address))
  if (first !== undefined) return E.right(first.address)
  const message =
    `the interface ${found.name} has no link-local IPv6 address; ` +
    'IPv6 is switched off there, it has no carrier, or the address is still being checked for duplicates'
  return E.left({ _tag: 'NoAddress', message })
}

/**
 * The name of the interface with this number, by its link-local addresses; else the number. Of {@link listInterfaces} the
 * part that can be asked for a packet.
 */
export const interfaceOf = (index: number): string => {
  const named = Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some((one) => one.family === 'IPv6' && one.scopeid === index),
  )
  return named?.[0] ?? String(index)
}

/** Whether a textual IPv6 address is in fe80::/10 (RFC 4291 §2.5.6). */
export const isLinkLocal = (address: string): boolean => /^fe[89ab][0-9a-f]:/i.test(address)

const SYSFS = '/sys/class/net'
const IFF_UP = 0x1
const IFF_BROADCAST = 0x2
const IFF_LOOPBACK = 0x8

type Addresses = NonNullable<ReturnType<typeof networkInterfaces>[string]>

const describe = (name: string, found: Addresses, unusable: ReadonlySet<string>): NetworkInterface | undefined => {
  const attribute = (file: string): string => readText(`${SYSFS}/${name}/${file}`)
  const flagsText = attribute('flags')
  // /sys/class/net also holds plain files, such as bonding_masters; and an interface may vanish while it is read.
  if (flagsText === '' && found.length === 0) return undefined
  const flags = flagsText === '' ? IFF_UP | (found.some((one) => one.internal) ? IFF_LOOPBACK : 0) : Number(flagsText)
  const up = (flags & IFF_UP) !== 0
  // Drivers that do not tell whether there is a carrier say "unknown" (loopback does); that counts as running.
  const running = up && ['up', 'unknown', ''].includes(attribute('operstate'))
  const addressesOf = (family: 'IPv4' | 'IPv6'): readonly InterfaceAddress[] =>
    found
      .filter((one) => one.family === family && !unusable.has(`${name} ${expand6(one.address)}`))
      .map((one) => ({ address: one.address, prefixLength: Number(one.cidr?.split('/')[1] ?? 0) }))
  return {
    name,
    index: Number(attribute('ifindex')) || (found.find((one) => one.family === 'IPv6')?.scopeid ?? 0),
    hardwareAddress: parseHardwareAddress(attribute('address') || (found[0]?.mac ?? '')),
    hardwareType: Number(attribute('type')),
    mtu: Number(attribute('mtu')) || MTU_OF_ETHERNET,
    up,
    running,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    broadcast: (flags & IFF_BROADCAST) !== 0,
    ipv4: addressesOf('IPv4'),
    ipv6: addressesOf('IPv6'),
  }
}

const MTU_OF_ETHERNET = 1500
const IFA_F_DADFAILED = 0x08
const IFA_F_OPTIMISTIC = 0x04
const IFA_F_TENTATIVE = 0x40

/**
 * Addresses that may not be used as a source yet, as "name 32-hex-digits". /proc/net/if_inet6 has a line an address:
 * address, index, prefix length, scope, flags (all hexadecimal), interface name.
 */
const tentativeAddresses = (): ReadonlySet<string> => {
  const unusable = new Set<string>()
  for (const line of readText('/proc/net/if_inet6').split('\n')) {
    const [address, , , , flagsText, name] = line.trim().split(/\s+/)
    const flags = parseInt(flagsText ?? '0', 16)
    const pending = (flags & IFA_F_TENTATIVE) !== 0 && (flags & IFA_F_OPTIMISTIC) === 0
    if (pending || (flags & IFA_F_DADFAILED) !== 0) unusable.add(`${name} ${address}`)
  }
  return unusable
}

/** 32 hexadecimal digits of an IPv6 address without embedded dotted quad; an IPv4 address comes back as it is. */
const expand6 = (address: string): string => {
  if (!address.includes(':') || address.includes('.')) return address
  const [head = '', tail = ''] = address.split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':').map((group) => group.padStart(4, '0')))
  const [left, right] = [groups(head), groups(tail)]
  return [...left, ...new Array<string>(8 - left.length - right.length).fill('0000'), ...right].join('').toLowerCase()
}

const parseHardwareAddress = (text: string): Uint8Array =>
  Uint8Array.from(text === '' ? [] : text.split(':').map((octet) => parseInt(octet, 16)))

const listDirectory = (path: string): readonly string[] => {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
