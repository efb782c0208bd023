import postgres from 'postgres'
import { afterAll, beforeAll, describe } from 'vitest'
import { openPostgres, openPostgresReader } from '../../adapters/postgres/open.ts'
import type { PostgresOptions } from '../../adapters/postgres/options.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { eventStoreContract } from './event-store-contract.ts'
import type { LedgerUnderTest } from './event-store-contract.ts'
import { PATIENT } from './limits.ts'

const missing = postgresMissing()
describe.skipIf(missing !== undefined)(`on PostgreSQL${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestPostgres
  let databases = 0
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.stop())

  eventStoreContract('postgres', async (): Promise<LedgerUnderTest> => {
    const database = `contract_${++databases}`
    const url = await server.createDatabase(database)
    const options: PostgresOptions = {
      hosts: [{ host: server.host, port: server.port }],
      database,
      user: server.user,
      ...PATIENT,
    }
    const admin = postgres(url, { max: 1, onnotice: () => undefined })
    return {
      open: (log) => openPostgres(options, log),
      openReader: () => openPostgresReader(options),
      vandalise: [
        { what: 'UPDATE', how: () => admin`UPDATE events SET stream = 'lease4/198.18.9.9'`.execute() },
        { what: 'UPDATE of no row', how: () => admin`UPDATE events SET seq = 1 WHERE seq = -1`.execute() },
        { what: 'DELETE', how: () => admin`DELETE FROM events`.execute() },
        { what: 'TRUNCATE', how: () => admin`TRUNCATE events`.execute() },
        {
          what: 'UPDATE by a replica session',
          how: () => admin.unsafe("SET session_replication_role = 'replica'; DELETE FROM events"),
        },
      ],
      plantBeyondSafe: async (log) => {
        await admin`
          INSERT INTO events (seq, revision, recorded_at, writer, schema_version, stream, type, data, hash)
          SELECT 9007199254740993, 0, now(), writer, 1, 'lease4/198.18.200.1', 'LeaseClaimed', '{}', sha256('')
          FROM writers WHERE name = ${log}`
      },
      dispose: () => admin.end({ timeout: 1 }),
    }
  })
})
