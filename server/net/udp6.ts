import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { isIPv6 } from 'node:net'
import { ip6Bytes, parseIp6 } from '../../domain/address.ts'
import { bindNative, bindPlain } from './dgram-socket.ts'
import type { BoundSocket, NativePlan } from './dgram-socket.ts'
import { findInterface, linkLocalAddress } from './interfaces.ts'
import type { NetworkInterface } from './interfaces.ts'
import { littleEndian, loadNative } from './native.ts'
import type { NativeResult } from './native.ts'
import { socketAddress } from './peer-address.ts'
import { wrapSocket } from './server-socket.ts'
import { RECEIVE_BUFFER_BYTES } from './socket.ts'
import type { DatagramSocket, OpenOptions, Opening } from './socket.ts'
import { codeOf, describeCode } from './socket-error.ts'
import type { Attempt, SocketError } from './socket-error.ts'

/** A bound IPv6 socket. Link-local addresses may be sent to with or without `%interface` when it is on an interface. */
export type Socket6 = DatagramSocket

/** All_DHCP_Relay_Agents_and_Servers, where clients and relays of the link call (RFC 8415 §7.1). */
export const ALL_RELAY_AGENTS_AND_SERVERS = 'ff02::1:2'
/** All_DHCP_Servers, where relays of the site call (RFC 8415 §7.1). */
export const ALL_SERVERS = 'ff05::1:3'

/** Options of {@link openUdp6}. */
export interface Udp6Options extends OpenOptions {
  /** Address to listen on, without zone; default `::`. With `interfaceName` only this address is heard there. */
  readonly address?: string
  /** Multicast groups to join on `interfaceName`. Default: both groups of a DHCPv6 server; none with an `address`. */
  readonly groups?: readonly string[]
}

/**
 * Opens a UDP socket for IPv6 (never IPv4-mapped).
 *
 * With `interfaceName` one socket bound to the interface takes its multicasts and the unicasts to any of its
 * addresses, and replies leave there, so link-local clients of two interfaces never mix. It may be opened before the
 * interface has a link-local address; only sending has to wait for one. Where native calls are missing, the
 * link-local address and the groups of the link get a socket each, other addresses are not heard, and `notice` says so.
 * Without `interfaceName` it is a plain socket on an address, for relays and loopback.
 *
 * Errors: `AddressInUse`, `PermissionDenied`, `NoSuchInterface`, `InterfaceDown`, `NoAddress`, `NoSuchAddress`,
 * `Unsupported` (IPv6 is switched off), `SocketFailed`.
 */
export const openUdp6 =
  (options: Udp6Options, native: NativeResult = loadNative()): Opening<Socket6> =>
  () =>
    options.interfaceName === undefined
      ? openOnAddress(options, native)
      : openOnInterface(options, options.interfaceName, native)

const openOnAddress = async (options: Udp6Options, native: NativeResult): Promise<Either<SocketError, Socket6>> => {
  const { address = '::', now } = options
  if (!isIPv6(address)) return E.left({ _tag: 'NoSuchAddress', message: `${address} is not an IPv6 address` })
  const plan = planFor(options, address)
  if (E.isRight(native)) {
    const bound = bindNative(native.right, plan)
    if (E.isLeft(bound)) return bound
    return E.right(wrapSocket(bound.right, { now, native: native.right }))
  }
  const bound = await bindPlain(plan)
  return E.isLeft(bound) ? bound : E.right(wrapSocket(bound.right, { now }))
}

const openOnInterface = async (
  options: Udp6Options,
  interfaceName: string,
  native: NativeResult,
): Promise<Either<SocketError, Socket6>> => {
  const found = findInterface(interfaceName)
  if (E.isLeft(found)) return found
  if (E.isLeft(native)) return openWithoutNative(options, found.right, groupsOf(options), native.left)
  const bound = bindNative(native.right, planOn(options, found.right))
  if (E.isLeft(bound)) return bound
  return E.right(wrapSocket(bound.right, { interfaceName, now: options.now, native: native.right }))
}

