/** The sockets of the DHCPv4 server, and how datagrams and replies pass between them and the handler. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { parseIp4 } from '../../domain/address.ts'
import type { Instant } from '../../domain/instant.ts'
import type { InterfaceChoice, Interfaces } from '../config/model.ts'
import type { Logger } from '../logger.ts'
import { findInterface, listInterfaces } from '../net/interfaces.ts'
import type { NetworkInterface } from '../net/interfaces.ts'
import { besideInterfaces, chosenInterfaces, openAll } from '../net/open-all.ts'
import type { OpenSockets } from '../net/open-all.ts'
import { openRaw4 } from '../net/raw4.ts'
import type { RawSender4 } from '../net/raw4.ts'
import type { SocketError } from '../net/socket-error.ts'
import type { DatagramSocket } from '../net/socket.ts'
import type { SocketMaker } from '../net/socket-maker.ts'
import { remembered } from '../remembered.ts'
import type { Arrival4 } from './exchange.ts'
import type { Send4 } from './handler.ts'
import type { Ports4 } from './reply.ts'

/** Takes a datagram with where it came in, and how to answer it. */
export type Receive4 = (bytes: Uint8Array, arrival: Arrival4, send: Send4) => void

/** The open sockets. */
export interface Listening4 {
  /** For people: `eth0 198.18.0.1 port 67 (raw)`. */
  readonly where: ReadonlyArray<string>
  /** Addresses of this server on its links, uint32. */
  readonly addresses: ReadonlySet<number>
  readonly close: () => Promise<void>
}

/** What opening needs beside the configuration. */
export interface Listen4Options {
  readonly interfaces: Interfaces
  readonly ports: Ports4
  readonly now: () => Instant
  readonly log: Logger
  readonly receive: Receive4
  readonly sockets: SocketMaker
}

interface Endpoint4 {
  readonly socket: DatagramSocket
  readonly raw: RawSender4 | undefined
  readonly address: number
  readonly addressText: string
}

/**
 * Opens a socket for each chosen interface and each listening address; see {@link openAll} for what cannot be opened. On
 * `Left` nothing stays open.
 */
export const listen4 = async (options: Listen4Options): Promise<Either<SocketError, Listening4>> => {
  const { interfaces, log } = options
  const addresses = new Set<number>()
  const opened = await openAll<Endpoint4>({
    protocol: 'DHCPv4',
    interfaces,
    log,
    choices: chosen(interfaces),
    openOn: (choice) => openOn(options, choice),
    openAt: (address, port) => openAt(options, address, port),
    connect: (endpoint) => {
      addresses.add(endpoint.address)
      connect(endpoint, options)
    },
    close: async ({ socket, raw }) => {
      raw?.close()
      await socket.close()
    },
    where: whereText,
  })
  return E.map((sockets: OpenSockets): Listening4 => ({ ...sockets, addresses }))(opened)
}

const whereText = ({ socket, raw, addressText }: Endpoint4): string => {
  const on = socket.local.interfaceName === undefined ? '' : `${socket.local.interfaceName} `
  return `${on}${addressText} port ${socket.local.port}${raw === undefined ? '' : ' (raw)'}`
}

/** `*` is every interface that can broadcast and has an IPv4 address. */
const chosen = ({ choices }: Interfaces): readonly InterfaceChoice[] =>
  chosenInterfaces(choices, (found) => found.broadcast && found.ipv4.length > 0)

const openOn = async (options: Listen4Options, choice: InterfaceChoice): Promise<Either<SocketError, Endpoint4>> => {
  const found = findInterface(choice.name)
  if (E.isLeft(found)) return found
  const address = addressOn(found.right, choice)
  if (E.isLeft(address)) return address
  if (found.right.loopback) return openAt(options, address.right.text, options.ports.server)
  const { ports, now, log, sockets } = options
  const socket = await sockets.udp4({ interfaceName: choice.name, port: ports.server, now })()
  if (E.isLeft(socket)) return socket
  const raw = await rawOn(options, choice.name)
  if (socket.right.notice !== undefined) log.warn({}, socket.right.notice)
  const { value, text } = address.right
  return E.right({ socket: socket.right, raw, address: value, addressText: text })
}

/** A packet socket where the configuration wants one; without it unicasts to clients that have no address are broadcast. */
const rawOn = async (options: Listen4Options, interfaceName: string): Promise<RawSender4 | undefined> => {
  if (options.interfaces.socketType !== 'raw') return undefined
  const raw = await openRaw4({ interfaceName })()
  if (E.isRight(raw)) return raw.right
  options.log.warn({ reason: raw.left.message }, 'replies to clients without an address are broadcast')
  return undefined
}

const openAt = async (
  options: Listen4Options,
  address: string,
  port: number,
): Promise<Either<SocketError, Endpoint4>> => {
  const { now, sockets, interfaces, ports } = options
  const rivals = port === ports.server ? chosen(interfaces) : []
  const interfaceName = besideInterfaces(address, rivals, (text) => text.startsWith('127.'))
  const socket = await sockets.udp4({ address, port, now, ...(interfaceName === undefined ? {} : { interfaceName }) })()
  if (E.isLeft(socket)) return socket
  // Clients are told an address that they can reach, and 0.0.0.0 is none.
  const text = numberOf(address) === 0 ? someAddress() : address
  return E.right({ socket: socket.right, raw: undefined, address: numberOf(text), addressText: address })
}

const someAddress = (): string =>
  listInterfaces().find(({ up, loopback, ipv4 }) => up && !loopback && ipv4.length > 0)?.ipv4[0]?.address ?? '127.0.0.1'

const addressOn = (
  found: NetworkInterface,
  choice: InterfaceChoice,
): Either<SocketError, { readonly value: number; readonly text: string }> => {
  const text = choice.address ?? found.ipv4[0]?.address
  if (text === undefined) {
    const message = `the interface ${choice.name} has no IPv4 address; add one, since it identifies the server to clients`
    return E.left({ _tag: 'NoAddress', message })
  }
  if (choice.address !== undefined && !found.ipv4.some(({ address }) => address === text)) {
    return E.left({ _tag: 'NoSuchAddress', message: `the interface ${choice.name} does not have the address ${text}` })
  }
  return E.right({ value: numberOf(text), text })
}

const numberOf = (text: string): number => O.getOrElse(() => 0)(parseIp4(text))

const connect = (endpoint: Endpoint4, { ports, receive }: Listen4Options): void => {
  const { socket, raw, address } = endpoint
  const sourceOf = remembered(numberOf)
  const { interfaceName } = socket.local
  const send: Send4 = (bytes, to) => {
    if (to.unicastHardware === undefined) socket.send(bytes, to)
    else if (raw === undefined) socket.send(bytes, { address: '255.255.255.255', port: to.port })
    else {
      const destinationAddress = numberOf(to.address)
      const flow = {
        sourceAddress: address,
        sourcePort: ports.server,
        destinationAddress,
        destinationPort: to.port,
      }
      raw.sendTo(bytes, flow, to.unicastHardware)
      socket.answered()
    }
  }
  socket.onDatagram((bytes, from) => {
    const sourceAddress = sourceOf(from.address)
    const arrival = { sourceAddress, sourcePort: from.port, localAddress: address, interfaceName, octets: bytes.length }
    receive(bytes, arrival, send)
  })
}
