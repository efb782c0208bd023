/** `ledger history` over a ledger on MariaDB, and the same questions in SQL. */
import { createConnection } from 'mysql2/promise'
import { describe, expect, it } from 'vitest'
import { isoText as iso } from '../../domain/instant.ts'
import { mariadbMissing } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { nameOf } from './audit-events.ts'
import type { Truth } from './audit-events.ts'
import { openMariadbSite } from './audit-support.ts'
import type { AuditSite } from './audit-support.ts'
import { historySuite, LARGE } from './history-suite.ts'

const missing = mariadbMissing()
const skipped = missing === undefined ? '' : ` (skipped: ${missing})`

describe.skipIf(missing !== undefined)(`ledger history on MariaDB${skipped}`, () => {
  const opened = historySuite(() => openMariadbSite(LARGE)) as () => AuditSite<TestMariadb>

  it('answers the same by SQL', async () => {
    const site = opened()
    const one = site.truth.find(({ stream }) => stream === 'lease4/198.18.1.7') as Truth
    const at = iso(Math.floor((one.from + one.until) / 2))
      .replace('T', ' ')
      .replace('Z', '')
    const sql = await createConnection({ uri: site.server.url, timezone: 'Z' })
    const question = `SELECT valid_from, valid_to, ended_by, renewals FROM lease_history
                      WHERE address_octets = inet6_aton('198.18.1.7') AND valid_from <= ? AND valid_to > ?`
    const [held] = await sql.query(question, [at, at])
    expect(held).toEqual([
      {
        valid_from: new Date(one.from),
        valid_to: new Date(one.until),
        ended_by: one.endedBy,
        renewals: one.renewals,
      },
    ])
    const [events] = await sql.query(
      `SELECT type, address FROM ledger_events WHERE stream = 'lease4/198.18.1.7' ORDER BY revision`,
    )
    const own = site.proposals.filter(([, { stream }]) => stream === 'lease4/198.18.1.7')
    expect(events).toEqual(own.map(([, { event }]) => ({ type: event.type, address: '198.18.1.7' })))
    const own7 = site.truth.filter(({ stream }) => /^lease4\/198\.18\.1\.[4-7]$/.test(stream))
    const inNetwork = `SELECT address, valid_from FROM lease_history
                       WHERE address_octets BETWEEN inet6_aton('198.18.1.4') AND inet6_aton('198.18.1.7')
                         AND length(address_octets) = 4`
    expect(((await sql.query(inNetwork))[0] as object[]).length).toBe(own7.length)
    const named = `SELECT address FROM lease_history WHERE hostname_lower = ?`
    const [last] = await sql.query(named, [nameOf(one.client, one.moved[1]).toLowerCase()])
    const called = site.truth.filter(({ client, moved }) => client === one.client && moved[1] === one.moved[1])
    expect((last as object[]).length).toBe(called.length)
    for (const [text, key] of [
      [question, 'lease_spans_by_address'],
      [inNetwork, 'lease_spans_by_address'],
      [named, 'lease_spans_by_hostname'],
      [`SELECT * FROM lease_history WHERE mac = ? ORDER BY valid_from`, 'lease_spans_by_mac'],
    ] as const) {
      const [plan] = await sql.query(`EXPLAIN ${text}`, [at, at].slice(0, text.split('?').length - 1))
      expect((plan as { key: string }[]).map(({ key: used }) => used)).toEqual([key])
    }
    await sql.end()
  })
})
