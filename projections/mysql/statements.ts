/**
 * The statements that write and read the lease tables in MySQL 8 and MariaDB. `suffix` comes after every table's name,
 * so that the same statements serve the live tables and those of a rebuild beside them.
 */
import { selectList } from './columns.ts'
import type { LeaseTable } from '../lease-row.ts'

/** The tables that a rebuild fills and swaps. */
export const REBUILT = [
  'lease4',
  'lease6',
  'lease4_stat',
  'lease6_stat',
  'lease4_pool_stat',
  'lease6_pool_stat',
  'lease_spans',
  'lease_span_identifiers',
  'lease_checkpoints',
] as const

/**
 * Begins the transaction of a batch and moves the checkpoint, in one go. Placeholders in order: when `isFirst`,
 * projection and log; then to, projection, log, from; projection and log. The last result is one row: 1 when the batch
 * is let through, and where the checkpoint stands now.
 *
 * The transaction begins by itself, with autocommit off: on a Galera node whose cluster changes, START TRANSACTION waits
 * for what was committed elsewhere, and when that wait fails under a client that has gone, MariaDB 10.11 was seen to go
 * on with the next statement. That moved the checkpoint in a transaction of its own, and the rows never came.
 *
 * The checkpoint is the gate. Of two writers that start from one position the second waits for the row, finds it moved
 * and writes nothing.
 */
export const gateStatements = (suffix: string, isFirst: boolean): string =>
  [
    'SET autocommit = 0',
    ...(isFirst
      ? [
          `INSERT INTO lease_checkpoints${suffix} VALUES (?, ?, 0)
ON DUPLICATE KEY UPDATE seq = lease_checkpoints${suffix}.seq`,
        ]
      : []),
    `UPDATE lease_checkpoints${suffix} SET seq = ? WHERE projection = ? AND log = ? AND seq = ?`,
    'SET @moved = row_count()',
    `SELECT @moved, coalesce((SELECT seq FROM lease_checkpoints${suffix} WHERE projection = ? AND log = ?), 0)`,
  ].join(';\n')

/** Ends the transaction of a batch. */
export const END = 'COMMIT; SET autocommit = 1'

/** Takes back what the transaction of a batch did. */
export const UNDO = 'ROLLBACK; SET autocommit = 1'

/** How far the tables are: the placeholder is the projection. */
export const checkpointStatement = (suffix: string): string => `
SELECT log, seq
FROM lease_checkpoints${suffix}
WHERE projection = ?`

/** All rows of a table. */
export const rowsStatement = (suffix: string, table: LeaseTable): string => `
SELECT ${selectList(table)}
FROM ${table}${suffix}`

/** The pool statistics that are not zero: table, subnet, pool, lease type, state, leases. */
export const statisticsStatement = (suffix: string): string => `
SELECT 'lease4', subnet_id, pool_id, 0, state, leases
FROM lease4_pool_stat${suffix} WHERE leases <> 0
UNION ALL
SELECT 'lease6', subnet_id, pool_id, lease_type, state, leases
FROM lease6_pool_stat${suffix} WHERE leases <> 0`
