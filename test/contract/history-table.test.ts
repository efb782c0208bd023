/** The table of spans on PostgreSQL: the same fold as the ledger's, in whatever order logs come; two holders refused. */
import * as fc from 'fast-check'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { makeMemoryLedger, openMemoryReader } from '../../adapters/memory/memory-store.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { verify } from '../../projections/verify.ts'
import { spanKey, spanRowsOf } from '../../projections/history.ts'
import type { SpanRow } from '../../projections/history.ts'
import { coalesced, rowOf } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { REBUILT } from '../../projections/postgres/statements.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
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

const missing = postgresMissing()
describe.skipIf(missing !== undefined)(`spans on PostgreSQL${missing === undefined ? '' : ` (${missing})`}`, () => {
  let server: TestPostgres
  let tables: LeaseTables
  let admin: postgres.Sql
  beforeAll(async () => {
    server = await startPostgres()
    const options = { hosts: [{ host: server.host, port: server.port }], database: server.database, user: server.user }
    await must(migratePostgres(options, 'tables'))
    tables = await must(openPostgresTables(options))
    admin = postgres(server.url, { max: 1, onnotice: () => undefined })
  }, 60_000)
  afterAll(async () => {
    await tables?.close()
    await admin?.end({ timeout: 1 })
    await server?.stop()
  })

  const clear = () => admin.unsafe(`TRUNCATE ${REBUILT.join(', ')}`)

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
        expect((await admin`SELECT count(*)::int AS n FROM lease_spans WHERE disputed`)[0]).toEqual({ n: 0 })
      }
    })
    await fc.assert(property, { numRuns: 15 })
  }, 60_000)

  it('takes an empty name for none', async () => {
    await clear()
    const [claim] = fc
      .sample(histories(1), { seed: 3, numRuns: 200 })
      .flat()
      .filter((event) => event.event.type === 'LeaseClaimed')
    if (claim === undefined) throw new Error('no claim among the samples')
    const named = (hostname: string | undefined, revision: number): Recorded => ({
      ...claim,
      seq: revision + 1,
      revision,
      event: {
        ...claim.event,
        type: revision === 0 ? 'LeaseClaimed' : 'LeaseRenewed',
        lease: { ...claim.event.lease, hostname },
      },
    })
    const events = [named('', 0), named(undefined, 1)]
    for (const event of events) expect(await apply([event])).toEqual({ _tag: 'Applied' })
    expect(essence(await stored())).toEqual(essence(spanRowsOf(events)))
  })

  it('keeps what the constraint refuses, marked, and the projection goes on', async () => {
    await clear()
    const mixed = histories(1) // an event to take the shape of a lease from
    const [claim] = fc
      .sample(mixed, { seed: 3, numRuns: 200 })
      .flat()
      .filter(({ event, stream }) => event.type === 'LeaseClaimed' && stream.startsWith('lease4/')) as [Recorded]
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
    expect(await apply(events)).toEqual({ _tag: 'Applied' })
    expect(await apply(events)).toEqual({ _tag: 'Elsewhere', checkpointAt: 4 })
    const rows = await admin`SELECT holder, disputed FROM lease_spans ORDER BY holder`
    expect([...rows]).toEqual([
      { holder: 'id:1', disputed: false },
      { holder: 'id:2', disputed: true },
    ])
  })
})
