/** The lease tables in MySQL 8 or MariaDB 10.6 and later. They must have been set up (migrations/mysql/tables). */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { Checkpoint, LogName, ReadError, Seq } from '../../domain/event-store.ts'
import type { SpanRow } from '../history.ts'
import type { KeaLeaseType, LeaseRow, LeaseTable } from '../lease-row.ts'
import type { LeaseTables, ShadowTables, SnapshotEnd, Statistic } from '../lease-tables.ts'
import { fromOctets } from './columns.ts'
import { makeConnection, whereText } from './connection.ts'
import type { Connection, MysqlTablesOptions, Row, Statements } from './connection.ts'
import { allSpansStatement, makeHistory, spanFromRow } from './history.ts'
import { openPast, openShadow } from './shadow.ts'
import { checkpointStatement, rowsStatement, statisticsStatement } from './statements.ts'
import { applyBatch } from './write.ts'

export type { MysqlTablesOptions } from './connection.ts'

const READY = `
SELECT count(*)
FROM information_schema.tables
WHERE table_schema = database() AND table_name = 'lease_checkpoints'`

/**
 * Opens the lease tables of a database: one connection for batches and short questions; a snapshot makes another for
 * its time. `StoreUnusable` when the tables are not there.
 */
export const openMysqlTables =
  (options: MysqlTablesOptions): TaskEither<ReadError, LeaseTables> =>
  async () => {
    const connection = makeConnection(options)
    const found = await connection.run(({ rows }) => rows(READY))
    if (E.isRight(found) && found.right[0]?.[0]?.toString() === '1') return E.right(makeTables(options, connection))
    await connection.close()
    if (E.isLeft(found)) return found
    return E.left({ _tag: 'StoreUnusable', reason: `${whereText(options)} has no lease tables; set them up first` })
  }

const makeTables = (options: MysqlTablesOptions, connection: Connection): LeaseTables => ({
  ...withSuffix(options, '', connection),
  shadow: (resume) => () => openShadow(options, resume, withSuffix),
  past: (name, of, resume) => () => openPast(options, name, of, resume, withSuffix),
})

/** Everything that live tables and those of a rebuild have in common. */
const withSuffix = (
  options: MysqlTablesOptions,
  suffix: string,
  connection: Connection,
): Omit<ShadowTables, 'swap'> => ({
  where: whereText(options),
  apply:
    (projection, log, from, to, rows, spans = []) =>
    () =>
      connection.run((statements) => applyBatch(statements, suffix, { projection, log, from, to, rows, spans })),
  checkpoint: (projection) => async () =>
    E.map(toCheckpoint)(await connection.run(({ rows }) => rows(checkpointStatement(suffix), [projection]))),
  snapshot: (projection, onRow, onSpan) => () => readSnapshot(options, suffix, projection, onRow, onSpan),
  history: makeHistory(connection, suffix),
  close: connection.close,
})

const numberOf = (column: Buffer | null | undefined): number => Number(column?.toString('latin1') ?? 0)

const toCheckpoint = (rows: ReadonlyArray<Row>): Checkpoint =>
  Object.fromEntries(rows.map(([log, seq]): [LogName, Seq] => [log?.toString('utf8') ?? '', numberOf(seq)]))

const toStatistic = ([table, subnetId, poolId, leaseType, state, leases]: Row): Statistic => ({
  table: table?.toString('latin1') as LeaseTable,
  subnetId: numberOf(subnetId),
  poolId: numberOf(poolId),
  leaseType: numberOf(leaseType) as KeaLeaseType,
  state: numberOf(state) as 0 | 1,
  leases: numberOf(leases),
})

/**
 * One transaction that sees one moment, with InnoDB. NDB has no such: there the checkpoint, which is read first, may
 * be a little older than the rows, which does no harm, since what comes after it changes nothing when it comes again.
 */
const readSnapshot = async (
  options: MysqlTablesOptions,
  suffix: string,
  projection: string,
  onRow: (row: LeaseRow) => void,
  onSpan: ((span: SpanRow) => void) | undefined,
): Promise<Either<ReadError, SnapshotEnd>> => {
  const connection = makeConnection(options)
  let rowsRead = 0
  const read = async ({ rows, stream }: Statements): Promise<SnapshotEnd> => {
    await rows('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ')
    await rows('START TRANSACTION WITH CONSISTENT SNAPSHOT')
    const checkpoint = toCheckpoint(await rows(checkpointStatement(suffix), [projection]))
    const statistics = (await rows(statisticsStatement(suffix))).map(toStatistic)
    for (const table of ['lease4', 'lease6'] as const) {
      await stream(rowsStatement(suffix, table), (row) => {
        rowsRead++
        onRow(fromOctets(table, row))
      })
    }
    if (onSpan !== undefined) {
      await stream(`${allSpansStatement(suffix)}\nORDER BY span_key`, (row) => {
        rowsRead++
        onSpan(spanFromRow(row))
      })
    }
    await rows('COMMIT')
    return { checkpoint, statistics }
  }
  const snapshot = await connection.run(read, () => rowsRead)
  await connection.close()
  return snapshot
}
