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

const VARIABLES = `
SHOW GLOBAL VARIABLES
WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'sync_binlog', 'log_bin', 'binlog_format',
                        'innodb_doublewrite', 'innodb_rollback_on_timeout', 'wsrep_on', 'wsrep_cluster_address',
                        'wsrep_provider_options', 'wsrep_dirty_reads', 'wsrep_certify_nonpk', 'wsrep_osu_method')`

const STATUS = `
SHOW GLOBAL STATUS
WHERE Variable_name IN ('wsrep_cluster_size')`

// A trigger lives in the SQL node that made it where the engine is NDB, and a dump may have left it out.
const TRIGGERS = `
SELECT count(*)
FROM information_schema.triggers
WHERE event_object_schema = database() AND event_object_table = 'events'`

/** What the server says of itself. */
export interface MysqlSettings {
  readonly variables: ReadonlyMap<string, string>
  readonly clusterSize: number
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
      const triggers = decoded(await link.query(TRIGGERS), ([row]) => integerOf(row?.[0]))
      if (E.isLeft(triggers)) return triggers
      const settings = {
        variables: new Map(variables.right.map(([name, value]) => [textOf(name).toLowerCase(), textOf(value)])),
        clusterSize: Number(textOf(status.right[0]?.[1]) || 0),
        triggers: triggers.right,
      }
      return E.right(warningsOf(settings).map((warning) => `MySQL ${hostText(session.right.host)}: ${warning}`))
    } finally {
      await link.close()
    }
  }

/** The sentences for what a server says of itself. */
export const warningsOf = ({ variables, clusterSize, triggers }: MysqlSettings): ReadonlyArray<string> => {
  const is = (name: string, ...values: ReadonlyArray<string>): boolean => values.includes(variables.get(name) ?? '')
  const isGalera = is('wsrep_on', 'ON', '1')
  const flush = variables.get('innodb_flush_log_at_trx_commit')
  const providerOptions = variables.get('wsrep_provider_options') ?? ''
  const warnings: string[] = []
  if (flush !== undefined && flush !== '1' && flush !== '3') {
    warnings.push(
      `innodb_flush_log_at_trx_commit is ${flush}: confirmed leases are lost with the power` +
        (isGalera ? ' of all nodes' : '') +
        '; set it to 1',
    )
  }
  if (is('log_bin', 'ON', '1') && !is('sync_binlog', '1')) {
    warnings.push(
      `sync_binlog is ${variables.get('sync_binlog') ?? 'unknown'}: after a loss of power the replicas lack ` +
        'confirmed leases; set it to 1',
    )
  }
  if (is('binlog_format', 'STATEMENT')) {
    warnings.push('binlog_format is STATEMENT, with which nothing can be appended; set it to ROW')
  }
  if (is('innodb_doublewrite', 'OFF', '0')) {
    warnings.push('innodb_doublewrite is off: a page that is torn by a loss of power cannot be repaired; set it to ON')
  }
  if (isGalera) {
    if (clusterSize === 2) {
      warnings.push('the Galera cluster has two nodes: when one fails the other stops too; add a third or a garbd')
    }
    if (clusterSize === 1) warnings.push('the Galera cluster has one node: a commit is on this machine alone')
    if (is('wsrep_dirty_reads', 'ON', '1')) {
      warnings.push('wsrep_dirty_reads is on: a node that was cut off answers with what is outdated; set it to OFF')
    }
    if (/pc\.ignore_sb\s*=\s*(?:true|yes|1)/i.test(providerOptions)) {
      warnings.push('pc.ignore_sb is on: two halves of the cluster would both give leases; set it to false')
    }
    if (/pc\.ignore_quorum\s*=\s*(?:true|yes|1)/i.test(providerOptions)) {
      warnings.push('pc.ignore_quorum is on: two halves of the cluster would both give leases; set it to false')
    }
  }
  if (triggers < 2) {
    warnings.push('the triggers that refuse to change or remove events are missing, or this account may not see them')
  }
  return warnings
}
