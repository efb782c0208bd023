/**
 * MariaDB of the test's own: one server, or a Galera cluster, in temporary folders and under an account without
 * privileges, that can be stopped, killed, paused and started again. Durability and time-outs are the defaults.
 */
import { existsSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import type { Lab, Namespace, Port } from './namespaces.ts'
import { freePort } from './ports.ts'
import { descendants, isRoot, must, PATIENCE_MS, signalOne, start, until, which } from './process.ts'
import type { Running } from './process.ts'

/** A running MariaDB server, alone or as a node of a cluster. */
export interface TestMariadb {
  /** `mysql://ledger:ledger@HOST:PORT/DATABASE` */
  readonly url: string
  readonly host: string
  readonly port: number
  /** May do everything, also make databases and users. */
  readonly user: 'ledger'
  readonly password: 'ledger'
  readonly database: string
  /** Unix socket: reaches the server from any network namespace. */
  readonly socketPath: string
  readonly folder: string
  /** Process id of the server that runs now. */
  readonly pid: () => number
  readonly log: () => string
  /** Runs one statement on a connection of its own, over the Unix socket. */
  readonly query: (statement: string) => Promise<RowDataPacket[]>
  /** Makes an empty database and gives its URL. */
  readonly createDatabase: (name: string) => Promise<string>
  /** Stops with an orderly shutdown and keeps the data; `restart` goes on with them. */
  readonly shutdown: () => Promise<void>
  /** Ends the server and removes its folder; harmless when repeated. */
  readonly stop: () => Promise<void>
  /** SIGKILL to the server, as when the machine's power fails, short of the page cache. */
  readonly kill: () => Promise<void>
  /** Starts again after `shutdown` or `kill`, on the same folder and port; in a cluster, joins it again. */
  readonly restart: () => Promise<void>
  /** SIGSTOP: connections stay open and nothing answers. */
  readonly pause: () => void
  readonly resume: () => void
}

export interface MariadbOptions {
  /** Database to make; default `lease_ledger`. */
  readonly database?: string
  /** Server settings beside the defaults, such as `{ 'max-connections': '300' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Files for the folder above a single server's data, by name; settings may name them as `../NAME`. */
  readonly files?: Readonly<Record<string, string>>
  /** Words before a single server's command, such as `ip netns exec NAME`, to run it in a network namespace. */
  readonly prefix?: readonly string[]
}

const PROVIDER = '/usr/lib/galera/libgalera_smm.so'

/** Why no MariaDB server can be started here, or undefined when one can. */
export const mariadbMissing = (): string | undefined => {
  const missing = ['mariadbd', 'mariadb-install-db'].filter((program) => which(program) === undefined)
  if (missing.length > 0) return `needs ${missing.join(', ')}`
  return isRoot() && account() === undefined ? 'needs an account without privileges to run MariaDB under' : undefined
}

/** Why no Galera cluster can be started here, or undefined when one can. */
export const galeraMissing = (): string | undefined =>
  mariadbMissing() ?? (existsSync(PROVIDER) ? undefined : `needs ${PROVIDER} (package galera-4)`)

/** The account that runs the server when the tests run as root. Ids from /etc/passwd. */
const account = (): { readonly uid: string; readonly gid: string } | undefined => {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  const entries = ['mysql', 'nobody'].map((name) => lines.find((line) => line.startsWith(`${name}:`))?.split(':'))
  const found = entries.find((entry) => entry !== undefined)
  return found === undefined ? undefined : { uid: String(found[2]), gid: String(found[3]) }
}

/** Words that run a program under that account and have the kernel kill it when the test process dies. */
const asOwner = (): readonly string[] => {
  const owner = isRoot() ? account() : undefined
  return owner === undefined
    ? []
    : ['setpriv', '--pdeathsig=KILL', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', '--']
}

/** A temporary folder that belongs to that account and that others may enter, for the socket. */
const makeFolder = async (label: string): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-${label}-`))
  await giveAway(folder)
  await chmod(folder, 0o755)
  return folder
}

const giveAway = async (folder: string): Promise<void> => {
  const owner = isRoot() ? account() : undefined
  if (owner !== undefined) await must(['chown', '-R', `${owner.uid}:${owner.gid}`, folder])
}

/** Where a server runs and what it keeps there. */
interface Site {
  readonly folder: string
  readonly host: string
  readonly port: number
  readonly database: string
  readonly settings: Readonly<Record<string, string>>
  /** Words before the command, such as `ip netns exec NAME`. */
  readonly prefix: readonly string[]
}

const socketOf = (site: Site): string => join(site.folder, 'mariadb.sock')

/** Makes the system tables, and a user that may do everything. */
const install = async (site: Site): Promise<void> => {
  const words = [
    '--no-defaults',
    `--datadir=${join(site.folder, 'data')}`,
    `--tmpdir=${site.folder}`,
    '--auth-root-authentication-method=normal',
  ]
  // A server removes the temporary tables of others that it finds in its folder for them.
  const options = { cwd: site.folder, env: { TMPDIR: site.folder }, timeoutMs: 60_000 }
  await must([...asOwner(), 'mariadb-install-db', ...words, '--skip-test-db'], options)
  const first = join(site.folder, 'first.sql')
  const lines = [
    "CREATE USER 'ledger'@'%' IDENTIFIED BY 'ledger'",
    "GRANT ALL PRIVILEGES ON *.* TO 'ledger'@'%' WITH GRANT OPTION",
    // Named users come before anonymous ones, which would win on the local host by the more specific host name.
    "CREATE USER 'ledger'@'localhost' IDENTIFIED BY 'ledger'",
    "GRANT ALL PRIVILEGES ON *.* TO 'ledger'@'localhost' WITH GRANT OPTION",
    `CREATE DATABASE \`${site.database}\``,
  ]
  await writeFile(first, lines.map((line) => `${line};\n`).join(''))
}

