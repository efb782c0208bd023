/**
 * Settings of a MySQL, MariaDB or Galera that break the invariants of the ledger: what was committed must be on disk,
 * or with the cluster, before a client hears of it.
 *
 * With one server, `innodb_flush_log_at_trx_commit = 1` keeps a confirmed event over a loss of power, and with binary
 * logging and a replica that may be promoted also `sync_binlog = 1`. Asynchronous replication loses what had not
 * reached the replica, whatever is set: use Galera, group replication, or semi-synchronous replication that waits for
 * the replica (`AFTER_SYNC`, no fall back). With Galera, a commit is on all nodes when it is answered; relaxed flushing
 * then loses confirmed events only if all nodes lose power at once. NDB Cluster commits in the memory of its data
 * nodes and writes to disk later: it keeps what was confirmed as long as one node of each group lives.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { ReadError } from '../../domain/event-store.ts'
import { toReadError } from './failure.ts'
import { makeLink } from './link.ts'
import { hostText } from './options.ts'
import type { MysqlOptions } from './options.ts'
import { decoded, integerOf, textOf } from './reader.ts'
import type { RawRows } from './session.ts'

/** The settings that are looked at, in lower case. MariaDB says `master` where newer versions of MySQL say `source`. */
export const CHECKED_SETTINGS = [
  'innodb_flush_log_at_trx_commit',
  'innodb_doublewrite',
  'sync_binlog',
  'binlog_format',
  'rpl_semi_sync_master_enabled',
  'rpl_semi_sync_source_enabled',
  'rpl_semi_sync_master_wait_point',
  'rpl_semi_sync_source_wait_point',
  'group_replication_consistency',
  'wsrep_dirty_reads',
  'wsrep_osu_method',
  'wsrep_provider_options',
] as const

const VARIABLES = `
SHOW GLOBAL VARIABLES
WHERE Variable_name IN (${[...CHECKED_SETTINGS, 'log_bin', 'wsrep_on'].map((name) => `'${name}'`).join(', ')})`

// MariaDB tells everybody how many replicas are connected. Elsewhere their threads are seen with the privilege PROCESS.
const STATUS = `
SHOW GLOBAL STATUS
WHERE Variable_name IN ('wsrep_cluster_size', 'Slaves_connected')`

const REPLICAS = `
SELECT count(*)
FROM information_schema.processlist
WHERE command LIKE 'Binlog Dump%'`

// A trigger lives in the SQL node that made it where the engine is NDB, and a dump may have left it out.
const TRIGGERS = `
SELECT count(*)
FROM information_schema.triggers
WHERE event_object_schema = database() AND event_object_table = 'events'`

/** What the server says of itself. */
export interface MysqlSettings {
  readonly variables: ReadonlyMap<string, string>
  readonly clusterSize: number
  /** How many replicas follow it that we know of. */
  readonly replicas: number
  /** How many of the two triggers that protect the events are there. */
  readonly triggers: number
}

/**
 * What is set on the host in use that breaks the invariants: one sentence each, none when all is well. An account that
 * has no TRIGGER privilege does not see triggers and is told that they may be missing.
 */
export const checkMysqlSettings =
  (options: MysqlOptions): TaskEither<ReadError, ReadonlyArray<string>> =>
  async () => {
    const link = makeLink(options, { writable: true, causal: false })
    try {
      const session = await link.session()
      if (E.isLeft(session)) return E.left(toReadError(session.left))
      const variables = await link.query(VARIABLES)
      if (E.isLeft(variables)) return E.left(toReadError(variables.left))
      const status = await link.query(STATUS)
      if (E.isLeft(status)) return E.left(toReadError(status.left))
      const replicas = decoded(await link.query(REPLICAS), ([row]) => integerOf(row?.[0]))
      if (E.isLeft(replicas)) return replicas
      const triggers = decoded(await link.query(TRIGGERS), ([row]) => integerOf(row?.[0]))
      if (E.isLeft(triggers)) return triggers
      const counts = byName(status.right)
      const settings = {
        variables: byName(variables.right),
        clusterSize: Number(counts.get('wsrep_cluster_size') ?? 0),
        replicas: Math.max(replicas.right, Number(counts.get('slaves_connected') ?? 0)),
        triggers: triggers.right,
      }
      return E.right(warningsOf(settings).map((warning) => `MySQL ${hostText(session.right.host)}: ${warning}`))
    } finally {
      await link.close()
    }
  }

const byName = (rows: RawRows): ReadonlyMap<string, string> =>
  new Map(rows.map(([name, value]) => [textOf(name).toLowerCase(), textOf(value)]))

