/** The table of spans on PostgreSQL, where a constraint refuses two holders at once. */
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { REBUILT } from '../../projections/postgres/statements.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { PATIENT } from './limits.ts'
import { must } from './proposals.ts'
import { applySpans, sampleClaim, spansContract } from './spans-contract.ts'

const missing = postgresMissing()
describe.skipIf(missing !== undefined)(`spans on PostgreSQL${missing === undefined ? '' : ` (${missing})`}`, () => {
  let server: TestPostgres
  let admin: postgres.Sql
  beforeAll(async () => {
    server = await startPostgres()
    await must(migratePostgres(options(), 'tables'))
    admin = postgres(server.url, { max: 1, onnotice: () => undefined })
  })
  afterAll(async () => {
    await admin?.end({ timeout: 1 })
    await server?.stop()
  })

  const options = () => ({
    hosts: [{ host: server.host, port: server.port }],
    database: server.database,
    user: server.user,
    ...PATIENT,
  })
  const clear = async (): Promise<void> => void (await admin.unsafe(`TRUNCATE ${REBUILT.join(', ')}`))

  spansContract('postgres', async () => ({
    open: () => must(openPostgresTables(options())),
    clear,
    hide: async () => void (await admin`ALTER TABLE lease_spans RENAME TO lease_spans_away`),
    unhide: async () => void (await admin`ALTER TABLE lease_spans_away RENAME TO lease_spans`),
    countLeases: async () => {
      const rows = await admin`SELECT 1 AS one FROM lease4 UNION ALL SELECT 1 FROM lease6`
      return rows.length
    },
    ask: async () => {
      expect([...(await admin`SELECT holder FROM lease_spans WHERE disputed`)]).toEqual([])
      await admin`SELECT * FROM lease_history`
    },
    dispose: async () => undefined,
  }))

  it('keeps what the constraint refuses, marked, and the projection goes on', async () => {
    await clear()
    const claim = sampleClaim()
    const at = (seq: number, type: string, holder: string, from: number, until: number): Recorded =>
      ({
        ...claim,
        seq,
        revision: seq - 1,
        recordedAt: type === 'LeaseClaimed' ? from : until,
        event: { type, lease: { ...claim.event.lease, holder, startsAt: from, expiresAt: until } },
      }) as Recorded
    const events = [
      at(1, 'LeaseClaimed', 'id:1', 1_000_000, 2_000_000),
      at(2, 'LeaseExpired', 'id:1', 1_000_000, 2_000_000),
      at(3, 'LeaseClaimed', 'id:2', 1_500_000, 2_500_000),
      at(4, 'LeaseExpired', 'id:2', 1_500_000, 2_500_000),
    ]
    const tables = await must(openPostgresTables(options()))
    expect(await must(applySpans(tables, events))).toEqual({ _tag: 'Applied' })
    expect(await must(applySpans(tables, events))).toEqual({ _tag: 'Elsewhere', checkpointAt: 4 })
    await tables.close()
    const rows = await admin`SELECT holder, disputed FROM lease_spans ORDER BY holder`
    expect([...rows]).toEqual([
      { holder: 'id:1', disputed: false },
      { holder: 'id:2', disputed: true },
    ])
  })
})
