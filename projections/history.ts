/**
 * The history of addresses and prefixes as spans: who held what from when to when, and how that ended. Contiguous
 * renewals of one holder are one span.
 *
 * A span is a fold that does not depend on the order in which events come: every event carries the whole lease, and the
 * lease says since when its holder has it, so (stream, holder, startsAt) names the span that an event belongs to. Of the
 * events that bind, the one with the highest revision says how long; of those that end, the one with the lowest revision
 * after it says how it ended. So a table of spans may be filled from several logs at once, each in its own order.
 */
import type { LogName, Recorded, Revision, Seq } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import type { Lease, LeaseEvent } from '../domain/lease.ts'
import type { StreamName } from '../domain/stream.ts'

/** How a span ended. `superseded`: its holder took another address of the subnet. */
export type EndedBy = 'held' | 'released' | 'superseded' | 'expired' | 'declined' | 'revoked'

/** Where an event stands and when it was recorded. */
export interface Place {
  readonly revision: Revision
  readonly log: LogName
  readonly seq: Seq
  readonly at: Instant
}

/** The event that ended a span. */
export interface Ending extends Place {
  readonly by: Exclude<EndedBy, 'held'>
  /** When it ended by the clock of the server that recorded it. */
  readonly until: Instant
}

/** What a span tells of the lease. */
export type SpanLease = Pick<
  Lease,
  | 'clientId'
  | 'duid'
  | 'expiresAt'
  | 'hostname'
  | 'hwAddress'
  | 'hwType'
  | 'iaid'
  | 'poolId'
  | 'relay'
  | 'renewals'
  | 'subnetId'
  | 'validLifetimeSec'
>

/** A span as far as its events are known: what tables of spans store. */
export interface SpanRow {
  readonly stream: StreamName
  readonly holder: string
  /** Since when the holder had it. Inclusive. */
  readonly startsAt: Instant
  /** As the event at `last` left it. */
  readonly lease: SpanLease
  /** The first and the last event that bound it; undefined while none is known: then nobody held anything. */
  readonly first: Place | undefined
  readonly last: Place | undefined
  readonly end: Ending | undefined
  /** What the client was known by earlier in the span and is not any more, as {@link identifierText}; sorted. */
  readonly formerly: ReadonlyArray<string>
}

/** A time during which one client held one address or prefix. */
export interface Span {
  readonly stream: StreamName
  readonly holder: string
  /** The lease as its last event in the span left it: who, relay, lifetimes. */
  readonly lease: SpanLease
  /** Inclusive. */
  readonly from: Instant
  /** Exclusive. For `held` the end that was granted, which may still be extended. */
  readonly until: Instant
  readonly endedBy: EndedBy
  readonly renewals: number
  /** When it was last renewed; undefined when never. */
  readonly renewedAt: Instant | undefined
  /** The server that gave it. */
  readonly server: LogName
  readonly first: Place
  readonly last: Place
  /** The event that ended it; undefined when none is recorded (yet). */
  readonly end: Ending | undefined
  readonly formerly: ReadonlyArray<string>
}

/** By what a client can be looked for. */
export type IdentifierKind = 'mac' | 'client-id' | 'duid' | 'hostname' | 'circuit-id' | 'remote-id'

/** All of them. */
export const IDENTIFIER_KINDS: ReadonlyArray<IdentifierKind> = [
  'mac',
  'client-id',
  'duid',
  'hostname',
  'circuit-id',
  'remote-id',
]

/** What a client was known by. A MAC is written with colons, other octets as hex, all in lower case, as is a hostname. */
export interface Identifier {
  readonly kind: IdentifierKind
  readonly value: string
}

/** The value of an identifier that a lease has, in the form that is looked for; undefined when it has none. */
export const identifierOf = (lease: SpanLease, kind: IdentifierKind): string | undefined => {
  const value = rawIdentifier(lease, kind)
  return value === undefined || value === '' ? undefined : searchable(value)
}

const rawIdentifier = (lease: SpanLease, kind: IdentifierKind): string | undefined => {
  switch (kind) {
    case 'mac':
      return lease.hwAddress?.replace(/..(?=.)/g, '$&:')
    case 'client-id':
      return lease.clientId
    case 'duid':
      return lease.duid
    case 'hostname':
      return lease.hostname?.toLowerCase()
    case 'circuit-id':
      return lease.relay?.circuitId
    case 'remote-id':
      return lease.relay?.remoteId
  }
}

