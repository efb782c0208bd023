/** The servers under test: Lease Ledger and Kea, each on PostgreSQL, on MariaDB and on what it brings itself. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import { makeKea } from '../support/kea.ts'
import type { Lab, Network } from '../support/namespaces.ts'
import type { Running } from '../support/process.ts'
import { makeLeaseLedger } from '../support/server-under-test.ts'
import type { ServerConfig, ServerUnderTest } from '../support/server-under-test.ts'
import { treeSeconds } from './cpu.ts'
import type { BenchDatabase } from './databases.ts'

/**
 * Names of the servers, as `--servers` takes them. `+offers`: with the offers recorded, which Kea cannot. `+workers`: two
 * processes that serve together.
 */
export const SERVERS = [
  'ledger-postgresql',
  'ledger-postgresql+offers',
  'ledger-postgresql+workers',
  'kea-postgresql',
  'ledger-mariadb',
  'ledger-mariadb+offers',
  'kea-mariadb',
  'ledger-embedded',
  'ledger-embedded+offers',
  'kea-memfile',
] as const

export type ServerName = (typeof SERVERS)[number]

/** The databases of a run; only those that its servers need are there. */
export interface Databases {
  readonly postgresql?: BenchDatabase
  readonly mariadb?: BenchDatabase
}

/** What a server and its database hold after a run. */
export interface Found {
  /** Events of the ledger by type; undefined for Kea, which has none. */
  readonly events: Readonly<Record<string, number>> | undefined
  /** Leases in use: rows of state 0 in the lease tables, or addresses in the lease file. */
  readonly rows: number
}

/** A server that runs on an empty database. */
export interface BenchServer {
  readonly name: ServerName
  /** Processor seconds so far of the server without its database. */
  readonly cpuSeconds: () => number
  /** Processor seconds so far of its database; 0 when it has none. */
  readonly databaseSeconds: () => number
  readonly found: () => Promise<Found>
  readonly logs: () => string
  /** Process ids of the server itself. */
  readonly pids: () => readonly number[]
  readonly stop: () => Promise<void>
}

/** Settings of a run that all servers share. */
export interface ServerOptions {
  /** DHCP family that is served; the other one stays off. */
  readonly family: 4 | 6
  /** Packet threads of Kea; undefined leaves its default, which for Kea 2.2 is one thread. */
  readonly keaThreads: number | undefined
  /** Environment for Lease Ledger, such as NODE_OPTIONS for a profile. */
  readonly ledgerEnv: Readonly<Record<string, string>>
}

/** Same pools and same lifetimes for all. The pools are large enough that no run of any rate fills a tenth of them. */
export const dhcpConfig = (family: 4 | 6, database: object, kea: object): ServerConfig => {
  const common = { 'interfaces-config': { interfaces: ['lan0'] }, 'lease-database': database, 'valid-lifetime': 4000 }
  return family === 4
    ? {
        Dhcp4: {
          ...common,
          ...kea,
          subnet4: [
            {
              id: 1,
              subnet: '100.64.0.0/10',
              // The relay's address is of another network: the leases are numbers here, no interface ever has them.
              relay: { 'ip-addresses': ['198.18.0.2'] },
              pools: [{ pool: '100.64.0.1 - 100.127.255.254' }],
            },
          ],
        },
      }
    : {
        Dhcp6: {
          ...common,
          ...kea,
          'preferred-lifetime': 3000,
          subnet6: [
            {
              id: 1,
              subnet: '2001:db8::/64',
              interface: 'lan0',
              pools: [{ pool: '2001:db8::1:0:0/96' }],
              'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 33, 'delegated-len': 56 }],
            },
          ],
        },
      }
}

/** Neither server logs a line a lease, as Kea would. */
const keaSettings = (family: 4 | 6, threads: number | undefined): object => ({
  loggers: [
    { name: `kea-dhcp${family}`, severity: 'INFO' },
    { name: `kea-dhcp${family}.leases`, severity: 'WARN' },
  ],
  ...(threads === undefined
    ? {}
    : { 'multi-threading': { 'enable-multi-threading': true, 'thread-pool-size': threads, 'packet-queue-size': 64 } }),
})

let made = 0