/** The sentences for what a server says of itself. */
export const warningsOf = (settings: MysqlSettings): ReadonlyArray<string> => [
  ...warningsOfDisk(settings),
  ...warningsOfReplicas(settings),
  ...(isOneOf(settings, 'wsrep_on', 'ON', '1') ? warningsOfGalera(settings) : []),
  ...(settings.triggers < 2
    ? ['the triggers that refuse to change or remove events are missing, or this account may not see them']
    : []),
]

const isOneOf = ({ variables }: MysqlSettings, name: string, ...values: ReadonlyArray<string>): boolean =>
  values.includes(variables.get(name) ?? '')

const warningsOfDisk = (settings: MysqlSettings): ReadonlyArray<string> => {
  const warnings: string[] = []
  const flush = settings.variables.get('innodb_flush_log_at_trx_commit')
  if (flush !== undefined && flush !== '1' && flush !== '3') {
    warnings.push(
      `innodb_flush_log_at_trx_commit is ${flush}: confirmed leases are lost with the power` +
        (isOneOf(settings, 'wsrep_on', 'ON', '1') ? ' of all nodes' : '') +
        '; set it to 1',
    )
  }
  if (isOneOf(settings, 'log_bin', 'ON', '1') && !isOneOf(settings, 'sync_binlog', '1')) {
    warnings.push(
      `sync_binlog is ${settings.variables.get('sync_binlog') ?? 'unknown'}: after a loss of power the replicas lack ` +
        'confirmed leases; set it to 1',
    )
  }
  if (isOneOf(settings, 'binlog_format', 'STATEMENT')) {
    warnings.push('binlog_format is STATEMENT, with which nothing can be appended; set it to ROW')
  }
  if (isOneOf(settings, 'innodb_doublewrite', 'OFF', '0')) {
    warnings.push('innodb_doublewrite is off: a page that is torn by a loss of power cannot be repaired; set it to ON')
  }
  return warnings
}

/** Of replicas that an operator may promote, and of group replication, which promotes one by itself. */
const warningsOfReplicas = (settings: MysqlSettings): ReadonlyArray<string> => {
  const warnings: string[] = []
  const semiSync = ['master', 'source'].find((word) => isOneOf(settings, `rpl_semi_sync_${word}_enabled`, 'ON', '1'))
  const isGalera = isOneOf(settings, 'wsrep_on', 'ON', '1')
  const consistency = settings.variables.get('group_replication_consistency')
  if (settings.replicas > 0 && semiSync === undefined && !isGalera && consistency === undefined) {
    warnings.push(
      'there are replicas and rpl_semi_sync_master_enabled is off: one that is promoted may lack confirmed leases',
    )
  }
  if (semiSync !== undefined && isOneOf(settings, `rpl_semi_sync_${semiSync}_wait_point`, 'AFTER_COMMIT')) {
    warnings.push(
      `rpl_semi_sync_${semiSync}_wait_point is AFTER_COMMIT: leases are seen before a replica has them; ` +
        'set it to AFTER_SYNC',
    )
  }
  if (consistency === 'EVENTUAL') {
    warnings.push(
      'group_replication_consistency is EVENTUAL: a new primary answers before it has what was confirmed; ' +
        'set it to BEFORE_ON_PRIMARY_FAILOVER',
    )
  }
  return warnings
}

const warningsOfGalera = (settings: MysqlSettings): ReadonlyArray<string> => {
  const warnings: string[] = []
  if (settings.clusterSize === 2) {
    warnings.push('the Galera cluster has two nodes: when one fails the other stops too; add a third or a garbd')
  }
  if (settings.clusterSize === 1) {
    warnings.push('the Galera cluster has one node: a commit is on this machine alone')
  }
  if (isOneOf(settings, 'wsrep_dirty_reads', 'ON', '1')) {
    warnings.push('wsrep_dirty_reads is on: a node that was cut off answers with what is outdated; set it to OFF')
  }
  if (isOneOf(settings, 'wsrep_osu_method', 'RSU')) {
    warnings.push('wsrep_OSU_method is RSU: tables are set up on one node alone; set it to TOI')
  }
  for (const option of ['pc.ignore_sb', 'pc.ignore_quorum']) {
    if (/^(?:true|yes|1)$/i.test(providerOption(settings, option) ?? '')) {
      warnings.push(`${option} is on: two halves of the cluster would both give leases; set it to false`)
    }
  }
  return warnings
}

/** One of `wsrep_provider_options`, a text such as `pc.ignore_sb = false; pc.linger = PT20S`. */
const providerOption = ({ variables }: MysqlSettings, name: string): string | undefined => {
  const pairs = (variables.get('wsrep_provider_options') ?? '').split(';').map((pair) => pair.split('='))
  return pairs.find(([key]) => key?.trim() === name)?.[1]?.trim()
}
