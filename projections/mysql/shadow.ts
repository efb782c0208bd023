/**
 * Rebuilding beside the live tables: tables of the same form under other names are filled, and then take the place of
 * the live ones by one RENAME TABLE, which happens as a whole or not at all. Views and privileges go by name in MySQL
 * and so hold for the new tables. Tables of the past stand beside them in the same way, and stay.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadError } from '../../domain/event-store.ts'
import { isoText } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import type { PastTables, ShadowTables } from '../lease-tables.ts'
import { makeConnection, whereText } from './connection.ts'
import type { Connection, MysqlTablesOptions, Statements } from './connection.ts'
import { REBUILT } from './statements.ts'

/** A batch of a rebuild, or the swap, may take this long: it waits for nobody and nobody waits for it. */
const STATEMENT_TIMEOUT_MS = 120_000

/** What the tables of a rebuild are for, as a comment of theirs says. */
const REBUILD = 'a rebuild of the lease tables'

const SHADOW = '_rebuild'
const REPLACED = '_replaced'

type WithSuffix = (options: MysqlTablesOptions, suffix: string, connection: Connection) => Omit<ShadowTables, 'swap'>

/** Opens the tables of a rebuild, those that an interrupted one left or new ones. */
export const openShadow = async (
  options: MysqlTablesOptions,
  resume: boolean,
  withSuffix: WithSuffix,
): Promise<Either<ReadError, ShadowTables>> => {
  const patient = { ...options, statementTimeoutMs: STATEMENT_TIMEOUT_MS }
  const connection = makeConnection(patient)
  const prepared = await connection.run((statements) => prepare(statements, SHADOW, REBUILD, resume))
  if (E.isRight(prepared) && prepared.right) {
    return E.right({
      ...withSuffix(patient, SHADOW, connection),
      swap: () => () => connection.run(swap),
    })
  }
  await connection.close()
  if (E.isLeft(prepared)) return prepared
  const reason = `${whereText(options)}: another rebuild of the lease tables is under way`
  return E.left({ _tag: 'StoreUnusable', reason })
}

/** The views that people ask. */
const PEOPLES_VIEWS = ['leases', 'lease_history']

/**
 * Opens tables of a past moment beside the live ones, their names ending in `_NAME`: those that an interrupted filling
 * left or new ones. `finish` puts the views for people over them; `now`, the end of their time, takes the place of today.
 */
export const openPast = async (
  options: MysqlTablesOptions,
  name: string,
  of: string,
  resume: boolean,
  withSuffix: WithSuffix,
): Promise<Either<ReadError, PastTables>> => {
  const unusable = (reason: string): Either<ReadError, never> => E.left({ _tag: 'StoreUnusable', reason })
  // What stands there is dropped: only a name that nothing else has. A table's has at most 64 characters.
  if (!/^as_of_[0-9a-z_]{1,34}$/.test(name)) return unusable(`tables of the past are named as_of_…, not ${name}`)
  const patient = { ...options, statementTimeoutMs: STATEMENT_TIMEOUT_MS }
  const connection = makeConnection(patient)
  const suffix = `_${name}`
  const prepared = await connection.run((statements) =>
    prepare(statements, suffix, `the lease tables as of ${of}`, resume),
  )
  if (E.isRight(prepared) && prepared.right) {
    const finish = (now: Instant) => () => connection.run((statements) => viewsOfPast(statements, suffix, now))
    const views = { leases: `leases${suffix}`, history: `lease_history${suffix}` }
    return E.right({ ...withSuffix(patient, suffix, connection), views, finish })
  }
  await connection.close()
  return E.isLeft(prepared) ? prepared : unusable(`${whereText(options)}: another rebuild is under way`)
}

const DEFINITION_OF = `
SELECT database(), view_definition
FROM information_schema.views
WHERE table_schema = database() AND table_name = ?`

/** A definition names every table with its database, and the time as it was written. */
const viewsOfPast = async ({ rows }: Statements, suffix: string, now: Instant): Promise<void> => {
  const today = `timestamp'${isoText(now).replace('T', ' ').replace('Z', '')}'`
  for (const view of PEOPLES_VIEWS) {
    const [found] = await rows(DEFINITION_OF, [view])
    const [database, live] = [found?.[0]?.toString() ?? '', found?.[1]?.toString() ?? '']
    if (live === '') continue
    const named = (table: string): string => `\`${database}\`.\`${table}\``
    let past = live.replaceAll(/utc_timestamp\(3\)/gi, today)
    for (const table of REBUILT) past = past.replaceAll(named(table), named(table + suffix))
    await rows(`CREATE OR REPLACE SQL SECURITY INVOKER VIEW ${view}${suffix} AS ${past}`)
  }
}

/**
 * The lock is the session's: it goes with the connection when the rebuild ends, however it ends. That of one that was
 * killed goes when the server is done with its last statement, which is worth a little patience: 2 s. Its name is the
 * server's and not the database's, and has at most 64 characters. Nodes of a Galera cluster do not see each other's:
 * of two rebuilds there, the one that swaps last fails, because its tables are gone.
 */
const LOCK = `
SELECT get_lock(concat('lease ledger rebuild ', left(sha1(database()), 32)), 2)`

const COLUMNS_OF = `
SELECT table_name, column_name, column_type
FROM information_schema.columns
WHERE table_schema = database() AND table_name = ?
ORDER BY ordinal_position`

const PURPOSE_OF = `
SELECT table_comment
FROM information_schema.tables
WHERE table_schema = database() AND table_name = ?`

/** The table that is made last, and so says of all of them what they are for. */
const LAST = REBUILT[REBUILT.length - 1]

/** Makes the tables whose names end in `suffix`; false while another rebuild holds them. */
const prepare = async ({ rows }: Statements, suffix: string, purpose: string, resume: boolean): Promise<boolean> => {
  const [lock] = await rows(LOCK)
  if (lock?.[0]?.toString() !== '1') return false
  const columnsOf = async (ending: string): Promise<string> => {
    const found: string[] = []
    for (const table of REBUILT) {
      for (const [, name, type] of await rows(COLUMNS_OF, [table + ending])) {
        found.push(`${table} ${name?.toString()} ${type?.toString()}`)
      }
    }
    return found.join()
  }
  const [left] = await rows(PURPOSE_OF, [LAST + suffix])
  const isSame = left?.[0]?.toString() === purpose
  if (resume && isSame && (await columnsOf(suffix)) === (await columnsOf(''))) return true
  await rows(
    `DROP TABLE IF EXISTS ${[...REBUILT]
      .reverse()
      .map((table) => table + suffix)
      .join(', ')}`,
  )
  for (const table of REBUILT) await rows(`CREATE TABLE ${table}${suffix} LIKE ${table}`)
  await rows(`ALTER TABLE ${LAST}${suffix} COMMENT = '${purpose.replaceAll("'", "''")}'`)
  return true
}

const swap = async ({ rows }: Statements): Promise<void> => {
  const dropReplaced = `DROP TABLE IF EXISTS ${REBUILT.map((table) => table + REPLACED).join(', ')}`
  await rows(dropReplaced) // left by one that was cut off after the renaming
  const renames = REBUILT.map((table) => `${table} TO ${table}${REPLACED}, ${table}${SHADOW} TO ${table}`)
  await rows(`RENAME TABLE ${renames.join(', ')}`)
  await rows(dropReplaced)
}
