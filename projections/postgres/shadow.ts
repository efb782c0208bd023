/**
 * Rebuilding beside the live tables: tables of the same form in a schema of their own are filled, and then take the
 * place of the live ones in one transaction. Whoever may read the live tables may read the new ones, and views over
 * them go on as they were.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type postgres from 'postgres'
import type { ReadError } from '../../domain/event-store.ts'
import { isoText } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import type { PastTables, ShadowTables } from '../lease-tables.ts'
import { makeConnection, whereText } from './connection.ts'
import type { Connection, PostgresTablesOptions } from './connection.ts'
import { quoted, REBUILT } from './statements.ts'

/** A batch of a rebuild, or the swap, may take this long: it waits for nobody and nobody waits for it. */
const STATEMENT_TIMEOUT_MS = 120_000

type InSchema = (options: PostgresTablesOptions, schema: string, connection: Connection) => Omit<ShadowTables, 'swap'>

/** Opens the tables of a rebuild of `schema`, those that an interrupted one left or new ones. */
export const openShadow = async (
  options: PostgresTablesOptions,
  schema: string,
  resume: boolean,
  inSchema: InSchema,
): Promise<Either<ReadError, ShadowTables>> => {
  const patient = { ...options, statementTimeoutMs: STATEMENT_TIMEOUT_MS }
  const connection = makeConnection(patient)
  const shadow = `${schema}_rebuild`
  const prepared = await connection.run((sql) => prepare(sql, schema, shadow, REBUILD, resume))
  if (E.isRight(prepared) && prepared.right) {
    return E.right({
      ...inSchema(patient, shadow, connection),
      swap: () => () => connection.run((sql) => sql.begin((transaction) => swap(transaction, schema, shadow))),
    })
  }
  await connection.close()
  if (E.isLeft(prepared)) return prepared
  const reason = `${whereText(options)}: another rebuild of the lease tables is under way`
  return E.left({ _tag: 'StoreUnusable', reason })
}

/** What the tables of a rebuild are for, as their schema says. */
const REBUILD = 'a rebuild of the lease tables'

/** The views that people ask, those first that stand on none of the others. */
const PEOPLES_VIEWS = ['leases', 'lease_history']

/**
 * Opens tables of a past moment in a schema of their own beside `schema`, those that an interrupted one left or new
 * ones. `finish` puts the views for people over them; `now`, the end of their time, takes the place of today there.
 */
export const openPast = async (
  options: PostgresTablesOptions,
  schema: string,
  past: string,
  of: string,
  resume: boolean,
  inSchema: InSchema,
): Promise<Either<ReadError, PastTables>> => {
  const unusable = (reason: string): Either<ReadError, never> => E.left({ _tag: 'StoreUnusable', reason })
  // What stands there is dropped: only a name that nothing else has.
  if (!/^as_of_[0-9a-z_]{1,50}$/.test(past)) return unusable(`a schema of the past is named as_of_…, not ${past}`)
  const patient = { ...options, statementTimeoutMs: STATEMENT_TIMEOUT_MS }
  const connection = makeConnection(patient)
  const prepared = await connection.run((sql) => prepare(sql, schema, past, `the lease tables as of ${of}`, resume))
  if (E.isRight(prepared) && prepared.right) {
    const finish = (now: Instant) => () =>
      connection.run((sql) => sql.begin((transaction) => viewsOfPast(transaction, schema, past, now)))
    const views = { leases: `${past}.leases`, history: `${past}.lease_history` }
    return E.right({ ...inSchema(patient, past, connection), views, finish })
  }
  await connection.close()
  return E.isLeft(prepared) ? prepared : unusable(`${whereText(options)}: another rebuild is under way`)
}

const viewsOfPast = async (sql: postgres.TransactionSql, live: string, past: string, now: Instant): Promise<void> => {
  await sql.unsafe(`SET LOCAL search_path = ''`)
  for (const view of PEOPLES_VIEWS) {
    const [found] = await sql.unsafe('SELECT pg_get_viewdef(to_regclass($1::text)) AS definition', [
      `${quoted(live)}.${view}`,
    ])
    if (found?.definition == null) continue
    const definition = (found.definition as string)
      .replaceAll(` ${live}.`, ` ${quoted(past)}.`)
      .replaceAll(`(${live}.`, `(${quoted(past)}.`)
      .replaceAll('now()', `'${isoText(now)}'::timestamptz`)
    await sql.unsafe(`CREATE OR REPLACE VIEW ${quoted(past)}.${view} AS ${definition}`)
  }
}

/**
 * The lock is the session's: it goes with the connection when the rebuild ends, however it ends. That of one that was
 * killed goes when the server is done with its last statement, which is worth a little patience.
 */
const LOCK = `
SELECT pg_advisory_lock(hashtext('lease ledger: rebuild'), hashtext($1::text))`

const LOCK_PATIENCE_MS = 2_000

const LOCK_NOT_AVAILABLE = '55P03'

const locked = async (sql: postgres.Sql, live: string): Promise<boolean> => {
  await sql.unsafe(`SET lock_timeout = ${LOCK_PATIENCE_MS}`)
  try {
    await sql.unsafe(LOCK, [live])
    return true
  } catch (error) {
    if ((error as { readonly code?: string }).code === LOCK_NOT_AVAILABLE) return false
    throw error
  } finally {
    await sql.unsafe('RESET lock_timeout').catch(() => undefined) // a connection that is gone has no settings
  }
}

