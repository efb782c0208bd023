/** `ledger verify` after somebody with every right changed the ledger, on MariaDB. */
import { createConnection } from 'mysql2/promise'
import type { Connection } from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { mariadbMissing } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { openMariadbSite } from './audit-support.ts'
import type { AuditSite } from './audit-support.ts'

const missing = mariadbMissing()

describe.skipIf(missing !== undefined)(
  `audit on MariaDB${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let site: AuditSite<TestMariadb>
    let admin: Connection
    beforeAll(async () => {
      site = await openMariadbSite({ seed: 31, addresses: 100, rounds: 5 })
      admin = await createConnection({ uri: site.server.url, multipleStatements: true })
      await admin.query('CREATE TABLE kept AS SELECT * FROM events')
    })
    afterEach(() => admin.query('DELETE FROM events; INSERT INTO events SELECT * FROM kept'))
    afterAll(async () => {
      await admin?.end()
      await site?.stop()
    })

    it('refuses what changes an event while its triggers stand, and finds nothing wrong', async () => {
      await expect(admin.query('DELETE FROM events WHERE seq = 77')).rejects.toThrow('never changed or removed')
      const { code, out } = await site.ask(['verify'])
      expect([code, out]).toEqual([0, expect.stringContaining('everything fits')])
      await admin.query('DROP TRIGGER events_are_not_changed; DROP TRIGGER events_are_not_removed')
    })

    it.each([
      [
        'changed data',
        `UPDATE events SET data = replace(data, '"Host-', '"host-') $HERE`,
        /^chain: 1 .*event alpha\/77 /,
      ],
      [
        'a changed time',
        'UPDATE events SET recorded_at = recorded_at + INTERVAL 1000 MICROSECOND $HERE',
        /^chain: 1 .*event alpha\/77 /,
      ],
      ['a changed type', `UPDATE events SET type = 'LeaseExpired' $HERE`, /^chain: 1 .*event alpha\/77 /],
      ['a changed hash', `UPDATE events SET hash = unhex(sha2('', 256)) $HERE`, /^chain: 2 .*event alpha\/77 /],
      ['a removed event', 'DELETE FROM events $HERE', /^chain: 1 wrong; first: alpha: position 77 is missing/],
      [
        'a removed event with the gap closed',
        `DELETE FROM events $HERE; UPDATE events SET seq = seq - 1 WHERE seq > 77 AND writer = $ALPHA ORDER BY seq`,
        /^chain: \d+ wrong; first: event alpha\/77 /,
      ],
      [
        'an inserted event',
        `INSERT INTO events SELECT writer, (SELECT max(seq) + 1 FROM kept WHERE writer = $ALPHA), 'lease4/198.18.77.77', 0,
         'LeaseClaimed', schema_version, recorded_at, data, hash FROM kept $HERE`,
        /^chain: 1 .*event alpha\/\d+ \(lease4\/198\.18\.77\.77\)/,
      ],
      [
        'two swapped events',
        `DELETE FROM events WHERE seq IN (77, 78) AND writer = $ALPHA;
       INSERT INTO events SELECT writer, 155 - seq, stream, revision, type, schema_version, recorded_at, data, hash
         FROM kept WHERE seq IN (77, 78) AND writer = $ALPHA`,
        /^chain: \d .*event alpha\/77 /,
      ],
    ])('finds %s at its place', async (_, change, expected) => {
      const alpha = `(SELECT writer FROM writers WHERE name = 'alpha')`
      const text = change.replaceAll('$HERE', 'WHERE seq = 77 AND writer = $ALPHA').replaceAll('$ALPHA', alpha)
      await admin.query(text)
      const { code, out } = await site.ask(['verify'])
      expect(code).toBe(1)
      expect(out.split('\n').find((line) => line.startsWith('chain:'))).toMatch(expected)
    })
  },
)
