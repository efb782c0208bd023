/** The columns of the lease tables in PostgreSQL: how a row is written as parameters and read back from texts. */
import { ip4Number, leaseTypeOf, prefixOf } from '../lease-row.ts'
import type { LeaseRow, LeaseTable } from '../lease-row.ts'
import { rowOfSelected } from '../selected-row.ts'
import type { Numbers } from '../selected-row.ts'

/**
 * A column: its name, what an element of its array literal is and of what type, the expression that makes the value of
 * that (`given`, NULL where the element is), the expression that is read, and whether that is a text or, as JSON has
 * them, a number or null.
 */
interface Column {
  readonly name: string
  readonly type: string
  readonly write: (row: LeaseRow) => string | number | boolean | null
  readonly store: (given: string) => string
  readonly read: string
  readonly isNumber: boolean
}

const itself = (given: string): string => given

const text = (name: string, type: string, write: Column['write'], read = `${name}::text`): Column => ({
  name,
  type,
  write,
  store: itself,
  read,
  isNumber: false,
})

/** A number that is never NULL. */
const number = (name: string, type: string, write: Column['write'], read = name): Column => ({
  ...text(name, type, write, read),
  isNumber: true,
})

/** A number that may be NULL, as all of Kea's columns but the key may. */
const numberOrNull = (name: string, type: string, write: Column['write'], read = name): Column =>
  number(name, type, write, `coalesce(${read}::text, 'null')`)

/** One that is `usual` in most rows, which is then not sent: an array without elements costs nothing. */
const mostly = (one: Column, usual: string | number | boolean): Column => ({
  ...one,
  write: (row) => {
    const value = one.write(row)
    return value === usual ? null : value
  },
  store: (given) => `coalesce(${given}, ${typeof usual === 'string' ? `'${usual}'` : usual})`,
})

const octets = (name: string, value: (row: LeaseRow) => string | null): Column =>
  text(name, 'bytea', (row) => prefixed('\\x', value(row)), `encode(${name}, 'hex')`)

const prefixed = (prefix: string, text: string | null): string | null => (text === null ? null : prefix + text)

/** A timestamptz, given as milliseconds since 1970: it takes PostgreSQL half the time of reading a text. */
export const momentGiven = (given: string): string => `timestamptz 'epoch' + ${given} * interval '1 ms'`

/** Milliseconds are exact as doubles until long after FOREVER, which is a whole second. */
const moment = (name: string, value: (row: LeaseRow) => number): Column => ({
  ...number(name, 'float8', value, `(date_part('epoch', ${name}) * 1000)::bigint`),
  store: momentGiven,
})

const expire: Column = {
  ...numberOrNull('expire', 'float8', (row) => row.expire * 1000, "date_part('epoch', expire)::bigint"),
  store: momentGiven,
}

const flag = (name: string, value: (row: LeaseRow) => boolean): Column =>
  mostly(numberOrNull(name, 'boolean', value, `${name}::int`), false)

const asSigned = (uint32: number | null): number | null => (uint32 === null ? null : uint32 | 0)
const OWN: ReadonlyArray<Column> = [
  number('revision', 'bigint', (row) => row.revision),
  mostly(
    text('status', 'text', (row) => row.status),
    'bound',
  ),
  text('holder', 'text', (row) => row.holder),
  moment('starts_at', (row) => row.startsAt),
  moment('expires_at', (row) => row.expiresAt),
  mostly(
    number('renewals', 'bigint', (row) => row.renewals),
    0,
  ),
  number('transaction_id', 'bigint', (row) => row.transactionId),
  text('relay', 'json', (row) => row.relay),
  text('kept', 'json', (row) => row.kept),
  moment('recorded_at', (row) => row.recordedAt),
  text('log', 'text', (row) => row.log),
  number('seq', 'bigint', (row) => row.seq),
]

const SHARED = {
  validLifetime: numberOrNull('valid_lifetime', 'bigint', (row) => row.validLifetime),
  expire,
  subnetId: numberOrNull('subnet_id', 'bigint', (row) => row.subnetId),
  fqdnForward: flag('fqdn_fwd', (row) => row.fqdnForward),
  fqdnReverse: flag('fqdn_rev', (row) => row.fqdnReverse),
  hostname: text('hostname', 'varchar', (row) => row.hostname),
  state: mostly(
    numberOrNull('state', 'bigint', (row) => row.state),
    0,
  ),
  userContext: text('user_context', 'text', (row) => row.userContext),
  poolId: mostly(
    number('pool_id', 'bigint', (row) => row.poolId),
    0,
  ),
  hwType: numberOrNull('hwtype', 'smallint', (row) => row.hwType),
  hwaddr: octets('hwaddr', (row) => row.hwaddr),
}

