/** The sockets of the DHCPv6 server, and how datagrams and replies pass between them and the handler. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Instant } from '../../domain/instant.ts'
import type { InterfaceChoice, Interfaces } from '../config/model.ts'
import type { Logger } from '../logger.ts'
import { findInterface } from '../net/interfaces.ts'
import { besideInterfaces, chosenInterfaces, openAll } from '../net/open-all.ts'
import type { OpenSockets } from '../net/open-all.ts'
import type { SocketError } from '../net/socket-error.ts'
import type { DatagramSocket } from '../net/socket.ts'
import type { SocketMaker } from '../net/socket-maker.ts'
import type { Arrival6 } from './exchange.ts'
import type { Send6 } from './handler.ts'
import type { Ports6 } from './reply.ts'

/** Takes a datagram with where it came in, and how to answer it. */
export type Receive6 = (bytes: Uint8Array, arrival: Arrival6, send: Send6) => void

/** The open sockets; `where` has `eth0 port 547` and the like. */
export type Listening6 = OpenSockets

/** What opening needs beside the configuration. */
export interface Listen6Options {
  readonly interfaces: Interfaces
  readonly ports: Ports6
  readonly now: () => Instant
  readonly log: Logger
  readonly receive: Receive6
  readonly sockets: SocketMaker
}

/**
 * Opens a socket for each chosen interface, which hears its multicasts and unicasts, and for each listening address; see
 * {@link openAll} for what cannot be opened. On `Left` nothing stays open.
 */
export const listen6 = (options: Listen6Options): Promise<Either<SocketError, Listening6>> => {
  const { interfaces, log } = options
  return openAll<DatagramSocket>({
    protocol: 'DHCPv6',
    interfaces,
    log,
    choices: chosen(interfaces),
    openOn: (choice) => openOn(options, choice),
    openAt: (address, port) => openAt(options, address, port),
    connect: (socket) => {
      if (socket.notice !== undefined) log.warn({}, socket.notice)
      connect(socket, options)
    },
    close: (socket) => socket.close(),
    where: ({ local }) => whereText(local),
  })
}

const whereText = ({ interfaceName, address, port }: DatagramSocket['local']): string =>
  `${interfaceName === undefined || address !== '::' ? `[${address}]` : interfaceName} port ${port}`

/** `*` is every interface that has an IPv6 address. */
const chosen = ({ choices }: Interfaces): readonly InterfaceChoice[] =>
  chosenInterfaces(choices, (found) => found.ipv6.length > 0)

const openOn = async (
  options: Listen6Options,
  choice: InterfaceChoice,
): Promise<Either<SocketError, DatagramSocket>> => {
  const { ports, now, sockets } = options
  const found = findInterface(choice.name)
  if (E.isLeft(found)) return found
  if (found.right.loopback) return openAt(options, choice.address ?? '::1', ports.server)
  return sockets.udp6({ interfaceName: choice.name, port: ports.server, now })()
}

const openAt = (
  options: Listen6Options,
  address: string,
  port: number,
): Promise<Either<SocketError, DatagramSocket>> => {
  const { now, sockets, interfaces, ports } = options
  const rivals = port === ports.server ? chosen(interfaces) : []
  const interfaceName = besideInterfaces(address, rivals, (text) => text === '::1')
  return sockets.udp6({ address, port, now, ...(interfaceName === undefined ? {} : { interfaceName }) })()
}

const connect = (socket: DatagramSocket, { receive }: Listen6Options): void => {
  const { interfaceName, address } = socket.local
  const local = address === '::' ? {} : { localAddress: address }
  const send: Send6 = (bytes, to) => socket.send(bytes, to)
  // A socket that is bound to its interface needs no zone, and each reply to one would ask the kernel for its number.
  const withoutZone = (text: string): string => (interfaceName === undefined ? text : (text.split('%', 1)[0] as string))
  socket.onDatagram((bytes, from) => {
    const arrival = {
      sourceAddress: withoutZone(from.address),
      sourcePort: from.port,
      interfaceName,
      ...local,
      octets: bytes.length,
    }
    receive(bytes, arrival, send)
  })
}
