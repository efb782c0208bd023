/**
 * A row of the lease tables: what the last event of a stream left, in the columns that Kea's tables have (schema 34 on
 * PostgreSQL, 35 on MySQL) and our own behind them. Nothing here knows a database; what every SQL database stores is
 * the same row, and the whole `Lease` can be read back from it.
 *
 * Kea's columns show what Kea would show. A declined IPv4 lease there has no client, a reclaimed one no name, and what
 * does not fit a column's type has no place at all. Whatever of the lease they leave out stands in `kept`.
 */
import { canonicalJson } from '../domain/canonical-json.ts'
import type { LogName, Recorded, Revision, Seq } from '../domain/event-store.ts'
import { FOREVER } from '../domain/instant.ts'
import type { Instant } from '../domain/instant.ts'
import { makeLease, statusAfter } from '../domain/lease.ts'
import type { Lease, Relay, Status, Used } from '../domain/lease.ts'
import { addressText, categoryOf } from '../domain/stream.ts'
import type { StreamName } from '../domain/stream.ts'

/** The table that holds a stream's row: delegated prefixes stand in `lease6`, as in Kea. */
export type LeaseTable = 'lease4' | 'lease6'

/** Kea's lease states: 0 in use, 1 declined, 2 expired and reclaimed (nobody's), 3 released. */
export type KeaState = 0 | 1 | 2 | 3

/** Kea's lease types in `lease6`: 0 is an address (IA_NA), 2 a delegated prefix (IA_PD). */
export type KeaLeaseType = 0 | 2

/** The columns of a row. `null` is SQL's NULL; octet strings are lower-case hex; numbers are whole. */
export interface LeaseRow {
  readonly stream: StreamName

  /** Hardware address, at most 20 octets. */
  readonly hwaddr: string | null
  /** `lease4` only. At most 255 octets. */
  readonly clientId: string | null
  /** `lease6` only. At most 130 octets; Kea's empty DUID 00:00:00 on a declined lease. */
  readonly duid: string | null
  /** uint32 seconds. `expire` less this is when the client was last served, as readers of Kea's tables count. */
  readonly validLifetime: number
  /** Seconds since 1970, at most 2^31 - 1. */
  readonly expire: number
  readonly subnetId: number
  /** `lease6` only. uint32 seconds. */
  readonly preferredLifetime: number | null
  /** `lease6` only. uint32. */
  readonly iaid: number | null
  readonly fqdnForward: boolean
  readonly fqdnReverse: boolean
  /** At most 255 characters. */
  readonly hostname: string | null
  readonly state: KeaState
  readonly userContext: string | null
  /** Relay-ID and remote ID, columns of `lease4` only. At most 255 octets. */
  readonly relayId: string | null
  readonly remoteId: string | null
  readonly poolId: number
  /** uint16; where it fits Kea's smallint, which ends at 32767. */
  readonly hwType: number | null
  /** `lease6` only. */
  readonly hwSource: number | null

  // Our own columns.
  readonly revision: Revision
  readonly status: Status
  readonly holder: string
  readonly startsAt: Instant
  readonly expiresAt: Instant
  readonly renewals: number
  readonly transactionId: number
  /** JSON text of the `Relay`. */
  readonly relay: string | null
  /** JSON text of the lease's fields that the columns above do not show, see {@link keptText}. */
  readonly kept: string | null
  /** When and where the event was recorded that this row shows. */
  readonly recordedAt: Instant
  readonly log: LogName
  readonly seq: Seq
}

/** The last second that a MySQL TIMESTAMP and Kea's own code can show. */
export const EXPIRE_MAX_SEC = 2 ** 31 - 1

const UINT32_MAX = 2 ** 32 - 1
const HWTYPE_MAX = 32_767
const HOSTNAME_CHARACTERS_MAX = 255
const HWADDR_OCTETS_MAX = 20
const CLIENT_ID_OCTETS_MAX = 255
const DUID_OCTETS_MAX = 130

/** What Kea writes for the DUID of a declined lease, because the column of a live one is never empty. */
const EMPTY_DUID = '000000'

/** The table that a stream has its row in. */
export const tableOf = (stream: StreamName): LeaseTable => (categoryOf(stream) === 'lease4' ? 'lease4' : 'lease6')

/** The lease type of a stream's row in `lease6`. */
export const leaseTypeOf = (stream: StreamName): KeaLeaseType => (categoryOf(stream) === 'prefix6' ? 2 : 0)

/** The IPv4 address of a stream, uint32. */
export const ip4Number = (stream: StreamName): number =>
  addressText(stream)
    .split('.')
    .reduce((sum, octet) => sum * 256 + Number(octet), 0)

/** The IPv6 address or prefix of a stream without its length, text; and the length, 128 for an address. */
export const prefixOf = (stream: StreamName): readonly [address: string, length: number] => {
  const text = addressText(stream)
  const slash = text.indexOf('/')
  return slash < 0 ? [text, 128] : [text.slice(0, slash), Number(text.slice(slash + 1))]
}

