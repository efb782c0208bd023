/**
 * The statistics that Kea's readers ask for, after random histories: equal to a count of the leases by hand and to the
 * count that Kea's own recount makes of the rows, and below zero at no moment.
 */
import * as fc from 'fast-check'
import { createConnection } from 'mysql2/promise'
import postgres from 'postgres'
import { describe, expect, it } from 'vitest'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import type { Recorded } from '../../domain/event-store.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { REBUILT as REBUILT_MYSQL } from '../../projections/mysql/statements.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { REBUILT as REBUILT_POSTGRES } from '../../projections/postgres/statements.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import { histories } from './lease-table-histories.ts'
import { applyBatch } from './lease-tables-contract.ts'
import { must } from './proposals.ts'

type Row = Readonly<Record<string, unknown>>

/** A database of lease tables that refuses any statistic below zero. */
interface Site {
  /** Two writers. */
  readonly writers: readonly [LeaseTables, LeaseTables]
  readonly query: (sql: string) => Promise<ReadonlyArray<Row>>
  readonly clear: () => Promise<unknown>
  readonly close: () => Promise<void>
}

const STATISTICS = {
  lease4_stat: 'subnet_id, state',
  lease4_pool_stat: 'subnet_id, pool_id, state',
  lease6_stat: 'subnet_id, lease_type, state',
  lease6_pool_stat: 'subnet_id, pool_id, lease_type, state',
} as const

type Table = keyof typeof STATISTICS
const TABLES = Object.keys(STATISTICS) as ReadonlyArray<Table>

