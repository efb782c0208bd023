/** `ledger verify` after somebody with every right changed the ledger, on PostgreSQL. */
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { openPostgresReader } from '../../adapters/postgres/open.ts'
import { verify } from '../../projections/verify.ts'
import { postgresMissing } from '../support/postgres.ts'
import { openAuditSite } from './audit-support.ts'
import type { AuditSite } from './audit-support.ts'
import { must } from './proposals.ts'

const missing = postgresMissing()

describe.skipIf(missing !== undefined)(`audit${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let site: AuditSite
  let copies = 0
  beforeAll(async () => {
    site = await openAuditSite({ seed: 31, addresses: 100, rounds: 5 })
  })
  afterAll(() => site?.stop())

  /** A copy of the database, to be changed behind the triggers. */
  const tampered = async (change: string): Promise<string> => {
    const database = `tampered_${++copies}`
    const admin = postgres(site.server.url.replace(/[^/]+$/, 'postgres'), { max: 1, onnotice: () => undefined })
    await admin.unsafe(`CREATE DATABASE ${database} TEMPLATE ${site.server.database}`)
    await admin.end({ timeout: 1 })
    const sql = postgres(site.server.url.replace(/[^/]+$/, database), { max: 1, onnotice: () => undefined })
    const alone = `WHERE seq = 77 AND writer = (SELECT writer FROM writers WHERE name = 'alpha')`
    await expect(sql.unsafe(`DELETE FROM events ${alone}`)).rejects.toThrow('never changed or removed')
    await sql.unsafe(`ALTER TABLE events DISABLE TRIGGER USER; ${change.replaceAll('$HERE', alone)}`)
    await sql.end({ timeout: 1 })
    return database
  }

  const chainOf = async (database: string): Promise<string | undefined> => {
    const hosts = [{ host: site.server.host, port: site.server.port }]
    const reader = await must(openPostgresReader({ hosts, database, user: site.server.user }))
    const verified = await must(verify({ store: reader, checkLink, genesis: GENESIS, maxClockSkewMs: 5_000 }))
    await reader.close()
    return verified.differences.chain?.first
  }

  it.each([
    [
      'changed data',
      `UPDATE events SET data = replace(data::text, '"Host-', '"host-')::json $HERE`,
      /^event alpha\/77 /,
    ],
    ['a changed time', `UPDATE events SET recorded_at = recorded_at + interval '1 ms' $HERE`, /^event alpha\/77 /],
    ['a changed type', `UPDATE events SET type = 'LeaseExpired' $HERE`, /^event alpha\/77 /],
    ['a removed event', `DELETE FROM events $HERE`, /^alpha: position 77 is missing/],
    [
      'a removed event with the gap closed',
      `DELETE FROM events $HERE;
       UPDATE events SET seq = -seq + 1000000 WHERE seq > 77 AND writer = (SELECT writer FROM writers WHERE name = 'alpha');
       UPDATE events SET seq = 999999 - seq WHERE seq > 10000 AND writer = (SELECT writer FROM writers WHERE name = 'alpha')`,
      /^event alpha\/77 /,
    ],
    [
      'an inserted event',
      `INSERT INTO events (seq, revision, recorded_at, writer, schema_version, stream, type, data, hash)
       SELECT (SELECT max(seq) + 1 FROM events e WHERE e.writer = events.writer), 0, recorded_at, writer, schema_version,
              'lease4/198.18.77.77', 'LeaseClaimed', data, hash FROM events $HERE`,
      /^event alpha\/\d+ \(lease4\/198\.18\.77\.77\)/,
    ],
    [
      'two swapped events',
      `CREATE TEMP TABLE two AS SELECT * FROM events WHERE seq IN (77, 78)
         AND writer = (SELECT writer FROM writers WHERE name = 'alpha');
       DELETE FROM events e USING two WHERE e.writer = two.writer AND e.seq = two.seq;
       INSERT INTO events SELECT (155 - seq), revision, recorded_at, writer, schema_version, stream, type, data, hash FROM two`,
      /^event alpha\/77 /,
    ],
  ])('finds %s at its place', async (_, change, expected) => {
    expect(await chainOf(await tampered(change))).toMatch(expected)
  })

  it('finds nothing wrong with what nobody changed, and the spans refuse a second holder', async () => {
    const { code, out } = await site.ledger(['verify'])
    expect(out).toContain('everything fits')
    expect(code).toBe(0)
    const sql = postgres(site.server.url, { max: 1 })
    const second = sql.unsafe(`INSERT INTO lease_spans
      SELECT (jsonb_populate_record(s, jsonb_build_object('holder', 'id:ff', 'starts_at', s.starts_at + interval '1 s'))).*
      FROM lease_spans s WHERE end_by = 'expired' AND renewals > 0 LIMIT 1`)
    await expect(second).rejects.toMatchObject({ code: '23P01' }) // exclusion_violation
    await sql.end({ timeout: 1 })
  })
})
