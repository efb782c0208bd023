/** The columns of the lease tables in MySQL: how a row is written into statements and read back from octets of texts. */
import { ip6Bytes, ip6FromBytes, parseIp6 } from '../../domain/address.ts'
import * as O from 'fp-ts/lib/Option.js'
import type { Status } from '../../domain/lease.ts'
import { lease4Stream, lease6Stream, prefix6Stream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { leaseTypeOf, prefixOf } from '../lease-row.ts'
import type { KeaState, LeaseRow, LeaseTable } from '../lease-row.ts'
import { hexLiteral, literal } from './literals.ts'
import type { Column } from './literals.ts'

/** A column is read as a text or, as JSON has them, as a number or null. */
interface LeaseColumn extends Column<LeaseRow> {
  readonly isNumber: boolean
}

const whole = (name: string, value: (row: LeaseRow) => number | null): LeaseColumn => ({
  name,
  write: (row) => literal(value(row)),
  read: `ifnull(${name}, 'null')`,
  isNumber: true,
})

const text = (name: string, value: (row: LeaseRow) => string | null): LeaseColumn => ({
  name,
  write: (row) => literal(value(row)),
  read: name,
  isNumber: false,
})

const octets = (name: string, value: (row: LeaseRow) => string | null): LeaseColumn => ({
  name,
  write: (row) => hexLiteral(value(row)),
  read: `lower(hex(${name}))`,
  isNumber: false,
})

/** DATETIME(3) in UTC, whatever the session's time zone. */
const moment = (name: string, at: (row: LeaseRow) => number): LeaseColumn => ({
  name,
  write: (row) => `'${momentText(at(row))}'`,
  read: `timestampdiff(MICROSECOND, '1970-01-01', ${name}) DIV 1000`,
  isNumber: true,
})

const DAY_MS = 86_400_000
let day = { number: 0, text: '1970-01-01 ' }

/** The text of an instant as MySQL reads it. Written out because a row has three of them, most of one day. */
export const momentText = (at: number): string => {
  const number = Math.floor(at / DAY_MS)
  if (day.number !== number) {
    day = { number, text: `${new Date(number * DAY_MS).toISOString().slice(0, 10)} ` }
  }
  const ms = at - number * DAY_MS
  const seconds = Math.floor(ms / 1_000)
  const minutes = Math.floor(seconds / 60)
  const fraction = String(1_000 + (ms % 1_000)).slice(1)
  return `${day.text}${TWO[Math.floor(minutes / 60)]}:${TWO[minutes % 60]}:${TWO[seconds % 60]}.${fraction}`
}

const TWO = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'))

/** A TIMESTAMP has no 1970-01-01 00:00:00: NULL stands for it. The session's time zone is UTC. */
const expire: LeaseColumn = {
  name: 'expire',
  write: (row) => (row.expire === 0 ? literal(null) : `'${momentText(row.expire * 1_000).slice(0, -4)}'`),
  read: 'coalesce(unix_timestamp(expire), 0)',
  isNumber: true,
}

const ip4Number = (row: LeaseRow): number =>
  row.stream
    .slice('lease4/'.length)
    .split('.')
    .reduce((sum, octet) => sum * 256 + Number(octet), 0)

const ip6Hex = (row: LeaseRow): string => {
  const address = parseIp6(prefixOf(row.stream)[0])
  if (O.isNone(address)) throw new Error(`${row.stream} is no IPv6 stream`)
  return Buffer.from(ip6Bytes(address.value)).toString('hex')
}

const OWN: ReadonlyArray<LeaseColumn> = [
  whole('revision', (row) => row.revision),
  text('status', (row) => row.status),
  text('holder', (row) => row.holder),
  moment('starts_at', (row) => row.startsAt),
  moment('expires_at', (row) => row.expiresAt),
  whole('renewals', (row) => row.renewals),
  whole('transaction_id', (row) => row.transactionId),
  text('relay', (row) => row.relay),
  text('kept', (row) => row.kept),
  moment('recorded_at', (row) => row.recordedAt),
  text('log', (row) => row.log),
  whole('seq', (row) => row.seq),
]

const SHARED = {
  validLifetime: whole('valid_lifetime', (row) => row.validLifetime),
  subnetId: whole('subnet_id', (row) => row.subnetId),
  fqdnForward: whole('fqdn_fwd', (row) => Number(row.fqdnForward)),
  fqdnReverse: whole('fqdn_rev', (row) => Number(row.fqdnReverse)),
  hostname: text('hostname', (row) => row.hostname),
  state: whole('state', (row) => row.state),
  userContext: text('user_context', (row) => row.userContext),
  poolId: whole('pool_id', (row) => row.poolId),
  hwType: whole('hwtype', (row) => row.hwType),
  hwaddr: octets('hwaddr', (row) => row.hwaddr),
}

/** The columns of each table that a row is written to and read from. The key comes first. */
export const COLUMNS: Readonly<Record<LeaseTable, ReadonlyArray<LeaseColumn>>> = {
  lease4: [
    whole('address', ip4Number),
    SHARED.hwaddr,
    octets('client_id', (row) => row.clientId),
    SHARED.validLifetime,
    expire,
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
    octets('address', ip6Hex),
    whole('prefix_len', (row) => prefixOf(row.stream)[1]),
    whole('lease_type', (row) => leaseTypeOf(row.stream)),
    octets('duid', (row) => row.duid),
    SHARED.validLifetime,
    expire,
    SHARED.subnetId,
    whole('pref_lifetime', (row) => row.preferredLifetime),
    whole('iaid', (row) => row.iaid),
    SHARED.fqdnForward,
    SHARED.fqdnReverse,
    SHARED.hostname,
    SHARED.state,
    SHARED.hwaddr,
    SHARED.hwType,
    whole('hwaddr_source', (row) => row.hwSource),
    SHARED.userContext,
    SHARED.poolId,
    ...OWN,
  ],
}

/** How many columns, the first ones, make a row one of its table. */
export const KEY_LENGTH: Readonly<Record<LeaseTable, number>> = { lease4: 1, lease6: 3 }

/** What names a row in its table, as one comparable text: that of {@link keyList}. */
export const keyOf = (table: LeaseTable, row: LeaseRow): string =>
  table === 'lease4' ? String(ip4Number(row)) : [ip6Hex(row), prefixOf(row.stream)[1], leaseTypeOf(row.stream)].join()

/** What is selected from a table to know {@link keyOf}. */
export const keyList = (table: LeaseTable): string =>
  table === 'lease4' ? 'address' : "concat_ws(',', lower(hex(address)), prefix_len, lease_type)"

/**
 * What is selected from a table so that {@link fromOctets} can read it: all numbers of a row as one JSON array, and then
 * its texts. What the driver does for each column of each row costs more than to read the number.
 */
export const selectList = (table: LeaseTable): string => {
  const numbers = COLUMNS[table].filter(({ isNumber }) => isNumber).map(({ read }) => read)
  const texts = COLUMNS[table].filter(({ isNumber }) => !isNumber).map(({ read }) => read)
  return [`concat('[', concat_ws(',', ${numbers.join(', ')}), ']')`, ...texts].join(', ')
}

type Octet = Buffer | null | undefined
type Octets = ReadonlyArray<Octet>
type Numbers = ReadonlyArray<number | null>

/**
 * A row of `table`, selected with {@link selectList}: the numbers, in the order of {@link COLUMNS}, and after them the
 * texts, in that order too.
 */
export const fromOctets = (table: LeaseTable, columns: Octets): LeaseRow => {
  const numbers = JSON.parse((columns[0] as Buffer).toString('latin1')) as Numbers
  return table === 'lease4' ? fromLease4(numbers, columns) : fromLease6(numbers, columns)
}

const number = (value: number | null | undefined): number => value ?? 0
const numberOrNull = (value: number | null | undefined): number | null => value ?? null
const asciiOrNull = (column: Octet): string | null => column?.toString('latin1') ?? null
const textOrNull = (column: Octet): string | null => column?.toString('utf8') ?? null

/** Our own columns, whose numbers and texts begin at these places. */
const ownFrom = (numbers: Numbers, at: number, columns: Octets, textAt: number) => ({
  revision: number(numbers[at]),
  status: asciiOrNull(columns[textAt]) as Status,
  holder: textOrNull(columns[textAt + 1]) as string,
  startsAt: number(numbers[at + 1]),
  expiresAt: number(numbers[at + 2]),
  renewals: number(numbers[at + 3]),
  transactionId: number(numbers[at + 4]),
  relay: textOrNull(columns[textAt + 2]),
  kept: textOrNull(columns[textAt + 3]),
  recordedAt: number(numbers[at + 5]),
  log: textOrNull(columns[textAt + 4]) as string,
  seq: number(numbers[at + 6]),
})

const fromLease4 = (numbers: Numbers, columns: Octets): LeaseRow => ({
  stream: lease4Stream(number(numbers[0])),
  hwaddr: asciiOrNull(columns[1]),
  clientId: asciiOrNull(columns[2]),
  duid: null,
  validLifetime: number(numbers[1]),
  expire: number(numbers[2]),
  subnetId: number(numbers[3]),
  preferredLifetime: null,
  iaid: null,
  fqdnForward: numbers[4] === 1,
  fqdnReverse: numbers[5] === 1,
  hostname: textOrNull(columns[3]),
  state: number(numbers[6]) as KeaState,
  userContext: textOrNull(columns[4]),
  relayId: asciiOrNull(columns[5]),
  remoteId: asciiOrNull(columns[6]),
  poolId: number(numbers[7]),
  hwType: numberOrNull(numbers[8]),
  hwSource: null,
  ...ownFrom(numbers, 9, columns, 7),
})

const stream6 = (address: Octet, length: number, leaseType: number): StreamName => {
  const parsed = ip6FromBytes(Buffer.from(address?.toString('latin1') ?? '', 'hex'))
  return leaseType === 2 ? prefix6Stream(parsed, length) : lease6Stream(parsed)
}

const fromLease6 = (numbers: Numbers, columns: Octets): LeaseRow => ({
  stream: stream6(columns[1], number(numbers[0]), number(numbers[1])),
  hwaddr: asciiOrNull(columns[4]),
  clientId: null,
  duid: asciiOrNull(columns[2]),
  validLifetime: number(numbers[2]),
  expire: number(numbers[3]),
  subnetId: number(numbers[4]),
  preferredLifetime: numberOrNull(numbers[5]),
  iaid: numberOrNull(numbers[6]),
  fqdnForward: numbers[7] === 1,
  fqdnReverse: numbers[8] === 1,
  hostname: textOrNull(columns[3]),
  state: number(numbers[9]) as KeaState,
  userContext: textOrNull(columns[5]),
  relayId: null,
  remoteId: null,
  poolId: number(numbers[12]),
  hwType: numberOrNull(numbers[10]),
  hwSource: numberOrNull(numbers[11]),
  ...ownFrom(numbers, 13, columns, 6),
})
