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

type LeaseColumn = Column<LeaseRow>

const whole = (name: string, value: (row: LeaseRow) => number | null): LeaseColumn => ({
  name,
  write: (row) => literal(value(row)),
  read: name,
})

const text = (name: string, value: (row: LeaseRow) => string | null): LeaseColumn => ({
  name,
  write: (row) => literal(value(row)),
  read: name,
})

const octets = (name: string, value: (row: LeaseRow) => string | null): LeaseColumn => ({
  name,
  write: (row) => hexLiteral(value(row)),
  read: `lower(hex(${name}))`,
})

/** DATETIME(3) in UTC, whatever the session's time zone. */
const moment = (name: string, at: (row: LeaseRow) => number): LeaseColumn => ({
  name,
  write: (row) => `'${momentText(at(row))}'`,
  read: `timestampdiff(MICROSECOND, '1970-01-01', ${name}) DIV 1000`,
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

/** What is selected from a table so that {@link fromOctets} can read it. */
export const selectList = (table: LeaseTable): string => COLUMNS[table].map(({ read }) => read).join(', ')

type Octets = ReadonlyArray<Buffer | null>

/** A row of `table`, selected with {@link selectList}, each column the octets of a text or null. */
export const fromOctets = (table: LeaseTable, columns: Octets): LeaseRow =>
  table === 'lease4' ? fromLease4(columns) : fromLease6(columns)

type Octet = Buffer | null | undefined

const number = (column: Octet): number => Number(column?.toString('latin1'))
const numberOrNull = (column: Octet): number | null => (column ? Number(column.toString('latin1')) : null)
const asciiOrNull = (column: Octet): string | null => column?.toString('latin1') ?? null
const textOrNull = (column: Octet): string | null => column?.toString('utf8') ?? null

/** Our own columns, which begin at `at` in both tables. */
const ownFrom = (columns: Octets, at: number) => ({
  revision: number(columns[at]),
  status: asciiOrNull(columns[at + 1]) as Status,
  holder: textOrNull(columns[at + 2]) as string,
  startsAt: number(columns[at + 3]),
  expiresAt: number(columns[at + 4]),
  renewals: number(columns[at + 5]),
  transactionId: number(columns[at + 6]),
  relay: textOrNull(columns[at + 7]),
  kept: textOrNull(columns[at + 8]),
  recordedAt: number(columns[at + 9]),
  log: textOrNull(columns[at + 10]) as string,
  seq: number(columns[at + 11]),
})

const fromLease4 = (columns: Octets): LeaseRow => ({
  stream: lease4Stream(number(columns[0])),
  hwaddr: asciiOrNull(columns[1]),
  clientId: asciiOrNull(columns[2]),
  duid: null,
  validLifetime: number(columns[3]),
  expire: number(columns[4]),
  subnetId: number(columns[5]),
  preferredLifetime: null,
  iaid: null,
  fqdnForward: number(columns[6]) !== 0,
  fqdnReverse: number(columns[7]) !== 0,
  hostname: textOrNull(columns[8]),
  state: number(columns[9]) as KeaState,
  userContext: textOrNull(columns[10]),
  relayId: asciiOrNull(columns[11]),
  remoteId: asciiOrNull(columns[12]),
  poolId: number(columns[13]),
  hwType: numberOrNull(columns[14]),
  hwSource: null,
  ...ownFrom(columns, 15),
})

const stream6 = (address: Octet, length: number, leaseType: number): StreamName => {
  const parsed = ip6FromBytes(Buffer.from(address?.toString('latin1') ?? '', 'hex'))
  return leaseType === 2 ? prefix6Stream(parsed, length) : lease6Stream(parsed)
}

const fromLease6 = (columns: Octets): LeaseRow => ({
  stream: stream6(columns[0], number(columns[1]), number(columns[2])),
  hwaddr: asciiOrNull(columns[13]),
  clientId: null,
  duid: asciiOrNull(columns[3]),
  validLifetime: number(columns[4]),
  expire: number(columns[5]),
  subnetId: number(columns[6]),
  preferredLifetime: numberOrNull(columns[7]),
  iaid: numberOrNull(columns[8]),
  fqdnForward: number(columns[9]) !== 0,
  fqdnReverse: number(columns[10]) !== 0,
  hostname: textOrNull(columns[11]),
  state: number(columns[12]) as KeaState,
  userContext: textOrNull(columns[16]),
  relayId: null,
  remoteId: null,
  poolId: number(columns[17]),
  hwType: numberOrNull(columns[14]),
  hwSource: numberOrNull(columns[15]),
  ...ownFrom(columns, 18),
})
