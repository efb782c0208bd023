import { createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe } from 'vitest'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import type { MysqlTablesOptions } from '../../projections/mysql/open.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { REBUILT } from '../../projections/mysql/statements.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { leaseTablesContract } from './lease-tables-contract.ts'
import { must } from './proposals.ts'

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(`on MariaDB${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestMariadb
  let databases = 0
  beforeAll(async () => {
    server = await startMariadb()
  }, 60_000)
  afterAll(() => server?.stop())

  const newDatabase = async () => {
    const database = `tables_${++databases}`
    const url = await server.createDatabase(database)
    const { host, port, user, password } = server
    const options: MysqlTablesOptions = { hosts: [{ host, port }], database, user, password }
    await must(migrateMysql(options, 'tables'))
    const admin = await createConnection({ uri: url, multipleStatements: true })
    return { options, admin }
  }

  leaseTablesContract('mariadb', async () => {
    const { options, admin } = await newDatabase()
    return {
      open: () => must(openMysqlTables(options)),
      clear: async () => {
        await admin.query(REBUILT.map((table) => `DELETE FROM ${table}`).join('; '))
      },
      dispose: () => admin.end(),
    }
  })
})
