import * as E from 'fp-ts/lib/Either.js'
import { createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { openMysql, openMysqlReader } from '../../adapters/mysql/open.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { coalesced, rowOf } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { galeraMissing, startGalera } from '../support/mariadb.ts'
import type { TestGalera } from '../support/mariadb.ts'
import { eventStoreContract } from './event-store-contract.ts'
import type { LedgerUnderTest } from './event-store-contract.ts'
import { busySite } from './lease-table-histories.ts'
import { counted, shown } from './lease-tables-contract.ts'
import { PATIENT } from './limits.ts'
import { must } from './proposals.ts'

const missing = galeraMissing()
describe.skipIf(missing !== undefined)(`on Galera${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let cluster: TestGalera
  let databases = 0
  beforeAll(async () => {
    cluster = await startGalera(3)
  })
  afterAll(() => cluster?.stop())

  // Every server of a test stands with another node, and readers with yet another: what one commits the next must see.
  eventStoreContract('galera', async (): Promise<LedgerUnderTest> => {
    const database = `contract_${++databases}`
    await cluster.createDatabase(database)
    const hosts = cluster.nodes.map(({ host, port }) => ({ host, port }))
    let opened = 0
    const next = (): MysqlOptions => {
      const first = opened++ % hosts.length
      return {
        hosts: [...hosts.slice(first), ...hosts.slice(0, first)],
        database,
        user: 'ledger',
        password: 'ledger',
        ...PATIENT,
      }
    }
    const admin = await createConnection(`mysql://ledger:ledger@${hosts[2]?.host}:${hosts[2]?.port}/${database}`)
    await admin.query('SET SESSION wsrep_sync_wait = 1')
    return {
      open: (log) => openMysql(next(), log),
      openReader: () => openMysqlReader(next()),
      vandalise: [
        { what: 'UPDATE', how: () => admin.query("UPDATE events SET stream = 'lease4/198.18.9.9'") },
        { what: 'DELETE', how: () => admin.query('DELETE FROM events') },
      ],
      dispose: () => admin.end(),
    }
  })

  // Write sets of the other nodes end transactions here at any moment, also between two statements.
  it('counts every lease once, however often writers at several nodes begin anew', async () => {
    await cluster.createDatabase('met')
    const options = { database: 'met', user: 'ledger', password: 'ledger', ...PATIENT }
    const at = (node: number) => ({ ...options, hosts: cluster.nodes.slice(node, node + 1) })
    await must(migrateMysql(at(0), 'tables'))
    const write = async (writer: number): Promise<void> => {
      const tables = await must(openMysqlTables(at(writer % cluster.nodes.length)))
      const events = ownEvents(writer)
      for (let from = 0; from < events.length;) {
        const batch = events.slice(from, from + 2)
        const rows = coalesced(batch.map(rowOf))
        const applied = await tables.apply(LEASES, `log-${writer}`, from, from + batch.length, rows)()
        if (E.isLeft(applied)) continue
        from = applied.right._tag === 'Applied' ? from + batch.length : applied.right.checkpointAt
      }
      await tables.close()
    }
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)))
    const tables = await must(openMysqlTables(at(0)))
    const { rows, statistics } = await shown(tables)
    await tables.close()
    expect(rows.size).toBe(WRITERS * EACH * 2)
    expect(statistics).toEqual(counted(rows.values()))
  })
})

const WRITERS = 4

/** Leases of each family that a writer projects. */
const EACH = 250

/** A log of as many new leases of DHCPv4 as of DHCPv6 in one subnet, in turn; no two writers have the same. */
const ownEvents = (writer: number): ReadonlyArray<Recorded> => {
  const ofFamily = (family: 4 | 6): ReadonlyArray<Recorded> =>
    busySite(WRITERS * EACH, family).slice(writer * EACH, (writer + 1) * EACH)
  const six = ofFamily(6)
  return ofFamily(4)
    .flatMap((event, i) => [event, six[i] as Recorded])
    .map((event, i) => ({ ...event, log: `log-${writer}`, seq: i + 1 }))
}
