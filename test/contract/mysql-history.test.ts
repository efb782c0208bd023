/** The table of spans on MariaDB: the same fold as the ledger's, in whatever order logs come; and what is asked of it. */
import * as fc from 'fast-check'
import { createConnection } from 'mysql2/promise'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { FOREVER } from '../../domain/instant.ts'
import { addressText } from '../../domain/stream.ts'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { makeMemoryLedger, openMemoryReader } from '../../adapters/memory/memory-store.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { verify } from '../../projections/verify.ts'
import { IDENTIFIER_KINDS, identifierOf, spanKey, spanRowsOf } from '../../projections/history.ts'
import type { SpanRow } from '../../projections/history.ts'
import { coalesced, rowOf } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { REBUILT } from '../../projections/mysql/statements.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { histories } from './lease-table-histories.ts'
import { batchesOf } from './lease-tables-contract.ts'
import { record } from './projection-support.ts'
import { must } from './proposals.ts'

/** What the spans of a database say, without what texts of a database cannot hold. */
const essence = (rows: Iterable<SpanRow>): ReadonlyMap<string, object> => {
  const known = [...rows].map((row) => {
    const { lease, first, last, end, formerly } = row
    return [spanKey(row), { renewals: lease.renewals, until: lease.expiresAt, first, last, end, formerly }] as const
  })
  return new Map(known.toSorted(([one], [other]) => (one < other ? -1 : 1)))
}

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(`spans on MariaDB${missing === undefined ? '' : ` (${missing})`}`, () => {
  let server: TestMariadb
  let tables: LeaseTables
  let admin: Connection
  beforeAll(async () => {
    server = await startMariadb()
    const database = 'spans'
    const url = await server.createDatabase(database)
    const { host, port, user, password } = server
    const options = { hosts: [{ host, port }], database, user, password }
    await must(migrateMysql(options, 'ledger'))
    await must(migrateMysql(options, 'tables'))
    tables = await must(openMysqlTables(options))
    admin = await createConnection({ uri: url, multipleStatements: true })
  }, 60_000)
  afterAll(async () => {
    await tables?.close()
    await admin?.end()
    await server?.stop()
  })

  const clear = () => admin.query(REBUILT.map((table) => `DELETE FROM ${table}`).join('; '))

  const apply = (batch: ReadonlyArray<Recorded>) => {
    const [first, last] = [batch[0] as Recorded, batch.at(-1) as Recorded]
    const rows = coalesced(batch.map(rowOf))
    return must(tables.apply(LEASES, first.log, first.seq - 1, last.seq, rows, spanRowsOf(batch)))
  }

  const stored = async (): Promise<ReadonlyArray<SpanRow>> => {
    const rows: SpanRow[] = []
    await must(tables.history!.all((row) => rows.push(row)))
    return rows
  }

  /** What `verify` says of the tables beside a ledger of these events. */
  const verified = async (events: ReadonlyArray<Recorded>) => {
    const ledger = makeMemoryLedger(() => 0)
    await record(ledger, events)
    return must(verify({ store: openMemoryReader(ledger), tables, checkLink, genesis: GENESIS, maxClockSkewMs: 5_000 }))
  }

  it('holds what the events say, however they are batched and whichever log comes first', async () => {
    const property = fc.asyncProperty(histories(60), fc.integer({ min: 1, max: 20 }), async (events, size) => {
      const batches = batchesOf(events, size)
      const logs = [...new Set(events.map(({ log }) => log))]
      const reversed = logs.toReversed().flatMap((log) => batches.filter((batch) => batch[0]?.log === log))
      for (const order of [batches, reversed]) {
        await clear()
        const half = Math.floor(order.length / 2)
        for (const batch of order.slice(0, half)) expect(await apply(batch)).toEqual({ _tag: 'Applied' })
        expect((await verified(events)).differences).not.toHaveProperty('span') // tables may be behind
        for (const batch of order.slice(half)) expect(await apply(batch)).toEqual({ _tag: 'Applied' })
        expect(essence(await stored())).toEqual(essence(spanRowsOf(events)))
        const { spans, differences } = await verified(events)
        expect([spans, differences.span, differences.disputed]).toEqual([
          spanRowsOf(events).length,
          undefined,
          undefined,
        ])
        for (const row of spanRowsOf(events)) {
          const within = await must(tables.history!.within(addressText(row.stream)))
          expect(within.map(spanKey)).toContain(spanKey(row))
          for (const kind of IDENTIFIER_KINDS) {
            const value = identifierOf(row.lease, kind)
            if (value === undefined || row.last === undefined) continue
            const held = await must(tables.history!.ofClient({ kind, value }, 0, FOREVER))
            expect(held.map(spanKey)).toContain(spanKey(row))
          }
        }
        await admin.query('SELECT * FROM lease_history; SELECT * FROM ledger_events')
      }
    })
    await fc.assert(property, { numRuns: 10 })
  }, 60_000)

  it('moves the checkpoint and writes the rows only with the spans', async () => {
    await clear()
    const events = fc.sample(histories(300), { seed: 11, numRuns: 1 })[0] as ReadonlyArray<Recorded>
    const [batch] = batchesOf(events, 20) as [ReadonlyArray<Recorded>]
    const [first, last] = [batch[0] as Recorded, batch.at(-1) as Recorded]
    const rows = coalesced(batch.map(rowOf))
    await admin.query('RENAME TABLE lease_spans TO lease_spans_away')
    const failed = await tables.apply(LEASES, first.log, first.seq - 1, last.seq, rows, spanRowsOf(batch))()
    await admin.query('RENAME TABLE lease_spans_away TO lease_spans')
    expect(failed).toMatchObject({ _tag: 'Left' })
    expect(await must(tables.checkpoint(LEASES))).toEqual({})
    expect((await admin.query('SELECT 1 FROM lease4 UNION ALL SELECT 1 FROM lease6'))[0]).toEqual([])
    expect(await apply(batch)).toEqual({ _tag: 'Applied' })
    expect(essence(await stored())).toEqual(essence(spanRowsOf(batch)))
  })

  it('merges what two writers tell of one span at once', async () => {
    await clear()
    const events = fc.sample(histories(300), { seed: 11, numRuns: 1 })[0] as ReadonlyArray<Recorded>
    const { host, port, user, password } = server
    const other = await must(openMysqlTables({ hosts: [{ host, port }], database: 'spans', user, password }))
    const logs = [...new Set(events.map(({ log }) => log))]
    expect(logs.length).toBeGreaterThan(1)
    const follow = async (writer: LeaseTables, log: string): Promise<void> => {
      const own = events.filter((event) => event.log === log)
      for (let at = 0; at < own.length; at += 5) {
        const batch = own.slice(at, at + 5)
        const rows = coalesced(batch.map(rowOf))
        await must(writer.apply(LEASES, log, at, at + batch.length, rows, spanRowsOf(batch)))
      }
    }
    const shares = [tables, other].map(async (writer, index) => {
      for (const log of logs.filter((_, place) => place % 2 === index)) await follow(writer, log)
    })
    await Promise.all(shares)
    await other.close()
    expect(essence(await stored())).toEqual(essence(spanRowsOf(events)))
  }, 30_000)
})