/** Starts a server on an empty database of its own. */
export const startBenchServer = async (
  name: ServerName,
  at: { readonly lab: Lab; readonly network: Network; readonly databases: Databases },
  options: ServerOptions,
): Promise<BenchServer> => {
  const [product, rest] = name.split(/-(.*)/) as [string, string]
  const [store = '', manner] = rest.split('+')
  const isKea = product === 'kea'
  const database = store === 'postgresql' || store === 'mariadb' ? at.databases[store] : undefined
  const title = `bench_${process.pid}_${++made}`
  const folder = await at.lab.folder('server')
  const processes: Running[] = []
  const start: Network['server']['start'] = async (command, given) => {
    const env = { ...given?.env, ...(isKea ? {} : options.ledgerEnv) }
    const running = await at.network.server.start(command, { ...given, env })
    processes.push(running)
    return running
  }
  const server = isKea ? makeKea({ folder, start }) : makeLeaseLedger({ folder, start })
  const leaseDatabase = database === undefined ? { type: 'embedded' } : await database.fresh(title, isKea)
  const own = isKea
    ? keaSettings(options.family, options.keaThreads)
    : options.family === 4 && manner !== 'offers'
      ? { 'offer-lifetime': 0 }
      : {}
  const workers = manner === 'workers' ? { LeaseLedger: { workers: 2 } } : {}
  await server.start({ ...dhcpConfig(options.family, leaseDatabase, own), ...workers })
  const alive = (): readonly number[] => processes.filter((one) => one.isRunning()).map((one) => one.pid)
  const sum = (counts: (process: string) => boolean): number =>
    alive().reduce((seconds, pid) => seconds + treeSeconds(pid, counts), 0)
  return {
    name,
    cpuSeconds: () => sum((process) => process !== 'postgres'),
    databaseSeconds: () => database?.cpuSeconds() ?? sum((process) => process === 'postgres'),
    found: () => findings({ isKea, family: options.family, folder, server, query: queryOf(database, title, server) }),
    logs: server.logs,
    pids: alive,
    stop: async () => {
      await server.stop()
      await database?.drop(title)
    },
  }
}

type Query = (statement: string) => Promise<ReadonlyArray<Record<string, unknown>>>

/** How to ask a server's database; the embedded one names itself in the log. */
const queryOf = (database: BenchDatabase | undefined, title: string, server: ServerUnderTest): Query => {
  if (database !== undefined) return (statement) => database.query(title, statement)
  return async (statement) => {
    const [, url] = /psql '([^']+)'/.exec(server.logs()) ?? []
    if (url === undefined) throw new Error(`the server does not say where its database is:\n${server.logs()}`)
    const { pathname, searchParams } = new URL(url.replace(/^postgresql:\/\/[^/]*/, 'postgresql://local'))
    const user = /^postgresql:\/\/([^@/]+)@/.exec(url)?.[1] ?? searchParams.get('user') ?? 'postgres'
    const sql = postgres({
      host: searchParams.get('host') ?? '127.0.0.1',
      port: Number(searchParams.get('port') ?? 5432),
      user,
      database: pathname.slice(1),
      max: 1,
      onnotice: () => undefined,
    })
    try {
      return await sql.unsafe(statement.replaceAll('{}.', ''))
    } finally {
      await sql.end({ timeout: 1 })
    }
  }
}

interface Inspected {
  readonly isKea: boolean
  readonly family: 4 | 6
  readonly folder: string
  readonly server: ServerUnderTest
  readonly query: Query
}

const findings = async ({ isKea, family, folder, query, server }: Inspected): Promise<Found> => {
  const isFile =
    isKea && !/"type": "(postgresql|mysql)"/.test(await readFile(join(folder, `kea-dhcp${family}.json`), 'utf8'))
  if (isFile) return { events: undefined, rows: await addressesIn(join(folder, `leases${family}.csv`)) }
  const [row] = await query(`SELECT count(*) AS n FROM {}.lease${family} WHERE state = 0`)
  const rows = Number(row?.n)
  if (server.kind === 'kea') return { events: undefined, rows }
  const events = await query('SELECT type, count(*) AS n FROM {}.events GROUP BY type ORDER BY type')
  return { events: Object.fromEntries(events.map(({ type, n }) => [String(type), Number(n)])), rows }
}

/** Different addresses in a lease file. */
const addressesIn = async (file: string): Promise<number> => {
  const [, ...lines] = (await readFile(file, 'latin1')).split('\n')
  return new Set(lines.map((line) => line.slice(0, line.indexOf(','))).filter((address) => address !== '')).size
}
