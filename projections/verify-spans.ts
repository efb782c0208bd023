/**
 * Whether the spans of tables are those that the ledger tells of, and whether any two of them say that different clients
 * held one address at once, which MySQL has no constraint against.
 *
 * There may be very many spans, so neither side is kept: of each stream the digests of its spans are added up, of the
 * tables and of the ledger. Streams whose sums differ are looked at again, one by one.
 */
import { hash } from 'node:crypto'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, ReadError, Recorded } from '../domain/event-store.ts'
import { FOREVER, isoText } from '../domain/instant.ts'
import type { Instant } from '../domain/instant.ts'
import { decodeStored } from '../domain/lease-codec.ts'
import { addressText } from '../domain/stream.ts'
import type { StreamName } from '../domain/stream.ts'
import {
  IDENTIFIER_KINDS,
  identifierOf,
  mergeSpans,
  searchable,
  spanKey,
  spanOf,
  spanRowOf,
  spanRowsOf,
} from './history.ts'
import type { Ending, Place, Span, SpanRow } from './history.ts'
import { LEASES } from './lease-tables.ts'
import type { LeaseTables } from './lease-tables.ts'
import { isErased } from './log-page.ts'

/** Tells of a difference, in one sentence. */
type Tell = (fault: 'span' | 'disputed', what: string) => void

/** Sums of digests are of this many bits: they fit a number exactly. */
const MODULUS = 2 ** 48

const digestOf = (row: SpanRow): number =>
  Number.parseInt(hash('sha256', JSON.stringify(fieldsOf(row)), 'hex').slice(0, 12), 16)

const moment = (at: Instant): Instant => Math.min(Math.max(Math.trunc(at), 0), FOREVER)

const holderText = ({ holder }: SpanRow): string => holder.toWellFormed().replaceAll('\0', '\uFFFD')

const placeText = (place: Place | undefined): string | null =>
  place === undefined ? null : `${place.log}/${place.seq} #${place.revision} ${isoText(moment(place.at))}`

const endText = (end: Ending | undefined): string | null =>
  end === undefined ? null : `${end.by} ${isoText(moment(end.until))}, ${placeText(end)}`

const whole = (value: number | undefined, max: number): number | null =>
  value !== undefined && Number.isSafeInteger(value) && value >= 0 && value <= max ? value : null

/** What a span says, each field in the form in which databases can hold it. */
const fieldsOf = (row: SpanRow): Readonly<Record<string, string | number | null>> => {
  const { lease } = row
  const relay = Object.entries(lease.relay ?? {}).map(([name, value]) => `${name}=${searchable(value)}`)
  return {
    stream: row.stream,
    holder: holderText(row),
    startsAt: moment(row.startsAt),
    ...Object.fromEntries(IDENTIFIER_KINDS.map((kind) => [kind, identifierOf(lease, kind) ?? null])),
    hostname: lease.hostname === undefined ? null : searchable(lease.hostname),
    expiresAt: isoText(moment(lease.expiresAt)),
    renewals: whole(lease.renewals, Number.MAX_SAFE_INTEGER) ?? 0,
    validLifetimeSec: whole(lease.validLifetimeSec, 2 ** 32) ?? 0,
    hwType: whole(lease.hwType, 2 ** 31 - 1),
    iaid: whole(lease.iaid, 2 ** 32),
    relay: relay.sort().join(' '),
    subnetId: whole(lease.subnetId, 2 ** 32) ?? 0,
    poolId: whole(lease.poolId, 2 ** 32) ?? 0,
    first: placeText(row.first),
    last: placeText(row.last),
    end: endText(row.end),
    formerly: row.formerly.join(' '),
  }
}

const keyOf = (row: SpanRow): string =>
  spanKey({ stream: row.stream, startsAt: moment(row.startsAt), holder: holderText(row) })

/** `198.51.100.10: the span of id:01… from 2026-…`, for messages. */
const nameOf = (row: SpanRow): string =>
  `${addressText(row.stream)}: the span of ${holderText(row)} from ${isoText(moment(row.startsAt))}`

/** The check of the spans of one database. Spans of tables first, then events, each stream's in order; then `finish`. */
export class SpanCheck {
  readonly #skewMs: number
  readonly #tell: Tell
  readonly #sums = new Map<StreamName, number>()
  /** Of each stream the span that its events tell of at the moment. */
  readonly #open = new Map<StreamName, SpanRow>()
  /** Streams of which something was erased: what their spans were cannot be said any more. */
  readonly #erased = new Set<StreamName>()
  /** The spans of one address that the tables have shown up to now. */
  #address = ''
  #neighbours: SpanRow[] = []
  #spans = 0

  constructor(maxClockSkewMs: number, tell: Tell) {
    this.#skewMs = maxClockSkewMs
    this.#tell = tell
  }

  /** How many spans the tables have shown. */
  get spans(): number {
    return this.#spans
  }

