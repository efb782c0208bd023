/**
 * A row of the lease tables as a database gives it back: all numbers of the row, in the order of the columns, and all its
 * texts in that order too. Both databases have the same columns in the same order.
 */
import { ip6FromBytes } from '../domain/address.ts'
import type { Status } from '../domain/lease.ts'
import { lease4Stream, lease6Stream, prefix6Stream } from '../domain/stream.ts'
import type { StreamName } from '../domain/stream.ts'
import type { KeaState, LeaseRow, LeaseTable } from './lease-row.ts'

/** Null is SQL's NULL. A flag is 0 or 1, `iaid` may be signed, and an IPv4 address is its uint32. */
export type Numbers = ReadonlyArray<number | null>

/** Octets are lower-case hex, the 16 of an IPv6 address too. */
export type Texts = ReadonlyArray<string | null>

/** The row of `table` in these numbers and texts. */
export const rowOfSelected = (table: LeaseTable, numbers: Numbers, texts: Texts): LeaseRow =>
  table === 'lease4' ? lease4Row(numbers, texts) : lease6Row(numbers, texts)

const whole = (value: number | null | undefined): number => value ?? 0
const orNull = <A>(value: A | null | undefined): A | null => value ?? null

const INT32 = 2 ** 32
const unsigned = (int32: number | null | undefined): number | null =>
  int32 === null || int32 === undefined ? null : (int32 + INT32) % INT32

/** Our own columns, whose numbers and texts begin at these places. */
const ownOf = (numbers: Numbers, number: number, texts: Texts, text: number) => ({
  revision: whole(numbers[number]),
  status: texts[text] as Status,
  holder: texts[text + 1] as string,
  startsAt: whole(numbers[number + 1]),
  expiresAt: whole(numbers[number + 2]),
  renewals: whole(numbers[number + 3]),
  transactionId: whole(numbers[number + 4]),
  relay: orNull(texts[text + 2]),
  kept: orNull(texts[text + 3]),
  recordedAt: whole(numbers[number + 5]),
  log: texts[text + 4] as string,
  seq: whole(numbers[number + 6]),
})

const lease4Row = (numbers: Numbers, texts: Texts): LeaseRow => ({
  stream: lease4Stream(whole(numbers[0])),
  hwaddr: orNull(texts[0]),
  clientId: orNull(texts[1]),
  duid: null,
  validLifetime: whole(numbers[1]),
  expire: whole(numbers[2]),
  subnetId: whole(numbers[3]),
  preferredLifetime: null,
  iaid: null,
  fqdnForward: numbers[4] === 1,
  fqdnReverse: numbers[5] === 1,
  hostname: orNull(texts[2]),
  state: whole(numbers[6]) as KeaState,
  userContext: orNull(texts[3]),
  relayId: orNull(texts[4]),
  remoteId: orNull(texts[5]),
  poolId: whole(numbers[7]),
  hwType: orNull(numbers[8]),
  hwSource: null,
  ...ownOf(numbers, 9, texts, 6),
})

const stream6 = (hex: string, length: number, leaseType: number): StreamName => {
  const address = ip6FromBytes(Buffer.from(hex, 'hex'))
  return leaseType === 2 ? prefix6Stream(address, length) : lease6Stream(address)
}

const lease6Row = (numbers: Numbers, texts: Texts): LeaseRow => ({
  stream: stream6(texts[0] as string, whole(numbers[0]), whole(numbers[1])),
  hwaddr: orNull(texts[3]),
  clientId: null,
  duid: orNull(texts[1]),
  validLifetime: whole(numbers[2]),
  expire: whole(numbers[3]),
  subnetId: whole(numbers[4]),
  preferredLifetime: orNull(numbers[5]),
  iaid: unsigned(numbers[6]),
  fqdnForward: numbers[7] === 1,
  fqdnReverse: numbers[8] === 1,
  hostname: orNull(texts[2]),
  state: whole(numbers[9]) as KeaState,
  userContext: orNull(texts[4]),
  relayId: null,
  remoteId: null,
  poolId: whole(numbers[12]),
  hwType: orNull(numbers[10]),
  hwSource: orNull(numbers[11]),
  ...ownOf(numbers, 13, texts, 5),
})
