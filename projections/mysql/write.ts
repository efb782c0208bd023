/** Writing a batch: the rows of the lease tables, their statistics and the spans, in one transaction with the checkpoint. */
import { tableOf } from '../lease-row.ts'
import type { KeaState, LeaseRow, LeaseTable } from '../lease-row.ts'
import type { Applied, Batch, Statistic } from '../lease-tables.ts'
import { countRow } from '../statistics.ts'
import { COLUMNS, KEY_LENGTH, keyList, keyOf } from './columns.ts'
import type { Row, Statements } from './connection.ts'
import { writeSpans } from './history.ts'
import { insertText, takeGiven } from './literals.ts'
import type { Column } from './literals.ts'
import { END, gateStatements, UNDO } from './statements.ts'

/** How often a batch is begun anew because rows came between the look at them and the writing. */
const ATTEMPTS_MAX = 8

/**
 * Moves the checkpoint and writes a batch. Rejects when the database does not do it; the connection then ends the
 * transaction.
 *
 * Who had an address before is read, and locked, in the transaction that takes its row away, and the statistics are
 * added up here: to have them added up by the database, from rows that remember what they were counted as, took most of
 * the time of a batch. The first event of a stream most likely finds no row, and is added without a look; when that
 * turns out wrong, the batch is taken back and written again with a look at every row.
 */
export const applyBatch = async (statements: Statements, suffix: string, batch: Batch): Promise<Applied> => {
  const { projection, log, from, to, spans } = batch
  const isFirst = from === 0
  const position = [...(isFirst ? [projection, log] : []), to, projection, log, from, projection, log]
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const [gate] = await statements.lastRows(gateStatements(suffix, isFirst), position)
    if (numberOf(gate?.[0]) !== 1) {
      await statements.lastRows(END)
      return { _tag: 'Elsewhere', checkpointAt: numberOf(gate?.[1]) }
    }
    const statistics = await writeLeases(statements, suffix, batch.rows, attempt > 1)
    if (statistics !== undefined) {
      await writeSpans(statements, suffix, spans)
      // Last, because these few rows are those of all projectors: on a Galera cluster, whoever else changes one of them
      // between this and the commit makes one of the two begin anew. Each in a text of its own: when another node's
      // write set ends the transaction between two statements of one text, MariaDB 10.11 carries out the rest of the
      // text in a new one, which would be committed and counted again with the batch.
      for (const statistic of statistics) await statements.rows(statistic)
      await statements.lastRows(END)
      return { _tag: 'Applied' }
    }
    await statements.lastRows(UNDO)
  }
  throw new Error('rows of the batch were added by others again and again')
}

const numberOf = (column: Buffer | null | undefined): number => Number(column?.toString('latin1') ?? 0)

/** Rows of one statement: MariaDB makes a subquery, which no index helps, of an IN over more than 1,000 values. */
const PART_MAX = 500

interface Keyed {
  readonly row: LeaseRow
  readonly key: string
}

/** A table of the schema that is written to. */
interface Target {
  readonly statements: Statements
  readonly suffix: string
  readonly table: LeaseTable
}

/**
 * In the order of the keys, so that writers who meet at some addresses wait for each other in one order. Gives the
 * statements for the statistics, or undefined when a row was there that should not have been.
 */
const writeLeases = async (
  statements: Statements,
  suffix: string,
  rows: ReadonlyArray<LeaseRow>,
  looksAtAll: boolean,
): Promise<ReadonlyArray<string> | undefined> => {
  const counts: string[] = []
  for (const table of ['lease4', 'lease6'] as const) {
    const target = { statements, suffix, table }
    const keyed = rows
      .filter(({ stream }) => tableOf(stream) === table)
      .map((row) => ({ row, key: keyOf(table, row) }))
      .sort((one, other) => (one.key < other.key ? -1 : 1))
    const statistics = new Map<string, Statistic>()
    for (let at = 0; at < keyed.length; at += PART_MAX) {
      const written = await writePart(target, keyed.slice(at, at + PART_MAX), looksAtAll, statistics)
      if (!written) return undefined
    }
    counts.push(...countStatements(target, [...statistics.values()]))
  }
  return counts
}

