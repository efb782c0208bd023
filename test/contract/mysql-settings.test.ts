/** What is said of the settings of a real MariaDB that replicates to another one, each setting as it is changed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openMysql } from '../../adapters/mysql/open.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import { checkMysqlSettings } from '../../adapters/mysql/settings.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { until } from '../support/process.ts'
import { must } from './proposals.ts'

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(
  `settings of a MariaDB with a replica${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let primary: TestMariadb
    let replica: TestMariadb
    beforeAll(async () => {
      ;[primary, replica] = await Promise.all([
        startMariadb({ settings: { 'log-bin': 'binlog', 'server-id': '1', 'innodb-doublewrite': 'OFF' } }),
        startMariadb({ settings: { 'server-id': '2' } }),
      ])
      await (await must(openMysql(options(), 'alpha'))).close()
    })
    afterAll(async () => {
      await replica?.stop()
      await primary?.stop()
    })

    const options = (): MysqlOptions => {
      const { host, port, user, password, database } = primary
      return { hosts: [{ host, port }], user, password, database }
    }
    const warnings = () => must(checkMysqlSettings(options()))

    /** What there is to say of it as it stands, whatever else is changed. */
    const STANDING = [/innodb_doublewrite is off/, /^MySQL 127\.0\.0\.1:\d+: there are replicas/]

    const expectWarnings = async (...sentences: ReadonlyArray<RegExp>): Promise<void> => {
      const found = await warnings()
      for (const sentence of sentences) expect(found).toContainEqual(expect.stringMatching(sentence))
      expect(found).toHaveLength(sentences.length)
    }

    it('are remarked upon one by one', async () => {
      await primary.query('SET GLOBAL sync_binlog = 1')
      await expectWarnings(/innodb_doublewrite is off/)
      await replica.query(
        `CHANGE MASTER TO MASTER_HOST = '${primary.host}', MASTER_PORT = ${primary.port}, MASTER_USER = 'ledger',
         MASTER_PASSWORD = 'ledger', MASTER_USE_GTID = slave_pos`,
      )
      await replica.query('START SLAVE')
      await until('the replica is connected', async () => (await warnings()).length === 2)
      await expectWarnings(...STANDING)
      for (const [setting, bad, good, sentence] of [
        ['sync_binlog', '0', '1', /sync_binlog is 0/],
        ['innodb_flush_log_at_trx_commit', '2', '1', /innodb_flush_log_at_trx_commit is 2.*lost with the power;/],
        ['binlog_format', "'STATEMENT'", "'ROW'", /binlog_format is STATEMENT/],
      ] as const) {
        await primary.query(`SET GLOBAL ${setting} = ${bad}`)
        await expectWarnings(...STANDING, sentence)
        await primary.query(`SET GLOBAL ${setting} = ${good}`)
      }
      await primary.query('SET GLOBAL rpl_semi_sync_master_enabled = ON')
      await expectWarnings(/innodb_doublewrite/, /rpl_semi_sync_master_wait_point is AFTER_COMMIT/)
      await primary.query("SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'")
      await expectWarnings(/innodb_doublewrite/)
    })

    it('counts no replica where there is none, and misses triggers', async () => {
      await primary.query('SET GLOBAL rpl_semi_sync_master_enabled = OFF')
      await replica.query('STOP SLAVE')
      const [thread] = await primary.query(
        "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'",
      )
      if (thread !== undefined) await primary.query(`KILL ${thread['id'] as number}`)
      await until('the replica is gone', async () => (await warnings()).length === 1)
      await primary.query(`DROP TRIGGER ${primary.database}.events_are_not_changed`)
      await expectWarnings(/innodb_doublewrite/, /triggers that refuse/)
    })
  },
)
