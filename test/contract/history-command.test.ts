/** `ledger history` over a ledger on PostgreSQL, and the same questions in SQL. */
import postgres from 'postgres'
import { describe, expect, it } from 'vitest'
import { isoText as iso } from '../../domain/instant.ts'
import { postgresMissing } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { macOf } from './audit-events.ts'
import type { Truth } from './audit-events.ts'
import { openAuditSite } from './audit-support.ts'
import type { AuditSite } from './audit-support.ts'
import { historySuite, LARGE } from './history-suite.ts'

const missing = postgresMissing()

describe.skipIf(missing !== undefined)(`ledger history${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  const opened = historySuite(() => openAuditSite(LARGE)) as () => AuditSite<TestPostgres>

  it('says what is missing when a ledger that was tampered with cannot prove anything', async () => {
    const site = opened()
    const own = site.truth.filter(({ stream }) => stream === 'lease4/198.18.0.2')
    const between = iso((own[2] as Truth).until + 5)
    const question = ['history', '198.18.0.2', '--at', between]
    expect((await site.ask(question)).out).toMatch(/^nobody held 198\.18\.0\.2 at/)
    const sql = postgres(site.server.url, { max: 1, onnotice: () => undefined })
    await sql.unsafe(`ALTER TABLE events DISABLE TRIGGER ALL`)
    await sql.unsafe(
      `CREATE TABLE kept AS SELECT * FROM events
       WHERE stream = 'lease4/198.18.0.2' AND type <> 'LeaseOffered' AND revision > 1;
       DELETE FROM events WHERE stream = 'lease4/198.18.0.2' AND type <> 'LeaseOffered' AND revision > 1`,
    )
    const damaged = await site.ask(question)
    await sql.unsafe('INSERT INTO events SELECT * FROM kept; ALTER TABLE events ENABLE TRIGGER ALL')
    await sql.end({ timeout: 1 })
    expect(damaged.code).toBe(1)
    expect(damaged.out).toMatch(/(alpha|beta): position \d+ is missing/)
    expect(damaged.out).not.toContain('nobody held')
  })

  it('does not take the word of the tables for it that nothing was held', async () => {
    const site = opened()
    const one = site.truth.find(({ stream }) => stream === 'prefix6/2001:db8:700::/56') as Truth
    const at = ['--at', iso(one.from + 1_000)]
    const mac = macOf(one.client)
    const questions = [
      ['history', '--mac', mac, ...at],
      ['history', '2001:db8:700::/56', ...at],
      ['history', '2001:db8:700:1::5', ...at],
    ]
    for (const question of questions) expect((await site.ask(question)).out).toContain('2001:db8:700::/56  2026')
    const sql = postgres(site.server.url, { max: 1, onnotice: () => undefined })
    await sql`CREATE TABLE hidden AS SELECT * FROM lease_spans
              WHERE address = '2001:db8:700::/56' OR mac = ${mac.replace(/..(?=.)/g, '$&:')}`
    await sql`DELETE FROM lease_spans USING hidden h
              WHERE (lease_spans.address, lease_spans.starts_at) = (h.address, h.starts_at)`
    for (const question of questions) {
      const { code, out } = await site.ask(question)
      expect([code, out]).toEqual([1, expect.stringMatching(/the ledger duid:\w+\/7 held 2001:db8:700::\/56 from/)])
      expect(out).not.toContain('nobody held')
    }
    await sql`INSERT INTO lease_spans SELECT * FROM hidden`
    // Tables that are behind, or empty, are no reason: the rest is read from the ledger.
    for (const table of ['lease_checkpoints', 'lease_spans']) {
      await sql.unsafe(`CREATE TABLE ${table}_aside AS SELECT * FROM ${table}; DELETE FROM ${table}`)
    }
    for (const question of questions) expect((await site.ask(question)).out).toContain('2001:db8:700::/56  2026')
    for (const table of ['lease_checkpoints', 'lease_spans']) {
      await sql.unsafe(`INSERT INTO ${table} SELECT * FROM ${table}_aside`)
    }
    await sql.end({ timeout: 1 })
  })

  it('answers the same by SQL', async () => {
    const site = opened()
    const sql = postgres(site.server.url, { max: 1, onnotice: () => undefined })
    const one = site.truth.find(({ stream }) => stream === 'lease4/198.18.1.7') as Truth
    const at = iso(Math.floor((one.from + one.until) / 2))
    const held = await sql`SELECT host(address) AS address, mac, valid_from, valid_to, ended_by, renewals::int, server
                           FROM lease_history
                           WHERE address = ${'198.18.1.7'}::inet AND valid_from <= ${at} AND valid_to > ${at}`
    expect(
      held.map(({ valid_from, valid_to, ended_by, renewals }) => [+valid_from, +valid_to, ended_by, renewals]),
    ).toEqual([[one.from, one.until, one.endedBy, one.renewals]])
    const events = await sql`SELECT type, mac, host(address) AS address FROM ledger_events
                             WHERE stream = 'lease4/198.18.1.7' ORDER BY revision`
    expect(events.length).toBeGreaterThan(6)
    expect(events.every(({ address }) => address === '198.18.1.7')).toBe(true)
    const plan = await sql.unsafe(`SET enable_seqscan = off; EXPLAIN SELECT * FROM lease_history
                             WHERE mac = '02:00:00:00:00:01' ORDER BY valid_from`)
    expect(JSON.stringify(plan)).toContain('lease_spans_mac_starts_at_idx')
    await sql.end({ timeout: 1 })
  })
})
