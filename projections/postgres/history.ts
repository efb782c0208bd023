/** The spans of PostgreSQL: asking them, and writing those that the database refuses. */
import * as E from 'fp-ts/lib/Either.js'
import type postgres from 'postgres'
import type { ReadError } from '../../domain/event-store.ts'
import type { SpanRow } from '../history.ts'
import { identifierText } from '../history.ts'
import type { HistoryTable } from '../lease-tables.ts'
import type { Connection } from './connection.ts'
import {
  allSpansStatement,
  spanFromTexts,
  spanLiterals,
  spansByStatement,
  spansWithinStatement,
  writeSpans,
} from './history-statements.ts'
import { texts } from './texts.ts'
import type { Texts } from './texts.ts'

/** The spans of `schema`, quoted already. */
export const makeHistory = (connection: Connection, schema: string): HistoryTable => ({
  ofClient: (identifier, from, to) => async () => {
    const statement = spansByStatement(schema, identifier.kind)
    const parameters = [identifier.value, identifierText(identifier), from, to]
    return E.map(toRows)(await connection.run((sql) => texts(sql, statement, parameters)))
  },
  within: (prefix) => async () =>
    E.map(toRows)(await connection.run((sql) => texts(sql, spansWithinStatement(schema), [prefix]))),
  all: (onSpan) => async () => {
    let spansRead = 0
    const read = async (sql: postgres.Sql): Promise<void> => {
      await sql.begin('READ ONLY', async (transaction) => {
        await transaction.unsafe('SET LOCAL statement_timeout = 0')
        await transaction
          .unsafe(allSpansStatement(schema), [], { prepare: true })
          .values()
          .forEach((row) => {
            spansRead++
            onSpan(spanFromTexts(row as unknown as ReadonlyArray<string | null>))
          })
      })
    }
    return connection.run(read, () => spansRead)
  },
})

const toRows = (rows: Texts): ReadonlyArray<SpanRow> => rows.map(spanFromTexts)

/** Whether a batch was refused because two clients seem to have held one address at once. */
export const isDisputed = (error: ReadError): boolean => error.reason.includes('(SQLSTATE 23P01)')

/**
 * Writes a batch that was refused, span by span: what the database still refuses is kept with `disputed` set. Such a
 * batch is rare and may take its time. `statement` moves the checkpoint and writes the lease tables alone.
 */
export const applyDisputed = (
  sql: postgres.Sql,
  schema: string,
  statement: string,
  parameters: ReadonlyArray<string | number>,
  spans: ReadonlyArray<SpanRow>,
): Promise<Texts> =>
  sql.begin(async (transaction) => {
    const moved = await texts(transaction, statement, parameters)
    if (moved[0]?.[0] !== '1') return moved
    const [plain, disputed] = [writeSpans(schema, 1, 'merged', ''), writeSpans(schema, 1, 'disputed', '')]
    const keyOf = ({ stream, startsAt, holder }: SpanRow): string => `${stream} ${startsAt} ${holder}`
    for (const span of [...spans].sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1))) {
      const literals = spanLiterals([span])
      try {
        await transaction.savepoint((inner) => texts(inner, plain, literals))
      } catch (error) {
        if ((error as { readonly code?: string }).code !== '23P01') throw error
        await texts(transaction, disputed, literals)
      }
    }
    return moved
  }) as Promise<Texts>
