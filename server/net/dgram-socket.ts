import { createSocket } from 'node:dgram'
import type { Socket, SocketOptions } from 'node:dgram'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Instant } from '../../domain/instant.ts'
import { openBulk } from './bulk.ts'
import type { Bulk, Refused } from './bulk.ts'
import { linux, littleEndian } from './native.ts'
import type { Native } from './native.ts'
import { peers4, peers6 } from './peer-address.ts'
import { makeCounters } from './socket.ts'
import type { DatagramHandler, DatagramSocket, Endpoint, LocalEndpoint, SocketCounters } from './socket.ts'
import { describeCode, errorName, socketError } from './socket-error.ts'
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

/** A bound `dgram` socket, with its file descriptor when it was made by native calls. */
export interface BoundSocket {
  readonly family: 4 | 6
  readonly socket: Socket
  readonly fd?: number
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

/** Hands a bound descriptor to `dgram`, which reads from it and closes it at the end. */
export const adoptDescriptor = async (
  native: Native,
  fd: number,
  { attempt, reuseAddress }: Pick<NativePlan, 'attempt' | 'reuseAddress'>,
): Promise<Either<SocketError, BoundSocket>> => {
  const bound = await bindDgram(openDgram(attempt.family), { fd, exclusive: true }, attempt)
  if (E.isLeft(bound)) {
    native.close(fd)
    return bound
  }
  // libuv sets SO_REUSEADDR on every descriptor it adopts, which would let a second server take the port after us.
  if (!reuseAddress) native.setOption(fd, linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
  return E.right({ family: attempt.family, socket: bound.right, fd })
}

/** Makes a socket with native calls, bound to the attempt's interface, and hands it to `dgram`. */
export const bindNative = async (native: Native, plan: NativePlan): Promise<Either<SocketError, BoundSocket>> => {
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
  where: { fd: number; exclusive: true } | { address: string; port: number; exclusive: true },
  attempt: Attempt,
): Promise<Either<SocketError, Socket>> =>
  new Promise((resolve) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      socket.close()
      resolve(E.left(socketError(error.code ?? error.message, attempt)))
    }
    socket.once('error', onError)
    socket.bind(where, () => {
      socket.off('error', onError)
      resolve(E.right(socket))
    })
  })

/** Gives a bound socket the form the server works with. `native` is needed only for sockets it made. */
export const wrapSocket = (
  bound: BoundSocket,
  options: {
    readonly interfaceName?: string | undefined
    readonly notice?: string | undefined
    readonly now: () => Instant
    readonly native?: Native | undefined
    /** Counters to share with another socket; its own ones when absent. */
    readonly counters?: SocketCounters
  },
): DatagramSocket => {
  const { socket, fd } = bound
  const { interfaceName, notice, now, native, counters = makeCounters() } = options
  let handler: DatagramHandler | undefined
  let closing: Promise<void> | undefined
  const sendFailed = (error: Error): void => {
    counters.sendErrors++
    counters.lastError = error.message
  }
  const onSent = (error: Error | null): void => {
    if (error !== null) sendFailed(error)
  }
  const sendAlone = (bytes: Uint8Array, to: Endpoint): boolean => {
    try {
      socket.send(bytes, to.port, to.address, onSent)
      return true
    } catch (error) {
      // A closed socket or an impossible port: Node throws these.
      sendFailed(error as Error)
      return false
    }
  }
  const bulk = openBulkAt(bound, options, (error, bytes, to) => {
    // Where the kernel has no room just now, Node waits until it has.
    if (error === NO_ROOM) sendAlone(bytes, to)
    else sendFailed(new Error(describeCode(errorName(error))))
  })
  const take = (bytes: Uint8Array, from: Endpoint): void => {
    if (handler === undefined) {
      counters.unheard++
      return
    }
    counters.received++
    handler(bytes, from, now())
  }
  socket.on('message', (bytes, from) => {
    take(bytes, from)
    const failed = bulk?.drain(take) ?? 0
    if (failed < 0 && failed !== NOTHING_THERE) {
      counters.receiveErrors++
      counters.lastError = describeCode(errorName(failed))
    }
  })
  socket.on('error', (error) => {
    counters.receiveErrors++
    counters.lastError = error.message
  })
  const { address, port } = socket.address()
  const local: LocalEndpoint = { address, port, ...(interfaceName === undefined ? {} : { interfaceName }) }
  return {
    local,
    counters,
    receiveBufferBytes: socket.getRecvBufferSize(),
    ...(notice === undefined ? {} : { notice }),
    onDatagram: (next) => {
      handler = next
    },
    send: (bytes: Uint8Array, to: Endpoint): void => {
      const inBulk = closing === undefined && bulk?.send(bytes, to) === true
      if (inBulk || sendAlone(bytes, to)) counters.sent++
    },
    kernelDrops: () =>
      native === undefined || fd === undefined || closing !== undefined ? undefined : readDrops(native, fd),
    close: () => {
      bulk?.flush()
      closing ??= new Promise((resolve) => socket.close(() => resolve()))
      return closing
    },
  }
}

/** EAGAIN, which is EWOULDBLOCK, as native calls return it. */
const NO_ROOM = -11
const NOTHING_THERE = NO_ROOM

/** Sockets that only Node knows have none. */
const openBulkAt = (
  { fd, family }: BoundSocket,
  { native, interfaceName }: { readonly native?: Native | undefined; readonly interfaceName?: string | undefined },
  refused: Refused,
): Bulk | undefined => {
  if (native === undefined || fd === undefined) return undefined
  return openBulk(native, fd, family === 4 ? peers4() : peers6(interfaceName), refused)
}

/** SO_MEMINFO fills nine 32-bit numbers; the last counts the drops (SK_MEMINFO_DROPS). */
const readDrops = (native: Native, fd: number): number | undefined => {
  const info = new Uint8Array(9 * 4)
  const length = native.getOption(fd, linux.SOL_SOCKET, linux.SO_MEMINFO, info)
  return length < info.length ? undefined : new DataView(info.buffer).getUint32(8 * 4, littleEndian)
}
