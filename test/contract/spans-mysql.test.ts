/** The table of spans on MariaDB. */
import { createConnection } from 'mysql2/promise'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe } from 'vitest'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { REBUILT } from '../../projections/mysql/statements.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { PATIENT } from './limits.ts'
import { must } from './proposals.ts'
import { spansContract } from './spans-contract.ts'

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(`spans on MariaDB${missing === undefined ? '' : ` (${missing})`}`, () => {
  let server: TestMariadb
  let admin: Connection
  beforeAll(async () => {
    server = await startMariadb()
    for (const target of ['ledger', 'tables'] as const) await must(migrateMysql(options(), target))
    admin = await createConnection({ uri: server.url, multipleStatements: true })
  })
  afterAll(async () => {
    await admin?.end()
    await server?.stop()
  })

  const options = () => {
    const { host, port, user, password, database } = server
    return { hosts: [{ host, port }], database, user, password, ...PATIENT }
  }

  spansContract('mariadb', async () => ({
    open: () => must(openMysqlTables(options())),
    clear: async () => void (await admin.query(REBUILT.map((table) => `DELETE FROM ${table}`).join('; '))),
    hide: async () => void (await admin.query('RENAME TABLE lease_spans TO lease_spans_away')),
    unhide: async () => void (await admin.query('RENAME TABLE lease_spans_away TO lease_spans')),
    countLeases: async () => {
      const [rows] = await admin.query<RowDataPacket[]>('SELECT 1 FROM lease4 UNION ALL SELECT 1 FROM lease6')
      return rows.length
    },
    ask: async () => void (await admin.query('SELECT * FROM lease_history; SELECT * FROM ledger_events')),
    dispose: async () => undefined,
  }))
})
