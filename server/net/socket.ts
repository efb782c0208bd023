import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { Instant } from '../../domain/instant.ts'
import type { SocketError } from './socket-error.ts'

/** One end of a UDP exchange: a textual address (an IPv6 link-local one may end in `%interface`), a port 1..65535. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** Where a socket listens. `interfaceName` is present only when the kernel keeps the socket to that interface. */
export interface LocalEndpoint extends Endpoint {
  readonly interfaceName?: string
}

/** Running totals of one socket since it was opened, for metrics: read them, never write them. */
export interface SocketCounters {
  /** Datagrams handed to the handler. */
  received: number
  /** Datagrams that arrived while no handler was set, and were dropped. */
  unheard: number
  /** Errors the kernel reported while receiving. */
  receiveErrors: number
  /** Datagrams passed to the kernel; a later failure of the same datagram counts in `sendErrors` too. */
  sent: number
  /** Datagrams that the kernel or Node refused to send. */
  sendErrors: number
  /** What the last refused send or failed receive said; empty when there was none. */
  lastError: string
}

/**
 * Takes one datagram. `bytes` belong to the handler (they are not reused); `at` is the time of arrival by
 * the clock given when the socket was opened. It must not throw.
 */
export type DatagramHandler = (bytes: Uint8Array, from: Endpoint, at: Instant) => void

/** A bound UDP socket, IPv4 or IPv6. */
export interface DatagramSocket {
  readonly local: LocalEndpoint
  readonly counters: SocketCounters
  /** Receive buffer that the kernel granted, octets as the kernel counts them (twice what was asked for on Linux). */
  readonly receiveBufferBytes: number
  /** What this socket cannot do although it was asked for, as a sentence to log; absent when all is as asked. */
  readonly notice?: string
  /** Sets who takes the datagrams; a second call replaces the first handler. */
  onDatagram(handler: DatagramHandler): void
  /** Sends `bytes`, which must not change until the next turn of the event loop. Never throws; errors are counted. */
  send(bytes: Uint8Array, to: Endpoint): void
  /** Tells it that what it heard was answered by other means than `send`. */
  answered(): void
  /** Datagrams that the kernel dropped because the receive buffer was full; undefined where that is not known. */
  kernelDrops(): number | undefined
  /** Stops receiving and frees the port. May be called twice. */
  close(): Promise<void>
}

/** What both address families ask of a socket. */
export interface OpenOptions {
  /** UDP port, 1..65535, or 0 for any free one. */
  readonly port: number
  /** Keeps the socket to this interface: only what arrives there is received, and all that is sent leaves there. */
  readonly interfaceName?: string
  /**
   * Lets other sockets that also allow it take an overlapping address and port (SO_REUSEADDR). Off unless asked for:
   * with it a second server would start on the same port unnoticed, and take part of the datagrams.
   */
  readonly reuseAddress?: boolean
  /** Receive buffer wanted, octets; less is granted where the system limits it. Default {@link RECEIVE_BUFFER_BYTES}. */
  readonly receiveBufferBytes?: number
  /** The clock that stamps each datagram. */
  readonly now: () => Instant
}

/** Opening acquires: nothing happens before the task runs, and after a Left nothing is left open. */
export type Opening<T> = TaskEither<SocketError, T>

/**
 * Octets of receive buffer to ask for; the kernel takes twice that, some 1,600 DHCP messages. It is there for bursts and
 * pauses and no larger, because what waits in it is answered in turn: with four times as much, a server that was offered
 * more than it carries answered after a second, when clients had asked again, and completed half as many exchanges.
 */
export const RECEIVE_BUFFER_BYTES = 1024 * 1024

/** Counters of a socket that has seen nothing yet. */
export const makeCounters = (): SocketCounters => ({
  received: 0,
  unheard: 0,
  receiveErrors: 0,
  sent: 0,
  sendErrors: 0,
  lastError: '',
})
