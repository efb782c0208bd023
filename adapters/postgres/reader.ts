/** Reading the ledger from PostgreSQL. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type {
  Checkpoint,
  EventReader,
  LogName,
  ReadError,
  Revision,
  Seq,
  ServerSeen,
  Stored,
  Unsealed,
} from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'
import type { StreamName } from '../../domain/stream.ts'
import { toReadError } from './failure.ts'
import type { Link } from './link.ts'
import type { Failure, RawRows, Rows } from './session.ts'

/** Everybody who appended says so on this channel. */
export const CHANNEL = 'lease_ledger'

/** How soon a lost connection that somebody listens on is made again. */
const LISTEN_AGAIN_MS = 500

/**
 * The events that a query gives, as one row with an array a column: what the driver does for every value of every row
 * costs five times what it takes to parse an array (both sides counted, half of it all is saved). Streams and types are
 * ours and need no escapes; the octets that part the data stand nowhere in JSON. No column is empty in some rows only, so
 * the arrays are of one length.
 */
const asColumns = (events: string, alsoOf = ''): string => `
SELECT
  json_agg(e.name),
  json_agg(e.seq),
  '["' || string_agg(e.stream, '","') || '"]',
  json_agg(e.revision),
  '["' || string_agg(e.type, '","') || '"]',
  json_agg(e.schema_version),
  json_agg((date_part('epoch', e.recorded_at) * 1000)::bigint),
  string_agg(e.data::text, E'\\x1e')${alsoOf}
FROM (${events}) e`

/** With their hashes, which nobody needs who follows the ledger, and which cost a tenth of a page. */
const asSealedColumns = (events: string): string => asColumns(events, `, encode(string_agg(e.hash, ''), 'hex')`)

const DATA_SEPARATOR = '\x1e'
const HASH_OCTETS = 32

const READ_STREAM = asSealedColumns(`
  SELECT w.name, e.*
  FROM events e JOIN writers w ON w.writer = e.writer
  WHERE e.stream = $1::text AND e.revision >= $2::bigint
  ORDER BY e.revision
  LIMIT $3::int`)

const READ_LATEST = asSealedColumns(`
  SELECT w.name, e.*
  FROM unnest(string_to_array($1::text, E'\\n')) AS s (stream)
  CROSS JOIN LATERAL (
    SELECT * FROM events WHERE stream = s.stream COLLATE "C" ORDER BY revision DESC LIMIT 1
  ) e
  JOIN writers w ON w.writer = e.writer`)

// One statement, so one snapshot: an empty page means that everything committed before it has been read. The logs
// are gapless and each is written by one commit at a time, so nothing can appear behind a position that was read.
//
// The upper bound of seq is what keeps a page as quick at the end of a long log as at its start: without statistics,
// as in a young ledger, the planner sorts all that is left of a log to find the first thousand.
const READ_AFTER = asColumns(`
  SELECT w.name, e.*
  FROM writers w
  LEFT JOIN json_each_text($1::text::json) c ON c.key = w.name
  CROSS JOIN LATERAL (
    SELECT seq FROM events WHERE writer = w.writer AND seq > coalesce(c.value::bigint, 0) ORDER BY seq LIMIT 1
  ) f
  CROSS JOIN LATERAL (
    SELECT * FROM events WHERE writer = w.writer AND seq >= f.seq AND seq < f.seq + $2::int ORDER BY seq
  ) e
  LIMIT $2::int`)

const READ_LOG = asSealedColumns(`
  SELECT w.name, e.*
  FROM writers w
  CROSS JOIN LATERAL (
    SELECT seq FROM events WHERE writer = w.writer AND seq > $2::bigint ORDER BY seq LIMIT 1
  ) f
  CROSS JOIN LATERAL (
    SELECT * FROM events WHERE writer = w.writer AND seq >= f.seq AND seq < f.seq + $3::int ORDER BY seq
  ) e
  WHERE w.name = $1::text
  LIMIT $3::int`)

const HEADS = `
SELECT w.name, e.seq::text
FROM writers w
CROSS JOIN LATERAL (SELECT seq FROM events WHERE writer = w.writer ORDER BY seq DESC LIMIT 1) e`

const CLOCK = `
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint::text`

const SERVERS = `
SELECT name,
       floor(extract(epoch FROM clock_timestamp() - heartbeat) * 1000)::bigint::text,
       floor(extract(epoch FROM last_start) * 1000)::bigint::text,
       stopped::text,
       info
FROM writers
ORDER BY name`

/** A number that cannot be held exactly is damage to a reader, never something to round. */
class Unreadable extends Error {}

/** The safe integer in a text; throws {@link Unreadable} beyond 2^53 - 1. */
export const safeInteger = (text: string): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new Unreadable(`the position ${text} is beyond 2^53 - 1`)
  return value
}

const safe = (position: number): number => {
  if (!Number.isSafeInteger(position)) throw new Unreadable(`the position ${position} is beyond 2^53 - 1`)
  return position
}

/** The events in the one row of {@link asColumns}. Throws {@link Unreadable}. */
const decodeColumns = ([row]: RawRows): ReadonlyArray<Unsealed> => {
  const [names, seqs, streams, revisions, types, versions, instants, texts] = row ?? []
  if (!names || !texts) return [] // all are NULL where there is no event
  const log = arrayOf<LogName>(names)
  const seq = arrayOf<Seq>(seqs)
  const stream = arrayOf<StreamName>(streams)
  const revision = arrayOf<Revision>(revisions)
  const type = arrayOf<string>(types)
  const schemaVersion = arrayOf<number>(versions)
  const recordedAt = arrayOf<Instant>(instants)
  const data = texts.toString('utf8').split(DATA_SEPARATOR)
  return data.map((text, i) => ({
    log: log[i] as LogName,
    seq: safe(seq[i] as Seq),
    stream: stream[i] as StreamName,
    revision: safe(revision[i] as Revision),
    type: type[i] as string,
    schemaVersion: schemaVersion[i] as number,
    recordedAt: safe(recordedAt[i] as Instant),
    data: text,
  }))
}

