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
import { openRaw4 } from '../net/raw4.ts'
import type { RawSender4 } from '../net/raw4.ts'
import type { SocketError } from '../net/socket-error.ts'
import type { DatagramSocket } from '../net/socket.ts'
import { openUdp4 } from '../net/udp4.ts'
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
  readonly reusePort: boolean
}

interface Endpoint4 {
  readonly socket: DatagramSocket
  readonly raw: RawSender4 | undefined
  readonly address: number
  readonly addressText: string
}

/**
 * Opens a socket for each chosen interface and each listening address. An interface that cannot be opened is warned of,
 * unless all are required or none is left. On `Left` nothing stays open.
 */
export const listen4 = async (options: Listen4Options): Promise<Either<SocketError, Listening4>> => {
  const { interfaces, log } = options
  const opened: Endpoint4[] = []
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
    const endpoint = await attempt()
    if (E.isRight(endpoint)) opened.push(endpoint.right)
    else {
      failure ??= endpoint.left
      if (interfaces.requireAll) break
      log.warn({ reason: endpoint.left.message }, 'a DHCPv4 socket could not be opened')
    }
  }
  const close = async (): Promise<void> => {
    for (const { socket, raw } of opened) {
      raw?.close()
      await socket.close()
    }
  }
  if (failure !== undefined && (interfaces.requireAll || opened.length === 0)) {
    await close()
    return E.left(failure)
  }
  for (const endpoint of opened) connect(endpoint, options)
  return E.right({
    where: opened.map(({ socket, raw, addressText }) => {
      const on = socket.local.interfaceName === undefined ? '' : `${socket.local.interfaceName} `
      return `${on}${addressText} port ${socket.local.port}${raw === undefined ? '' : ' (raw)'}`
    }),
    addresses: new Set(opened.map(({ address }) => address)),
    close,
  })
}

/** The interfaces meant by the configuration: `*` is every one that is up, can broadcast and has an IPv4 address. */
const chosen = (choices: readonly InterfaceChoice[]): InterfaceChoice[] => {
  if (!choices.some(({ name }) => name === '*')) return [...choices]
  const all = listInterfaces().filter((found) => found.up && !found.loopback && found.ipv4.length > 0)
  const named = choices.filter(({ name }) => name !== '*')
  const others = all.filter(({ name }) => !named.some((choice) => choice.name === name))
  return [...named, ...others.map(({ name }) => ({ name, address: undefined }))]
}

const openOn = async (options: Listen4Options, choice: InterfaceChoice): Promise<Either<SocketError, Endpoint4>> => {
  const found = findInterface(choice.name)
  if (E.isLeft(found)) return found
  const address = addressOn(found.right, choice)
  if (E.isLeft(address)) return address
  if (found.right.loopback) return openAt(options, address.right.text, options.ports.server)
  const { ports, now, reusePort, log } = options
  const socket = await openUdp4({ interfaceName: choice.name, port: ports.server, now, reusePort })()
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
  const socket = await openUdp4({ address, port, now: options.now, reusePort: options.reusePort })()
  if (E.isLeft(socket)) return socket
  return E.right({ socket: socket.right, raw: undefined, address: numberOf(address), addressText: address })
}

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

/** Relays and unicasting clients are few or repeat; their addresses are read once. */
const SOURCES_MAX = 4096

const connect = (endpoint: Endpoint4, { ports, receive }: Listen4Options): void => {
  const { socket, raw, address } = endpoint
  const sources = new Map<string, number>()
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
    }
  }
  socket.onDatagram((bytes, from) => {
    let sourceAddress = sources.get(from.address)
    if (sourceAddress === undefined) {
      if (sources.size >= SOURCES_MAX) sources.clear()
      sourceAddress = numberOf(from.address)
      sources.set(from.address, sourceAddress)
    }
    const arrival = { sourceAddress, sourcePort: from.port, localAddress: address, interfaceName }
    receive(bytes, arrival, send)
  })
}