/** 255 octets in hex. An index of a database takes no entry of any length. */
const SEARCHABLE_CHARACTERS_MAX = 510

/** The form in which databases keep an identifier: NUL and half a surrogate pair are no characters to them. */
export const searchable = (text: string): string => {
  const whole = text.isWellFormed() && !text.includes('\0') ? text : text.toWellFormed().replaceAll('\0', '\uFFFD')
  return whole.length <= SEARCHABLE_CHARACTERS_MAX ? whole : whole.slice(0, SEARCHABLE_CHARACTERS_MAX).toWellFormed()
}

/** `circuit-id=0004000a`. */
export const identifierText = ({ kind, value }: Identifier): string => `${kind}=${value}`

/** Whether a span's client was known by this at any time of it. */
export const isKnownBy = (row: SpanRow, identifier: Identifier): boolean =>
  identifierOf(row.lease, identifier.kind) === identifier.value || row.formerly.includes(identifierText(identifier))

// ---------------------------------------------------------------- The fold

/** The span of one event as far as that event knows it; undefined for an offer, which gives nothing. */
export const spanRowOf = (recorded: Recorded): SpanRow | undefined => {
  const { stream, event } = recorded
  const { lease } = event
  const place = { revision: recorded.revision, log: recorded.log, seq: recorded.seq, at: recorded.recordedAt }
  const binds = isBinding(event)
  const ended = endingOf(event, recorded.recordedAt)
  if (!binds && ended === undefined) return undefined
  return {
    stream,
    holder: lease.holder,
    startsAt: lease.startsAt,
    lease,
    first: binds ? place : undefined,
    last: binds ? place : undefined,
    end: ended === undefined ? undefined : { ...place, ...ended },
    formerly: [],
  }
}

/** What was over where it was imported from was held there all the same, if it says until when. */
const isBinding = (event: LeaseEvent): boolean =>
  event.type === 'LeaseClaimed' ||
  event.type === 'LeaseRenewed' ||
  (event.type === 'LeaseImported' && event.status !== 'declined')

const endingOf = (event: LeaseEvent, recordedAt: Instant): Pick<Ending, 'by' | 'until'> | undefined => {
  const until = event.lease.expiresAt
  switch (event.type) {
    case 'LeaseReleased':
      return { by: event.cause === 'superseded' ? 'superseded' : 'released', until }
    case 'LeaseDeclined':
      return { by: 'declined', until: recordedAt } // the lease now says until when nobody gets it
    case 'LeaseExpired':
      return { by: 'expired', until }
    case 'LeaseRevoked':
      return { by: 'revoked', until }
    case 'LeaseImported':
      return event.status === 'expired' || event.status === 'released' ? { by: event.status, until } : undefined
    default:
      return undefined
  }
}

/** Whether a row tells how its span began: then most likely no table knows anything of it yet. */
export const tellsBeginning = ({ first, lease }: SpanRow): boolean => first !== undefined && lease.renewals === 0

/** The span of two rows with one name. Commutative and associative, and twice the same is the same. */
export const mergeSpans = (one: SpanRow, other: SpanRow): SpanRow => {
  const [older, newer] = isNewer(one, other) ? [other, one] : [one, other]
  const bound = lastOf(newer)
  const ends = [one.end, other.end].filter((end) => end !== undefined && end.revision >= bound)
  const end = ends.sort((a, b) => (a?.revision ?? 0) - (b?.revision ?? 0))[0]
  return {
    stream: one.stream,
    holder: one.holder,
    startsAt: one.startsAt,
    lease: newer.lease,
    first: firstOf(one) <= firstOf(other) ? one.first : other.first,
    last: newer.last,
    end,
    formerly: mergeFormerly(older, newer),
  }
}

/** Of two rows that nothing bound, the one that ended first: so they too are the same in every order. */
const isNewer = (one: SpanRow, other: SpanRow): boolean =>
  lastOf(one) === lastOf(other)
    ? (one.end?.revision ?? Infinity) < (other.end?.revision ?? Infinity)
    : lastOf(one) > lastOf(other)

const lastOf = (row: SpanRow): Revision => row.last?.revision ?? -1