/** The events in the one row of {@link asSealedColumns}. Throws {@link Unreadable}. */
const decodeSealedColumns = (rows: RawRows): ReadonlyArray<Stored> => {
  const hashes = Buffer.from(rows[0]?.at(-1)?.toString('latin1') ?? '', 'hex')
  return decodeColumns(rows).map((event, i) => ({
    ...event,
    hash: hashes.subarray(HASH_OCTETS * i, HASH_OCTETS * (i + 1)),
  }))
}

const arrayOf = <A>(column: Buffer | null | undefined): ReadonlyArray<A> =>
  column ? (JSON.parse(column.toString('utf8')) as A[]) : []

/** What a statement gave, decoded; what it failed of, as the domain sees it. */
export const decoded = <Raw, A>(result: Either<Failure, Raw>, decode: (rows: Raw) => A): Either<ReadError, A> => {
  if (E.isLeft(result)) return E.left(toReadError(result.left))
  try {
    return E.right(decode(result.right))
  } catch (error) {
    if (error instanceof Unreadable) return E.left({ _tag: 'StoreUnusable', reason: error.message })
    throw error
  }
}

const decodeServers = (rows: Rows): ReadonlyArray<ServerSeen> =>
  rows.map((row) => {
    const [log, silentMs, startedAt, stopped, info] = row as unknown as Readonly<
      [string, string, string, string, string]
    >
    return { log, silentMs: Number(silentMs), startedAt: Number(startedAt), stopped: stopped === 'true', info }
  })

/** Where each log stands after a page. */
const advanced = (checkpoint: Checkpoint, events: ReadonlyArray<Unsealed>): Checkpoint => {
  if (events.length === 0) return checkpoint
  const next: Record<LogName, Seq> = { ...checkpoint }
  for (const { log, seq } of events) next[log] = seq
  return next
}

/** Those who want to hear of appends, and the connection that hears of them. */
export interface Listeners {
  readonly wakes: Set<() => void>
  readonly isListening: () => boolean
  /** Something was appended, or may have been unheard. */
  readonly wake: () => void
  /** A message came from the writer of this number. */
  readonly hear: (writer: string) => void
  /** Messages of this writer are passed over: it knows what it appended. */
  readonly passOver: (writer: number) => void
  /** The connection went: wakes everybody, and makes it again. */
  readonly lost: (link: Link) => void
  readonly stop: () => void
}

export const makeListeners = (): Listeners => {
  const wakes = new Set<() => void>()
  let again: NodeJS.Timeout | undefined
  let stopped = false
  let own = ''
  const wake = (): void => wakes.forEach((each) => each())
  const lost = (link: Link): void => {
    if (stopped || wakes.size === 0 || again !== undefined) return
    wake()
    again = setTimeout(async () => {
      again = undefined
      if (!stopped && wakes.size > 0 && E.isLeft(await link.session())) lost(link)
    }, LISTEN_AGAIN_MS)
    again.unref()
  }
  return {
    wakes,
    isListening: () => wakes.size > 0,
    wake,
    hear: (writer) => {
      if (writer !== own) wake()
    },
    passOver: (writer) => {
      own = String(writer)
    },
    lost,
    stop: () => {
      stopped = true
      clearTimeout(again)
      wakes.clear()
    },
  }
}

/**
 * The reading side over two connections: `pages` for what may be long, `quick` for what a packet or a heartbeat waits
 * for, and for notifications.
 */
export const makeReader = (pages: Link, quick: Link, listeners: Listeners): Omit<EventReader, 'close'> => ({
  readStream: (stream, from, countMax) => async () =>
    decoded(await pages.queryRaw(READ_STREAM, [stream, from, countMax]), decodeSealedColumns),
  readLatest: (streams) => async () => {
    if (streams.length === 0) return E.right([])
    return decoded(await quick.queryRaw(READ_LATEST, [[...new Set(streams)].join('\n')]), decodeSealedColumns)
  },
  readAfter: (checkpoint, countMax) => async () => {
    const rows = await pages.queryRaw(READ_AFTER, [JSON.stringify(checkpoint), countMax])
    return decoded(rows, (found) => {
      const events = decodeColumns(found)
      return { events, next: advanced(checkpoint, events) }
    })
  },
  readLog: (log, after, countMax) => async () =>
    decoded(await pages.queryRaw(READ_LOG, [log, after, countMax]), decodeSealedColumns),
  heads: () => async () =>
    decoded(await quick.query(HEADS), (rows) =>
      Object.fromEntries(rows.map(([log, seq]) => [log ?? '', safeInteger(seq ?? '')] as const)),
    ),
  onAppended: (wake) => async () => {
    const own = (): void => wake()
    listeners.wakes.add(own)
    const listening = await quick.query(`LISTEN ${CHANNEL}`)
    if (E.isLeft(listening)) {
      listeners.wakes.delete(own)
      return E.left(toReadError(listening.left))
    }
    return E.right(async () => void listeners.wakes.delete(own))
  },
  clock: () => async () => decoded(await quick.query(CLOCK), (rows) => safeInteger(rows[0]?.[0] ?? '')),
  servers: () => async () => decoded(await quick.query(SERVERS), decodeServers),
})
