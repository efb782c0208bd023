/** The columns of the lease tables in PostgreSQL: how a row is written as parameters and read back from texts. */
import { ip6FromBytes } from '../../domain/address.ts'
import type { Status } from '../../domain/lease.ts'
import { lease4Stream, lease6Stream, prefix6Stream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { leaseTypeOf, prefixOf } from '../lease-row.ts'
import type { KeaState, LeaseRow, LeaseTable } from '../lease-row.ts'

/**
 * A column: its name, what an element of its array literal is and of what type, the expression that makes the value of
 * that (`given`, NULL where the element is), and the expression that is read.
 */
interface Column {
  readonly name: string
  readonly type: string
  readonly write: (row: LeaseRow) => string | number | boolean | null
  readonly store: (given: string) => string
  readonly read: string
}

const itself = (given: string): string => given

const column = (name: string, type: string, write: Column['write'], read = name): Column => ({
  name,
  type,
  write,
  store: itself,
  read,
})

/** One that is `usual` in most rows, which is then not sent: an array without elements costs nothing. */
const mostly = (name: string, type: string, usual: string | number | boolean, value: Column['write']): Column => ({
  ...column(name, type, (row) => {
    const one = value(row)
    return one === usual ? null : one
  }),
  store: (given) => `coalesce(${given}, ${typeof usual === 'string' ? `'${usual}'` : usual})`,
})

const octets = (name: string, value: (row: LeaseRow) => string | null): Column =>
  column(name, 'bytea', (row) => prefixed('\\x', value(row)), `encode(${name}, 'hex')`)

const prefixed = (prefix: string, text: string | null): string | null => (text === null ? null : prefix + text)

/** A timestamptz, given as milliseconds since 1970: it takes PostgreSQL half the time of reading a text. */
export const momentGiven = (given: string): string => `timestamptz 'epoch' + ${given} * interval '1 ms'`

/** Milliseconds are exact as doubles until long after FOREVER, which is a whole second. */
const moment = (name: string, value: (row: LeaseRow) => number): Column => ({
  ...column(name, 'float8', value, `date_part('epoch', ${name})`),
  store: momentGiven,
})

const INT32 = 2 ** 32
const asSigned = (uint32: number | null): number | null => (uint32 === null ? null : uint32 | 0)
const ip4Number = (row: LeaseRow): number =>
  row.stream
    .slice('lease4/'.length)
    .split('.')
    .reduce((sum, octet) => sum * 256 + Number(octet), 0)

const OWN: ReadonlyArray<Column> = [
  column('revision', 'bigint', (row) => row.revision),
  mostly('status', 'text', 'bound', (row) => row.status),
  column('holder', 'text', (row) => row.holder),
  moment('starts_at', (row) => row.startsAt),
  moment('expires_at', (row) => row.expiresAt),
  mostly('renewals', 'bigint', 0, (row) => row.renewals),
  column('transaction_id', 'bigint', (row) => row.transactionId),
  column('relay', 'json', (row) => row.relay),
  column('kept', 'json', (row) => row.kept),
  moment('recorded_at', (row) => row.recordedAt),
  column('log', 'text', (row) => row.log),
  column('seq', 'bigint', (row) => row.seq),
]

const SHARED = {
  validLifetime: column('valid_lifetime', 'bigint', (row) => row.validLifetime),
  expire: moment('expire', (row) => row.expire * 1000),
  subnetId: column('subnet_id', 'bigint', (row) => row.subnetId),
  fqdnForward: mostly('fqdn_fwd', 'boolean', false, (row) => row.fqdnForward),
  fqdnReverse: mostly('fqdn_rev', 'boolean', false, (row) => row.fqdnReverse),
  hostname: column('hostname', 'varchar', (row) => row.hostname),
  state: mostly('state', 'bigint', 0, (row) => row.state),
  userContext: column('user_context', 'text', (row) => row.userContext),
  poolId: mostly('pool_id', 'bigint', 0, (row) => row.poolId),
  hwType: column('hwtype', 'smallint', (row) => row.hwType),
  hwaddr: octets('hwaddr', (row) => row.hwaddr),
}

/** The columns of each table that a row is written to and read from. The key comes first. */
export const COLUMNS: Readonly<Record<LeaseTable, ReadonlyArray<Column>>> = {
  lease4: [
    column('address', 'bigint', ip4Number),
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
    column('address', 'inet', (row) => prefixOf(row.stream)[0], "encode(inet_send(address), 'hex')"),
    mostly('prefix_len', 'smallint', 128, (row) => prefixOf(row.stream)[1]),
    mostly('lease_type', 'smallint', 0, (row) => leaseTypeOf(row.stream)),
    octets('duid', (row) => row.duid),
    SHARED.validLifetime,
    SHARED.expire,
    SHARED.subnetId,
    column('pref_lifetime', 'bigint', (row) => row.preferredLifetime),
    column('iaid', 'int', (row) => asSigned(row.iaid)),
    SHARED.fqdnForward,
    SHARED.fqdnReverse,
    SHARED.hostname,
    SHARED.state,
    SHARED.hwaddr,
    SHARED.hwType,
    column('hwaddr_source', 'smallint', (row) => row.hwSource),
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

/** What is selected from a table so that {@link fromTexts} can read it. */
export const selectList = (table: LeaseTable): string => COLUMNS[table].map(({ read }) => `(${read})::text`).join(', ')

/** A row of `table`, selected with {@link selectList}, each column a text or null. */
export const fromTexts = (table: LeaseTable, texts: ReadonlyArray<string | null>): LeaseRow =>
  table === 'lease4' ? fromLease4(texts) : fromLease6(texts)

type Texts = ReadonlyArray<string | null>

const number = (text: string | null | undefined): number => Number(text)
const numberOrNull = (text: string | null | undefined): number | null => (text == null ? null : Number(text))
const orNull = (text: string | null | undefined): string | null => text ?? null
const millis = (text: string | null | undefined): number => Math.round(Number(text) * 1000)

/** Our own columns, which begin at `at` in both tables. */
const ownFrom = (texts: Texts, at: number) => ({
  revision: number(texts[at]),
  status: texts[at + 1] as Status,
  holder: texts[at + 2] as string,
  startsAt: millis(texts[at + 3]),
  expiresAt: millis(texts[at + 4]),
  renewals: number(texts[at + 5]),
  transactionId: number(texts[at + 6]),
  relay: orNull(texts[at + 7]),
  kept: orNull(texts[at + 8]),
  recordedAt: millis(texts[at + 9]),
  log: texts[at + 10] as string,
  seq: number(texts[at + 11]),
})

const fromLease4 = (texts: Texts): LeaseRow => ({
  stream: lease4Stream(number(texts[0])),
  hwaddr: orNull(texts[1]),
  clientId: orNull(texts[2]),
  duid: null,
  validLifetime: number(texts[3]),
  expire: number(texts[4]),
  subnetId: number(texts[5]),
  preferredLifetime: null,
  iaid: null,
  fqdnForward: texts[6] === 'true',
  fqdnReverse: texts[7] === 'true',
  hostname: orNull(texts[8]),
  state: number(texts[9]) as KeaState,
  userContext: orNull(texts[10]),
  relayId: orNull(texts[11]),
  remoteId: orNull(texts[12]),
  poolId: number(texts[13]),
  hwType: numberOrNull(texts[14]),
  hwSource: null,
  ...ownFrom(texts, 15),
})

/** `inet_send`: family, bits, is_cidr and length, an octet each, then the 16 octets of the address. */
const stream6 = (inet: string | null | undefined, length: number, leaseType: number): StreamName => {
  const address = ip6FromBytes(Buffer.from((inet as string).slice(8), 'hex'))
  return leaseType === 2 ? prefix6Stream(address, length) : lease6Stream(address)
}

const fromLease6 = (texts: Texts): LeaseRow => {
  const iaid = numberOrNull(texts[8])
  return {
    stream: stream6(texts[0], number(texts[1]), number(texts[2])),
    hwaddr: orNull(texts[13]),
    clientId: null,
    duid: orNull(texts[3]),
    validLifetime: number(texts[4]),
    expire: number(texts[5]),
    subnetId: number(texts[6]),
    preferredLifetime: numberOrNull(texts[7]),
    iaid: iaid === null ? null : (iaid + INT32) % INT32,
    fqdnForward: texts[9] === 'true',
    fqdnReverse: texts[10] === 'true',
    hostname: orNull(texts[11]),
    state: number(texts[12]) as KeaState,
    userContext: orNull(texts[16]),
    relayId: null,
    remoteId: null,
    poolId: number(texts[17]),
    hwType: numberOrNull(texts[14]),
    hwSource: numberOrNull(texts[15]),
    ...ownFrom(texts, 18),
  }
}
