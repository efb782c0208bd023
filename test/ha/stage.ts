/**
 * The stage of the high-availability experiments: database nodes, servers and a relay with its clients, each in a network
 * namespace of its own on one switch.
 *
 * Nodes are 198.18.9.1 and on, servers 198.18.9.101 and on, the relay is 198.18.9.200. Clients are on 198.19.0.0/16 and
 * 2001:db8:1::/64, those of the small pool on 198.18.64.0/24 and 2001:db8:2::/64.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startGalera } from '../support/mariadb.ts'
import type { GaleraOptions, TestGalera, TestMariadb } from '../support/mariadb.ts'
import { connect, Lab } from '../support/namespaces.ts'
import type { Namespace, Port } from '../support/namespaces.ts'
import { startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { run } from '../support/process.ts'
import { makeLeaseLedger } from '../support/server-under-test.ts'
import type { ServerConfig, ServerUnderTest } from '../support/server-under-test.ts'
import { startCrowd } from './crowd-orders.ts'
import type { RemoteCrowd } from './crowd-orders.ts'
import type { CrowdPlace, Link } from './crowd.ts'
import { prepareProbes } from './probe.ts'

/** Which node each server prefers, by numbers from 0: `[0, 1]` is two servers with a node each. */
export type Topology = ReadonlyArray<number>

/** A server on the stage. */
export interface StageServer {
  readonly namespace: Namespace
  readonly address4: string
  /** Holds its configuration, `lease-ledger.json`. */
  readonly folder: string
  readonly under: ServerUnderTest
  /** Takes away and gives back its way to the database; clients reach it all the same. */
  readonly cutOff: () => Promise<void>
  readonly reconnect: () => Promise<void>
}

/** What the experiments happen on. */
export interface Stage {
  readonly lab: Lab
  readonly crowd: RemoteCrowd
  readonly servers: ReadonlyArray<StageServer>
  /** The cluster, on a stage with Galera. */
  readonly galera: TestGalera | undefined
  readonly postgres: TestPostgres | undefined
  /** Starts the servers of a topology on a fresh ledger, and stops those that run. `own` is laid over `LeaseLedger`. */
  readonly serve: (topology: Topology, own?: object) => Promise<void>
  /** The topology that is served now. */
  readonly topology: () => Topology
  /** How many rows a condition finds among the events of the ledger in use. */
  readonly countEvents: (condition: string) => Promise<number>
  /** What `ledger verify` says of the ledger, and whether it found it in order. */
  readonly verify: () => Promise<{ readonly ok: boolean; readonly text: string }>
  readonly close: () => Promise<void>
}

/** Links of the clients: a large pool with long leases, and a small one whose leases last seconds. */
export const LINKS: { readonly wide: Link; readonly small: Link } = {
  wide: { link4: 0xc6130001, link6: 0x20010db8000100000000000000000001n },
  small: { link4: 0xc6124001, link6: 0x20010db8000200000000000000000001n },
}

/** Leases in the small pool of each family, and how long they last, seconds. */
export const SMALL_POOL = 40
export const SMALL_LEASE_SEC = 4
/** Leases on the large link, seconds. */
export const WIDE_LEASE_SEC = 3_600

/** Has Galera suspect a silent node after 2 s instead of 5. */
export const SUSPECT_2S: GaleraSettings = { provider: 'evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S' }

const SERVERS_MAX = 4
const PORTS = { port4: 67, port6: 547 } as const

/** What the nodes of a Galera cluster are told beside their defaults: `wsrep_provider_options`, and server settings. */
export type GaleraSettings = Pick<GaleraOptions, 'provider' | 'settings'>

/** Opens a stage on a Galera cluster of three nodes, or on one PostgreSQL. */
export const openStage = async (kind: 'galera' | 'postgres', own: GaleraSettings = {}): Promise<Stage> => {
  const lab = await Lab.open()
  try {
    return await build(lab, kind, own)
  } catch (error) {
    await lab.close()
    throw error
  }
}

const build = async (lab: Lab, kind: 'galera' | 'postgres', own: GaleraSettings): Promise<Stage> => {
  const relay = await lab.namespace('relay')
  const namespaces: Namespace[] = []
  for (let index = 0; index < SERVERS_MAX; index++) namespaces.push(await lab.namespace(`server${index + 1}`))
  const guests = [portOf(relay, 200), ...namespaces.map((namespace, index) => portOf(namespace, 101 + index))]
  const galera = kind === 'galera' ? await startGalera(3, { lab, guests, ...own }) : undefined
  const postgres = kind === 'postgres' ? await startPostgres() : undefined
  if (galera !== undefined) lab.defer('stop Galera', () => galera.stop())
  if (postgres !== undefined) lab.defer('stop PostgreSQL', () => postgres.stop())
  if (galera === undefined) await connect(lab, 'core', guests)
  else await prepareProbes(nodeOf(galera, 0))
  const place: CrowdPlace = {
    bind4: '198.18.9.200',
    bind6: '2001:db8:9::200',
    servers: namespaces.map((_, index) => ({ address4: `198.18.9.${101 + index}`, address6: six(101 + index) })),
    ...PORTS,
  }
  const crowd = await startCrowd(lab, relay, place)
  const servers: StageServer[] = []
  for (const [index, namespace] of namespaces.entries()) servers.push(await makeServer(lab, namespace, index))
  return makeStage({ lab, crowd, servers, galera, postgres })
}

