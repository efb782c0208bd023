/**
 * The statements that write and read the lease tables. `schema` is quoted already and stands before every name, so that
 * one connection serves the live tables and those of a rebuild alike.
 */
import { COLUMNS, KEY, selectList } from './columns.ts'
import { SPAN_PARAMETERS, writeSpans } from './history-statements.ts'
import type { LeaseTable } from '../lease-row.ts'

/** Quotes an identifier. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** The tables that a rebuild fills and swaps. */
export const REBUILT = [
  'lease4',
  'lease6',
  'lease4_stat',
  'lease6_stat',
  'lease4_pool_stat',
  'lease6_pool_stat',
  'lease_spans',
  'lease_checkpoints',
] as const

/** Rows that are written in one way: of a table, or spans; such that are new, or any. */
export interface Part {
  readonly into: LeaseTable | 'spans'
  readonly areNew: boolean
}

/**
 * Moves the checkpoint and writes a batch, in one statement and so in one transaction: parameters 1 to 4 are
 * projection, log, from and to; the array literals of the columns follow, part by part. Parts into one table follow each
 * other.
 *
 * Rows that are said to be new are inserted without a look at what is there, which saves a fifth of the database's time;
 * when one of them is there, the whole statement fails with {@link NOT_NEW}.
 *
 * The checkpoint is the gate. Of two writers that start from one position the second waits for the row, finds it moved
 * and writes nothing. Rows are taken in the order of their key, so that writers of different logs that meet at some
 * addresses wait in one order and cannot lock each other out.
 */
export const applyStatement = (schema: string, parts: ReadonlyArray<Part>): string => {
  let parameter = 5
  const writes = parts.map(({ into, areNew }) => {
    const first = parameter
    parameter += into === 'spans' ? SPAN_PARAMETERS : COLUMNS[into].length
    if (into !== 'spans') return writeRows(schema, into, areNew, first)
    const gate = 'WHERE EXISTS (SELECT FROM moved)'
    return `,\n${nameOf('spans', areNew)} AS (${writeSpans(schema, first, areNew ? 'new' : 'merged', gate)}\n)`
  })
  const counts = (['lease4', 'lease6'] as const).map((table) => {
    const written = parts.filter(({ into }) => into === table)
    return written.length === 0 ? '' : countRows(schema, table, written)
  })
  return `
WITH moved AS (
  INSERT INTO ${schema}.lease_checkpoints AS here (projection, log, seq)
  SELECT $1::text, $2::text, $4::bigint
  WHERE $3::bigint = 0
     OR EXISTS (SELECT FROM ${schema}.lease_checkpoints WHERE projection = $1::text AND log = $2::text)
  ON CONFLICT (projection, log) DO UPDATE SET seq = excluded.seq WHERE here.seq = $3::bigint
  RETURNING seq
)${writes.join('')}${counts.join('')}
SELECT count(*)::text FROM moved`
}

/** What the error says when a row that was said to be new is there: SQLSTATE unique_violation. */
export const NOT_NEW = '(SQLSTATE 23505)'

const nameOf = (into: Part['into'], areNew: boolean): string => `${into}_${areNew ? 'added' : 'written'}`

/**
 * A row remembers what it was counted as before (`prior_…`): only the update itself sees the version that it replaces,
 * when two servers write one stream at the same time.
 */
const writeRows = (schema: string, table: LeaseTable, areNew: boolean, firstParameter: number): string => {
  const columns = COLUMNS[table]
  const names = columns.map(({ name }) => name).join(', ')
  const arrays = columns.map(({ type }, index) => `$${firstParameter + index}::${type}[]`).join(', ')
  const key = KEY[table]
  const changes = columns.filter(({ name }) => !key.includes(name)).map(({ name }) => `${name} = excluded.${name}`)
  const type = table === 'lease6' ? 'lease_type, ' : ''
  const onConflict = `
  ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${changes.join(', ')},
    prior_subnet_id = here.subnet_id, prior_pool_id = here.pool_id, prior_state = here.state
  WHERE excluded.revision > here.revision`
  return `,
${nameOf(table, areNew)} AS (
  INSERT INTO ${schema}.${table} AS here (${names})
  SELECT ${columns.map(({ name, store }) => store(`incoming.${name}`)).join(', ')}
  FROM unnest(${arrays}) AS incoming (${names})
  WHERE EXISTS (SELECT FROM moved)
  ORDER BY ${key.map((name) => `incoming.${name}`).join(', ')}${areNew ? '' : onConflict}
  RETURNING ${type}subnet_id, pool_id, state, prior_subnet_id, prior_pool_id, prior_state
)`
}

const countRows = (schema: string, table: LeaseTable, written: ReadonlyArray<Part>): string => {
  const type = table === 'lease6' ? 'lease_type, ' : ''
  const changes = written.flatMap(({ areNew }) => {
    const name = nameOf(table, areNew)
    const now = `SELECT subnet_id, pool_id, ${type}state, 1 AS change FROM ${name}`
    return areNew ? [now] : [now, `SELECT prior_subnet_id, prior_pool_id, ${type}prior_state, -1 FROM ${name}`]
  })
  return `,
${table}_change AS (
  SELECT subnet_id, pool_id, ${type}state, sum(change) AS leases
  FROM (
    ${changes.join('\n    UNION ALL\n    ')}
  ) AS changes
  WHERE state IN (0, 1)
  GROUP BY subnet_id, pool_id, ${type}state
  HAVING sum(change) <> 0
),${count(schema, `${table}_stat`, `${table}_change`, `subnet_id, ${type}state`)},${count(
    schema,
    `${table}_pool_stat`,
    `${table}_change`,
    `subnet_id, pool_id, ${type}state`,
  )}`
}

const count = (schema: string, table: string, change: string, key: string): string => `
${table}_counted AS (
  INSERT INTO ${schema}.${table} AS here (${key}, leases)
  SELECT ${key}, sum(leases) FROM ${change} GROUP BY ${key} HAVING sum(leases) <> 0 ORDER BY ${key}
  ON CONFLICT (${key}) DO UPDATE SET leases = here.leases + excluded.leases
)`

/** How far the tables are: parameter 1 is the projection. Log and position, as texts. */
export const checkpointStatement = (schema: string): string => `
SELECT log, seq::text
FROM ${schema}.lease_checkpoints
WHERE projection = $1::text`

/** All rows of a table. */
export const rowsStatement = (schema: string, table: LeaseTable): string => `
SELECT ${selectList(table)}
FROM ${schema}.${table}`

/** The pool statistics that are not zero: table, subnet, pool, lease type, state, leases, as texts. */
export const statisticsStatement = (schema: string): string => `
SELECT 'lease4', subnet_id::text, pool_id::text, '0', state::text, leases::text
FROM ${schema}.lease4_pool_stat WHERE leases <> 0
UNION ALL
SELECT 'lease6', subnet_id::text, pool_id::text, lease_type::text, state::text, leases::text
FROM ${schema}.lease6_pool_stat WHERE leases <> 0`
