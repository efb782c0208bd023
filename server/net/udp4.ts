import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { ip4Bytes, parseIp4 } from '../../domain/address.ts'
import { bindNative, bindPlain } from './dgram-socket.ts'
import type { NativePlan } from './dgram-socket.ts'
import { findInterface } from './interfaces.ts'
import { loadNative } from './native.ts'
import type { NativeResult } from './native.ts'
import { socketAddress } from './peer-address.ts'
import { wrapSocket } from './server-socket.ts'
import { RECEIVE_BUFFER_BYTES } from './socket.ts'
import type { DatagramSocket, OpenOptions, Opening } from './socket.ts'
import type { SocketError } from './socket-error.ts'

/** A bound IPv4 socket, allowed to send to the broadcast address. */
export type Socket4 = DatagramSocket

/** Options of {@link openUdp4}. */
export interface Udp4Options extends OpenOptions {
  /** Address to listen on; default 0.0.0.0. Broadcasts of clients without an address reach only 0.0.0.0. */
  readonly address?: string
}

/**
 * Opens a UDP socket for IPv4.
 *
 * With `interfaceName` the kernel binds it to the interface: it receives what arrives there, broadcasts from 0.0.0.0
 * included (RFC 2131 §4.1), even while the interface has no address, and two interfaces never see each other's
 * clients. Where native calls are missing, the socket listens on all interfaces instead and `notice` says so.
 * Without `interfaceName` it is a plain socket on an address, for relays and loopback.
 *
 * The kernel counts a socket without interface as a rival of every socket on the same port whose address overlaps, so
 * beside `eth0` a port on loopback is opened as `{ interfaceName: 'lo', address: '127.0.0.1' }`.
 *
 * Errors: `AddressInUse`, `PermissionDenied`, `NoSuchInterface`, `InterfaceDown`, `NoSuchAddress`, `SocketFailed`.
 */
export const openUdp4 =
  (options: Udp4Options, native: NativeResult = loadNative()): Opening<Socket4> =>
  async () => {
    const { interfaceName, now } = options
    const planned = planUdp4(options)
    if (E.isLeft(planned)) return planned
    const plan = planned.right
    if (E.isRight(native)) {
      const bound = bindNative(native.right, plan)
      if (E.isLeft(bound)) return bound
      return E.right(wrapSocket(bound.right, { interfaceName, now, native: native.right }))
    }
    const bound = await bindPlain(plan)
    if (E.isLeft(bound)) return bound
    return E.right(wrapSocket(bound.right, { now, notice: unboundNotice(interfaceName, native.left) }))
  }

/** What {@link openUdp4} binds; the same errors. */
export const planUdp4 = (options: Udp4Options): Either<SocketError, NativePlan> => {
  const { interfaceName, port, address = '0.0.0.0' } = options
  if (interfaceName !== undefined) {
    const found = findInterface(interfaceName)
    if (E.isLeft(found)) return found
  }
  const parsed = parseIp4(address)
  if (O.isNone(parsed)) return E.left({ _tag: 'NoSuchAddress', message: `${address} is not an IPv4 address` })
  return E.right({
    attempt: { family: 4, address, port, interfaceName },
    socketAddress: socketAddress(4, ip4Bytes(parsed.value), port),
    reuseAddress: options.reuseAddress ?? false,
    receiveBufferBytes: options.receiveBufferBytes ?? RECEIVE_BUFFER_BYTES,
  })
}

const unboundNotice = (interfaceName: string | undefined, why: string): string | undefined =>
  interfaceName === undefined
    ? undefined
    : `the socket for ${interfaceName} listens on all interfaces: native socket calls are missing, ${why}`