/** A node by its number from 0. */
export const nodeOf = (galera: TestGalera | undefined, index: number): TestMariadb => {
  const node = galera?.nodes[index]
  if (node === undefined) throw new Error(`there is no node ${index}`)
  return node
}

const six = (last: number): string => `2001:db8:9::${last}`

const portOf = (namespace: Namespace, last: number): Port => ({
  namespace,
  device: 'eth0',
  addresses: [`198.18.9.${last}/24`, `${six(last)}/64`],
})

const makeServer = async (lab: Lab, namespace: Namespace, index: number): Promise<StageServer> => {
  const folder = await lab.folder(`server${index + 1}`)
  const under = makeLeaseLedger({ folder, start: namespace.start })
  lab.defer(`stop server ${index + 1}`, () => under.stop())
  const nodes = [1, 2, 3].map((node) => `198.18.9.${node}/32`)
  return {
    namespace,
    address4: `198.18.9.${101 + index}`,
    folder,
    under,
    cutOff: () => namespace.ip(...nodes.map((node) => `route add blackhole ${node}`)),
    reconnect: () => namespace.ip(...nodes.map((node) => `route del blackhole ${node}`)),
  }
}

interface Parts {
  readonly lab: Lab
  readonly crowd: RemoteCrowd
  readonly servers: ReadonlyArray<StageServer>
  readonly galera: TestGalera | undefined
  readonly postgres: TestPostgres | undefined
}

const LEDGER_CLI = fileURLToPath(new URL('../../server/ledger-cli.ts', import.meta.url))

const makeStage = (parts: Parts): Stage => {
  const { lab, servers, galera, postgres } = parts
  let ledgers = 0
  let serving: Topology = []
  const database = async (name: string): Promise<(preferred: number) => object> => {
    await (galera ?? postgres)?.createDatabase(name)
    if (postgres !== undefined) {
      const { socketFolder: host, port, user } = postgres
      return () => ({ type: 'postgresql', host, port, name, user })
    }
    const hosts = (galera as TestGalera).nodes.map(({ host }) => host)
    const from = (first: number): string => [...hosts.slice(first), ...hosts.slice(0, first)].join(',')
    return (first) => ({ type: 'mysql', host: from(first), name, user: 'ledger', password: 'ledger' })
  }
  const serve = async (topology: Topology, own: object = {}): Promise<void> => {
    for (const { under } of servers) await under.stop()
    await parts.crowd.forget()
    const databaseOf = await database(`ledger${++ledgers}`)
    // One after the other: the first one makes the tables.
    for (const [index, preferred] of topology.entries()) {
      await servers[index]?.under.start(configOf(index, databaseOf(preferred), own))
    }
    serving = topology
  }
  const verify = async () => {
    const { namespace, folder } = servers[0] as StageServer
    const command = [process.execPath, LEDGER_CLI, 'verify', '-c', join(folder, 'lease-ledger.json')]
    let text = ''
    // The tables may still follow what was written last.
    for (let attempt = 1; attempt <= 5; attempt++) {
      const { code, stdout, stderr } = await run([...namespace.inside, ...command], { timeoutMs: 60_000 })
      if (code === 0) return { ok: true, text: stdout }
      text = stdout + stderr
    }
    return { ok: false, text }
  }
  const countEvents = async (condition: string): Promise<number> => {
    const [row] = await nodeOf(galera, 2).query(
      `SELECT count(*) AS count FROM ledger${ledgers}.events WHERE ${condition}`,
    )
    return Number(row?.['count'])
  }
  return { ...parts, serve, topology: () => serving, verify, countEvents, close: () => lab.close() }
}

/** What a server is told, in Kea's words and ours. */
const configOf = (index: number, database: object, own: object): ServerConfig => {
  const small = { 'valid-lifetime': SMALL_LEASE_SEC, 'renew-timer': 1, 'rebind-timer': 2 }
  const shared = {
    'interfaces-config': { interfaces: [] },
    'lease-database': database,
    'valid-lifetime': WIDE_LEASE_SEC,
    'expired-leases-processing': { 'reclaim-timer-wait-time': 1 },
  }
  return {
    Dhcp4: {
      ...shared,
      subnet4: [
        { id: 1, subnet: '198.19.0.0/16', pools: [{ pool: '198.19.1.0 - 198.19.255.0' }] },
        { id: 2, subnet: '198.18.64.0/24', pools: [{ pool: `198.18.64.10 - 198.18.64.${9 + SMALL_POOL}` }], ...small },
      ],
    },
    Dhcp6: {
      ...shared,
      subnet6: [
        { id: 1, subnet: '2001:db8:1::/64', pools: [{ pool: '2001:db8:1::1:0/112' }] },
        {
          id: 2,
          subnet: '2001:db8:2::/64',
          pools: [{ pool: `2001:db8:2::100 - 2001:db8:2::${(0xff + SMALL_POOL).toString(16)}` }],
          ...small,
          'preferred-lifetime': SMALL_LEASE_SEC - 1,
        },
      ],
    },
    LeaseLedger: {
      'server-name': `server${index + 1}`,
      listen: {
        dhcp4: [{ address: `198.18.9.${101 + index}`, port: PORTS.port4 }],
        dhcp6: [{ address: six(101 + index), port: PORTS.port6 }],
      },
      ...own,
    },
  }
}
