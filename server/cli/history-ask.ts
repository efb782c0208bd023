/** Finding the spans that a question is about: from the ledger for an address, with the tables' help for a client. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { Address4 } from 'ip-address'
import { parseHex, parseIp4, parseIp6 } from '../../domain/address.ts'
import type { Checkpoint, EventReader, Recorded, Stored } from '../../domain/event-store.ts'
import { START } from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'
import { decodeStored } from '../../domain/lease-codec.ts'
import { categoryOf, streamFromText } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { addSpan, inOrder, isKnownBy, spanKey, spanRowOf, spanRowsOf } from '../../projections/history.ts'
import type { Identifier, IdentifierKind, Span, SpanRow } from '../../projections/history.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { HistoryTable, LeaseTables } from '../../projections/lease-tables.ts'
import { isErased } from '../../projections/log-page.ts'
import { walkMerged } from '../../projections/merged-log.ts'
import { fail } from './fail.ts'
import { orFail } from './open.ts'

const PAGE_MAX = 1_000

/** What a question is about. */
export type Subject =
  /** One address or delegated prefix. */
  | { readonly _tag: 'Stream'; readonly stream: StreamName }
  /** Everything in a prefix, and every prefix that it lies in. */
  | { readonly _tag: 'Prefix'; readonly prefix: string }
  | { readonly _tag: 'Client'; readonly identifier: Identifier }

/** The subject that an address or prefix names; ends the process when it is neither. */
export const addressSubject = (text: string): Subject => {
  const stream = streamFromText(text)
  if (O.isSome(stream) && categoryOf(stream.value) !== 'prefix6') return { _tag: 'Stream', stream: stream.value }
  if (O.isSome(stream) || (text.includes('/') && Address4.isValid(text))) return { _tag: 'Prefix', prefix: text }
  return fail(`${text} is neither an address nor a prefix such as 198.51.100.0/24 or 2001:db8::/56`)
}

/**
 * The subject that an identifier names. Octets are hex, with or without colons, or else the text that they spell, as
 * switches put port names into circuit-ids; `text:beef` where a text looks like hex.
 */
export const clientSubject = (kind: IdentifierKind, given: string): Subject => {
  if (kind === 'hostname') return { _tag: 'Client', identifier: { kind, value: given.toLowerCase() } }
  const octets = given.startsWith('text:') ? O.none : parseHex(given.replace(/^(hex:|0x)/i, ''))
  if (O.isNone(octets) && kind === 'mac') return fail(`${given} is no MAC address such as 02:00:5e:10:00:01`)
  const hex = Buffer.from(O.isSome(octets) ? octets.value : Buffer.from(given.replace(/^text:/, ''))).toString('hex')
  return { _tag: 'Client', identifier: { kind, value: kind === 'mac' ? hex.replace(/..(?=.)/g, '$&:') : hex } }
}

/** All events of a stream, in order; ends the process with the reason when they cannot be read. Erased ones are left out. */
export const readAll = async (reader: EventReader, stream: StreamName): Promise<Recorded[]> => {
  const events: Recorded[] = []
  for (let from = 0; ;) {
    const page = orFail(await reader.readStream(stream, from, PAGE_MAX)())
    for (const stored of page) {
      if (isErased(stored)) continue
      const recorded = decodeStored(stored)
      events.push(E.isRight(recorded) ? recorded.right : fail(recorded.left.reason))
    }
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE_MAX) return events
    from = last.revision + 1
  }
}

/** Where to look. */
export interface Sources {
  readonly reader: EventReader
  readonly tables: ReadonlyArray<LeaseTables>
}

/** The spans of a subject, those that overlap `from` to `to` among them, in order. */
export const askSpans = async (
  { reader, tables }: Sources,
  subject: Subject,
  from: Instant,
  to: Instant,
  now: Instant,
): Promise<ReadonlyArray<Span>> => {
  if (subject._tag === 'Stream' && categoryOf(subject.stream) !== 'lease6') {
    return inOrder(spanRowsOf(await readAll(reader, subject.stream)), now)
  }
  const history = tables.find((target) => target.history !== undefined)
  const matches = matcherOf(subject)
  const rows = new Map<string, SpanRow>()
  let checkpoint: Checkpoint = START
  if (history?.history !== undefined) {
    checkpoint = orFail(await history.checkpoint(LEASES)())
    const known = await ask(history.history, subject, from, to)
    for (const row of known) rows.set(spanKey(row), row)
  }
  await addTail(reader, checkpoint, rows, matches)
  if (subject._tag !== 'Stream') return spansByStream([...rows.values()], now)
  // The address itself is asked of the ledger, as ever; the tables tell what it is a part of.
  const covering = [...rows.values()].filter(({ stream }) => stream !== subject.stream)
  return spansByStream([...spanRowsOf(await readAll(reader, subject.stream)), ...covering], now)
}

/**
 * Whether a span is about a subject. An IPv6 address may be part of what was delegated: then the router that got the
 * prefix answers for it.
 */
const matcherOf = (subject: Subject): ((row: SpanRow) => boolean) => {
  switch (subject._tag) {
    case 'Client':
      return (row) => isKnownBy(row, subject.identifier)
    case 'Prefix':
      return ({ stream }) => overlaps(stream, subject.prefix)
    case 'Stream':
      return ({ stream }) => stream === subject.stream || isCovering(stream, subject.stream)
  }
}