  /** A span of the tables; those of one address one after the other. */
  takeSpan(row: SpanRow): void {
    this.#spans++
    this.#add(row, 1)
    const [address = ''] = addressText(row.stream).split('/')
    if (address !== this.#address) this.takeEnd()
    this.#address = address
    this.#neighbours.push(row)
  }

  /** The tables have no more spans. */
  takeEnd(): void {
    const neighbours = this.#neighbours.splice(0)
    if (neighbours.length < 2) return
    for (const own of Map.groupBy(neighbours, ({ stream }) => stream).values()) {
      for (const [one, other] of atOnce(own, this.#skewMs)) {
        this.#tell(
          'disputed',
          `${addressText(one.stream)}: ${one.holder} had it from ${isoText(one.from)} to ${isoText(one.until)}, and ` +
            `${other.holder} from ${isoText(other.from)}`,
        )
      }
    }
  }

  /** An event that the tables show. */
  takeEvent(recorded: Recorded): void {
    const row = spanRowOf(recorded)
    if (row === undefined) return
    const open = this.#open.get(row.stream)
    if (open !== undefined && spanKey(open) === spanKey(row)) {
      this.#open.set(row.stream, mergeSpans(open, row))
      return
    }
    if (open !== undefined) this.#add(open, -1)
    this.#open.set(row.stream, row)
  }

  /** An event of a stream was erased or cannot be read. */
  takeErased(stream: StreamName): void {
    this.#erased.add(stream)
  }

  /** Compares, and looks again at what differs: then `tables` may be further than before. */
  async finish(store: EventReader, tables: Pick<LeaseTables, 'snapshot'>): Promise<Either<ReadError, void>> {
    for (const row of this.#open.values()) this.#add(row, -1)
    const shown = new Map<StreamName, SpanRow[]>()
    for (const [stream, sum] of this.#sums) if (sum !== 0 && !this.#erased.has(stream)) shown.set(stream, [])
    if (shown.size === 0) return E.right(undefined)
    const end = await tables.snapshot(
      LEASES,
      () => undefined,
      (row) => shown.get(row.stream)?.push(row),
    )()
    if (E.isLeft(end)) return end
    for (const [stream, rows] of shown) {
      const told = await readWhole(store, stream)
      if (E.isLeft(told)) return told
      this.#compare(rows, told.right, end.right.checkpoint)
    }
    return E.right(undefined)
  }

  #add(row: SpanRow, times: 1 | -1): void {
    const before = this.#sums.get(row.stream) ?? 0
    const sum = (before + times * digestOf(row) + MODULUS) % MODULUS
    if (sum === 0) this.#sums.delete(row.stream)
    else this.#sums.set(row.stream, sum)
  }

  /** Where a database has no moment that is the same for all tables, spans may be a few events further than the checkpoint. */
  #compare(shown: ReadonlyArray<SpanRow>, events: ReadonlyArray<Recorded>, checkpoint: Checkpoint): void {
    const isShown = ({ log, seq }: Recorded): boolean => seq <= (checkpoint[log] ?? 0)
    const due = events.filter(isShown)
    const later = events.filter((event) => !isShown(event))
    for (let more = 0; more <= later.length; more++) {
      if (differencesOf(shown, spanRowsOf([...due, ...later.slice(0, more)])).length === 0) return
    }
    for (const difference of differencesOf(shown, spanRowsOf(due))) this.#tell('span', difference)
  }
}

/** One sentence for each span that the tables show otherwise than the ledger tells, or that only one of them has. */
const differencesOf = (shown: ReadonlyArray<SpanRow>, told: ReadonlyArray<SpanRow>): ReadonlyArray<string> => {
  const found: string[] = []
  const wanted = new Map(told.map((row) => [keyOf(row), row]))
  for (const row of shown) {
    const ledgers = wanted.get(keyOf(row))
    wanted.delete(keyOf(row))
    if (ledgers === undefined) {
      found.push(`${nameOf(row)} is in the tables and not in the ledger`)
      continue
    }
    const [here, there] = [fieldsOf(row), fieldsOf(ledgers)]
    const field = Object.keys(there).find((name) => here[name] !== there[name])
    if (field !== undefined) {
      found.push(`${nameOf(row)}: ${field} is ${here[field]} in the tables and ${there[field]} by the ledger`)
    }
  }
  for (const row of wanted.values()) found.push(`${nameOf(row)} is not in the tables`)
  return found
}

const PAGE_MAX = 1_000

const readWhole = async (
  store: EventReader,
  stream: StreamName,
): Promise<Either<ReadError, ReadonlyArray<Recorded>>> => {
  const events: Recorded[] = []
  for (let from = 0; ;) {
    const page = await store.readStream(stream, from, PAGE_MAX)()
    if (E.isLeft(page)) return page
    for (const stored of page.right) {
      const recorded = isErased(stored) ? undefined : decodeStored(stored)
      if (recorded !== undefined && E.isRight(recorded)) events.push(recorded.right)
    }
    const last = page.right.at(-1)
    if (last === undefined || page.right.length < PAGE_MAX) return E.right(events)
    from = last.revision + 1
  }
}

/**
 * Spans of one stream that overlap and have different holders, the one that began first in front. Clocks may be
 * `skewMs` apart. What was over when it was imported is left out: nobody knows when it really ended.
 */
const atOnce = (rows: ReadonlyArray<SpanRow>, skewMs: number): ReadonlyArray<readonly [Span, Span]> => {
  const spans = rows
    .filter(({ end, last }) => end === undefined || end.revision !== last?.revision)
    .flatMap((row) => spanOf(row, Infinity) ?? [])
    .sort((one, other) => one.from - other.from)
  const found: (readonly [Span, Span])[] = []
  let under: Span[] = []
  for (const span of spans) {
    under = under.filter(({ until }) => span.from + skewMs < until)
    for (const other of under) {
      if (other.holder !== span.holder && other.from + skewMs < span.until) found.push([other, span])
    }
    under.push(span)
  }
  return found
}
