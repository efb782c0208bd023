/** `ledger history` over a ledger on MariaDB, and the same questions in SQL. */
import { createConnection } from 'mysql2/promise'
import { describe, expect, it } from 'vitest'
import { isoText as iso } from '../../domain/instant.ts'
import { mariadbMissing } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
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
    const [held] = await sql.query(
      `SELECT valid_from, valid_to, ended_by, renewals FROM lease_history
       WHERE address = '198.18.1.7' AND valid_from <= ? AND valid_to > ?`,
      [at, at],
    )
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
    await sql.end()
  })
})
