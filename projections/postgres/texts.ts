/** Statements whose answers are texts, as PostgreSQL writes them. */
import type postgres from 'postgres'

/** Rows of texts; a column that may be NULL is read with that in mind. */
export type Texts = ReadonlyArray<ReadonlyArray<string>>

/** Runs a prepared statement. Rejects with what the driver throws. */
export const texts = async (
  sql: postgres.Sql | postgres.TransactionSql,
  statement: string,
  parameters: ReadonlyArray<string | number>,
): Promise<Texts> => (await sql.unsafe(statement, [...parameters], { prepare: true }).values()) as unknown as Texts
