/** The sockets of the DHCPv6 server, and how datagrams and replies pass between them and the handler. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Instant } from '../../domain/instant.ts'
import type { InterfaceChoice, Interfaces } from '../config/model.ts'
import type { Logger } from '../logger.ts'
import { findInterface, listInterfaces } from '../net/interfaces.ts'
import type { SocketError } from '../net/socket-error.ts'
import type { DatagramSocket } from '../net/socket.ts'
import { openUdp6 } from '../net/udp6.ts'
import type { Arrival6 } from './exchange.ts'
import type { Send6 } from './handler.ts'
import type { Ports6 } from './reply.ts'

/** Takes a datagram with where it came in, and how to answer it. */
export type Receive6 = (bytes: Uint8Array, arrival: Arrival6, send: Send6) => void

/** The open sockets. */
export interface Listening6 {
  /** For people: `eth0 port 547`. */
  readonly where: ReadonlyArray<string>
  readonly close: () => Promise<void>
}

/** What opening needs beside the configuration. */
export interface Listen6Options {
  readonly interfaces: Interfaces
  readonly ports: Ports6
  readonly now: () => Instant
  readonly log: Logger
  readonly receive: Receive6
  readonly reusePort: boolean
}

/**
 * Opens a socket for each chosen interface, which hears its multicasts and unicasts, and for each listening address. An
 * interface that cannot be opened is warned of, unless all are required or none is left.
 */
export const listen6 = async (options: Listen6Options): Promise<Either<SocketError, Listening6>> => {
  const { interfaces, log } = options
  const opened: DatagramSocket[] = []
  let failure: SocketError | undefined
  const attempts = [
    ...chosen(interfaces.choices).map((choice) => () => openOn(options, choice)),
    ...interfaces.listen.map(
      ({ address, port }) =>
        () =>
          openAt(options, address, port),
    ),
  ]
  for (const attempt of attempts) {
    const socket = await attempt()
    if (E.isRight(socket)) opened.push(socket.right)
    else {
      failure ??= socket.left
      if (interfaces.requireAll) break
      log.warn({ reason: socket.left.message }, 'a DHCPv6 socket could not be opened')
    }
  }
  const close = async (): Promise<void> => {
    for (const socket of opened) await socket.close()
  }
  if (failure !== undefined && (interfaces.requireAll || opened.length === 0)) {
    await close()
    return E.left(failure)
  }
  for (const socket of opened) {
    if (socket.notice !== undefined) log.warn({}, socket.notice)
    connect(socket, options)
  }
  return E.right({ where: opened.map(({ local }) => whereText(local)), close })
}

const whereText = ({ interfaceName, address, port }: DatagramSocket['local']): string =>
  `${interfaceName === undefined ? `[${address}]` : interfaceName} port ${port}`

/** The interfaces meant by the configuration: `*` is every one that is up and has an IPv6 address. */
const chosen = (choices: readonly InterfaceChoice[]): InterfaceChoice[] => {
  if (!choices.some(({ name }) => name === '*')) return [...choices]
  const all = listInterfaces().filter((found) => found.up && !found.loopback && found.ipv6.length > 0)
  const named = choices.filter(({ name }) => name !== '*')
  const others = all.filter(({ name }) => !named.some((choice) => choice.name === name))
  return [...named, ...others.map(({ name }) => ({ name, address: undefined }))]
}

const openOn = async (
  options: Listen6Options,
  choice: InterfaceChoice,
): Promise<Either<SocketError, DatagramSocket>> => {
  const { ports, now, reusePort } = options
  const found = findInterface(choice.name)
  if (E.isLeft(found)) return found
  if (found.right.loopback) return openAt(options, choice.address ?? '::1', ports.server)
  return openUdp6({ interfaceName: choice.name, port: ports.server, now, reusePort })()
}

const openAt = (options: Listen6Options, address: string, port: number): Promise<Either<SocketError, DatagramSocket>> =>
  openUdp6({ address, port, now: options.now, reusePort: options.reusePort })()

const connect = (socket: DatagramSocket, { receive }: Listen6Options): void => {
  const { interfaceName } = socket.local
  const send: Send6 = (bytes, to) => socket.send(bytes, to)
  socket.onDatagram((bytes, from) => {
    receive(bytes, { sourceAddress: from.address, sourcePort: from.port, interfaceName }, send)
  })
}