const KEA_STATE: Readonly<Record<Status, KeaState>> = {
  bound: 0,
  declined: 1,
  // Kea has no word for an offer and none for a revocation. Both are nobody's lease, and must count as that in SQL
  // that was written for Kea.
  offered: 2,
  expired: 2,
  revoked: 2,
  released: 3,
}

/** The row of an event's stream as the event leaves it. */
export const rowOf = ({ stream, revision, log, seq, recordedAt, event }: Recorded): LeaseRow => {
  const { lease } = event
  const status = statusAfter(event)
  const isV4 = tableOf(stream) === 'lease4'
  const isDeclined = status === 'declined'
  // Kea forgets the client of a declined lease, and the name of one whose DNS entries it has taken back.
  const showsName = !isDeclined && status !== 'expired'
  const client = {
    hwaddr: isDeclined ? null : octets(lease.hwAddress, HWADDR_OCTETS_MAX),
    clientId: isDeclined || !isV4 ? null : octets(lease.clientId, CLIENT_ID_OCTETS_MAX),
    duid: isV4 ? null : isDeclined ? EMPTY_DUID : octets(lease.duid, DUID_OCTETS_MAX),
    fqdnForward: showsName && lease.fqdnForward === true,
    fqdnReverse: showsName && lease.fqdnReverse === true,
    hostname: showsName ? shortened(lease.hostname) : null,
  }
  const relay = lease.relay === undefined ? undefined : printableRelay(lease.relay)
  const shown = {
    ...client,
    validLifetime: validLifetimeOf(status, lease, recordedAt),
    subnetId: whole(lease.subnetId, UINT32_MAX) ?? 0,
    preferredLifetime: isV4 ? null : whole(lease.preferredLifetimeSec, UINT32_MAX),
    iaid: isV4 ? null : whole(lease.iaid, UINT32_MAX),
    userContext: lease.userContext === undefined ? null : printable(lease.userContext),
    poolId: whole(lease.poolId, UINT32_MAX) ?? 0,
    hwType: whole(lease.hwType, HWTYPE_MAX),
    hwSource: isV4 ? null : whole(lease.hwSource, HWTYPE_MAX),
    holder: printable(lease.holder),
    startsAt: instant(lease.startsAt),
    expiresAt: instant(lease.expiresAt),
    renewals: whole(lease.renewals, Number.MAX_SAFE_INTEGER) ?? 0,
    transactionId: whole(lease.transactionId, UINT32_MAX) ?? 0,
    relay: relay === undefined ? null : canonicalJson(relay),
  }
  return {
    stream,
    ...shown,
    expire: Math.min(Math.floor(shown.expiresAt / 1000), EXPIRE_MAX_SEC),
    state: KEA_STATE[status],
    relayId: isV4 ? octets(lease.relay?.relayId, CLIENT_ID_OCTETS_MAX) : null,
    remoteId: isV4 ? octets(lease.relay?.remoteId, CLIENT_ID_OCTETS_MAX) : null,
    revision,
    status,
    kept: keptText(lease, shownLease(shown, relay)),
    recordedAt: instant(recordedAt),
    log,
    seq,
  }
}

/** The revision and state that a row stands for: the way back from {@link rowOf}, on all fields of the lease. */
export const stateOf = (row: LeaseRow): { readonly revision: Revision; readonly state: Used } => {
  const shown = shownLease(row, row.relay === null ? undefined : (JSON.parse(row.relay) as Relay))
  const lease = row.kept === null ? shown : withKept(shown, row.kept)
  return { revision: row.revision, state: { status: row.status, lease } }
}

/** Of rows in any order, the one with the highest revision for each stream: what a batch leaves. */
export const coalesced = (rows: Iterable<LeaseRow>): ReadonlyArray<LeaseRow> => {
  const last = new Map<StreamName, LeaseRow>()
  for (const row of rows) {
    const other = last.get(row.stream)
    if (other === undefined || other.revision < row.revision) last.set(row.stream, row)
  }
  return [...last.values()]
}

/** Whether two rows agree in every column. */
export const sameRow = (one: LeaseRow, other: LeaseRow): boolean => differingColumn(one, other) === undefined

/** The first column in which two rows differ. */
export const differingColumn = (one: LeaseRow, other: LeaseRow): keyof LeaseRow | undefined =>
  (Object.keys(one) as Array<keyof LeaseRow>).find((column) => one[column] !== other[column])

// ---------------------------------------------------------------- Columns

/** The seconds that make `expire` less `valid_lifetime` the moment at which the client was last served. */
const validLifetimeOf = (status: Status, lease: Lease, recordedAt: Instant): number => {
  switch (status) {
    case 'bound':
    case 'expired':
      return whole(lease.validLifetimeSec, UINT32_MAX) ?? 0
    case 'offered':
    case 'declined':
      return whole(Math.max(0, Math.ceil((lease.expiresAt - recordedAt) / 1000)), UINT32_MAX) ?? 0
    case 'released':
    case 'revoked':
      return 0
  }
}