const PURPOSE_OF = `
SELECT obj_description(to_regnamespace($1::text), 'pg_namespace') AS purpose`

const COLUMNS_OF = `
SELECT coalesce(string_agg(concat_ws(' ', c.relname, a.attname, a.atttypid::regtype), ',' ORDER BY c.relname, a.attnum),
                '') AS columns
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relname = ANY (string_to_array($2::text, ',')) AND a.attnum > 0 AND NOT a.attisdropped`

const OPTIONS_OF = `
SELECT array_to_string(c.reloptions, ', ') AS options
FROM pg_class AS c
WHERE c.oid = to_regclass($1::text) AND c.reloptions IS NOT NULL`

/** Makes the tables in the schema `shadow`; false while another rebuild holds them. */
const prepare = async (
  sql: postgres.Sql,
  live: string,
  shadow: string,
  purpose: string,
  resume: boolean,
): Promise<boolean> => {
  if (!(await locked(sql, live))) return false
  const columnsOf = async (schema: string): Promise<string> =>
    (await sql.unsafe(COLUMNS_OF, [schema, REBUILT.join(',')]))[0]?.columns as string
  const [left] = await sql.unsafe(PURPOSE_OF, [quoted(shadow)])
  if (resume && left?.purpose === purpose && (await columnsOf(shadow)) === (await columnsOf(live))) return true
  await sql.begin(async (transaction) => {
    await transaction.unsafe(`DROP SCHEMA IF EXISTS ${quoted(shadow)} CASCADE`)
    await transaction.unsafe(`CREATE SCHEMA ${quoted(shadow)}`)
    await transaction.unsafe(`COMMENT ON SCHEMA ${quoted(shadow)} IS '${purpose.replaceAll("'", "''")}'`)
    for (const table of REBUILT) {
      const from = `${quoted(live)}.${table}`
      const to = `${quoted(shadow)}.${table}`
      await transaction.unsafe(`CREATE TABLE ${to} (LIKE ${from} INCLUDING ALL)`)
      const [storage] = await transaction.unsafe(OPTIONS_OF, [from])
      if (storage !== undefined) await transaction.unsafe(`ALTER TABLE ${to} SET (${storage.options as string})`)
    }
  })
  return true
}

/** Views over the live tables, directly or through other views, those first that others stand on. */
const VIEWS = `
WITH RECURSIVE above AS (
  SELECT c.oid, 0 AS depth
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = $1::text AND c.relname = ANY (string_to_array($2::text, ','))
  UNION
  SELECT r.ev_class, above.depth + 1
  FROM above
  JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = above.oid
                     AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite AS r ON r.oid = d.objid
  WHERE r.ev_class <> above.oid
)
SELECT c.oid::regclass::text AS name, pg_get_viewdef(c.oid) AS definition,
       array_to_string(c.reloptions, ', ') AS options
FROM (SELECT oid, max(depth) AS depth FROM above GROUP BY oid) AS view
JOIN pg_class AS c ON c.oid = view.oid
WHERE c.relkind = 'v'
ORDER BY view.depth, c.oid`

/** What to say to give a new table the owner and the readers of the live one. */
const RIGHTS = `
SELECT format('ALTER TABLE %s OWNER TO %I', $2::text, pg_get_userbyid(c.relowner)) AS statement
FROM pg_class AS c
WHERE c.oid = to_regclass($1::text) AND c.relowner <> (SELECT o.oid FROM pg_roles AS o WHERE o.rolname = current_user)
UNION ALL
SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, $2::text,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
              CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.oid = to_regclass($1::text) AND a.grantee <> c.relowner`

const swap = async (sql: postgres.TransactionSql, live: string, shadow: string): Promise<void> => {
  const replaced = `${live}_replaced`
  const names = (schema: string): string => REBUILT.map((table) => `${quoted(schema)}.${table}`).join(', ')
  // All locks before any change: a vacuum of one of the tables, which soon makes way for who only waits for it, would
  // otherwise come to wait in turn for what has been changed. The new ones first, while nobody waits for the live ones.
  await sql.unsafe(`LOCK TABLE ${names(shadow)}, ${names(live)} IN ACCESS EXCLUSIVE MODE`)
  // With nothing on the search path the definitions name every schema, and so find the new tables.
  await sql.unsafe(`SET LOCAL search_path = ''`)
  const views = await sql.unsafe(VIEWS, [live, REBUILT.join(',')])
  await sql.unsafe(`CREATE SCHEMA ${quoted(replaced)}`)
  for (const table of REBUILT) {
    const [from, to] = [`${quoted(live)}.${table}`, `${quoted(shadow)}.${table}`]
    for (const right of await sql.unsafe(RIGHTS, [from, to])) await sql.unsafe(right.statement as string)
    await sql.unsafe(`ALTER TABLE ${from} SET SCHEMA ${quoted(replaced)}`)
    await sql.unsafe(`ALTER TABLE ${to} SET SCHEMA ${quoted(live)}`)
  }
  for (const { name, definition, options } of views) {
    const set = options === null ? '' : `WITH (${options as string}) `
    await sql.unsafe(`CREATE OR REPLACE VIEW ${name as string} ${set}AS ${definition as string}`)
  }
  // Without CASCADE: what else stands on the old tables, a materialized view perhaps, is not ours to drop.
  await sql.unsafe(`DROP TABLE ${names(replaced)}`)
  await sql.unsafe(`DROP SCHEMA ${quoted(replaced)}`)
  await sql.unsafe(`DROP SCHEMA ${quoted(shadow)}`)
}
