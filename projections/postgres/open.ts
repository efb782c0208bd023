/** The lease tables in PostgreSQL (13 or later). They must have been set up (migrations/postgres/tables). */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { Checkpoint, LogName, ReadError, Seq } from '../../domain/event-store.ts'
import type { SpanRow } from '../history.ts'
import type { KeaLeaseType, LeaseRow, LeaseTable } from '../lease-row.ts'
import type { Applied, LeaseTables, ShadowTables, SnapshotEnd, Statistic } from '../lease-tables.ts'
import { fromTexts } from './columns.ts'
import { makeConnection, whereText } from './connection.ts'
import type { Connection, PostgresTablesOptions } from './connection.ts'
import { makeHistory } from './history.ts'
import { allSpansStatement, spanFromTexts } from './history-statements.ts'
import { openPast, openShadow } from './shadow.ts'
import { checkpointStatement, quoted, rowsStatement, statisticsStatement } from './statements.ts'
import { texts } from './texts.ts'
import type { Texts } from './texts.ts'
import { makeWriter } from './write.ts'

export type { PostgresTablesOptions } from './connection.ts'

const DEFAULT_SCHEMA = 'public'

const READY = `
SELECT coalesce(to_regclass($1::text)::text, '')`

/**
 * Opens the lease tables of a database: one connection for batches and short questions; a snapshot makes another for
 * its time. `StoreUnusable` when the tables are not there.
 */
export const openPostgresTables =
  (options: PostgresTablesOptions): TaskEither<ReadError, LeaseTables> =>
  async () => {
    const name = options.schema ?? DEFAULT_SCHEMA
    const connection = makeConnection(options)
    const found = await connection.run((sql) => texts(sql, READY, [`${quoted(name)}.lease_checkpoints`]))
    if (E.isRight(found) && found.right[0]?.[0] !== '') return E.right(makeTables(options, name, connection))
    await connection.close()
    if (E.isLeft(found)) return found
    const reason = `${whereText(options)} has no lease tables in schema ${name}; set them up first`
    return E.left({ _tag: 'StoreUnusable', reason })
  }

const makeTables = (options: PostgresTablesOptions, schema: string, connection: Connection): LeaseTables => ({
  ...inSchema(options, schema, connection),
  shadow: (resume) => () => openShadow(options, schema, resume, inSchema),
  past: (name, of, resume) => () => openPast(options, schema, name, of, resume, inSchema),
})

/** Everything that live tables and those of a rebuild have in common. */
const inSchema = (
  options: PostgresTablesOptions,
  schemaName: string,
  connection: Connection,
): Omit<ShadowTables, 'swap'> => {
  const schema = quoted(schemaName)
  const write = makeWriter(connection, schema)
  const checkpoint = async (projection: string): Promise<Either<ReadError, Checkpoint>> =>
    E.map(toCheckpoint)(await connection.run((sql) => texts(sql, checkpointStatement(schema), [projection])))
  return {
    where: whereText(options),
    apply:
      (projection, log, from, to, rows, spans = []) =>
      async () => {
        const written = await write({ projection, log, from, to, rows, spans })
        if (E.isLeft(written)) return written
        if (written.right) return E.right({ _tag: 'Applied' })
        return E.map(elsewhere(log))(await checkpoint(projection))
      },
    checkpoint: (projection) => () => checkpoint(projection),
    snapshot: (projection, onRow, onSpan) => () => readSnapshot(options, schema, projection, onRow, onSpan),
    history: makeHistory(connection, schema),
    close: connection.close,
  }
}

const elsewhere =
  (log: LogName) =>
  (checkpoint: Checkpoint): Applied => ({ _tag: 'Elsewhere', checkpointAt: checkpoint[log] ?? 0 })

const toCheckpoint = (rows: Texts): Checkpoint =>
  Object.fromEntries(rows.map(([log, seq]): [LogName, Seq] => [log as string, Number(seq)]))

const toStatistic = ([table, subnetId, poolId, leaseType, state, leases]: ReadonlyArray<string>): Statistic => ({
  table: table as LeaseTable,
  subnetId: Number(subnetId),
  poolId: Number(poolId),
  leaseType: Number(leaseType) as KeaLeaseType,
  state: Number(state) as 0 | 1,
  leases: Number(leases),
})

/** One transaction that sees one moment. The rows are handed on as they come off the wire and nowhere kept. */
const readSnapshot = async (
  options: PostgresTablesOptions,
  schema: string,
  projection: string,
  onRow: (row: LeaseRow) => void,
  onSpan: ((span: SpanRow) => void) | undefined,
): Promise<Either<ReadError, SnapshotEnd>> => {
  const connection = makeConnection(options)
  let rowsRead = 0
  const read = await connection.run<SnapshotEnd>(
    (sql) =>
      sql.begin('ISOLATION LEVEL REPEATABLE READ READ ONLY', async (transaction) => {
        await transaction.unsafe('SET LOCAL statement_timeout = 0')
        const checkpoint = toCheckpoint(await texts(transaction, checkpointStatement(schema), [projection]))
        const statistics = (await texts(transaction, statisticsStatement(schema), [])).map(toStatistic)
        for (const table of ['lease4', 'lease6'] as const) {
          const rows = transaction.unsafe(rowsStatement(schema, table), [], { prepare: true }).values()
          await rows.forEach((row) => {
            rowsRead++
            onRow(fromTexts(table, row as unknown as ReadonlyArray<string | null>))
          })
        }
        if (onSpan !== undefined) {
          await transaction
            .unsafe(`${allSpansStatement(schema)}\nORDER BY address`, [], { prepare: true })
            .values()
            .forEach((row) => {
              rowsRead++
              onSpan(spanFromTexts(row as unknown as ReadonlyArray<string | null>))
            })
        }
        return { checkpoint, statistics }
      }) as Promise<SnapshotEnd>,
    () => rowsRead,
  )
  await connection.close()
  return read
}
