import { createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe } from 'vitest'
import { openMysql, openMysqlReader } from '../../adapters/mysql/open.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import { galeraMissing, startGalera } from '../support/mariadb.ts'
import type { TestGalera } from '../support/mariadb.ts'
import { eventStoreContract } from './event-store-contract.ts'
import type { LedgerUnderTest } from './event-store-contract.ts'
import { PATIENT } from './limits.ts'

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
})