/** The server's command line, with `more` settings over those of the site. */
const commandOf = (site: Site, more: Readonly<Record<string, string>>): readonly string[] => {
  const settings = {
    datadir: join(site.folder, 'data'),
    socket: socketOf(site),
    port: String(site.port),
    'bind-address': site.host,
    'pid-file': join(site.folder, 'mariadb.pid'),
    // Temporary tables of servers that share a folder can have one name and delete each other's files.
    tmpdir: site.folder,
    'skip-name-resolve': 'ON',
    // A small machine runs several of them at once.
    'innodb-buffer-pool-size': '64M',
    ...site.settings,
    ...more,
  }
  const words = Object.entries(settings).map(([name, value]) => `--${name}=${value}`)
  return [...asOwner(), which('mariadbd') as string, '--no-defaults', ...words]
}

/** Starts the server and resolves when it answers on its socket. */
const boot = async (site: Site, more: Readonly<Record<string, string>> = {}, startMsMax = 60_000): Promise<Running> => {
  const command = commandOf(site, more)
  const server = await start(command, { cwd: site.folder, prefix: site.prefix })
  try {
    await until(
      `MariaDB on ${socketOf(site)}`,
      async () => {
        if (!server.isRunning()) throw new Error(`MariaDB ended:\n${server.output()}`)
        return answers(site)
      },
      startMsMax,
      server.output,
    )
  } catch (error) {
    await server.kill()
    throw error
  }
  return server
}

/** Whether the server executes statements; a node of a cluster does not while it is not in the primary component. */
const answers = async (site: Site): Promise<boolean> =>
  query(site, 'SELECT count(*) FROM information_schema.schemata', 'root').then(
    () => true,
    () => false,
  )

const query = async (site: Site, statement: string, user: 'root' | 'ledger' = 'ledger'): Promise<RowDataPacket[]> => {
  let connection: Connection | undefined
  try {
    const password = user === 'root' ? {} : { password: 'ledger' }
    connection = await createConnection({ socketPath: socketOf(site), user, ...password, connectTimeout: 2_000 })
    const [rows] = await connection.query<RowDataPacket[]>(statement)
    return rows
  } finally {
    connection?.destroy()
  }
}

