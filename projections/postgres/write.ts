/** Writing a batch into the tables of a schema: rows, statistics and spans, in one transaction with the checkpoint. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadError } from '../../domain/event-store.ts'
import { tellsBeginning } from '../history.ts'
import { tableOf } from '../lease-row.ts'
import type { Batch } from '../lease-tables.ts'
import { arrayLiterals } from './columns.ts'
import type { Connection } from './connection.ts'
import { applyDisputed, isDisputed } from './history.ts'
import { spanLiterals } from './history-statements.ts'
import { applyStatement, NOT_NEW } from './statements.ts'
import type { Part } from './statements.ts'
import { texts } from './texts.ts'
import type { Texts } from './texts.ts'

/** Writes a batch into `schema`, quoted already. Whether the checkpoint let it through; when not, nothing was changed. */
export const makeWriter = (
  connection: Connection,
  schema: string,
): ((batch: Batch) => Promise<Either<ReadError, boolean>>) => {
  const statements = new Map<string, string>()
  const statementFor = (parts: ReadonlyArray<Part>): string => {
    const name = parts.map(({ into, areNew }) => `${into} ${areNew}`).join()
    const known = statements.get(name)
    if (known !== undefined) return known
    const made = applyStatement(schema, parts)
    statements.set(name, made)
    return made
  }
  const apply = (batch: Batch, filled: ReadonlyArray<Filled>): Promise<Either<ReadError, Texts>> => {
    const statement = statementFor(filled.map(({ part }) => part))
    return connection.run((sql) => texts(sql, statement, parametersOf(batch, filled)))
  }
  return async (batch) => {
    let moved = await apply(batch, partsOf(batch, true))
    if (E.isLeft(moved) && moved.left.reason.includes(NOT_NEW)) moved = await apply(batch, partsOf(batch, false))
    if (E.isLeft(moved) && isDisputed(moved.left)) {
      const leases = partsOf({ ...batch, spans: [] }, false)
      const alone = statementFor(leases.map(({ part }) => part))
      const parameters = parametersOf(batch, leases)
      moved = await connection.run((sql) => applyDisputed(sql, schema, alone, parameters, batch.spans))
    }
    return E.map((rows: Texts) => rows[0]?.[0] === '1')(moved)
  }
}

/** A part of a batch, with the parameters that it takes. */
interface Filled {
  readonly part: Part
  readonly literals: ReadonlyArray<string>
}

const parametersOf = ({ projection, log, from, to }: Batch, filled: ReadonlyArray<Filled>) => [
  projection,
  log,
  from,
  to,
  ...filled.flatMap(({ literals }) => literals),
]

/** With `trusting`, the first event of a stream counts as a row that is new, and the beginning of a span as one. */
const partsOf = ({ rows, spans }: Batch, trusting: boolean): ReadonlyArray<Filled> => {
  const filled: Filled[] = []
  const fill = <Row>(
    into: Part['into'],
    all: ReadonlyArray<Row>,
    isNew: (row: Row) => boolean,
    literalsOf: (some: ReadonlyArray<Row>) => ReadonlyArray<string>,
  ): void => {
    for (const areNew of [true, false]) {
      const some = all.filter((row) => (trusting && isNew(row)) === areNew)
      if (some.length > 0) filled.push({ part: { into, areNew }, literals: literalsOf(some) })
    }
  }
  for (const table of ['lease4', 'lease6'] as const) {
    const own = rows.filter(({ stream }) => tableOf(stream) === table)
    fill(
      table,
      own,
      ({ revision }) => revision === 0,
      (some) => arrayLiterals(table, some),
    )
  }
  fill('spans', spans, tellsBeginning, spanLiterals)
  return filled
}
