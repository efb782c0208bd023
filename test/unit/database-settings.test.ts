/** What is said of settings that lose confirmed leases, and that nothing is said of good ones. */
import { describe, expect, it } from 'vitest'
import { readFileSync } from 'node:fs'
import { CHECKED_SETTINGS as MYSQL_CHECKED, warningsOf as mysqlWarnings } from '../../adapters/mysql/settings.ts'
import {
  CHECKED_SETTINGS as POSTGRES_CHECKED,
  warningsOf as postgresWarnings,
} from '../../adapters/postgres/settings.ts'

const mysql = (settings: Readonly<Record<string, string>>, clusterSize = 0, triggers = 2, replicas = 0) =>
  mysqlWarnings({ variables: new Map(Object.entries(settings)), clusterSize, triggers, replicas })

describe('settings of MySQL', () => {
  const good = { innodb_flush_log_at_trx_commit: '1', sync_binlog: '1', log_bin: 'ON', innodb_doublewrite: 'ON' }
  const galera = { ...good, wsrep_on: 'ON', wsrep_provider_options: 'pc.ignore_sb = false; pc.ignore_quorum = false;' }

  it('are not remarked upon when they are good', () => {
    expect(mysql(good)).toEqual([])
    expect(mysql({ ...good, log_bin: 'OFF', sync_binlog: '0' })).toEqual([])
    expect(mysql(galera, 3)).toEqual([])
  })

  it.each([
    [{ ...good, innodb_flush_log_at_trx_commit: '2' }, 0, /innodb_flush_log_at_trx_commit is 2.*set it to 1/],
    [{ ...galera, innodb_flush_log_at_trx_commit: '0' }, 3, /with the power of all nodes/],
    [{ ...good, sync_binlog: '0' }, 0, /sync_binlog is 0/],
    [{ ...good, binlog_format: 'STATEMENT' }, 0, /binlog_format is STATEMENT/],
    [{ ...good, innodb_doublewrite: 'OFF' }, 0, /innodb_doublewrite is off/],
    [galera, 2, /has two nodes/],
    [galera, 1, /has one node/],
    [{ ...galera, wsrep_dirty_reads: 'ON' }, 3, /wsrep_dirty_reads is on/],
    [{ ...galera, wsrep_provider_options: 'pc.ignore_sb = true; x = y' }, 3, /pc\.ignore_sb is on/],
    [{ ...galera, wsrep_osu_method: 'RSU' }, 3, /wsrep_OSU_method is RSU/],
    [{ ...galera, wsrep_provider_options: 'pc.ignore_quorum=yes' }, 3, /pc\.ignore_quorum is on/],
  ] as const)('are remarked upon: %j of %i nodes', (settings, nodes, sentence) => {
    const warnings = mysql(settings, nodes)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(sentence)
  })

  it('say what a replica that is promoted may lack', () => {
    const semiSync = { ...good, rpl_semi_sync_master_enabled: 'ON', rpl_semi_sync_master_wait_point: 'AFTER_SYNC' }
    expect(mysql(good, 0, 2, 1)).toMatchObject([expect.stringMatching(/^there are replicas and rpl_semi_sync_master/)])
    expect(mysql(semiSync, 0, 2, 1)).toEqual([])
    expect(mysql({ ...semiSync, rpl_semi_sync_master_wait_point: 'AFTER_COMMIT' }, 0, 2, 1)).toMatchObject([
      expect.stringContaining('rpl_semi_sync_master_wait_point is AFTER_COMMIT'),
    ])
    const source = { ...good, rpl_semi_sync_source_enabled: 'ON', rpl_semi_sync_source_wait_point: 'AFTER_COMMIT' }
    expect(mysql(source, 0, 2, 1)).toMatchObject([expect.stringContaining('rpl_semi_sync_source_wait_point')])
    expect(mysql(galera, 3, 2, 1)).toEqual([]) // replicas of a cluster are not what takes over
    const group = { ...good, group_replication_consistency: 'EVENTUAL' }
    expect(mysql(group, 0, 2, 2)).toMatchObject([expect.stringContaining('group_replication_consistency is EVENTUAL')])
    expect(mysql({ ...group, group_replication_consistency: 'BEFORE_ON_PRIMARY_FAILOVER' }, 0, 2, 2)).toEqual([])
  })

  it('include the triggers that protect the events', () => {
    expect(mysql(good, 0, 1)).toMatchObject([expect.stringContaining('triggers')])
  })
})

describe('settings of PostgreSQL', () => {
  const good = { fsync: 'on', full_page_writes: 'on', synchronous_commit: 'on', synchronous_standby_names: '' }
  const postgres = (settings: Readonly<Record<string, string>>, standbys = 0) =>
    postgresWarnings(new Map(Object.entries(settings)), standbys)

  it('are not remarked upon when they are good', () => {
    expect(postgres(good)).toEqual([])
    expect(postgres({ ...good, synchronous_standby_names: '*', synchronous_commit: 'remote_apply' }, 1)).toEqual([])
    expect(postgres({ ...good, synchronous_commit: 'local' })).toEqual([])
  })

  it.each([
    [{ ...good, fsync: 'off' }, 0, /fsync is off/],
    [{ ...good, full_page_writes: 'off' }, 0, /full_page_writes is off/],
    [{ ...good, synchronous_commit: 'off' }, 0, /synchronous_commit is off/],
    [{ ...good, synchronous_standby_names: '*', synchronous_commit: 'local' }, 1, /synchronous_commit is local/],
    [{ ...good, synchronous_standby_names: '*', synchronous_commit: 'remote_write' }, 1, /is remote_write/],
    [good, 1, /synchronous_standby_names is empty/],
  ] as const)('are remarked upon: %j with %i standbys', (settings, standbys, sentence) => {
    const warnings = postgres(settings, standbys)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(sentence)
  })
})

describe('the documentation of settings', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const section = /### A database that keeps what it confirmed\n([\s\S]*?)\n##/.exec(readme)?.[1] ?? ''
  /** The names in the first column of the table, in lower case. */
  const named = [...section.matchAll(/^\| (`[^|]+) +\|/gm)].flatMap(([, cell]) =>
    [...(cell ?? '').matchAll(/`([a-z_.]+)/gi)].map(([, name]) => String(name).toLowerCase()),
  )

  it('names what is checked at the start, and nothing else', () => {
    const options = ['pc.ignore_sb', 'pc.ignore_quorum']
    expect(named.toSorted()).toEqual([...POSTGRES_CHECKED, ...MYSQL_CHECKED, ...options].toSorted())
  })
})
