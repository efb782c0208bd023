/** The columns of the lease tables in MySQL: how a row is written into statements and read back from octets of texts. */
import { ip6Bytes, parseIp6 } from '../../domain/address.ts'
import * as O from 'fp-ts/lib/Option.js'
import { ip4Number, leaseTypeOf, prefixOf } from '../lease-row.ts'
import type { LeaseRow, LeaseTable } from '../lease-row.ts'
import { rowOfSelected } from '../selected-row.ts'
import type { Numbers } from '../selected-row.ts'
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
    whole('address', (row) => ip4Number(row.stream)),
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
  table === 'lease4'
    ? String(ip4Number(row.stream))
    : [ip6Hex(row), prefixOf(row.stream)[1], leaseTypeOf(row.stream)].join()

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

/** A row of `table` that was selected with {@link selectList}. */
export const fromOctets = (table: LeaseTable, [numbers, ...texts]: ReadonlyArray<Buffer | null>): LeaseRow =>
  rowOfSelected(
    table,
    JSON.parse((numbers as Buffer).toString('latin1')) as Numbers,
    texts.map((octets) => octets?.toString('utf8') ?? null),
  )
