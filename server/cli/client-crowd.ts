/** The clients that `ledger client` plays, of either protocol, and the socket they share. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { parseIp4, parseIp6 } from '../../domain/address.ts'
import type { Ip4, Ip6 } from '../../domain/address.ts'
import type { DatagramSocket } from '../net/socket.ts'
import { openUdp4 } from '../net/udp4.ts'
import { openUdp6 } from '../net/udp6.ts'
import type { SimulatedClient } from '../simulator/client.ts'
import { makeClient4, transactionOf4 } from '../simulator/client4.ts'
import { makeClient6, transactionOf6 } from '../simulator/client6.ts'
import type { ReportWords } from './client-report.ts'
import { fail } from './fail.ts'

/** What the command line says about the clients; what it leaves out depends on the protocol. */
export interface CrowdArguments {
  readonly server?: string
  readonly port?: number
  readonly clients: number
  readonly link?: string
  readonly bind?: string
  readonly base: string
  readonly na: boolean
  readonly pd: boolean
  readonly rapidCommit: boolean
}

/** Clients that are ready to be played. */
export interface Crowd {
  readonly clients: ReadonlyArray<SimulatedClient>
  readonly socket: DatagramSocket
  readonly server: { readonly address: string; readonly port: number }
  readonly transactionOf: (bytes: Uint8Array) => number | undefined
  readonly transactionMax: number
  /** DHCPv6 answers a Release; DHCPv4 does not. */
  readonly releaseIsAnswered: boolean
  readonly words: ReportWords
}

/** The link of the quick start, 198.51.100.1. */
const LINK4 = 0xc6336401

/** The link of the quick start. */
const LINK6 = '2001:db8:1::1'

/** DHCPv4 clients; ends the process with the reason when the socket cannot be had. */
export const openCrowd4 = async (args: CrowdArguments): Promise<Crowd> => {
  const { server = '127.0.0.1', port = 6767, bind = '127.0.0.1' } = args
  const relay = {
    address: address4(bind),
    link: args.link === undefined ? (server.startsWith('127.') ? LINK4 : undefined) : address4(args.link),
  }
  const socket = await openUdp4({ address: bind, port: 0, now: Date.now })()
  if (E.isLeft(socket)) return fail(socket.left.message)
  return {
    clients: hardwareAddresses(args).map((hardwareAddress) => makeClient4(hardwareAddress, relay)),
    socket: socket.right,
    server: { address: server, port },
    transactionOf: transactionOf4,
    transactionMax: 2 ** 32 - 1,
    releaseIsAnswered: false,
    words: { granted: 'acks', refused: 'naks' },
  }
}

/** DHCPv6 clients; ends the process with the reason when the socket cannot be had. */
export const openCrowd6 = async (args: CrowdArguments): Promise<Crowd> => {
  const { server = '::1', port = 5470, bind = server === '::1' ? '::1' : '::', pd, rapidCommit } = args
  const link = address6(args.link ?? LINK6)
  const socket = await openUdp6({ address: bind, port: 0, now: Date.now })()
  if (E.isLeft(socket)) return fail(socket.left.message)
  const wants = { link, na: args.na || !pd, pd, rapidCommit }
  return {
    clients: hardwareAddresses(args).map((hardwareAddress) => makeClient6({ hardwareAddress, ...wants })),
    socket: socket.right,
    server: { address: server, port },
    transactionOf: transactionOf6,
    transactionMax: 2 ** 24 - 1,
    releaseIsAnswered: true,
    words: { granted: 'replies', refused: 'refusals' },
  }
}

const address4 = (text: string): Ip4 => {
  const parsed = parseIp4(text)
  return O.isSome(parsed) ? parsed.value : fail(`${text} is not an IPv4 address`)
}

const address6 = (text: string): Ip6 => {
  const parsed = parseIp6(text)
  return O.isSome(parsed) ? parsed.value : fail(`${text} is not an IPv6 address`)
}

/** The base plus 0, 1, 2, …, so that clients of different runs can be told apart or be the same. */
const hardwareAddresses = ({ base, clients }: CrowdArguments): Uint8Array[] => {
  const digits = base.replaceAll(/[:-]/g, '')
  if (!/^[0-9a-f]{1,12}$/i.test(digits)) return fail(`${base} is not a hardware address`)
  const first = BigInt(`0x${digits}`)
  return Array.from({ length: clients }, (_, i) => {
    const address = first + BigInt(i)
    return Uint8Array.from({ length: 6 }, (__, octet) => Number((address >> BigInt(8 * (5 - octet))) & 0xffn))
  })
}