const isCovering = (outer: StreamName, stream: StreamName): boolean =>
  categoryOf(outer) === 'prefix6' && overlaps(outer, stream.slice(stream.indexOf('/') + 1))

/**
 * Looks for a subject in the events themselves, for what the tables have not shown: whether an event may tell of a span
 * about it that overlaps `from` to `to`. Cheap for events that are about others.
 */
export const finderOf = (subject: Subject, from: Instant, to: Instant): ((stored: Stored) => boolean) => {
  const matches = matcherOf(subject)
  const needle = subject._tag === 'Client' ? needleOf(subject.identifier) : undefined
  return (stored) => {
    if (isErased(stored)) return false
    if (needle !== undefined && !stored.data.toLowerCase().includes(needle)) return false
    if (subject._tag === 'Prefix' && !overlaps(stored.stream, subject.prefix)) return false
    if (subject._tag === 'Stream' && !isCovering(stored.stream, subject.stream)) return false
    const recorded = decodeStored(stored)
    const row = E.isRight(recorded) ? spanRowOf(recorded.right) : undefined
    return row?.first !== undefined && row.startsAt <= to && row.lease.expiresAt > from && matches(row)
  }
}

/** What the data of an event has in it when its lease has the identifier; undefined when that is not so simple. */
const needleOf = ({ kind, value }: Identifier): string | undefined => {
  if (kind === 'mac') return value.replaceAll(':', '')
  return /^[0-9a-z.-]+$/.test(value) ? value : undefined
}

/** The spans about a subject of one stream, from the ledger alone, in order. */
export const spansOfStream = async (
  reader: EventReader,
  stream: StreamName,
  subject: Subject,
  now: Instant,
): Promise<ReadonlyArray<Span>> => inOrder(spanRowsOf(await readAll(reader, stream)).filter(matcherOf(subject)), now)

const ask = async (
  history: HistoryTable,
  subject: Subject,
  from: Instant,
  to: Instant,
): Promise<ReadonlyArray<SpanRow>> => {
  if (subject._tag === 'Client') return orFail(await history.ofClient(subject.identifier, from, to)())
  const prefix = subject._tag === 'Prefix' ? subject.prefix : subject.stream.slice(subject.stream.indexOf('/') + 1)
  return orFail(await history.within(prefix)())
}

/** What the tables do not show yet is read from the ledger; all of it where they keep no spans. */
const addTail = async (
  reader: EventReader,
  checkpoint: Checkpoint,
  rows: Map<string, SpanRow>,
  matches: (row: SpanRow) => boolean,
): Promise<void> => {
  const heads = orFail(await reader.heads()())
  const isEmpty = Object.keys(checkpoint).length === 0
  const tail = new Map<string, SpanRow>()
  const take = (recorded: Recorded): void => addSpan(tail, spanRowOf(recorded))
  if (isEmpty) {
    orFail(
      await walkMerged(reader, heads, (stored) => {
        if (isErased(stored)) return
        const recorded = decodeStored(stored)
        take(E.isRight(recorded) ? recorded.right : fail(recorded.left.reason))
      }),
    )
    for (const row of tail.values()) if (matches(row)) rows.set(spanKey(row), row)
    return
  }
  for (let at = checkpoint; ;) {
    const page = orFail(await reader.readAfter(at, PAGE_MAX)())
    if (page.events.length === 0) break
    for (const stored of page.events) {
      if (isErased(stored)) continue
      const recorded = decodeStored(stored)
      take(E.isRight(recorded) ? recorded.right : fail(recorded.left.reason))
    }
    at = page.next
  }
  // A span that went on in the tail began before it: fold its stream anew.
  const streams = new Set(
    [...tail.values()].filter((row) => matches(row) || rows.has(spanKey(row))).map((r) => r.stream),
  )
  for (const stream of streams) {
    for (const row of spanRowsOf(await readAll(reader, stream))) if (matches(row)) rows.set(spanKey(row), row)
  }
}

/** Whether a stream's address or prefix lies in `prefix` or covers it. */
const overlaps = (stream: StreamName, prefix: string): boolean => {
  const text = stream.slice(stream.indexOf('/') + 1)
  const [one, other] = [rangeOf(text), rangeOf(prefix)]
  return one.family === other.family && one.first <= other.last && other.first <= one.last
}

const rangeOf = (text: string): { family: 4 | 6; first: bigint; last: bigint } => {
  const [address = '', length] = text.split('/')
  const family = address.includes(':') ? 6 : 4
  const bits = family === 4 ? 32 : 128
  const free = BigInt(bits - Number(length ?? bits))
  const value = numberOf(address, family)
  const first = (value >> free) << free
  return { family, first, last: first | ((1n << free) - 1n) }
}

const numberOf = (address: string, family: 4 | 6): bigint => {
  const parsed = family === 4 ? O.map(BigInt)(parseIp4(address)) : parseIp6(address)
  return O.getOrElse(() => 0n)(parsed)
}

/** Trimmed where clocks differ within a stream, then in the order of their beginnings. */
const spansByStream = (rows: ReadonlyArray<SpanRow>, now: Instant): ReadonlyArray<Span> => {
  const byStream = Map.groupBy(rows, ({ stream }) => stream)
  return [...byStream.values()]
    .flatMap((own) => inOrder(own, now))
    .sort((one, other) => one.from - other.from || (one.stream < other.stream ? -1 : 1))
}
