import { createSocket } from 'node:dgram'
import type { Socket, SocketOptions } from 'node:dgram'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { linux } from './native.ts'
import type { Native } from './native.ts'
import { codeOf, errorName, socketError } from './socket-error.ts'
import type { Attempt, SocketError } from './socket-error.ts'

/** What a native socket is to have before it is bound. */
export interface NativePlan {
  readonly attempt: Attempt
  /** The C structure sockaddr_in or sockaddr_in6 to bind to. */
  readonly socketAddress: Uint8Array
  readonly reuseAddress: boolean
  readonly receiveBufferBytes: number
  /** C structures ipv6_mreq of multicast groups to join. */
  readonly memberships?: readonly Uint8Array[]
}

/** What a socket made by Node alone is to have. */
export interface PlainPlan {
  readonly attempt: Attempt
  readonly reuseAddress: boolean
  readonly receiveBufferBytes: number
}

/** A bound `dgram` socket. */
export interface BoundSocket {
  readonly family: 4 | 6
  readonly socket: Socket
  /** Present when it was made by native calls: then `socket` is only what reads from it. */
  readonly descriptor?: OwnDescriptor
}

/** A bound file descriptor of ours. */
export interface OwnDescriptor {
  readonly fd: number
  /** Gives it to another `dgram` socket, when the one before has been closed. Throws errors named by the system's codes. */
  readonly read: () => Socket
}

/** Makes a socket with native calls, bound as planned. The descriptor belongs to the caller; nothing reads from it. */
export const bindDescriptor = (native: Native, plan: NativePlan): Either<SocketError, number> => {
  const { attempt } = plan
  const fd = native.socket(attempt.family === 4 ? linux.AF_INET : linux.AF_INET6, linux.SOCK_DGRAM, 0)
  if (fd < 0) return E.left(socketError(errorName(fd), attempt))
  const failed = prepare(native, fd, plan)
  if (failed >= 0) return E.right(fd)
  native.close(fd)
  return E.left(socketError(errorName(failed), attempt))
}

/** Has `dgram` read from a bound descriptor, which is ours from then on; on `Left` it is closed. */
export const adoptDescriptor = (
  native: Native,
  fd: number,
  { attempt, reuseAddress }: Pick<NativePlan, 'attempt' | 'reuseAddress'>,
): Either<SocketError, BoundSocket> => {
  const { family } = attempt
  const read = (): Socket => {
    // `dgram` closes what it is given, so it is given a duplicate: Node has no other way to stop reading.
    const duplicate = native.duplicate(fd)
    if (duplicate < 0) throw new Error(errorName(duplicate))
    const socket = openDgram(family)
    try {
      socket.bind({ fd: duplicate, exclusive: true })
    } catch (error) {
      socket.close()
      native.close(duplicate)
      throw error
    }
    // libuv sets SO_REUSEADDR on every descriptor it adopts, which would let a second server take the port after us.
    if (!reuseAddress) native.setOption(fd, linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
    return socket
  }
  try {
    return E.right({ family, socket: read(), descriptor: { fd, read } })
  } catch (error) {
    native.close(fd)
    return E.left(socketError(codeOf(error), attempt))
  }
}

/** Makes a socket with native calls, bound to the attempt's interface, and has `dgram` read from it. */
export const bindNative = (native: Native, plan: NativePlan): Either<SocketError, BoundSocket> => {
  const fd = bindDescriptor(native, plan)
  return E.isLeft(fd) ? fd : adoptDescriptor(native, fd.right, plan)
}

/** Options in the order that matters (device before bind). Returns 0 or the first `-errno`. */
const prepare = (native: Native, fd: number, plan: NativePlan): number => {
  const set = (name: number, value: number | Uint8Array): number => native.setOption(fd, linux.SOL_SOCKET, name, value)
  const { interfaceName, family } = plan.attempt
  const steps: (() => number)[] = []
  if (interfaceName !== undefined) steps.push(() => set(linux.SO_BINDTODEVICE, Buffer.from(`${interfaceName}\0`)))
  if (family === 4) steps.push(() => set(linux.SO_BROADCAST, 1))
  if (family === 6) steps.push(() => native.setOption(fd, linux.IPPROTO_IPV6, linux.IPV6_V6ONLY, 1))
  if (plan.reuseAddress) steps.push(() => set(linux.SO_REUSEADDR, 1))
  steps.push(() => {
    // Above the system's limit (net.core.rmem_max) only CAP_NET_ADMIN helps; without it the limit is what we get.
    const forced = set(linux.SO_RCVBUFFORCE, plan.receiveBufferBytes)
    return forced < 0 ? set(linux.SO_RCVBUF, plan.receiveBufferBytes) : forced
  })
  steps.push(() => native.bind(fd, plan.socketAddress))
  for (const membership of plan.memberships ?? []) {
    steps.push(() => native.setOption(fd, linux.IPPROTO_IPV6, linux.IPV6_ADD_MEMBERSHIP, membership))
  }
  for (const step of steps) {
    const result = step()
    if (result < 0) return result
  }
  return 0
}

/** Makes a socket with Node alone: an address and a port, no interface. */
export const bindPlain = async (plan: PlainPlan): Promise<Either<SocketError, BoundSocket>> => {
  const { attempt } = plan
  const socket = openDgram(attempt.family, {
    reuseAddr: plan.reuseAddress,
    ipv6Only: attempt.family === 6,
    recvBufferSize: plan.receiveBufferBytes,
  })
  const bound = await bindDgram(socket, { address: attempt.address, port: attempt.port, exclusive: true }, attempt)
  if (E.isLeft(bound)) return bound
  if (attempt.family === 4) socket.setBroadcast(true)
  return E.right({ family: attempt.family, socket })
}

/** Addresses are always numeric here, so the resolver that `dgram` would ask for each datagram is left out. */
const numericLookup = (address: string, family: unknown, done: (e: null, address: string, family: unknown) => void) =>
  done(null, address, family)

const openDgram = (family: 4 | 6, options: Partial<SocketOptions> = {}): Socket =>
  createSocket({
    ...options,
    type: family === 4 ? 'udp4' : 'udp6',
    lookup: numericLookup as unknown as NonNullable<SocketOptions['lookup']>,
  })

const bindDgram = (
  socket: Socket,
  where: { address: string; port: number; exclusive: true },
  attempt: Attempt,
): Promise<Either<SocketError, Socket>> =>
  new Promise((resolve) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      socket.close()
      resolve(E.left(socketError(codeOf(error), attempt)))
    }
    socket.once('error', onError)
    socket.bind(where, () => {
      socket.off('error', onError)
      resolve(E.right(socket))
    })
  })
