import { createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe } from 'vitest'
import { openMysql, openMysqlReader } from '../../adapters/mysql/open.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { eventStoreContract } from './event-store-contract.ts'
import type { LedgerUnderTest } from './event-store-contract.ts'
import { PATIENT } from './limits.ts'

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(`on MariaDB${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestMariadb
  let databases = 0
  beforeAll(async () => {
    server = await startMariadb()
  })
  afterAll(() => server?.stop())

  eventStoreContract('mariadb', async (): Promise<LedgerUnderTest> => {
    const database = `contract_${++databases}`
    const url = await server.createDatabase(database)
    const { host, port, user, password } = server
    const options: MysqlOptions = { hosts: [{ host, port }], database, user, password, ...PATIENT }
    const admin = await createConnection(url)
    return {
      open: (log) => openMysql(options, log),
      openReader: () => openMysqlReader(options),
      // TRUNCATE is kept out by privileges alone; see the test of the account that a server runs under.
      vandalise: [
        { what: 'UPDATE', how: () => admin.query("UPDATE events SET stream = 'lease4/198.18.9.9'") },
        { what: 'DELETE', how: () => admin.query('DELETE FROM events') },
        { what: 'REPLACE', how: () => admin.query('REPLACE INTO events SELECT * FROM events') },
      ],
      plantBeyondSafe: async (log) => {
        await admin.query(
          `INSERT INTO events (seq, revision, recorded_at, writer, schema_version, stream, type, data, hash)
           SELECT 9007199254740993, 0, now(), writer, 1, 'lease4/198.18.200.1', 'LeaseClaimed', '{}', unhex(sha2('', 256))
           FROM writers WHERE name = ?`,
          [log],
        )
      },
      dispose: () => admin.end(),
    }
  })
})
