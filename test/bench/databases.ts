/**
 * The databases that the servers under test work on: one PostgreSQL and one MariaDB with their default durability (every
 * commit is synced), in the servers' namespace, so that all reach them alike by TCP over its loopback.
 */
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import type { Lab, Namespace } from '../support/namespaces.ts'
import { startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { must } from '../support/process.ts'
import { treeSeconds } from './cpu.ts'

/** A database server with a fresh database for each measurement. */
export interface BenchDatabase {
  /** Makes an empty database, with Kea's tables where asked for, and gives what goes into `lease-database`. */
  readonly fresh: (name: string, keaTables: boolean) => Promise<Readonly<Record<string, unknown>>>
  /** Drops a database, so that the next measurement has its memory and its disk. */
  readonly drop: (name: string) => Promise<void>
  /** Runs one statement, in which `{}.` stands before the tables of the database; rows as records. */
  readonly query: (name: string, statement: string) => Promise<ReadonlyArray<Record<string, unknown>>>
  /** Processor seconds of the server and its children so far. */
  readonly cpuSeconds: () => number
  /** Product, version and durability settings in one line. */
  readonly describe: () => Promise<string>
}

const KEA_SCRIPTS = '/usr/share/kea/scripts'

/** PostgreSQL with its defaults. */
export const openBenchPostgres = async (
  lab: Lab,
  place: Namespace,
): Promise<{ readonly database: BenchDatabase; readonly server: TestPostgres }> => {
  const server = await startPostgres({ prefix: place.inside })
  lab.defer('stop PostgreSQL', () => server.stop())
  const query = async (name: string, statement: string): Promise<ReadonlyArray<Record<string, unknown>>> => {
    const sql = postgres({
      host: server.socketFolder,
      port: server.port,
      user: server.user,
      database: name,
      max: 1,
      onnotice: () => undefined,
    })
    try {
      return await sql.unsafe(statement.replaceAll('{}.', ''))
    } finally {
      await sql.end({ timeout: 1 })
    }
  }
  const database: BenchDatabase = {
    fresh: async (name, keaTables) => {
      await server.createDatabase(name)
      const connect = ['-h', server.socketFolder, '-p', String(server.port), '-U', server.user, '-d', name]
      if (keaTables) {
        await must([
          'psql',
          '-q',
          '-v',
          'ON_ERROR_STOP=1',
          ...connect,
          '-f',
          `${KEA_SCRIPTS}/pgsql/dhcpdb_create.pgsql`,
        ])
      }
      const { host, port, user } = server
      return { type: 'postgresql', host, port, user, password: '', name }
    },
    drop: async (name) => void (await query('postgres', `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`)),
    query,
    cpuSeconds: () => treeSeconds(server.pid()),
    describe: async () => {
      const [row] = await query(
        'postgres',
        `SELECT current_setting('server_version') AS v, current_setting('fsync') AS f,
                current_setting('synchronous_commit') AS s, current_setting('shared_buffers') AS b`,
      )
      return `PostgreSQL ${row?.v}: fsync ${row?.f}, synchronous_commit ${row?.s}, shared_buffers ${row?.b}`
    },
  }
  return { database, server }
}

/**
 * Memory and redo log that hold what a run writes, for both servers: with the 128 and 96 MiB of the defaults, what is
 * measured is how pages are written out and read again while claims wait. PostgreSQL's defaults leave that to the system.
 */
const ROOMY = { 'innodb-buffer-pool-size': '1G', 'innodb-log-file-size': '1G' }

/** MariaDB with its defaults, but for its size. */
export const openBenchMariadb = async (
  lab: Lab,
  place: Namespace,
): Promise<{ readonly database: BenchDatabase; readonly server: TestMariadb }> => {
  const server = await startMariadb({ prefix: place.inside, settings: ROOMY })
  lab.defer('stop MariaDB', () => server.stop())
  const database: BenchDatabase = {
    fresh: async (name, keaTables) => {
      await server.createDatabase(name)
      if (keaTables) {
        const input = await readFile(`${KEA_SCRIPTS}/mysql/dhcpdb_create.mysql`, 'utf8')
        const account = [`--user=${server.user}`, `--password=${server.password}`]
        await must(['mariadb', '--no-defaults', `--socket=${server.socketPath}`, ...account, name], {
          input,
          timeoutMs: 120_000,
        })
      }
      const { host, port, user, password } = server
      return { type: 'mysql', host, port, user, password, name }
    },
    drop: async (name) => void (await server.query(`DROP DATABASE IF EXISTS \`${name}\``)),
    query: (name, statement) => server.query(statement.replaceAll('{}', `\`${name}\``)),
    cpuSeconds: () => treeSeconds(server.pid()),
    describe: async () => {
      const [row] = await server.query(
        `SELECT version() AS v, @@innodb_flush_log_at_trx_commit AS f, @@log_bin AS l,
                @@innodb_buffer_pool_size DIV 1048576 AS b, @@innodb_log_file_size DIV 1048576 AS r`,
      )
      const room = `buffer pool ${row?.b} MiB, redo log ${row?.r} MiB`
      return `MariaDB ${row?.v}: innodb_flush_log_at_trx_commit ${row?.f}, log_bin ${row?.l}, ${room}`
    },
  }
  return { database, server }
}
