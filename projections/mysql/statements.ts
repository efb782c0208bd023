/**
 * The statements that write and read the lease tables in MySQL 8 and MariaDB. `suffix` comes after every table's name,
 * so that the same statements serve the live tables and those of a rebuild beside them.
 */
import { COLUMNS, KEY_LENGTH, selectList } from './columns.ts'
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
 * Moves the checkpoint and writes a batch: a text of several statements, sent in one go, that is one transaction.
 * Placeholders in order: for each table the JSON texts of its rows and keys; when `isFirst`, projection and log; then
 * to, projection, log, from; for each table log, from, to, twice; projection and log. The last result is one row: 1 when
 * the batch was let through, and where the checkpoint stands now.
 *
 * The transaction begins by itself, with autocommit off: on a Galera node whose cluster changes, START TRANSACTION waits
 * for what was committed elsewhere, and when that wait fails under a client that has gone, MariaDB 10.11 was seen to go
 * on with the next statement. That moved the checkpoint in a transaction of its own, and the rows never came.
 *
 * With `staysOpen` the transaction is not ended, for the spans are still to come: {@link END} ends it.
 *
 * The checkpoint is the gate. Of two writers that start from one position the second waits for the row, finds it moved
 * and writes nothing.
 */
export const applyStatements = (
  suffix: string,
  tables: ReadonlyArray<LeaseTable>,
  isFirst: boolean,
  staysOpen: boolean,
): string =>
  [
    ...tables.map((table) => `SET @${table}_rows = ?, @${table}_keys = ?`),
    'SET autocommit = 0',
    ...(isFirst
      ? [
          `INSERT INTO lease_checkpoints${suffix} VALUES (?, ?, 0)
ON DUPLICATE KEY UPDATE seq = lease_checkpoints${suffix}.seq`,
        ]
      : []),
    `UPDATE lease_checkpoints${suffix} SET seq = ? WHERE projection = ? AND log = ? AND seq = ?`,
    'SET @moved = row_count()',
    ...tables.flatMap((table) => [
      writeRows(suffix, table),
      count(suffix, table, 'pool_stat', ['subnet_id', 'pool_id']),
      count(suffix, table, 'stat', ['subnet_id']),
    ]),
    // Turning autocommit on would end the transaction too.
    ...(staysOpen ? [] : ['COMMIT', 'SET autocommit = 1']),
    `SELECT @moved, coalesce((SELECT seq FROM lease_checkpoints${suffix} WHERE projection = ? AND log = ?), 0)`,
  ].join(';\n')

/** Ends what {@link applyStatements} left open. */
export const END = 'COMMIT; SET autocommit = 1'

/**
 * What JSON_TABLE makes of the rows, or of their keys: columns c0, c1, and so on, for names of the table's own would be
 * ambiguous. The keys have a text of their own because MariaDB goes through all of a row for each column of it.
 */
const given = (table: LeaseTable, what: 'rows' | 'keys'): string => {
  const columns = what === 'rows' ? COLUMNS[table] : COLUMNS[table].slice(0, KEY_LENGTH[table])
  const list = columns.map(({ type }, index) => `c${index} ${type} PATH '$[${index}]'`)
  return `json_table(@${table}_${what}, '$[*]' COLUMNS (${list.join(', ')})) AS given`
}

/**
 * A row takes the place of one with a lower revision only, and remembers what it was counted as before (`prior_…`):
 * only the update itself sees the version that it replaces when two servers write one stream at the same time. The
 * assignments are carried out from left to right, so the old values are saved first and the revision, which decides,
 * is written last.
 */
const writeRows = (suffix: string, table: LeaseTable): string => {
  const columns = COLUMNS[table]
  const here = `${table}${suffix}`
  const isNewer = `VALUES(revision) > ${here}.revision`
  const prior = ['subnet_id', 'pool_id', 'state'].map(
    (name) => `prior_${name} = IF(${isNewer}, ${here}.${name}, ${here}.prior_${name})`,
  )
  const changes = columns
    .slice(KEY_LENGTH[table])
    .filter(({ name }) => name !== 'revision')
    .map(({ name }) => `${name} = IF(${isNewer}, VALUES(${name}), ${here}.${name})`)
  return `
INSERT INTO ${here} (${columns.map(({ name }) => name).join(', ')})
SELECT ${columns.map(({ store }, index) => store(`given.c${index}`)).join(', ')}
FROM ${given(table, 'rows')}
WHERE @moved = 1
ON DUPLICATE KEY UPDATE ${[...prior, ...changes].join(', ')},
  revision = greatest(VALUES(revision), ${here}.revision)`
}

/** Adds up what the rows of this batch changed: they bear its log and positions, which nothing before it did. */
const count = (suffix: string, table: LeaseTable, kind: 'stat' | 'pool_stat', by: ReadonlyArray<string>): string => {
  const key = [...by, ...(table === 'lease6' ? ['lease_type'] : []), 'state']
  const stat = `${table}_${kind}${suffix}`
  const columns = COLUMNS[table].slice(0, KEY_LENGTH[table])
  const isGiven = columns.map(({ name, store }, index) => `l.${name} = ${store(`given.c${index}`)}`).join(' AND ')
  const written = (prefix: string, change: number): string => {
    const names = key.map((name) => `l.${name === 'lease_type' ? '' : prefix}${name} AS ${name}`)
    return `SELECT ${names.join(', ')}, ${change} AS one
  FROM ${given(table, 'keys')} STRAIGHT_JOIN ${table}${suffix} l ON ${isGiven}
  WHERE @moved = 1 AND l.log = ? AND l.seq > ? AND l.seq <= ?`
  }
  return `
INSERT INTO ${stat} (${key.join(', ')}, leases)
SELECT ${key.join(', ')}, sum(one) AS leases_more
FROM (
  ${written('', 1)}
  UNION ALL
  ${written('prior_', -1)}
) AS changes
WHERE state IN (0, 1)
GROUP BY ${key.join(', ')}
HAVING leases_more <> 0
ORDER BY ${key.join(', ')}
ON DUPLICATE KEY UPDATE leases = ${stat}.leases + VALUES(leases)`
}

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