const whole = (value: number | undefined, max: number): number | null =>
  value !== undefined && Number.isSafeInteger(value) && value >= 0 && value <= max ? value : null

/** Within what every database can show; an event may carry anything that another server's tables held. */
const instant = (at: Instant): Instant => (Number.isFinite(at) ? Math.min(Math.max(Math.trunc(at), 0), FOREVER) + 0 : 0)

const octets = (hex: string | undefined, octetsMax: number): string | null =>
  hex !== undefined && hex.length <= 2 * octetsMax && /^(?:[0-9a-f]{2})*$/.test(hex) ? hex : null

// A NUL and half a surrogate pair are characters to JavaScript that no UTF-8 database stores.
const isPrintable = (text: string): boolean => text.isWellFormed() && !text.includes('\0')

const printable = (text: string): string => (isPrintable(text) ? text : text.toWellFormed().replaceAll('\0', '\uFFFD'))

/** The relay itself when all of it is printable. */
const printableRelay = (relay: Relay): Relay => {
  for (const field in relay)
    if (!isPrintable(relay[field as keyof Relay] ?? '')) return mapTexts(relay, printable) as Relay
  return relay
}

const shortened = (hostname: string | undefined): string | null => {
  if (hostname === undefined) return null
  const text = printable(hostname)
  return text.length <= HOSTNAME_CHARACTERS_MAX ? text : [...text].slice(0, HOSTNAME_CHARACTERS_MAX).join('')
}

const mapTexts = (relay: Relay, change: (text: string) => unknown): Record<string, unknown> =>
  Object.fromEntries(Object.entries(relay).map(([field, value]) => [field, change(value as string)]))

// ---------------------------------------------------------------- The lease that the columns show, and the rest

type Shown = Omit<LeaseRow, 'stream' | 'expire' | 'state' | 'relayId' | 'remoteId' | KeptColumn>
type KeptColumn = 'revision' | 'status' | 'kept' | 'recordedAt' | 'log' | 'seq'

/** A false flag is read as one that the client and the configuration had no word on, which is by far the usual case. */
const shownLease = (row: Shown, relay: Relay | undefined): Lease =>
  makeLease(
    {
      clientId: row.clientId ?? undefined,
      duid: row.duid ?? undefined,
      fqdnForward: row.fqdnForward || undefined,
      fqdnReverse: row.fqdnReverse || undefined,
      holder: row.holder,
      hostname: row.hostname ?? undefined,
      hwAddress: row.hwaddr ?? undefined,
      hwSource: row.hwSource ?? undefined,
      hwType: row.hwType ?? undefined,
      iaid: row.iaid ?? undefined,
      poolId: row.poolId,
      preferredLifetimeSec: row.preferredLifetime ?? undefined,
      relay,
      subnetId: row.subnetId,
      transactionId: row.transactionId,
      userContext: row.userContext ?? undefined,
      validLifetimeSec: row.validLifetime,
    },
    row.expiresAt,
    row.renewals,
    row.startsAt,
  )

/**
 * JSON text of the fields in which the lease is not what the columns show: `null` for a field that the lease does not
 * have, `{"utf16":"<hex>"}` for a text that no database stores as text. Null when the columns say all.
 */
const keptText = (lease: Lease, shown: Lease): string | null => {
  let kept: Record<string, unknown> | undefined
  for (const field of Object.keys(shown) as Array<keyof Lease>) {
    const value = lease[field]
    if (value === shown[field]) continue
    kept ??= {}
    kept[field] = packed(value)
  }
  return kept === undefined ? null : canonicalJson(kept)
}

const packed = (value: string | number | boolean | Relay | undefined): unknown => {
  if (value === undefined) return null
  if (typeof value === 'string') return packedText(value)
  return typeof value === 'object' ? mapTexts(value, packedText) : value
}

const packedText = (text: string): unknown =>
  isPrintable(text) ? text : { utf16: Buffer.from(text, 'utf16le').toString('hex') }

const unpacked = (value: unknown): unknown => {
  if (value === null) return undefined
  if (typeof value !== 'object') return value
  const { utf16 } = value as { readonly utf16?: unknown }
  if (typeof utf16 === 'string') return Buffer.from(utf16, 'hex').toString('utf16le')
  return mapTexts(value, unpacked)
}

const withKept = (shown: Lease, kept: string): Lease => {
  const fields = Object.entries(JSON.parse(kept) as Record<string, unknown>)
  const lease = { ...shown, ...Object.fromEntries(fields.map(([field, value]) => [field, unpacked(value)])) } as Lease
  return makeLease(lease, lease.expiresAt, lease.renewals, lease.startsAt)
}
