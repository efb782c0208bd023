/** Texts of INSERT statements: columns, the values that rows have in them, and the rows in a form that MySQL parses. */
import { escape } from 'mysql2'

/** A column of a table: what a row has in it, as it stands in a statement, and the expression that is read. */
export interface Column<Row> {
  readonly name: string
  readonly write: (row: Row) => string
  readonly read: string
}

const NULL = 'NULL'

/** A value as it stands in a statement. Written out, because nearly all texts have nothing in them to escape. */
export const literal = (value: string | number | null | undefined): string => {
  if (value === null || value === undefined) return NULL
  if (typeof value === 'number') return String(value)
  return /^[\w :;,.=/[\]{}-]*$/.test(value) ? `'${value}'` : escape(value)
}

/** Octets, given as hex. */
export const hexLiteral = (hex: string | null): string => (hex === null ? NULL : `x'${hex}'`)

/** The statement that adds rows. What `onDuplicate` says of a row that is there may name any column as `VALUES(column)`. */
export const insertText = <Row>(
  table: string,
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  onDuplicate: (names: ReadonlySet<string>) => string,
): string => {
  const cells = rows.map((row) => columns.map(({ write }) => write(row)))
  // A column in which no row has anything is left to its default, NULL: that is a third of them in most leases.
  const used = columns.map((_, index) => index).filter((index) => cells.some((row) => row[index] !== NULL))
  const names = used.map((index) => columns[index]?.name as string)
  const values = cells.map((row) => `(${used.map((index) => row[index]).join(',')})`).join(',\n')
  return `INSERT INTO ${table} (${names.join(', ')})
VALUES ${values}
ON DUPLICATE KEY UPDATE ${onDuplicate(new Set(names))}`
}

/** Takes the given value of each column. */
export const takeGiven = (columns: ReadonlyArray<{ readonly name: string }>, given: ReadonlySet<string>): string =>
  columns.map(({ name }) => `${name} = ${given.has(name) ? `VALUES(${name})` : NULL}`).join(', ')