const firstOf = (row: SpanRow): Revision => row.first?.revision ?? Infinity

const NOTHING: ReadonlyArray<string> = []

/** What either was known by, less what the newer one is known by: an identifier may come back. */
const mergeFormerly = (older: SpanRow, newer: SpanRow): ReadonlyArray<string> => {
  let known: Set<string> | undefined
  if (older.formerly.length > 0 || newer.formerly.length > 0) known = new Set([...older.formerly, ...newer.formerly])
  if (older.lease !== newer.lease && older.last !== undefined) {
    for (const kind of IDENTIFIER_KINDS) {
      const value = identifierOf(older.lease, kind)
      if (value === undefined || value === identifierOf(newer.lease, kind)) continue
      known ??= new Set()
      known.add(identifierText({ kind, value }))
    }
  }
  if (known === undefined) return NOTHING
  for (const kind of IDENTIFIER_KINDS) {
    const value = identifierOf(newer.lease, kind)
    if (value !== undefined) known.delete(identifierText({ kind, value }))
  }
  return [...known].sort()
}

/** What names a span, as one text. */
export const spanKey = ({ stream, startsAt, holder }: Pick<SpanRow, 'stream' | 'startsAt' | 'holder'>): string =>
  `${stream} ${startsAt} ${holder}`

/** The spans that events in any order tell of, each merged from all of its events. */
export const spanRowsOf = (events: ReadonlyArray<Recorded>): ReadonlyArray<SpanRow> => {
  const rows = new Map<string, SpanRow>()
  for (const event of events) addSpan(rows, spanRowOf(event))
  return [...rows.values()]
}

/** Merges a row into those of `rows`, by {@link spanKey}. */
export const addSpan = (rows: Map<string, SpanRow>, row: SpanRow | undefined): void => {
  if (row === undefined) return
  const key = spanKey(row)
  const known = rows.get(key)
  rows.set(key, known === undefined ? row : mergeSpans(known, row))
}

// ---------------------------------------------------------------- Answers

/**
 * The span that a row tells of; undefined when nobody held anything (a declined offer). One that ran out counts as
 * expired at its end whether or not that has been written down by `now`.
 */
export const spanOf = (row: SpanRow, now: Instant): Span | undefined => {
  const { stream, holder, lease, first, last, end, formerly } = row
  if (first === undefined || last === undefined) return undefined
  const granted = Math.max(row.startsAt, lease.expiresAt)
  const endsEarly = end !== undefined && end.until < granted
  const until = endsEarly ? Math.max(row.startsAt, end.until) : granted
  const runsOut = end !== undefined || granted <= now
  return {
    stream,
    holder,
    lease,
    from: row.startsAt,
    until,
    // An import carries the end in the lease itself.
    endedBy: end !== undefined && (endsEarly || end.revision === last.revision) ? end.by : runsOut ? 'expired' : 'held',
    renewals: lease.renewals,
    renewedAt: lease.renewals > 0 ? last.at : undefined,
    server: first.log,
    first,
    last,
    end,
    formerly,
  }
}

/**
 * The spans of one stream, in order, from its events. Servers' clocks are a little apart, so one may give an address
 * anew a moment before, by its own clock, another one took it back: what came first then counts as ended by what came
 * after it, for the order of revisions is certain and the clocks are not.
 */
export const spansOf = (events: ReadonlyArray<Recorded>, now: Instant): ReadonlyArray<Span> =>
  inOrder(spanRowsOf(events), now)

/** The spans of rows of one stream, as {@link spansOf}. */
export const inOrder = (rows: ReadonlyArray<SpanRow>, now: Instant): ReadonlyArray<Span> => {
  const spans = rows.map((row) => spanOf(row, now)).filter((span) => span !== undefined)
  spans.sort((one, other) => one.first.revision - other.first.revision)
  return spans.map((span, index) => {
    const next = spans[index + 1]
    return next === undefined || next.from >= span.until ? span : { ...span, until: Math.max(span.from, next.from) }
  })
}

/** Who held it at a moment: the span that covers it, or `undefined`. Spans in order, of one stream. */
export const holderAt = (spans: ReadonlyArray<Span>, at: Instant): Span | undefined =>
  spans.findLast((span) => span.from <= at && at < span.until)
