/** The DHCP servers of a configuration: pools, decisions, handlers and sockets over the parts that know no protocol. */
import { randomBytes } from 'node:crypto'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { laneWithin } from '../domain/allocation.ts'
import type { Lane } from '../domain/allocation.ts'
import type { Resource } from '../domain/stream.ts'
import type { Timer } from '../projections/timer.ts'
import type { Config, Dhcp4, Dhcp6 } from './config/model.ts'
import type { Core } from './core.ts'
import { Handler4 } from './dhcp4/handler.ts'
import { listen4 } from './dhcp4/listen.ts'
import type { Listening4, Receive4 } from './dhcp4/listen.ts'
import { Service4 } from './dhcp4/service.ts'
import { answers4 } from './dhcp4/share.ts'
import { indexSubnets4 } from './dhcp4/subnets.ts'
import { Handler6 } from './dhcp6/handler.ts'
import { leaseSubnets6 } from './dhcp6/lease-subnets.ts'
import { listen6 } from './dhcp6/listen.ts'
import type { Receive6 } from './dhcp6/listen.ts'
import { serverDuidOf } from './dhcp6/server-id.ts'
import { Service6 } from './dhcp6/service.ts'
import { answers6 } from './dhcp6/share.ts'
import { checkLeases } from './lease-checks.ts'
import { laneIn } from './load-share.ts'
import type { Share } from './load-share.ts'
import type { Logger } from './logger.ts'
import { listInterfaces } from './net/interfaces.ts'
import type { SocketMaker } from './net/socket-maker.ts'
import { isFirstWorker, serverOf } from './worker.ts'
import { Spaces } from './spaces.ts'
import { Turns } from './turns.ts'

/** The servers that are listening. */
export interface Protocols {
  readonly where: ReadonlyArray<string>
  /** Takes nothing more, waits for the exchanges under way, then closes the sockets. */
  readonly close: () => Promise<void>
}

/** What the servers need of the process and the command line. Ports are UDP ports, uint16. */
export interface ProtocolOptions {
  readonly serverPort4: number
  readonly clientPort4: number
  readonly serverPort6: number
  readonly clientPort6: number
  readonly log: Logger
  readonly now: () => number
  readonly timer: Timer
  readonly random: () => number
  readonly sockets: SocketMaker
  /** Which of the workers of a server this process is; undefined where it is the only one. */
  readonly lane: Lane | undefined
}

/** What the servers stand on. */
export interface ProtocolsOn {
  readonly core: Core
  readonly options: ProtocolOptions
}

/** How long a server that stops waits for the exchanges under way. ms. */
const DRAIN_MS_MAX = 3_000

/** Opens the servers of the configuration; `Left` is one sentence. Then nothing is left open. */
export const openProtocols = async (config: Config, on: ProtocolsOn): Promise<Either<string, Protocols>> => {
  const { options } = on
  const { replica } = on.core
  const share = shareOn(on.core)
  // Servers that share the load do not hear what the others offer.
  const lane = (): Lane | undefined =>
    laneWithin(config.ledger.loadBalancing ? laneIn(share()) : undefined, options.lane)
  const spaces = new Spaces(replica, options.now, options.random, config.dhcp4, config.dhcp6, lane)
  replica.listen((stream) => spaces.sync(stream))
  const parts: Part[] = []
  const openers = [
    ...(config.dhcp4 === undefined ? [] : [open4(config, config.dhcp4, { ...on, spaces, share })]),
    ...(config.dhcp6 === undefined ? [] : [open6(config, config.dhcp6, { ...on, spaces, share })]),
  ]
  for (const opener of openers) {
    const part = await opener()
    if (E.isLeft(part)) {
      for (const opened of parts) await opened.close()
      return part
    }
    parts.push(part.right)
  }
  if (isFirstWorker(on.core.store.log)) void checkAllLeases(config, on)
  return E.right({
    where: parts.flatMap((part) => part.where),
    close: async () => {
      for (const part of parts) await part.close()
    },
  })
}

/** Looks, beside the service, for leases that do not fit the subnets of the configuration. */
const checkAllLeases = async ({ dhcp4, dhcp6 }: Config, { core, options }: ProtocolsOn): Promise<void> => {
  const { replica, ledger } = core
  const { log } = options
  if (dhcp4 !== undefined) {
    const { find } = indexSubnets4(dhcp4)
    const mode = dhcp4.sanityChecks.leaseChecks
    const subnetIdOf = ({ address }: Resource): number | undefined => find(Number(address))?.id
    await checkLeases({ category: 'lease4', mode, subnetIdOf, replica, ledger, log })
  }
  if (dhcp6 === undefined) return
  const mode = dhcp6.sanityChecks.leaseChecks
  const subnetIdOf = leaseSubnets6(dhcp6)
  await checkLeases({ category: 'lease6', mode, subnetIdOf, replica, ledger, log })
  await checkLeases({ category: 'prefix6', mode, subnetIdOf, replica, ledger, log })
}

/** One protocol's server. */
interface Part {
  readonly where: ReadonlyArray<string>
  readonly close: () => Promise<void>
}

