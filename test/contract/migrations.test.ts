/** Setting databases up: from nothing, again, and after a start that died in the middle. The result is always the same. */
import { createConnection } from 'mysql2/promise'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadMigrations } from '../../adapters/migrate.ts'
import type { MigrationTarget } from '../../adapters/migrate.ts'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { must } from './proposals.ts'

const TARGETS: ReadonlyArray<MigrationTarget> = ['ledger', 'tables']

const namesOf = async (dialect: string, target: MigrationTarget): Promise<ReadonlyArray<string>> =>
  (await loadMigrations(dialect, target)).map(({ name }) => name)

const mysqlMissing = mariadbMissing()
describe.skipIf(mysqlMissing !== undefined)(
  `migrations of MariaDB${mysqlMissing === undefined ? '' : ` (skipped: ${mysqlMissing})`}`,
  () => {
    let server: TestMariadb
    let databases = 0
    beforeAll(async () => {
      server = await startMariadb({ settings: { 'innodb-flush-log-at-trx-commit': '0', 'sync-binlog': '0' } })
    })
    afterAll(() => server?.stop())

    const emptyDatabase = async (): Promise<MysqlOptions> => {
      const database = `migrations_${++databases}`
      await server.createDatabase(database)
      const { host, port, user, password } = server
      return { hosts: [{ host, port }], user, password, database }
    }

    /** Everything that a database consists of, as the server describes it, without the database's own name. */
    const described = async ({ database }: MysqlOptions): Promise<ReadonlyArray<string>> => {
      const queries = [
        `SELECT table_name, column_name, ordinal_position, column_default, is_nullable, column_type, collation_name
         FROM information_schema.columns WHERE table_schema = '${database}'`,
        `SELECT table_name, index_name, seq_in_index, column_name, non_unique
         FROM information_schema.statistics WHERE table_schema = '${database}'`,
        `SELECT trigger_name, event_manipulation, action_timing, action_statement
         FROM information_schema.triggers WHERE trigger_schema = '${database}'`,
        `SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = '${database}'`,
        `SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema = '${database}'`,
        `SELECT target, number, name, checksum FROM ${database}.lease_ledger_migrations`,
      ]
      const found: string[] = []
      for (const query of queries) {
        for (const row of await server.query(query)) found.push(JSON.stringify(row).replaceAll(database, 'it'))
      }
      return found.sort()
    }

    /** Runs a file's first statements, as a start does that dies there. */
    const runPart = async ({ database }: MysqlOptions, statements: ReadonlyArray<string>): Promise<void> => {
      const { socketPath, user, password } = server
      const connection = await createConnection({ socketPath, user, password, database, charset: 'utf8mb4_bin' })
      for (const statement of statements) await connection.query(statement)
      await connection.end()
    }

    it.each(TARGETS)('set the %s up from nothing, and change nothing the second time', async (target) => {
      const options = await emptyDatabase()
      expect(await must(migrateMysql(options, target))).toEqual(await namesOf('mysql', target))
      const before = await described(options)
      expect(before.length).toBeGreaterThan(20)
      expect(await must(migrateMysql(options, target))).toEqual([])
      expect(await described(options)).toEqual(before)
    })

    it.each(TARGETS)(
      'set the %s up alike after a start that died in the middle, wherever',
      async (target) => {
        const whole = await emptyDatabase()
        await must(migrateMysql(whole, target))
        const expected = await described(whole)
        const files = await loadMigrations('mysql', target)
        for (const [place, { name, sql }] of files.entries()) {
          const statements = sql.split(/;\s*(?:\n|$)/).filter((text) => text.replaceAll(/--.*$/gm, '').trim() !== '')
          for (let done = 1; done <= statements.length; done += 3) {
            const options = await emptyDatabase()
            await server.query(
              `CREATE TABLE ${options.database}.lease_ledger_migrations LIKE ${whole.database}.lease_ledger_migrations`,
            )
            for (const earlier of files.slice(0, place)) {
              await runPart(
                options,
                earlier.sql.split(/;\s*(?:\n|$)/).filter((text) => /^[A-Z]/m.test(text)),
              )
            }
            await server.query(
              `INSERT INTO ${options.database}.lease_ledger_migrations
             SELECT * FROM ${whole.database}.lease_ledger_migrations WHERE number <= ${place}`,
            )
            await runPart(options, statements.slice(0, done))
            const applied = await must(migrateMysql(options, target))
            expect(applied, `${name} after ${done} statements`).toEqual(files.slice(place).map((file) => file.name))
            expect(await described(options), `${name} after ${done} statements`).toEqual(expected)
            await server.query(`DROP DATABASE ${options.database}`)
          }
        }
      },
      120_000,
    )
  },
)

const pgMissing = postgresMissing()
describe.skipIf(pgMissing !== undefined)(
  `migrations of PostgreSQL${pgMissing === undefined ? '' : ` (skipped: ${pgMissing})`}`,
  () => {
    let server: TestPostgres
    beforeAll(async () => {
      server = await startPostgres({ settings: { fsync: 'off' } })
    })
    afterAll(() => server?.stop())

    it.each(TARGETS)('set the %s up from nothing, and change nothing the second time', async (target) => {
      await server.createDatabase(target)
      const { host, port, user } = server
      const options = { hosts: [{ host, port }], user, database: target }
      expect(await must(migratePostgres(options, target))).toEqual(await namesOf('postgres', target))
      const admin = postgres({ host, port, user, database: target, max: 1 })
      const described = async (): Promise<ReadonlyArray<string>> => {
        const rows = await admin`
          SELECT c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
          WHERE c.relnamespace = 'public'::regnamespace
          ORDER BY c.relname, a.attnum`
        const triggers =
          await admin`SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1`
        return [...rows, ...triggers].map((row) => JSON.stringify(row))
      }
      const before = await described()
      expect(before.length).toBeGreaterThan(20)
      expect(await must(migratePostgres(options, target))).toEqual([])
      expect(await described()).toEqual(before)
      await admin.end({ timeout: 1 })
    })
  },
)
