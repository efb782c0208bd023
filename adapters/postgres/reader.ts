/** Reading the ledger from PostgreSQL. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, LogName, ReadError, Seq, ServerSeen, Stored } from '../../domain/event-store.ts'
import type { StreamName } from '../../domain/stream.ts'
import { toReadError } from './failure.ts'
import type { Link } from './link.ts'
import type { Failure, RawRows, Rows } from './session.ts'

/** Everybody who appended says so on this channel. */
export const CHANNEL = 'lease_ledger'

/** How soon a lost connection that somebody listens on is made again. */
const LISTEN_AGAIN_MS = 500

// The columns are read as octets and cut into strings here: that costs a quarter of what the driver's own way to rows
// does, and half of what one long text for a page would (both sides counted).
const COLUMNS = `
  w.name,
  e.seq,
  e.stream,
  e.revision,
  e.type,
  e.schema_version,
  (extract(epoch FROM e.recorded_at) * 1000)::bigint,
  e.data::text,
  encode(e.hash, 'hex')`

const READ_STREAM = `
SELECT ${COLUMNS}
FROM events e JOIN writers w ON w.writer = e.writer
WHERE e.stream = $1::text AND e.revision >= $2::bigint
ORDER BY e.revision
LIMIT $3::int`

const READ_LATEST = `
SELECT ${COLUMNS}
FROM unnest(string_to_array($1::text, E'\\n')) AS s (stream)
CROSS JOIN LATERAL (
  SELECT * FROM events WHERE stream = s.stream COLLATE "C" ORDER BY revision DESC LIMIT 1
) e
JOIN writers w ON w.writer = e.writer`

// One statement, so one snapshot: an empty page means that everything committed before it has been read. The logs
// are gapless and each is written by one commit at a time, so nothing can appear behind a position that was read.
//
// The upper bound of seq is what keeps a page as quick at the end of a long log as at its start: without statistics,
// as in a young ledger, the planner sorts all that is left of a log to find the first thousand.
const READ_AFTER = `
SELECT ${COLUMNS}
FROM writers w
LEFT JOIN json_each_text($1::text::json) c ON c.key = w.name
CROSS JOIN LATERAL (
  SELECT seq FROM events WHERE writer = w.writer AND seq > coalesce(c.value::bigint, 0) ORDER BY seq LIMIT 1
) f
CROSS JOIN LATERAL (
  SELECT * FROM events WHERE writer = w.writer AND seq >= f.seq AND seq < f.seq + $2::int ORDER BY seq
) e
LIMIT $2::int`

const READ_LOG = `
SELECT ${COLUMNS}
FROM writers w
CROSS JOIN LATERAL (
  SELECT seq FROM events WHERE writer = w.writer AND seq > $2::bigint ORDER BY seq LIMIT 1
) f
CROSS JOIN LATERAL (
  SELECT * FROM events WHERE writer = w.writer AND seq >= f.seq AND seq < f.seq + $3::int ORDER BY seq
) e
WHERE w.name = $1::text`

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

/** The events in the rows of {@link COLUMNS}. Throws {@link Unreadable}. */
const decodeRows = (rows: RawRows): ReadonlyArray<Stored> => {
  let logOctets: Buffer | undefined
  let log = ''
  return rows.map((row) => {
    const [name, seq, stream, revision, type, version, at, data, hash] = row as unknown as Readonly<
      [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer]
    >
    if (logOctets === undefined || !logOctets.equals(name)) {
      logOctets = name
      log = name.toString('utf8')
    }
    return {
      log,
      seq: safeInteger(seq.toString('latin1')),
      stream: stream.toString('latin1') as StreamName,
      revision: safeInteger(revision.toString('latin1')),
      type: type.toString('latin1'),
      schemaVersion: Number(version.toString('latin1')),
      recordedAt: safeInteger(at.toString('latin1')),
      data: data.toString('utf8'),
      hash: Buffer.from(hash.toString('latin1'), 'hex'),
    }
  })
}

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
const advanced = (checkpoint: Checkpoint, events: ReadonlyArray<Stored>): Checkpoint => {
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
    decoded(await pages.queryRaw(READ_STREAM, [stream, from, countMax]), decodeRows),
  readLatest: (streams) => async () => {
    if (streams.length === 0) return E.right([])
    return decoded(await quick.queryRaw(READ_LATEST, [[...new Set(streams)].join('\n')]), decodeRows)
  },
  readAfter: (checkpoint, countMax) => async () => {
    const rows = await pages.queryRaw(READ_AFTER, [JSON.stringify(checkpoint), countMax])
    return decoded(rows, (found) => {
      const events = decodeRows(found)
      return { events, next: advanced(checkpoint, events) }
    })
  },
  readLog: (log, after, countMax) => async () =>
    decoded(await pages.queryRaw(READ_LOG, [log, after, countMax]), decodeRows),
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
