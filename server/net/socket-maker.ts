/**
 * Where a server's UDP sockets come from. One process opens its own. Where several workers serve together, the process
 * above them binds the sockets, never reads from them, and hands the same descriptors to every worker: each datagram goes
 * to exactly one worker that is free to read, broadcasts and multicasts too, and a worker that dies takes nothing with it
 * but what it was working on.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { adoptDescriptor, bindDescriptor } from './dgram-socket.ts'
import type { NativePlan } from './dgram-socket.ts'
import type { Native } from './native.ts'
import { wrapSocket } from './server-socket.ts'
import { makeCounters } from './socket.ts'
import type { DatagramSocket, Opening } from './socket.ts'
import type { SocketError } from './socket-error.ts'
import { openUdp4, planUdp4 } from './udp4.ts'
import type { Udp4Options } from './udp4.ts'
import { openUdp6, planUdp6 } from './udp6.ts'
import type { Udp6Options } from './udp6.ts'

/** Gives the sockets that are asked for. */
export interface SocketMaker {
  readonly udp4: (options: Udp4Options) => Opening<DatagramSocket>
  readonly udp6: (options: Udp6Options) => Opening<DatagramSocket>
}

/** A bound socket to hand down: what it was asked for, the same text in every process, and its file descriptor. */
export interface Descriptor {
  readonly key: string
  readonly fd: number
}

/** Opens sockets of this process. */
export const ownSockets: SocketMaker = { udp4: (options) => openUdp4(options), udp6: (options) => openUdp6(options) }

/** Binds sockets for others to read from, and reports each. A descriptor stays open until its socket is closed. */
export const reservedSockets = (native: Native, report: (descriptor: Descriptor) => void): SocketMaker => {
  const reserve = (plan: Either<SocketError, NativePlan>): Either<SocketError, DatagramSocket> => {
    if (E.isLeft(plan)) return plan
    const fd = bindDescriptor(native, plan.right)
    if (E.isLeft(fd)) return fd
    report({ key: keyOf(plan.right), fd: fd.right })
    return E.right(silentSocket(native, fd.right, plan.right))
  }
  return {
    udp4: (options) => async () => reserve(planUdp4(options)),
    udp6: (options) => async () => reserve(planUdp6(options)),
  }
}

/** Takes the sockets that this process was given when it was started. */
export const inheritedSockets = (native: Native, descriptors: ReadonlyArray<Descriptor>): SocketMaker => {
  const left = [...descriptors]
  const take = async (
    plan: Either<SocketError, NativePlan>,
    now: Udp4Options['now'],
  ): Promise<Either<SocketError, DatagramSocket>> => {
    if (E.isLeft(plan)) return plan
    const index = left.findIndex(({ key }) => key === keyOf(plan.right))
    const [descriptor] = index < 0 ? [] : left.splice(index, 1)
    if (descriptor === undefined) {
      const message = `the socket ${keyOf(plan.right)} was not handed down; restart the service to have it`
      return E.left({ _tag: 'SocketFailed', code: 'ENOTSOCK', message })
    }
    const { interfaceName } = plan.right.attempt
    const bound = adoptDescriptor(native, descriptor.fd, plan.right)
    return E.isLeft(bound) ? bound : E.right(wrapSocket(bound.right, { interfaceName, now, native }))
  }
  return {
    udp4: (options) => () => take(planUdp4(options), options.now),
    udp6: (options) => () => take(planUdp6(options), options.now),
  }
}

const keyOf = ({ attempt: { family, interfaceName = '', address, port } }: NativePlan): string =>
  `IPv${family} ${interfaceName} ${address} ${port}`

/** A socket that hears and says nothing here. */
const silentSocket = (native: Native, fd: number, { attempt, receiveBufferBytes }: NativePlan): DatagramSocket => {
  const { address, port, interfaceName } = attempt
  let isOpen = true
  return {
    local: { address, port, ...(interfaceName === undefined ? {} : { interfaceName }) },
    counters: makeCounters(),
    receiveBufferBytes,
    onDatagram: () => undefined,
    send: () => undefined,
    answered: () => undefined,
    kernelDrops: () => undefined,
    close: async () => {
      if (isOpen) native.close(fd)
      isOpen = false
    },
  }
}