/** One server: a fresh data folder, Unix socket and a port of 127.0.0.1. */
export const startMariadb = async (options: MariadbOptions = {}): Promise<TestMariadb> => {
  const missing = mariadbMissing()
  if (missing !== undefined) throw new Error(missing)
  const site: Site = {
    folder: await makeFolder('maria'),
    host: '127.0.0.1',
    port: await freePort(),
    database: options.database ?? 'lease_ledger',
    settings: options.settings ?? {},
    prefix: options.prefix ?? [],
  }
  try {
    await install(site)
    for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(site.folder, name), text)
    await giveAway(site.folder)
    const server = await boot(site, { 'init-file': join(site.folder, 'first.sql') })
    return handle(site, server, () => boot(site))
  } catch (error) {
    await rm(site.folder, { recursive: true, force: true })
    throw error
  }
}

const handle = (site: Site, first: Running, again: () => Promise<Running>): TestMariadb => {
  let running = first
  let log = ''
  const family = (): readonly number[] => [running.pid, ...descendants(running.pid)]
  const resume = (): void => family().forEach((member) => signalOne(member, 'SIGCONT'))
  const urlOf = (name: string): string => `mysql://ledger:ledger@${site.host}:${site.port}/${name}`
  return {
    url: urlOf(site.database),
    host: site.host,
    port: site.port,
    user: 'ledger',
    password: 'ledger',
    database: site.database,
    socketPath: socketOf(site),
    folder: site.folder,
    pid: () => running.pid,
    log: () => log + running.output(),
    query: (statement) => query(site, statement),
    createDatabase: async (name) => {
      await query(site, `CREATE DATABASE \`${name}\``)
      return urlOf(name)
    },
    shutdown: async () => {
      resume()
      await running.stop()
    },
    stop: async () => {
      resume()
      await running.kill()
      await rm(site.folder, { recursive: true, force: true })
    },
    kill: async () => {
      await running.kill()
    },
    restart: async () => {
      if (running.isRunning()) throw new Error('MariaDB is running already')
      log += running.output()
      running = await again()
    },
    pause: () => family().forEach((member) => signalOne(member, 'SIGSTOP')),
    resume,
  }
}

/** A Galera cluster: synchronous nodes, each of which takes writes. */
export interface TestGalera {
  readonly nodes: readonly TestMariadb[]
  readonly database: string
  /** Number of nodes in the primary component as node `index` sees it; undefined while it is outside or away. */
  readonly sizeSeenBy: (index: number) => Promise<number | undefined>
  /** Waits until node `index` is synced and sees `size` nodes. */
  readonly settled: (index: number, size: number, deadlineMs?: number) => Promise<void>
  /** Makes an empty database on all nodes. */
  readonly createDatabase: (name: string) => Promise<void>
  /** Cuts a node's network, of nodes in namespaces only: SQL still reaches it over its Unix socket. */
  readonly cut: (index: number) => Promise<void>
  readonly heal: (index: number) => Promise<void>
  /** Starts the first node again as a new cluster after all have been killed or shut down; the rest by `restart`. */
  readonly bootstrap: () => Promise<void>
  readonly stop: () => Promise<void>
}

export interface GaleraOptions extends MariadbOptions {
  /** Puts each node in a namespace of this lab, so that its network can be cut; default loopback addresses. */
  readonly lab?: Lab
  /** What else stands on the switch of the nodes' namespaces, whose addresses are 198.18.9.1/24 and on. */
  readonly guests?: readonly Port[]
  /** More for `wsrep_provider_options`, such as `evs.suspect_timeout=PT2S`. */
  readonly provider?: string
}

/** Clusters made by this process, for their addresses. */
let clusters = 0

/**
 * Starts `size` nodes. On the loopback each has an address of its own, 127.X.Y.N by process id, and thereby the usual
 * ports. The later nodes begin with a copy of the first one's data, so that none has to transfer a whole state.
 */