/** False when a row was there that should not have been. */
const writePart = async (
  target: Target,
  part: ReadonlyArray<Keyed>,
  looksAtAll: boolean,
  statistics: Map<string, Statistic>,
): Promise<boolean> => {
  const isSeen = ({ row }: Keyed): boolean => looksAtAll || row.revision > 0
  const found = await find(target, part.filter(isSeen))
  const added = part.filter(({ key }) => !found.has(key))
  const replaced = part.filter(({ key, row }) => row.revision > (found.get(key)?.revision ?? Infinity))
  if (!(await add(target, added))) return false
  await replace(target, replaced)
  for (const { row } of added) countRow(statistics, row, 1)
  for (const { row, key } of replaced) {
    countRow(statistics, row, 1)
    countRow(statistics, { ...row, ...found.get(key) }, -1)
  }
  return true
}

/** What a row that is there counts as, and which event it shows. */
type Found = Pick<LeaseRow, 'revision' | 'subnetId' | 'poolId' | 'state'>

const find = async (
  { statements, suffix, table }: Target,
  keyed: ReadonlyArray<Keyed>,
): Promise<ReadonlyMap<string, Found>> => {
  if (keyed.length === 0) return new Map()
  const address = COLUMNS[table][0] as Column<LeaseRow>
  const rows = await statements.rows(`SELECT ${keyList(table)}, revision, subnet_id, pool_id, state
FROM ${table}${suffix}
WHERE address IN (${keyed.map(({ row }) => address.write(row)).join(',')})
FOR UPDATE`)
  return new Map(rows.map((row) => [row[0]?.toString('latin1') ?? '', toFound(row)]))
}

const toFound = ([, revision, subnetId, poolId, state]: Row): Found => ({
  revision: numberOf(revision),
  subnetId: numberOf(subnetId),
  poolId: numberOf(poolId),
  state: numberOf(state) as KeaState,
})

/** Whether none of them was there. */
const add = async ({ statements, suffix, table }: Target, keyed: ReadonlyArray<Keyed>): Promise<boolean> => {
  if (keyed.length === 0) return true
  const here = `${table}${suffix}`
  const rows = keyed.map(({ row }) => row)
  const text = insertText(here, COLUMNS[table], rows, () => `revision = ${here}.revision`)
  return (await statements.changed(text)) === rows.length
}

const replace = async ({ statements, suffix, table }: Target, keyed: ReadonlyArray<Keyed>): Promise<void> => {
  if (keyed.length === 0) return
  const columns = COLUMNS[table]
  const rows = keyed.map(({ row }) => row)
  const changes = columns.slice(KEY_LENGTH[table])
  await statements.rows(insertText(`${table}${suffix}`, columns, rows, (given) => takeGiven(changes, given)))
}

/** Add what the batch changed, each statistic once. */
const countStatements = (target: Target, statistics: ReadonlyArray<Statistic>): ReadonlyArray<string> => [
  ...countBy(target, 'pool_stat', ['subnetId', 'poolId'], statistics),
  ...countBy(target, 'stat', ['subnetId'], statistics),
]

const STATISTIC_COLUMNS = { subnetId: 'subnet_id', poolId: 'pool_id', leaseType: 'lease_type', state: 'state' } as const

const countBy = (
  { suffix, table }: Target,
  kind: 'stat' | 'pool_stat',
  by: ReadonlyArray<'subnetId' | 'poolId'>,
  statistics: ReadonlyArray<Statistic>,
): ReadonlyArray<string> => {
  const key = [...by, ...(table === 'lease6' ? (['leaseType'] as const) : []), 'state' as const]
  const sums = new Map<string, number>()
  for (const statistic of statistics) {
    const place = key.map((column) => statistic[column]).join(',')
    sums.set(place, (sums.get(place) ?? 0) + statistic.leases)
  }
  const rows = [...sums].filter(([, leases]) => leases !== 0).sort(([one], [other]) => (one < other ? -1 : 1))
  if (rows.length === 0) return []
  const here = `${table}_${kind}${suffix}`
  return [
    `INSERT INTO ${here} (${key.map((column) => STATISTIC_COLUMNS[column]).join(', ')}, leases)
VALUES ${rows.map(([place, leases]) => `(${place},${leases})`).join(', ')}
ON DUPLICATE KEY UPDATE leases = ${here}.leases + VALUES(leases)`,
  ]
}
