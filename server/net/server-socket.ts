/** A bound socket in the form that the server works with: hearing, answering, counting. */
import type { Socket } from 'node:dgram'
import type { Instant } from '../../domain/instant.ts'
import { Attention } from './attention.ts'
import { CAPACITY, openBulk } from './bulk.ts'
import type { Bulk, Refused } from './bulk.ts'
import type { BoundSocket } from './dgram-socket.ts'
import { lookNowAndThen } from './looks.ts'
import { linux, littleEndian } from './native.ts'
import type { Native } from './native.ts'
import { peers4, peers6 } from './peer-address.ts'
import { makeCounters } from './socket.ts'
import type { DatagramHandler, DatagramSocket, Endpoint, LocalEndpoint, SocketCounters } from './socket.ts'
import { codeOf, describeCode, errorName } from './socket-error.ts'

/** Datagrams taken in at one look, about. */
const LOOK_MAX = 1_024

/** What a bound socket is to be known by, and what it works with. */
export interface WrapOptions {
  readonly interfaceName?: string | undefined
  readonly notice?: string | undefined
  readonly now: () => Instant
  /** Needed only for sockets it made. */
  readonly native?: Native | undefined
  /** Counters to share with another socket; its own ones when absent. */
  readonly counters?: SocketCounters
}

/** Gives a bound socket the form the server works with. */
export const wrapSocket = (bound: BoundSocket, options: WrapOptions): DatagramSocket => {
  const { descriptor } = bound
  const { interfaceName, notice, now, native, counters = makeCounters() } = options
  let handler: DatagramHandler | undefined
  let closing: Promise<void> | undefined
  const sendFailed = (error: Error): void => {
    counters.sendErrors++
    counters.lastError = error.message
  }
  const receiveFailed = (message: string): void => {
    counters.receiveErrors++
    counters.lastError = message
  }
  const onSent = (error: Error | null): void => {
    if (error !== null) sendFailed(error)
  }
  const sendAlone = (bytes: Uint8Array, to: Endpoint): boolean => {
    try {
      ear.wake().send(bytes, to.port, to.address, onSent)
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
  const ear = new Ear(bound, { bulk, now, take, failed: receiveFailed })
  const { address, port } = bound.socket.address()
  const local: LocalEndpoint = { address, port, ...(interfaceName === undefined ? {} : { interfaceName }) }
  return {
    local,
    counters,
    receiveBufferBytes: bound.socket.getRecvBufferSize(),
    ...(notice === undefined ? {} : { notice }),
    onDatagram: (next) => {
      handler = next
    },
    answered: () => ear.answered(),
    send: (bytes: Uint8Array, to: Endpoint): void => {
      ear.answered()
      const inBulk = closing === undefined && bulk?.send(bytes, to) === true
      if (inBulk || sendAlone(bytes, to)) counters.sent++
    },
    kernelDrops: () =>
      native === undefined || descriptor === undefined || closing !== undefined
        ? undefined
        : readDrops(native, descriptor.fd),
    close: () => {
      bulk?.flush()
      closing ??= ear.close().then(() => {
        if (descriptor !== undefined) native?.close(descriptor.fd)
      })
      return closing
    },
  }
}

interface EarOptions {
  readonly bulk: Bulk | undefined
  readonly now: () => Instant
  readonly take: (bytes: Uint8Array, from: Endpoint) => void
  readonly failed: (message: string) => void
}

/** Hears what comes to a socket: each datagram at once, or all of some milliseconds together. */
class Ear {
  readonly #bound: BoundSocket
  readonly #options: EarOptions
  readonly #attention = new Attention()
  /** What Node reads; it is closed while this only looks now and then. */
  #socket: Socket
  /** Present while this only looks now and then. */
  #stopLooking: (() => void) | undefined
  #closed = false

  constructor(bound: BoundSocket, options: EarOptions) {
    this.#bound = bound
    this.#options = options
    this.#socket = bound.socket
    this.#listen()
  }

  /** Something was answered, by this socket or for it. */
  answered(): void {
    this.#attention.answered()
    this.wake()
  }

  /** Hears each datagram at once from now on. Gives what Node reads and sends with. */
  wake(): Socket {
    const { descriptor } = this.#bound
    if (this.#stopLooking === undefined || this.#closed || descriptor === undefined) return this.#socket
    try {
      this.#socket = descriptor.read()
      this.#listen()
      this.#stopLooking()
      this.#stopLooking = undefined
    } catch (error) {
      // No descriptor is free just now; looking goes on.
      this.#options.failed(describeCode(codeOf(error)))
    }
    return this.#socket
  }

  close(): Promise<void> {
    this.#closed = true
    if (this.#stopLooking === undefined) return new Promise((resolve) => this.#socket.close(() => resolve()))
    this.#stopLooking()
    return Promise.resolve()
  }

  #listen(): void {
    const { take, failed, now, bulk } = this.#options
    this.#socket.on('message', (bytes, from) => {
      take(bytes, from)
      const more = bulk === undefined ? 0 : this.#counted(bulk.drain(take))
      this.#attention.heard(1 + more, now())
      if (bulk !== undefined && this.#attention.isLax) this.#rest(bulk)
    })
    this.#socket.on('error', (error) => failed(error.message))
  }

  /** Stops being told of each datagram. */
  #rest(bulk: Bulk): void {
    if (this.#stopLooking !== undefined || this.#closed) return
    this.#socket.close()
    this.#stopLooking = lookNowAndThen(() => this.#look(bulk))
  }

  #look(bulk: Bulk): void {
    let heard = 0
    let count: number
    do {
      count = this.#counted(bulk.receive(this.#options.take))
      heard += count
    } while (count === CAPACITY && heard < LOOK_MAX)
    this.#attention.heard(heard, this.#options.now())
    if (!this.#attention.isLax) this.wake()
  }

  /** How many datagrams were received, where a failure is none. */
  #counted(result: number): number {
    if (result < 0 && result !== NOTHING_THERE) this.#options.failed(describeCode(errorName(result)))
    return Math.max(result, 0)
  }
}

/** EAGAIN, which is EWOULDBLOCK, as native calls return it. */
const NO_ROOM = -11
const NOTHING_THERE = NO_ROOM

/** Sockets that only Node knows have none. */
const openBulkAt = (
  { descriptor, family }: BoundSocket,
  { native, interfaceName }: WrapOptions,
  refused: Refused,
): Bulk | undefined => {
  if (native === undefined || descriptor === undefined) return undefined
  return openBulk(native, descriptor.fd, family === 4 ? peers4() : peers6(interfaceName), refused)
}

/** SO_MEMINFO fills nine 32-bit numbers; the last counts the drops (SK_MEMINFO_DROPS). */
const readDrops = (native: Native, fd: number): number | undefined => {
  const info = new Uint8Array(9 * 4)
  const length = native.getOption(fd, linux.SOL_SOCKET, linux.SO_MEMINFO, info)
  return length < info.length ? undefined : new DataView(info.buffer).getUint32(8 * 4, littleEndian)
}