export const startGalera = async (size: number, options: GaleraOptions = {}): Promise<TestGalera> => {
  const missing = galeraMissing()
  if (missing !== undefined) throw new Error(missing)
  const places =
    options.lab === undefined ? loopbackPlaces(size) : await namespacePlaces(options.lab, size, options.guests ?? [])
  const sites: Site[] = []
  const nodes: TestMariadb[] = []
  const removeAll = async (): Promise<void> => {
    for (const node of nodes) await node.stop()
    for (const site of sites) await rm(site.folder, { recursive: true, force: true })
  }
  try {
    for (const [index, place] of places.entries()) {
      const settings = galeraSettings(places, index, options)
      const database = options.database ?? 'lease_ledger'
      const folder = await makeFolder(`galera${index + 1}`)
      sites.push({ folder, host: place.host, port: 3306, database, settings, prefix: place.namespace?.inside ?? [] })
    }
    await prepare(sites)
    for (const [index, site] of sites.entries()) {
      const server = await boot(site, index === 0 ? { 'wsrep-new-cluster': 'ON' } : {})
      nodes.push(handle(site, server, async () => boot(site, await position(site))))
    }
    const cluster = makeCluster({ sites, nodes, places, removeAll })
    for (const index of nodes.keys()) await cluster.settled(index, size)
    return cluster
  } catch (error) {
    await removeAll()
    throw error
  }
}

interface NodePlace {
  readonly host: string
  readonly namespace?: Namespace
}

const loopbackPlaces = (size: number): readonly NodePlace[] => {
  const first = 1 + 16 * clusters++
  const network = `127.${1 + ((process.pid >> 8) % 254)}.${process.pid & 255}`
  return Array.from({ length: size }, (_, index) => ({ host: `${network}.${first + index}` }))
}

const NODE_DEVICE = 'eth0'

const namespacePlaces = async (lab: Lab, size: number, guests: readonly Port[]): Promise<readonly NodePlace[]> => {
  const { connect } = await import('./namespaces.ts')
  const places: { host: string; namespace: Namespace }[] = []
  for (let index = 0; index < size; index++) {
    places.push({ host: `198.18.9.${index + 1}`, namespace: await lab.namespace(`galera${index + 1}`) })
  }
  const ports = places.map(({ host, namespace }) => ({ namespace, device: NODE_DEVICE, addresses: [`${host}/24`] }))
  await connect(lab, 'galera', [...ports, ...guests])
  return places
}

const galeraSettings = (
  places: readonly NodePlace[],
  index: number,
  options: GaleraOptions,
): Readonly<Record<string, string>> => ({
  'wsrep-on': 'ON',
  'wsrep-provider': PROVIDER,
  'wsrep-cluster-name': `ll-${process.pid}`,
  'wsrep-cluster-address': `gcomm://${places.map((place) => place.host).join(',')}`,
  'wsrep-node-address': places[index]?.host ?? '',
  'wsrep-node-name': `node${index + 1}`,
  'wsrep-sst-method': 'rsync',
  // The node listens on its own address alone: others on this machine use the same ports. The cache stays small.
  'wsrep-provider-options': [
    `gmcast.listen_addr=tcp://${places[index]?.host}:4567`,
    'gcache.size=32M',
    ...(options.provider === undefined ? [] : [options.provider]),
  ].join(';'),
  'binlog-format': 'ROW',
  'innodb-autoinc-lock-mode': '2',
  ...options.settings,
})

/** Makes the data of the first node, gives it a position in the cluster's history, and copies it to the others. */
const prepare = async (sites: readonly Site[]): Promise<void> => {
  const [first, ...others] = sites
  if (first === undefined) throw new Error('a cluster has at least one node')
  await install(first)
  const init = { 'init-file': join(first.folder, 'first.sql'), 'wsrep-new-cluster': 'ON' }
  const server = await boot(first, init)
  await server.stop()
  for (const site of others) {
    const data = join(site.folder, 'data')
    // The write-set cache belongs to one node; a later one makes its own.
    const filter = (from: string): boolean => !from.endsWith('/galera.cache')
    await cp(join(first.folder, 'data'), data, { recursive: true, filter })
    await giveAway(site.folder)
  }
}