/** What {@link openUdp6} binds where there are native calls; the same errors. */
export const planUdp6 = (options: Udp6Options): Either<SocketError, NativePlan> => {
  const { interfaceName, address = '::' } = options
  if (!isIPv6(address)) return E.left({ _tag: 'NoSuchAddress', message: `${address} is not an IPv6 address` })
  return interfaceName === undefined
    ? E.right(planFor(options, address))
    : E.map((on: NetworkInterface) => planOn(options, on))(findInterface(interfaceName))
}

const groupsOf = ({ groups, address }: Udp6Options): readonly string[] =>
  groups ?? (address === undefined ? [ALL_RELAY_AGENTS_AND_SERVERS, ALL_SERVERS] : [])

const planOn = (options: Udp6Options, on: NetworkInterface): NativePlan => ({
  ...planFor(options, options.address ?? '::', on.name),
  memberships: groupsOf(options).map((group) => membership6(group, on.index)),
})

/** Binding to a link-local address, unicast or multicast, ties a socket to its interface without native calls. */
const openWithoutNative = async (
  options: Udp6Options,
  on: NetworkInterface,
  groups: readonly string[],
  reason: string,
): Promise<Either<SocketError, Socket6>> => {
  const own = linkLocalAddress(on)
  if (E.isLeft(own)) return own
  const unicast = await bindPlain(planFor(options, `${own.right}%${on.name}`))
  if (E.isLeft(unicast)) return unicast
  const notice =
    `the socket for ${on.name} hears its link-local address and its link's multicast groups only: ` +
    `native socket calls are missing, ${reason}`
  const main = wrapSocket(unicast.right, { interfaceName: on.name, now: options.now, notice })
  const others: DatagramSocket[] = []
  for (const group of groups.filter((one) => one.startsWith('ff02:'))) {
    const opened = await openGroup({ ...options, port: main.local.port }, group, on, main)
    if (E.isLeft(opened)) {
      await Promise.all([main, ...others].map((one) => one.close()))
      return opened
    }
    others.push(opened.right)
  }
  return E.right(withOthers(main, others))
}

const openGroup = async (
  options: Udp6Options,
  group: string,
  on: NetworkInterface,
  main: DatagramSocket,
): Promise<Either<SocketError, DatagramSocket>> => {
  const plan = planFor(options, `${group}%${on.name}`, on.name)
  const bound = await bindPlain(plan)
  if (E.isLeft(bound)) return bound
  const joined = joinGroup(bound.right, group, plan.attempt)
  if (E.isLeft(joined)) return joined
  return E.right(wrapSocket(bound.right, { now: options.now, counters: main.counters }))
}

/** One socket to the outside: `main` sends, all receive. */
const withOthers = (main: DatagramSocket, others: readonly DatagramSocket[]): DatagramSocket => ({
  ...main,
  onDatagram: (handler) => [main, ...others].forEach((one) => one.onDatagram(handler)),
  close: async () => {
    await Promise.all([main, ...others].map((one) => one.close()))
  },
})

/** Joins on the attempt's interface; on failure the socket is closed. */
const joinGroup = (bound: BoundSocket, group: string, attempt: Attempt): Either<SocketError, true> => {
  try {
    bound.socket.addMembership(group, `::%${attempt.interfaceName}`)
    return E.right(true)
  } catch (error) {
    bound.socket.close()
    const code = codeOf(error)
    const message = `cannot join ${group} on ${attempt.interfaceName}: ${describeCode(code)}`
    return E.left({ _tag: 'SocketFailed', code, message })
  }
}

const planFor = (options: Udp6Options, address: string, interfaceName?: string): NativePlan => ({
  attempt: { family: 6, address, port: options.port, interfaceName },
  socketAddress: socketAddress(6, addressBytes(address), options.port),
  reuseAddress: options.reuseAddress ?? false,
  receiveBufferBytes: options.receiveBufferBytes ?? RECEIVE_BUFFER_BYTES,
})

const addressBytes = (address: string): Uint8Array => ip6Bytes(O.getOrElse(() => 0n)(parseIp6(address)))

/** struct ipv6_mreq: the group, and the index of the interface in machine order. */
const membership6 = (group: string, interfaceIndex: number): Uint8Array => {
  const bytes = new Uint8Array(20)
  bytes.set(addressBytes(group))
  new DataView(bytes.buffer).setUint32(16, interfaceIndex, littleEndian)
  return bytes
}