/** The columns of each table that a row is written to and read from. The key comes first. */
export const COLUMNS: Readonly<Record<LeaseTable, ReadonlyArray<Column>>> = {
  lease4: [
    number('address', 'bigint', (row) => ip4Number(row.stream)),
    SHARED.hwaddr,
    octets('client_id', (row) => row.clientId),
    SHARED.validLifetime,
    SHARED.expire,
    SHARED.subnetId,
    SHARED.fqdnForward,
    SHARED.fqdnReverse,
    SHARED.hostname,
    SHARED.state,
    SHARED.userContext,
    octets('relay_id', (row) => row.relayId),
    octets('remote_id', (row) => row.remoteId),
    SHARED.poolId,
    SHARED.hwType,
    ...OWN,
  ],
  lease6: [
    // `inet_send`: family, bits, is_cidr and length, an octet each, then the octets of the address.
    text('address', 'inet', (row) => prefixOf(row.stream)[0], "encode(substr(inet_send(address), 5), 'hex')"),
    mostly(
      numberOrNull('prefix_len', 'smallint', (row) => prefixOf(row.stream)[1]),
      128,
    ),
    mostly(
      numberOrNull('lease_type', 'smallint', (row) => leaseTypeOf(row.stream)),
      0,
    ),
    octets('duid', (row) => row.duid),
    SHARED.validLifetime,
    SHARED.expire,
    SHARED.subnetId,
    numberOrNull('pref_lifetime', 'bigint', (row) => row.preferredLifetime),
    numberOrNull('iaid', 'int', (row) => asSigned(row.iaid)),
    SHARED.fqdnForward,
    SHARED.fqdnReverse,
    SHARED.hostname,
    SHARED.state,
    SHARED.hwaddr,
    SHARED.hwType,
    numberOrNull('hwaddr_source', 'smallint', (row) => row.hwSource),
    SHARED.userContext,
    SHARED.poolId,
    ...OWN,
  ],
}

/** The columns that make a row one of its table. */
export const KEY: Readonly<Record<LeaseTable, ReadonlyArray<string>>> = {
  lease4: ['address'],
  lease6: ['address', 'prefix_len', 'lease_type'],
}

/** One array literal a column of the table, in order, as {@link literal} writes them. */
export const arrayLiterals = (table: LeaseTable, rows: ReadonlyArray<LeaseRow>): ReadonlyArray<string> =>
  COLUMNS[table].map(({ write }) => literal(rows, write))

/**
 * An array literal with an element a row. A column in which no row has anything is an empty array, for `unnest` of
 * several arrays fills those up that are shorter: most leases leave a third of the columns empty, and an element costs
 * the database the same whether it says something or not.
 */
export const literal = <Row>(
  rows: ReadonlyArray<Row>,
  write: (row: Row) => string | number | boolean | null,
): string => {
  let text = '{'
  let isEmpty = true
  for (let i = 0; i < rows.length; i++) {
    if (i > 0) text += ','
    const value = write(rows[i] as Row)
    if (value === null) {
      text += 'NULL'
      continue
    }
    isEmpty = false
    text += element(value)
  }
  return isEmpty ? '{}' : `${text}}`
}

/** A value as an element of an array literal. */
export const element = (value: string | number | boolean | null): string => {
  if (value === null) return 'NULL'
  if (typeof value !== 'string') return String(value)
  return `"${value.includes('\\') || value.includes('"') ? value.replace(/["\\]/g, '\\$&') : value}"`
}

/**
 * What is selected from a table so that {@link fromTexts} can read it: all numbers of a row as one JSON array, and then
 * its texts. What the driver does for each column of each row costs more than to read the number.
 */
export const selectList = (table: LeaseTable): string => {
  const numbers = COLUMNS[table].filter(({ isNumber }) => isNumber).map(({ read }) => read)
  const others = COLUMNS[table].filter(({ isNumber }) => !isNumber).map(({ read }) => read)
  return [`'[' || concat_ws(',', ${numbers.join(', ')}) || ']'`, ...others].join(', ')
}

/** A row of `table` that was selected with {@link selectList}. */
export const fromTexts = (table: LeaseTable, [numbers, ...texts]: ReadonlyArray<string | null>): LeaseRow =>
  rowOfSelected(table, JSON.parse(numbers as string) as Numbers, texts)