/** Where a node that crashed stands in the cluster's history, read from its tables, so that it can be caught up. */
const position = async (site: Site): Promise<Readonly<Record<string, string>>> => {
  const state = readFileSync(join(site.folder, 'data', 'grastate.dat'), 'utf8')
  if (!/seqno:\s+-1/.test(state)) return {}
  const log = join(site.folder, 'recover.log')
  const words = commandOf(site, { 'wsrep-recover': 'ON', 'skip-networking': 'ON', 'log-error': log })
  await must(words, { cwd: site.folder, timeoutMs: 60_000 })
  const found = /WSREP: Recovered position:\s*(\S+)/.exec(readFileSync(log, 'utf8'))?.[1]
  await rm(log, { force: true })
  return found === undefined ? {} : { 'wsrep-start-position': found }
}

interface ClusterParts {
  readonly sites: readonly Site[]
  readonly nodes: TestMariadb[]
  readonly places: readonly NodePlace[]
  readonly removeAll: () => Promise<void>
}

const makeCluster = ({ sites, nodes, places, removeAll }: ClusterParts): TestGalera => {
  const at = <T>(list: readonly T[], index: number): T => {
    const found = list[index]
    if (found === undefined) throw new Error(`there is no node ${index}`)
    return found
  }
  const status = async (index: number): Promise<ReadonlyMap<string, string>> => {
    const rows = await query(at(sites, index), "SHOW GLOBAL STATUS LIKE 'wsrep%'").catch(() => [])
    return new Map(rows.map((row) => [String(row['Variable_name']), String(row['Value'])]))
  }
  const sizeSeenBy = async (index: number): Promise<number | undefined> => {
    const values = await status(index)
    return values.get('wsrep_cluster_status') === 'Primary' ? Number(values.get('wsrep_cluster_size')) : undefined
  }
  const link = async (index: number, direction: 'up' | 'down'): Promise<void> => {
    const { namespace } = at(places, index)
    if (namespace === undefined) throw new Error('only the network of nodes in namespaces can be cut')
    await namespace.ip(`link set ${NODE_DEVICE} ${direction}`)
  }
  return {
    nodes,
    database: at(sites, 0).database,
    sizeSeenBy,
    settled: async (index, size, deadlineMs = PATIENCE_MS) => {
      let seen: ReadonlyMap<string, string> = new Map()
      const ready = async (): Promise<boolean> => {
        seen = await status(index)
        const synced = seen.get('wsrep_local_state_comment') === 'Synced' && seen.get('wsrep_ready') === 'ON'
        return synced && seen.get('wsrep_cluster_size') === String(size)
      }
      const shown = (): string => JSON.stringify(Object.fromEntries(seen), undefined, 1)
      await until(`node ${index} synced among ${size}`, ready, deadlineMs, shown)
    },
    createDatabase: async (name) => {
      await at(nodes, 0).createDatabase(name)
      // The others apply it a moment later, and refuse connections that name it until then.
      for (const node of nodes) {
        await until(`${name} is on every node`, async () => {
          const found = await node.query(`SHOW DATABASES LIKE '${name.replaceAll('_', '\\_')}'`).catch(() => [])
          return found.length === 1
        })
      }
    },
    cut: (index) => link(index, 'down'),
    heal: (index) => link(index, 'up'),
    bootstrap: async () => {
      const site = at(sites, 0)
      if (at(nodes, 0).log() !== '' && (await answers(site))) throw new Error('the first node is running')
      const from = await position(site)
      // The operator's word that this node has the newest data; after a crash Galera cannot know it itself.
      const file = join(site.folder, 'data', 'grastate.dat')
      const state = readFileSync(file, 'utf8').replace(/safe_to_bootstrap:.*/, 'safe_to_bootstrap: 1')
      await writeFile(file, state)
      await giveAway(site.folder)
      const server = await boot(site, { ...from, 'wsrep-new-cluster': 'ON' })
      nodes[0] = handle(site, server, async () => boot(site, await position(site)))
    },
    stop: removeAll,
  }
}
