/**
 * One simulated hour, more or less, of several servers over one ledger: crashes, cuts, lost and late packets, commits of
 * unknown outcome and clocks that differ, all decided by one seed. Says what broke, if anything did.
 */
import * as E from 'fp-ts/lib/Either.js'
import { fileURLToPath } from 'node:url'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { makeMemoryLedger, openMemoryReader } from '../../adapters/memory/memory-store.ts'
import type { MemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { Lease } from '../../domain/lease.ts'
import { decodeEvent } from '../../domain/lease-codec.ts'
import type { StreamName } from '../../domain/stream.ts'
import { makeMemoryTables, openMemoryTables } from '../../projections/memory/memory-tables.ts'
import { verify } from '../../projections/verify.ts'
import { loadConfig } from '../../server/config/load.ts'
import { checkStream } from '../support/ledger-check.ts'
import { T0 } from '../support/lease-spec.ts'
import { Client, DELAY_MS_MAX, Network } from './clients.ts'
import { SimulatedServer } from './server.ts'
import type { Site } from './server.ts'
import { valueOf } from './store.ts'
import { World } from './world.ts'

/** What one run came to. */
export interface Outcome {
  readonly seed: number
  /** Empty when every invariant held. */
  readonly problems: ReadonlyArray<string>
  readonly events: number
  readonly grants: number
  readonly refusals: number
  readonly crashes: number
}

/** Clients of each protocol. */
const CLIENTS = 12
const FAULTS_MS = 120_000
/** Long enough for every lease to run out or be renewed, and for every server to catch up. */
const CALM_MS = 60_000
/** Longer than any lease, skew and expiry, so that at the end nothing is being written any more. */
const SILENCE_MS = 60_000
const SKEW_MS_MAX = 2_400
const MAX_CLOCK_SKEW_MS = 5_000

/** Runs one seed. */
export const simulate = async (seed: number): Promise<Outcome> => {
  const world = new World(seed, T0)
  const problems: string[] = []
  const note = (problem: string): void => {
    if (problems.length < 10) problems.push(`at ${((world.now - T0) / 1000).toFixed(3)} s: ${problem}`)
  }
  const clients: Client[] = []
  const weather = { loss: 0.05, duplication: 0.05, delayMsMax: DELAY_MS_MAX }
  const network = new Network(world, weather)
  const site: Site = {
    world,
    ledger: makeMemoryLedger(() => world.now),
    tables: makeMemoryTables(),
    weather: { cutOff: new Set(), away: false, lostReplies: 0.02 },
    config: siteConfig(),
    reply: (family, bytes) =>
      clients
        .filter((client) => client.family === family)
        .forEach((client) => network.carry(bytes, (copy) => client.receive(copy))),
  }
  const servers = Array.from(
    { length: world.between(1, 4) },
    (_, i) => new SimulatedServer(site, `s${i}`, 0xc6120002 + i, world.between(-SKEW_MS_MAX, SKEW_MS_MAX)),
  )
  for (const server of servers) server.start()
  const granted = (client: Client): void => checkGrant(site.ledger, client, note)
  for (const family of [4, 6] as const) {
    const send = (bytes: Uint8Array): void => network.toServers(family, bytes, servers)
    for (let i = 0; i < CLIENTS; i++) clients.push(new Client(world, family, i, send, granted))
  }
  const trouble = makeTrouble(site, servers, weather)
  await world.run(T0 + FAULTS_MS, () => checkUse(clients, world.now, note))
  trouble.end()
  await world.run(T0 + FAULTS_MS + CALM_MS, () => checkUse(clients, world.now, note))
  // Silence at last, so that everybody comes to know everything: sweeps may still write.
  weather.loss = 1
  await world.run(T0 + FAULTS_MS + CALM_MS + SILENCE_MS, () => checkUse(clients, world.now, note))
  await checkEnd(site, servers, clients, note)
  return {
    seed,
    problems,
    events: [...site.ledger.logs.values()].reduce((sum, events) => sum + events.length, 0),
    grants: clients.reduce((sum, client) => sum + client.granted, 0),
    refusals: clients.reduce((sum, client) => sum + client.refused, 0),
    crashes: trouble.crashes(),
  }
}

const siteConfig = (): Site['config'] => {
  const loaded = loadConfig([fileURLToPath(new URL('./site.json', import.meta.url))], {})
  if (E.isLeft(loaded)) throw new Error(JSON.stringify(loaded.left))
  const { dhcp4, dhcp6 } = loaded.right
  if (dhcp4 === undefined || dhcp6 === undefined) throw new Error('the site serves DHCPv4 and DHCPv6')
  return { ...loaded.right, dhcp4, dhcp6 }
}

/** Crashes and restarts servers, cuts them off, takes the store away, at times that the seed decides, until it is ended. */
const makeTrouble = (site: Site, servers: ReadonlyArray<SimulatedServer>, weather: { loss: number }) => {
  const { world, weather: store } = site
  let ended = false
  let crashes = 0
  const later = (act: () => void): void => void world.after(world.between(500, 12_000), () => ended || act())
  const strike = (): void => {
    const server = servers[world.between(0, servers.length - 1)] as SimulatedServer
    switch (world.between(0, 4)) {
      case 0:
        crashes++
        server.kill()
        world.after(world.between(0, 8000), () => server.start())
        break
      case 1:
        store.cutOff.add(server.name)
        world.after(world.between(100, 10_000), () => store.cutOff.delete(server.name))
        break
      case 2:
        store.away = true
        world.after(world.between(100, 6000), () => (store.away = false))
        break
      case 3:
        store.lostReplies = world.chance(0.5) ? 0.02 : 0.3
        break
      case 4:
        weather.loss = world.chance(0.5) ? 0.05 : 0.4
        break
    }
    later(strike)
  }
  later(strike)
  return {
    crashes: () => crashes,
    end: () => {
      ended = true
      store.away = false
      store.cutOff.clear()
      store.lostReplies = 0
      weather.loss = 0
    },
  }
}

/** Invariant 1, as clients see it: no two use one address. */
const checkUse = (clients: ReadonlyArray<Client>, now: number, note: (problem: string) => void): void => {
  const users = new Map<string, Client>()
  for (const client of clients) {
    for (const stream of client.uses(now)) {
      const other = users.get(stream)
      if (other !== undefined) note(`${other.name} and ${client.name} both use ${stream}`)
      users.set(stream, client)
    }
  }
}

/** Invariant 2: what a client was granted is in the store, for as long as it was told. */
const checkGrant = (ledger: MemoryLedger, client: Client, note: (problem: string) => void): void => {
  const { belief } = client
  if (belief === undefined) return
  for (const stream of belief.streams) {
    const events = ledger.streams.get(stream as StreamName) ?? []
    const covered = events.some((stored) => {
      const event = decodeEvent(stored.type, stored.schemaVersion, stored.data)
      const lease: Lease | undefined = E.isRight(event) ? event.right.lease : undefined
      return lease?.holder === client.holder && lease.expiresAt + MAX_CLOCK_SKEW_MS >= belief.until
    })
    if (!covered) note(`${client.name} was granted ${stream} without an event that says so`)
  }
}

/** When all is calm: the ledger's own story, the tables, and every replica. */
const checkEnd = async (
  site: Site,
  servers: ReadonlyArray<SimulatedServer>,
  clients: ReadonlyArray<Client>,
  note: (problem: string) => void,
): Promise<void> => {
  const { ledger, tables } = site
  for (const events of ledger.streams.values()) checkStream(events, MAX_CLOCK_SKEW_MS).forEach(note)
  for (const client of clients) client.wronged.forEach(note)
  const verified = await verify({
    store: openMemoryReader(ledger),
    tables: openMemoryTables(tables),
    checkLink,
    genesis: GENESIS,
    maxClockSkewMs: MAX_CLOCK_SKEW_MS,
  })()
  for (const [fault, { count, first }] of Object.entries(valueOf(verified).differences))
    note(`${fault}: ${count}, ${first}`)
  for (const server of servers) {
    server.fatal.forEach((reason) => note(`${server.name} stopped: ${reason}`))
    const { core } = server
    if (core === undefined || core.ledger.health !== 'up') {
      note(`${server.name} has not come back`)
      continue
    }
    for (const [stream, events] of ledger.streams) {
      const { revision } = core.replica.get(stream)
      if (revision !== events.length - 1)
        note(`${server.name} knows ${stream} up to ${revision} of ${events.length - 1}`)
    }
  }
}
