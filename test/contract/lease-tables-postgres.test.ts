import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import type { PostgresTablesOptions } from '../../projections/postgres/open.ts'
import { REBUILT } from '../../projections/postgres/statements.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { until } from '../support/process.ts'
import { decideAll } from '../unit/projection-given.ts'
import { busySite } from './lease-table-histories.ts'
import { applyBatch, batchesOf, leaseTablesContract } from './lease-tables-contract.ts'
import { PATIENT } from './limits.ts'
import { must } from './proposals.ts'

const missing = postgresMissing()
describe.skipIf(missing !== undefined)(`on PostgreSQL${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestPostgres
  let databases = 0
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.stop())

  const newDatabase = async () => {
    const database = `tables_${++databases}`
    const url = await server.createDatabase(database)
    const options: PostgresTablesOptions = {
      hosts: [{ host: server.host, port: server.port }],
      database,
      user: server.user,
      ...PATIENT,
    }
    await must(migratePostgres(options, 'tables'))
    const admin = postgres(url, { max: 1, onnotice: () => undefined })
    return { options, admin }
  }

  leaseTablesContract('postgres', async () => {
    const { options, admin } = await newDatabase()
    return {
      open: () => must(openPostgresTables(options)),
      clear: async () => {
        await admin.unsafe(`TRUNCATE ${REBUILT.join(', ')}`)
      },
      dispose: () => admin.end({ timeout: 1 }),
    }
  })

  /** Tables that hold `events`, while `act` looks at them. */
  const withEvents = async (
    events: Parameters<typeof batchesOf>[0],
    act: (admin: postgres.Sql, options: PostgresTablesOptions) => Promise<void>,
  ): Promise<void> => {
    const { options, admin } = await newDatabase()
    try {
      const tables = await must(openPostgresTables(options))
      for (const batch of batchesOf(events, 500)) await applyBatch(tables, batch)
      await tables.close()
      await act(admin, options)
    } finally {
      await admin.end({ timeout: 1 })
    }
  }

  it('answers SQL that was written for the tables of Kea', () =>
    withEvents([...busySite(1_500, 4), ...busySite(10, 6).map((e) => ({ ...e, log: 'six' }))], async (sql) => {
      const bySubnet = await sql`
        SELECT s.subnet_id, t.name, s.leases FROM lease4_stat AS s JOIN lease_state AS t USING (state)
        ORDER BY s.subnet_id`
      expect([...bySubnet]).toEqual([
        { subnet_id: '1', name: 'default', leases: '1024' },
        { subnet_id: '2', name: 'default', leases: '476' },
      ])
      const [found] = await sql`
        SELECT '0.0.0.0'::inet + address AS address, state,
               extract(epoch FROM expire)::bigint - valid_lifetime AS cltt
        FROM lease4 WHERE hwaddr = '\\x020000000007' AND subnet_id = 1`
      expect(found).toEqual({ address: '198.18.0.7', state: '0', cltt: '1790000000' })
      const [six] = await sql`
        SELECT l.address, t.name, l.iaid, l.prefix_len, l.pref_lifetime
        FROM lease6 AS l JOIN lease6_types AS t USING (lease_type)
        WHERE l.duid = '\\x00030001020000000003'`
      expect(six).toEqual({ address: '2001:db8::4', name: 'IA_NA', iaid: 1, prefix_len: 128, pref_lifetime: '3000' })
      const [pools] = await sql`SELECT sum(leases) AS leases FROM lease6_pool_stat WHERE state = 0 AND lease_type = 0`
      expect(pools).toEqual({ leases: '10' })
      const names = await sql`
        SELECT table_name, string_agg(column_name, ',' ORDER BY ordinal_position) AS columns
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name IN ('lease4', 'lease6')
        GROUP BY table_name ORDER BY table_name`
      expect(names.map(({ columns }) => (columns as string).split(',revision,')[0])).toEqual([
        'address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,' +
          'relay_id,remote_id,pool_id',
        'address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,' +
          'hostname,state,hwaddr,hwtype,hwaddr_source,user_context,pool_id',
      ])
    }))

  it('shows leases to people: addresses, MACs, what ran out, and the client of a declined lease', () =>
    withEvents(
      [
        decideAll('lease4/198.18.0.9', [{ at: 0, claim: { validLifetimeSec: 60, hwAddress: '02000000aa01' } }]),
        ...[
          decideAll('lease6/2001:db8::9', [
            { at: 0, claim: { duid: '000300010203', iaid: 4_000_000_000, validLifetimeSec: 0xffffffff } },
          ]),
          decideAll('prefix6/2001:db8:8000::/56', [
            { at: 0, claim: { duid: '000300010203', hostname: 'router', relay: { interfaceId: '0a0b' } } },
          ]),
        ].map((event, index) => ({ ...event, log: `other${index}` })),
        {
          ...decideAll('lease4/198.18.0.10', [{ at: 0, claim: { clientId: '0102', hostname: 'printer' } }]),
          log: 'last',
        },
        {
          ...decideAll('lease4/198.18.0.10', [
            { at: 0, claim: { clientId: '0102', hostname: 'printer' } },
            { at: 9_000, decline: 3_000_000_000 },
          ]),
          log: 'last',
        },
      ],
      async (sql) => {
        const rows = await sql`
          SELECT address, status, mac, client_id, duid, iaid, hostname, interface_id, renewals, expires_at::text
          FROM leases ORDER BY address`
        expect([...rows]).toMatchObject([
          { address: '198.18.0.9', status: 'expired', mac: '02:00:00:00:aa:01' },
          { address: '198.18.0.10', status: 'declined', client_id: '0102', hostname: 'printer' },
          { address: '2001:db8::9', status: 'bound', duid: '000300010203', iaid: '4000000000' },
          { address: '2001:db8:8000::/56', hostname: 'router', interface_id: '0a0b' },
        ])
        expect(rows[2]?.expires_at).toBe('9999-12-31 23:59:59+00')
      },
    ))

  it('keeps indexes, readers and views of the live tables when a rebuild takes their place', () =>
    withEvents(busySite(20, 4), async (sql, options) => {
      await sql.unsafe(`
        CREATE ROLE auditor;
        GRANT SELECT ON lease4, leases TO auditor;
        CREATE INDEX by_lifetime ON lease4 (valid_lifetime);
        CREATE VIEW printers AS SELECT address FROM leases WHERE hostname LIKE 'host-1%'`)
      const indexes = () => sql`SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef`
      const before = [...(await indexes())].map(({ indexdef }) => (indexdef as string).replace(/INDEX \w+ /, ''))
      const tables = await must(openPostgresTables(options))
      const shadow = await must(tables.shadow(false))
      await applyBatch(shadow, busySite(20, 4).slice(0, 5))
      expect((await tables.shadow(false)())._tag).toBe('Left')
      await must(shadow.swap())
      await shadow.close()
      expect(await must(tables.checkpoint(LEASES))).toEqual({ alpha: 5 })
      await applyBatch(tables, busySite(20, 4).slice(5))
      const after = [...(await indexes())].map(({ indexdef }) => (indexdef as string).replace(/INDEX \w+ /, ''))
      expect(after.sort()).toEqual(before.sort())
      await sql.unsafe('SET ROLE auditor')
      expect((await sql`SELECT count(*)::int FROM leases`)[0]).toEqual({ count: 20 })
      await sql.unsafe('RESET ROLE')
      expect((await sql`SELECT count(*)::int FROM printers`)[0]).toEqual({ count: 11 })
      const [options4] = await sql`SELECT reloptions::text FROM pg_class WHERE oid = 'lease4'::regclass`
      expect(options4).toEqual({ reloptions: '{fillfactor=48}' })
      await tables.close()
    }))

  it('waits for a vacuum of the new tables before it changes anything that the vacuum may want', () =>
    withEvents(busySite(20, 4), async (sql, options) => {
      await sql.unsafe('CREATE ROLE examiner; GRANT SELECT ON lease_spans TO examiner')
      const tables = await must(openPostgresTables(options))
      const shadow = await must(tables.shadow(false))
      await applyBatch(shadow, busySite(20, 4))
      let swapped: ReturnType<ReturnType<typeof shadow.swap>> | undefined
      await sql.begin(async (vacuum) => {
        await vacuum.unsafe('LOCK TABLE public_rebuild.lease_spans IN SHARE UPDATE EXCLUSIVE MODE')
        swapped = shadow.swap()()
        await until('the swap waits', async () => (await vacuum`SELECT FROM pg_locks WHERE NOT granted`).length > 0)
        // What VACUUM and ANALYZE write at their end.
        await vacuum.unsafe(
          `UPDATE pg_class SET relpages = relpages WHERE oid = 'public_rebuild.lease_spans'::regclass`,
        )
      })
      expect(await swapped).toMatchObject({ _tag: 'Right' })
      await shadow.close()
      expect(await must(tables.checkpoint(LEASES))).toEqual({ alpha: 20 })
      await tables.close()
    }))

  it('touches no index when a lease is renewed', () => {
    const claims = busySite(2_000, 4)
    const renewals = busySite(2_000, 4, 1)
      .slice(2_000)
      .filter((_, index) => index % 10 === 0)
      .map((event, index) => ({ ...event, seq: 2_001 + index }))
    return withEvents([...claims, ...renewals], async (sql) => {
      // A session tells its counts when it is idle or ends.
      const counts = await until('all updates are counted', async () => {
        const [row] = await sql`SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot
                                FROM pg_stat_user_tables WHERE relname = 'lease4'`
        return row?.['updates'] >= renewals.length && row
      })
      expect(counts).toEqual({ updates: 200, hot: 200 })
    })
  })

  it('says in one sentence that the tables are not there, or that the database is away', async () => {
    const database = `empty_${++databases}`
    await server.createDatabase(database)
    const options = { hosts: [{ host: server.host, port: server.port }], database, user: server.user }
    expect(await openPostgresTables(options)()).toMatchObject({
      left: { _tag: 'StoreUnusable', reason: expect.stringContaining('has no lease tables in schema public') },
    })
    const away = { ...options, hosts: [{ host: server.host, port: 1 }] }
    expect(await openPostgresTables(away)()).toMatchObject({ left: { _tag: 'StoreUnavailable' } })
  })
})
