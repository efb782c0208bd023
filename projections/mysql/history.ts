/** The table of spans in MySQL: merging a batch into it, and asking it. */
import { hash } from 'node:crypto'
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import {
  ip4Bytes,
  ip4FromBytes,
  ip6Bytes,
  ip6FromBytes,
  ip6Last,
  ip6Network,
  parseIp4,
  parseIp6,
} from '../../domain/address.ts'
import { FOREVER } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import type { Relay } from '../../domain/lease.ts'
import { addressText, categoryOf, lease4Stream, lease6Stream, prefix6Stream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { identifierOf, identifierText, isKnownBy, mergeSpans, searchable, spanKey, tellsBeginning } from '../history.ts'
import type { Ending, IdentifierKind, Place, SpanLease, SpanRow } from '../history.ts'
import type { HistoryTable } from '../lease-tables.ts'
import { momentText } from './columns.ts'
import type { Connection, Row, Statements } from './connection.ts'
import { hexLiteral, insertText, literal, takeGiven } from './literals.ts'
import type { Column } from './literals.ts'

/** A span and what names it, worked out once. Hex: its key, and the first and last address of what was held. */
interface Placed {
  readonly key: string
  readonly first: string
  readonly last: string
  readonly prefixLength: number
  readonly span: SpanRow
}

type SpanColumn = Column<Placed>

const column = (name: string, value: (row: SpanRow) => string | number | null): SpanColumn => ({
  name,
  write: ({ span }) => literal(value(span)),
  read: name,
})

const octets = (name: string, hex: (placed: Placed) => string): SpanColumn => ({
  name,
  write: (placed) => hexLiteral(hex(placed)),
  read: `lower(hex(${name}))`,
})

const momentOf = (at: Instant): string => momentText(Math.min(Math.max(Math.trunc(at), 0), FOREVER))

const moment = (name: string, at: (row: SpanRow) => Instant | undefined): SpanColumn => ({
  name,
  write: ({ span }) => {
    const value = at(span)
    return value === undefined ? literal(null) : `'${momentOf(value)}'`
  },
  read: `timestampdiff(MICROSECOND, '1970-01-01', ${name}) DIV 1000`,
})

const whole = (value: number | undefined, max: number): number | null =>
  value !== undefined && Number.isSafeInteger(value) && value >= 0 && value <= max ? value : null

const identifier = (name: string, kind: IdentifierKind): SpanColumn =>
  column(name, (row) => identifierOf(row.lease, kind) ?? null)

/** The first and the last address of a prefix, hex; both the same for an address. */
const rangeOf = (prefix: string): readonly [first: string, last: string, length: number] => {
  const [address = '', length] = prefix.split('/')
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const four = parseIp4(address)
  if (O.isSome(four)) {
    const bits = Number(length ?? 32)
    const size = 2 ** (32 - bits)
    const first = four.value - (four.value % size)
    return [hex(ip4Bytes(first)), hex(ip4Bytes(first + size - 1)), bits]
  }
  const bits = Number(length ?? 128)
  const six = ip6Network(O.getOrElse(() => 0n)(parseIp6(address)), bits)
  return [hex(ip6Bytes(six)), hex(ip6Bytes(ip6Last(six, bits))), bits]
}

/** The key begins with the address, so that what lies together is read together. */
const placed = (span: SpanRow): Placed => {
  const [first, last, prefixLength] = rangeOf(addressText(span.stream))
  const key = first.padEnd(32, '0') + hash('sha256', spanKey(span)).slice(0, 32)
  return { key, first, last, prefixLength, span }
}

const wellFormed = (text: string): string => text.toWellFormed().replaceAll('\0', '\uFFFD')

const relayText = (relay: Relay | undefined): string | null =>
  relay === undefined
    ? null
    : JSON.stringify(Object.fromEntries(Object.entries(relay).map(([field, value]) => [field, searchable(value)])))

const NAMED: ReadonlyArray<SpanColumn> = [
  octets('span_key', ({ key }) => key),
  octets('address', ({ first }) => first),
  octets('last_address', ({ last }) => last),
  { name: 'prefix_len', write: ({ prefixLength }) => literal(prefixLength), read: 'prefix_len' },
  column('category', (row) => categoryOf(row.stream)),
  moment('starts_at', (row) => row.startsAt),
  column('holder', (row) => wellFormed(row.holder)),
]

const TOLD: ReadonlyArray<SpanColumn> = [
  column('bound_revision', (row) => row.last?.revision ?? -1),
  moment('bound_at', (row) => row.last?.at),
  column('bound_log', (row) => row.last?.log ?? null),
  column('bound_seq', (row) => row.last?.seq ?? null),
  moment('granted_to', (row) => row.lease.expiresAt),
  column('renewals', (row) => whole(row.lease.renewals, Number.MAX_SAFE_INTEGER) ?? 0),
  column('valid_lifetime', (row) => whole(row.lease.validLifetimeSec, 2 ** 32) ?? 0),
  column('hwtype', (row) => whole(row.lease.hwType, 2 ** 31 - 1)),
  identifier('mac', 'mac'),
  identifier('client_id', 'client-id'),
  identifier('duid', 'duid'),
  column('iaid', (row) => whole(row.lease.iaid, 2 ** 32)),
  column('hostname', (row) => (row.lease.hostname === undefined ? null : searchable(row.lease.hostname))),
  identifier('hostname_lower', 'hostname'),
  identifier('circuit_id', 'circuit-id'),
  identifier('remote_id', 'remote-id'),
  column('relay', (row) => relayText(row.lease.relay)),
  column('subnet_id', (row) => whole(row.lease.subnetId, 2 ** 32) ?? 0),
  column('pool_id', (row) => whole(row.lease.poolId, 2 ** 32) ?? 0),
  column('first_revision', (row) => row.first?.revision ?? null),
  moment('first_at', (row) => row.first?.at),
  column('first_log', (row) => row.first?.log ?? null),
  column('first_seq', (row) => row.first?.seq ?? null),
  column('end_revision', (row) => row.end?.revision ?? null),
  column('end_by', (row) => row.end?.by ?? null),
  moment('ended_at', (row) => row.end?.until),
  moment('end_at', (row) => row.end?.at),
  column('end_log', (row) => row.end?.log ?? null),
  column('end_seq', (row) => row.end?.seq ?? null),
  column('formerly', (row) => (row.formerly.length === 0 ? null : JSON.stringify(row.formerly))),
]

const COLUMNS = [...NAMED, ...TOLD]
const SELECTED = COLUMNS.map(({ read }) => read).join(', ')

/** Spans of one statement: MariaDB makes a subquery, which no index helps, of an IN over more than 1,000 values. */
const PART_MAX = 500

/**
 * Merges spans into the table, in the transaction that is open. The merging is the fold's own; a row that exists is
 * locked from when it is read until the transaction ends, so that of two writers who meet at one span the second merges
 * into what the first wrote. In the order of the keys, so that writers wait in one order.
 */
export const writeSpans = async (
  statements: Statements,
  suffix: string,
  spans: ReadonlyArray<SpanRow>,
): Promise<void> => {
  const sorted = spans.map(placed).sort((one, other) => (one.key < other.key ? -1 : 1))
  for (let at = 0; at < sorted.length; at += PART_MAX) {
    const written = await writePart(statements, suffix, sorted.slice(at, at + PART_MAX))
    const former = written.flatMap(({ key, span }) => span.formerly.map((text) => `(${literal(text)},x'${key}')`))
    if (former.length === 0) continue
    await statements.rows(`INSERT IGNORE INTO lease_span_identifiers${suffix} VALUES ${former.join(',\n')}`)
  }
}

/** A span that begins is most likely not there yet, and is added without a look. Gives the spans as they now stand. */
const writePart = async (
  statements: Statements,
  suffix: string,
  part: ReadonlyArray<Placed>,
): Promise<ReadonlyArray<Placed>> => {
  const begun = part.filter(({ span }) => tellsBeginning(span))
  const areNew = await addSpans(statements, suffix, begun)
  const others = areNew ? part.filter(({ span }) => !tellsBeginning(span)) : part
  const found = await readSpans(statements, suffix, others)
  const missing = others.filter(({ key }) => !found.has(key))
  const added = await addSpans(statements, suffix, missing)
  if (!added) for (const [key, span] of await readSpans(statements, suffix, missing)) found.set(key, span)
  const known = added ? others.filter(({ key }) => found.has(key)) : others
  const merged = known.map((one) => {
    const { stream, holder } = one.span
    // The key is that of the span as its events name it, which a text of the database may not be able to say.
    return { ...one, span: { ...mergeSpans(found.get(one.key) as SpanRow, one.span), stream, holder } }
  })
  await changeSpans(statements, suffix, found, merged)
  return [...(areNew ? begun : []), ...(added ? missing : []), ...merged]
}

/** Whether none of them was there. Those that were stay as they are and are locked. */
const addSpans = async (statements: Statements, suffix: string, spans: ReadonlyArray<Placed>): Promise<boolean> => {
  if (spans.length === 0) return true
  const text = insertText(`lease_spans${suffix}`, COLUMNS, spans, () => `category = lease_spans${suffix}.category`)
  return (await statements.changed(text)) === spans.length
}

const readSpans = async (
  { rows }: Statements,
  suffix: string,
  spans: ReadonlyArray<Placed>,
): Promise<Map<string, SpanRow>> => {
  if (spans.length === 0) return new Map()
  const found = await rows(`SELECT ${SELECTED} FROM lease_spans${suffix}
WHERE span_key IN (${spans.map(({ key }) => `x'${key}'`).join(',')})
FOR UPDATE`)
  return new Map(found.map((row) => [row[0]?.toString('latin1') ?? '', spanFromRow(row)]))
}

/** Writes the columns in which any span differs from what was found. */
const changeSpans = async (
  { rows }: Statements,
  suffix: string,
  found: ReadonlyMap<string, SpanRow>,
  merged: ReadonlyArray<Placed>,
): Promise<void> => {
  const before = merged.map((one) => ({ ...one, span: found.get(one.key) as SpanRow }))
  const changed = TOLD.filter(({ write }) => merged.some((one, index) => write(one) !== write(before[index] as Placed)))
  if (changed.length === 0) return
  await rows(insertText(`lease_spans${suffix}`, [...NAMED, ...changed], merged, (given) => takeGiven(changed, given)))
}

const BY: Readonly<Record<IdentifierKind, string>> = {
  mac: 'mac',
  'client-id': 'client_id',
  duid: 'duid',
  hostname: 'hostname_lower',
  'circuit-id': 'circuit_id',
  'remote-id': 'remote_id',
}

const ofClientStatement = (suffix: string, kind: IdentifierKind): string => `
SELECT ${SELECTED}
FROM lease_spans${suffix}
WHERE ${BY[kind]} = ? AND starts_at <= ? AND granted_to > ?
UNION
SELECT ${SELECTED}
FROM lease_spans${suffix}
WHERE span_key IN (SELECT span_key FROM lease_span_identifiers${suffix} WHERE identifier = ?)
  AND starts_at <= ? AND granted_to > ?`

/** What begins in a prefix, and the prefixes that begin where one that it lies in would. */
const withinStatement = (suffix: string, prefix: string): string => {
  const [first, last, length] = rangeOf(prefix)
  const inside = `address BETWEEN x'${first}' AND x'${last}' AND length(address) = ${first.length / 2}`
  if (first.length === 8) return `SELECT ${SELECTED} FROM lease_spans${suffix} WHERE ${inside}`
  const address = prefix.split('/')[0] ?? ''
  const starts = Array.from({ length }, (_, bits) => `x'${rangeOf(`${address}/${bits}`)[0]}'`)
  const around = `address IN (${[`x'${first}'`, ...new Set(starts)].join(', ')}) AND last_address >= x'${last}'`
  return `
SELECT ${SELECTED} FROM lease_spans${suffix} WHERE ${inside}
UNION
SELECT ${SELECTED} FROM lease_spans${suffix} WHERE ${around} AND category = 'prefix6'`
}

/** All spans, but those that are being made. Read with {@link spanFromRow}. */
export const allSpansStatement = (suffix: string): string => `
SELECT ${SELECTED}
FROM lease_spans${suffix}
WHERE bound_revision IS NOT NULL`

/** The spans of the tables whose names end in `suffix`. */
export const makeHistory = (connection: Connection, suffix: string): HistoryTable => ({
  ofClient: (wanted, from, to) => async () => {
    const window = [momentOf(to), momentOf(from)]
    const parameters = [wanted.value, ...window, identifierText(wanted), ...window]
    const found = await connection.run(({ rows }) => rows(ofClientStatement(suffix, wanted.kind), parameters))
    return E.map((rows: ReadonlyArray<Row>) =>
      toSpans(rows)
        .filter((row) => isKnownBy(row, wanted))
        .sort((one, other) => one.startsAt - other.startsAt || (one.stream < other.stream ? -1 : 1)),
    )(found)
  },
  within: (prefix) => async () =>
    E.map(toSpans)(await connection.run(({ rows }) => rows(withinStatement(suffix, prefix)))),
  all: (onSpan) => () => {
    let spansRead = 0
    const read = ({ stream }: Statements): Promise<void> =>
      stream(`SELECT ${SELECTED} FROM lease_spans${suffix}`, (row) => {
        spansRead++
        onSpan(spanFromRow(row))
      })
    return connection.run(read, () => spansRead)
  },
})

const toSpans = (rows: ReadonlyArray<Row>): ReadonlyArray<SpanRow> => rows.map(spanFromRow)

const INDEX: ReadonlyMap<string, number> = new Map(COLUMNS.map(({ name }, index) => [name, index]))

/** A row of spans. */
export const spanFromRow = (row: Row): SpanRow => {
  const text = (name: string): string | undefined => row[INDEX.get(name) as number]?.toString('utf8')
  const number = (name: string): number => Number(text(name))
  const place = (part: 'bound' | 'first' | 'end'): Place => ({
    revision: number(`${part}_revision`),
    log: text(`${part}_log`) ?? '',
    seq: number(`${part}_seq`),
    at: number(`${part}_at`),
  })
  const isBound = number('bound_revision') >= 0
  const by = text('end_by') as Ending['by'] | undefined
  const formerly = text('formerly')
  return {
    stream: streamFrom(text('category') ?? '', text('address') ?? '', text('prefix_len') ?? ''),
    holder: text('holder') ?? '',
    startsAt: number('starts_at'),
    lease: leaseFrom(text),
    first: isBound ? place('first') : undefined,
    last: isBound ? place('bound') : undefined,
    end: by === undefined ? undefined : { ...place('end'), by, until: number('ended_at') },
    formerly: formerly === undefined ? [] : (JSON.parse(formerly) as string[]),
  }
}

const leaseFrom = (text: (name: string) => string | undefined): SpanLease => {
  const numberOr = (name: string): number | undefined => (text(name) === undefined ? undefined : Number(text(name)))
  const relay = text('relay')
  return {
    clientId: text('client_id'),
    duid: text('duid'),
    expiresAt: Number(text('granted_to')),
    hostname: text('hostname'),
    hwAddress: text('mac')?.replaceAll(':', ''),
    hwType: numberOr('hwtype'),
    iaid: numberOr('iaid'),
    poolId: Number(text('pool_id')),
    relay: relay === undefined ? undefined : (JSON.parse(relay) as Relay),
    renewals: Number(text('renewals')),
    subnetId: Number(text('subnet_id')),
    validLifetimeSec: Number(text('valid_lifetime')),
  }
}

const streamFrom = (category: string, address: string, length: string): StreamName => {
  const octetsOf = Buffer.from(address, 'hex')
  if (category === 'lease4') return lease4Stream(ip4FromBytes(octetsOf))
  const six = ip6FromBytes(octetsOf)
  return category === 'prefix6' ? prefix6Stream(six, Number(length)) : lease6Stream(six)
}
