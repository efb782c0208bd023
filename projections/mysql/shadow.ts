/**
 * Rebuilding beside the live tables: tables of the same form under other names are filled, and then take the place of
 * the live ones by one RENAME TABLE, which happens as a whole or not at all. Views and privileges go by name in MySQL
 * and so hold for the new tables.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadError } from '../../domain/event-store.ts'
import type { ShadowTables } from '../lease-tables.ts'
import { makeConnection, whereText } from './connection.ts'
import type { Connection, MysqlTablesOptions, Statements } from './connection.ts'
import { REBUILT } from './statements.ts'

/** A batch of a rebuild, or the swap, may take this long: it waits for nobody and nobody waits for it. */
const STATEMENT_TIMEOUT_MS = 120_000

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
  const prepared = await connection.run((statements) => prepare(statements, resume))
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

/**
 * The lock is the session's: it goes with the connection when the rebuild ends, however it ends. Its name is the
 * server's and not the database's, and has at most 64 characters. Nodes of a Galera cluster do not see each other's:
 * of two rebuilds there, the one that swaps last fails, because its tables are gone.
 */
const LOCK = `
SELECT get_lock(concat('lease ledger rebuild ', left(sha1(database()), 32)), 0)`

const COLUMNS_OF = `
SELECT table_name, column_name, column_type
FROM information_schema.columns
WHERE table_schema = database() AND table_name = ?
ORDER BY ordinal_position`

const prepare = async ({ rows }: Statements, resume: boolean): Promise<boolean> => {
  const [lock] = await rows(LOCK)
  if (lock?.[0]?.toString() !== '1') return false
  const columnsOf = async (suffix: string): Promise<string> => {
    const found: string[] = []
    for (const table of REBUILT) {
      for (const [, name, type] of await rows(COLUMNS_OF, [table + suffix])) {
        found.push(`${table} ${name?.toString()} ${type?.toString()}`)
      }
    }
    return found.join()
  }
  if (resume && (await columnsOf(SHADOW)) === (await columnsOf(''))) return true
  for (const table of REBUILT) {
    await rows(`DROP TABLE IF EXISTS ${table}${SHADOW}`)
    await rows(`CREATE TABLE ${table}${SHADOW} LIKE ${table}`)
  }
  return true
}

const swap = async ({ rows }: Statements): Promise<void> => {
  const dropReplaced = `DROP TABLE IF EXISTS ${REBUILT.map((table) => table + REPLACED).join(', ')}`
  await rows(dropReplaced) // left by one that was cut off after the renaming
  const renames = REBUILT.map((table) => `${table} TO ${table}${REPLACED}, ${table}${SHADOW} TO ${table}`)
  await rows(`RENAME TABLE ${renames.join(', ')}`)
  await rows(dropReplaced)
}