const openPostgresSite = async (): Promise<Site> => {
  const server = await startPostgres()
  const options = { hosts: [{ host: server.host, port: server.port }], database: server.database, user: server.user }
  await must(migratePostgres(options, 'tables'))
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined })
  await sql.unsafe(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN RAISE EXCEPTION 'the statistic % is below zero', NEW; END $$`)
  for (const table of TABLES)
    await sql.unsafe(`CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON ${table} FOR EACH ROW WHEN (NEW.leases < 0)
                      EXECUTE FUNCTION refuse()`)
  const writers = [await must(openPostgresTables(options)), await must(openPostgresTables(options))] as const
  return {
    writers,
    query: async (text) => [...(await sql.unsafe(text))],
    clear: () => sql.unsafe(`TRUNCATE ${REBUILT_POSTGRES.join(', ')}`),
    close: async () => {
      for (const writer of writers) await writer.close()
      await sql.end({ timeout: 1 })
      await server.stop()
    },
  }
}

const openMariadbSite = async (): Promise<Site> => {
  const server = await startMariadb()
  const { host, port, user, password, database } = server
  const options = { hosts: [{ host, port }], database, user, password }
  await must(migrateMysql(options, 'tables'))
  const admin = await createConnection({ uri: server.url, multipleStatements: true })
  for (const table of TABLES)
    for (const moment of ['INSERT', 'UPDATE'])
      await admin.query(`CREATE TRIGGER ${table}_${moment} AFTER ${moment} ON ${table} FOR EACH ROW
                         IF NEW.leases < 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'below zero'; END IF`)
  const writers = [await must(openMysqlTables(options)), await must(openMysqlTables(options))] as const
  return {
    writers,
    query: async (text) => (await admin.query(text))[0] as ReadonlyArray<Row>,
    clear: () => admin.query(REBUILT_MYSQL.map((table) => `DELETE FROM ${table}`).join('; ')),
    close: async () => {
      for (const writer of writers) await writer.close()
      await admin.end()
      await server.stop()
    },
  }
}

// ---------------------------------------------------------------- The count by hand

/** Kea's state of a lease that its statistics count: in use, or declined. */
const countedState = ({ event }: Recorded): 0 | 1 | undefined => {
  switch (event.type) {
    case 'LeaseClaimed':
    case 'LeaseRenewed':
      return 0
    case 'LeaseDeclined':
      return 1
    case 'LeaseImported':
      return event.status === 'bound' ? 0 : event.status === 'declined' ? 1 : undefined
    default:
      return undefined
  }
}

/** Of each statistic the rows that are not 0, as `key columns: leases`, sorted. */
type Counts = Readonly<Record<Table, ReadonlyArray<string>>>

const countByHand = (events: ReadonlyArray<Recorded>): Counts => {
  const last = new Map<string, Recorded>()
  for (const event of events)
    if ((last.get(event.stream)?.revision ?? -1) < event.revision) last.set(event.stream, event)
  const counts: Record<Table, Map<string, number>> = {
    lease4_stat: new Map(),
    lease4_pool_stat: new Map(),
    lease6_stat: new Map(),
    lease6_pool_stat: new Map(),
  }
  const add = (table: Table, ...key: ReadonlyArray<number>): void => {
    const text = key.join(' ')
    counts[table].set(text, (counts[table].get(text) ?? 0) + 1)
  }
  for (const recorded of last.values()) {
    const state = countedState(recorded)
    if (state === undefined) continue
    const { subnetId, poolId } = recorded.event.lease
    if (recorded.stream.startsWith('lease4/')) {
      add('lease4_stat', subnetId, state)
      add('lease4_pool_stat', subnetId, poolId, state)
    } else {
      const type = recorded.stream.startsWith('prefix6/') ? 2 : 0
      add('lease6_stat', subnetId, type, state)
      add('lease6_pool_stat', subnetId, poolId, type, state)
    }
  }
  const texts = (table: Table): ReadonlyArray<string> =>
    [...counts[table]].map(([key, leases]) => `${key}: ${leases}`).sort()
  return mapTables(texts)
}

const mapTables = <A>(of: (table: Table) => A): Record<Table, A> => ({
  lease4_stat: of('lease4_stat'),
  lease4_pool_stat: of('lease4_pool_stat'),
  lease6_stat: of('lease6_stat'),
  lease6_pool_stat: of('lease6_pool_stat'),
})

const asTexts = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  rows.map((row) => Object.values(row).slice(0, -1).join(' ') + `: ${Object.values(row).at(-1)}`).sort()

const everyTable = async (ask: (table: Table) => Promise<ReadonlyArray<Row>>): Promise<Counts> => {
  const counts = mapTables((): ReadonlyArray<string> => [])
  for (const table of TABLES) counts[table] = asTexts(await ask(table))
  return counts
}

/** What the statistics say. */
const shownBy = (site: Site): Promise<Counts> =>
  everyTable((table) => site.query(`SELECT ${STATISTICS[table]}, leases FROM ${table} WHERE leases <> 0`))

/** What a recount gives, as Kea's `stats-recount` makes it. */
const recounted = (site: Site): Promise<Counts> =>
  everyTable((table) => {
    const [rows, key] = [table.slice(0, 6), STATISTICS[table]]
    return site.query(`SELECT ${key}, count(*) AS leases FROM ${rows} WHERE state IN (0, 1) GROUP BY ${key}`)
  })

/** Projects a log to its end, as one of several writers who may all do so. */
const project = async (tables: LeaseTables, log: ReadonlyArray<Recorded>, size: number): Promise<void> => {
  for (let at = 0; at < log.length;) {
    const batch = log.slice(at, at + size)
    const outcome = await applyBatch(tables, batch)
    at = outcome._tag === 'Applied' ? at + batch.length : outcome.checkpointAt
  }
}

const ENGINES = [
  { name: 'PostgreSQL', missing: postgresMissing(), open: openPostgresSite },
  { name: 'MariaDB', missing: mariadbMissing(), open: openMariadbSite },
]

for (const { name, missing, open } of ENGINES) {
  const reason = missing === undefined ? '' : ` (skipped: ${missing})`
  describe.skipIf(missing !== undefined)(`statistics on ${name}${reason}`, () => {
    it('count what is in use and declined, in whatever order two servers write their logs down', async () => {
      const site = await open()
      const sizes = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }))
      const property = fc.asyncProperty(histories(80), sizes, fc.boolean(), async (events, [one, two], atOnce) => {
        await site.clear()
        const logs = ['beta', 'alpha'].map((log) => events.filter((event) => event.log === log))
        const [first, second] = site.writers
        const works = [
          () => project(first, logs[0] ?? [], one),
          () => project(second, logs[1] ?? [], two),
          // Another one is at the same events, and comes too late for most of them.
          () => project(first, logs[1] ?? [], two),
        ]
        if (atOnce) await Promise.all(works.map((work) => work()))
        else for (const work of works) await work()
        const byHand = countByHand(events)
        expect(await shownBy(site)).toEqual(byHand)
        expect(await recounted(site)).toEqual(byHand)
      })
      try {
        await fc.assert(property, { numRuns: 30 })
        // The refusal that this test rests on is there.
        await expect(site.query('INSERT INTO lease4_stat VALUES (99, 0, -1)')).rejects.toThrow('below zero')
      } finally {
        await site.close()
      }
    }, 300_000)
  })
}