/** Before a client hears that nothing is free: what others wrote is read, and what is over is expired. */
const makeRoom = (on: ProtocolsOn) => async (): Promise<boolean> => {
  if (!(await on.core.follower.catchUp())) return false
  await on.core.sweeper.sweep(true)
  return on.core.ledger.health === 'up'
}

/** What one protocol's server stands on. */
interface PartOn extends ProtocolsOn {
  readonly spaces: Spaces
  readonly share: () => Share
}

/** The servers as they are alive now. Workers of one server share its share: a datagram reaches only one of them. */
const shareOn = ({ cluster, store }: Core): (() => Share) => {
  const own = serverOf(store.log)
  return () => ({ own, alive: cluster.servers })
}

/** Servers that share the load by client have nobody to stand back for. */
const aloneIn = (share: () => Share) => (): Share => ({ own: share().own, alive: [] })

/** What the handlers of both protocols are made of. */
const exchangesOn = ({ ledger }: Config, { core, options, share }: PartOn) => {
  const { now, log, timer } = options
  const { queueMax, packetAgeMsMax } = ledger.limits
  const turns = new Turns({ share: ledger.loadBalancing ? aloneIn(share) : share, now, timer })
  return { now, log, counters: core.counters, queueMax, packetAgeMsMax, turns }
}

/** A server whose sockets are open. */
interface Serving {
  readonly listening: { readonly where: ReadonlyArray<string>; readonly close: () => Promise<void> }
  readonly gate: { open: boolean }
  readonly turns: Turns
  readonly handler: { readonly waiting: number }
}

const partOf = (protocol: string, { listening, gate, turns, handler }: Serving): Part => ({
  where: listening.where.map((place) => `${protocol} on ${place}`),
  close: async () => {
    gate.open = false
    turns.stop()
    await settled(() => handler.waiting === 0)
    await listening.close()
  },
})

const open4 = (config: Config, dhcp4: Dhcp4, on: PartOn) => async (): Promise<Either<string, Part>> => {
  const { options, spaces, share } = on
  const { ledger, replica } = on.core
  const { now, log } = options
  const ports = { server: options.serverPort4, client: options.clientPort4 }
  let addresses: Listening4['addresses'] = new Set()
  const service = new Service4({
    config: dhcp4,
    ledger,
    replica,
    spaces,
    now,
    log,
    isOwnAddress: (address) => addresses.has(address),
    makeRoom: makeRoom(on),
    catchUp: () => on.core.follower.catchUp(),
  })
  const exchanges = exchangesOn(config, on)
  const handler = new Handler4({
    config: dhcp4,
    service,
    ports,
    answers: config.ledger.loadBalancing ? (packet) => answers4(share(), packet) : () => true,
    ...exchanges,
  })
  const gate = makeGate()
  const receive: Receive4 = (bytes, arrival, send) => {
    if (gate.open) handler.handle(bytes, arrival, send)
  }
  const opened = await listen4({ interfaces: dhcp4.interfaces, ports, now, log, receive, sockets: options.sockets })
  if (E.isLeft(opened)) return E.left(opened.left.message)
  addresses = opened.right.addresses
  return E.right(partOf('DHCPv4', { listening: opened.right, gate, turns: exchanges.turns, handler }))
}

const open6 = (config: Config, dhcp6: Dhcp6, on: PartOn) => async (): Promise<Either<string, Part>> => {
  const { options, spaces, share } = on
  const { ledger, replica, store } = on.core
  const { now, log } = options
  const sources = { interfaces: listInterfaces(), now: now(), randomOctets: randomBytes }
  const serverDuid = await serverDuidOf(dhcp6.serverId, store, sources)
  if (E.isLeft(serverDuid)) return serverDuid
  const ports = { server: options.serverPort6, client: options.clientPort6 }
  const service = new Service6({ config: dhcp6, ledger, replica, spaces, now, log, makeRoom: makeRoom(on) })
  const exchanges = exchangesOn(config, on)
  const handler = new Handler6({
    config: dhcp6,
    service,
    serverDuid: serverDuid.right,
    ports,
    answers: config.ledger.loadBalancing ? (packet) => answers6(share(), packet) : () => true,
    ...exchanges,
  })
  const gate = makeGate()
  const receive: Receive6 = (bytes, arrival, send) => {
    if (gate.open) handler.handle(bytes, arrival, send)
  }
  const opened = await listen6({ interfaces: dhcp6.interfaces, ports, now, log, receive, sockets: options.sockets })
  if (E.isLeft(opened)) return E.left(opened.left.message)
  return E.right(partOf('DHCPv6', { listening: opened.right, gate, turns: exchanges.turns, handler }))
}

/** Closed when the server ends, so that its last exchanges are not joined by new ones. */
const makeGate = (): { open: boolean } => ({ open: true })

/** Waits until the exchanges under way are over, so that their replies still find the socket. */
const settled = async (done: () => boolean): Promise<void> => {
  const deadline = performance.now() + DRAIN_MS_MAX
  while (!done() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5))
}
