/**
 * Reading the ledger from MySQL. Two connections: `pages` for what may be long, `quick` for what a packet or a
 * heartbeat waits for.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type {
  Checkpoint,
  EventReader,
  LogName,
  Page,
  ReadError,
  Seq,
  ServerSeen,
  Stored,
  Unsealed,
} from '../../domain/event-store.ts'
import type { StreamName } from '../../domain/stream.ts'
import { toReadError } from './failure.ts'
import type { Link } from './link.ts'
import type { Failure, RawRows } from './session.ts'

const COLUMNS = `
  w.name,
  e.seq,
  e.stream,
  e.revision,
  e.type,
  e.schema_version,
  timestampdiff(MICROSECOND, '1970-01-01', e.recorded_at) DIV 1000,
  e.data`

/** With the hash, which nobody needs who follows the ledger. */
const SEALED_COLUMNS = `${COLUMNS},
  e.hash`

// The writers come last here and below. Before there are statistics, as in a young ledger, the optimizer would begin with
// the only writer and read its whole log.
const READ_STREAM = `
SELECT ${SEALED_COLUMNS}
FROM events e
STRAIGHT_JOIN writers w ON w.writer = e.writer
WHERE e.stream = ? AND e.revision >= ?
ORDER BY e.revision
LIMIT ?`

// The revision of each stream comes from the end of the index, however long the stream. The LIMIT, which limits
// nothing, keeps MariaDB from merging the inner part into the outer one and looking at all revisions.
const READ_LATEST = `
SELECT ${SEALED_COLUMNS}
FROM (
  SELECT s.stream, (
    SELECT x.revision
    FROM events x
    WHERE x.stream = CONVERT(s.stream USING ascii) COLLATE ascii_bin
    ORDER BY x.revision DESC
    LIMIT 1
  ) AS revision
  FROM json_table(?, '$[*]' COLUMNS (stream VARCHAR(64) PATH '$')) s
  LIMIT ?
) l
STRAIGHT_JOIN events e ON e.stream = CONVERT(l.stream USING ascii) COLLATE ascii_bin AND e.revision = l.revision
STRAIGHT_JOIN writers w ON w.writer = e.writer`

const readLog = (columns: string): string => `
SELECT ${columns}
FROM writers w
JOIN events e ON e.writer = w.writer
WHERE w.name = ? AND e.seq > ? AND e.seq <= CAST(? AS UNSIGNED)
ORDER BY e.seq
LIMIT ?`

const READ_LOG = readLog(SEALED_COLUMNS)
const READ_PART = `(${readLog(COLUMNS)})`

/** What {@link decodeHeads} reads. */
export const HEADS = `
SELECT w.name, (SELECT e.seq FROM events e WHERE e.writer = w.writer ORDER BY e.seq DESC LIMIT 1)
FROM writers w`

const CLOCK = `
SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(3)) DIV 1000`

const SERVERS = `
SELECT name,
       timestampdiff(MICROSECOND, heartbeat, utc_timestamp(6)) DIV 1000,
       timestampdiff(MICROSECOND, '1970-01-01', last_start) DIV 1000,
       stopped,
       info
FROM writers
ORDER BY name`

/** A number that cannot be held exactly is damage to a reader, never something to round. */
class Unreadable extends Error {}

/** The safe integer in a text; throws {@link Unreadable} beyond 2^53 - 1. */
const safeInteger = (text: string): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new Unreadable(`the position ${text} is beyond 2^53 - 1`)
  return value
}

/** The text of a column; that of NULL is empty. */
export const textOf = (column: Buffer | null | undefined): string => column?.toString('utf8') ?? ''

/** The safe integer of a column. Throws where {@link decoded} catches. */
export const integerOf = (column: Buffer | null | undefined): number => safeInteger(column?.toString('latin1') ?? '')

/** The events in the rows of {@link COLUMNS}. */
const decodeRows = (rows: RawRows): ReadonlyArray<Unsealed> => {
  let logOctets: Buffer | undefined
  let log = ''
  return rows.map((row) => {
    const [name, seq, stream, revision, type, version, at, data] = row as unknown as Readonly<
      [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer, Buffer]
    >
    if (logOctets === undefined || !logOctets.equals(name)) {
      logOctets = name
      log = name.toString('utf8')
    }
    return {
      log,
      seq: integerOf(seq),
      stream: stream.toString('latin1') as StreamName,
      revision: integerOf(revision),
      type: type.toString('latin1'),
      schemaVersion: Number(version.toString('latin1')),
      recordedAt: integerOf(at),
      data: data.toString('utf8'),
    }
  })
}

/** The events in the rows of {@link SEALED_COLUMNS}. The hash is copied: the driver's octets would keep the page alive. */
const decodeSealedRows = (rows: RawRows): ReadonlyArray<Stored> =>
  decodeRows(rows).map((event, i) => ({ ...event, hash: Buffer.from(rows[i]?.at(-1) as Buffer) }))

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

/** Names and ends of logs; a log without events has no end. Throws where {@link decoded} catches. */
export const decodeHeads = (rows: RawRows): Checkpoint =>
  Object.fromEntries(
    rows.filter(([, seq]) => seq !== null).map(([name, seq]): [LogName, Seq] => [textOf(name), integerOf(seq)]),
  )

const decodeServers = (rows: RawRows): ReadonlyArray<ServerSeen> =>
  rows.map(([log, silentMs, startedAt, stopped, info]) => ({
    log: textOf(log),
    // Nodes of a cluster have a clock each: a heartbeat may seem to come from the future.
    silentMs: Math.max(0, Number(textOf(silentMs))),
    startedAt: integerOf(startedAt),
    stopped: textOf(stopped) !== '0',
    info: textOf(info),
  }))

/** A part of a log: the first `count` events after `after`. */
interface Part {
  readonly log: LogName
  readonly after: Seq
  readonly count: number
}

/** What logs with these heads have after a checkpoint, log by log, at most `countMax` events together. */
const partsAfter = (checkpoint: Checkpoint, heads: Checkpoint, countMax: number): ReadonlyArray<Part> => {
  const parts: Part[] = []
  let room = countMax
  for (const [log, head] of Object.entries(heads)) {
    const after = checkpoint[log] ?? 0
    const count = Math.min(head - after, room)
    if (count <= 0) continue
    parts.push({ log, after, count })
    room -= count
  }
  return parts
}

/**
 * The events after a checkpoint. The heads are known before, and each log is read only up to its head as it was then: all
 * of that was committed, so also a store without snapshots, as NDB is, shows no gap in a log. The news of all logs cost
 * one statement, and another one to know the heads unless they have been `seen`.
 */
const readAfter = async (
  link: Link,
  checkpoint: Checkpoint,
  countMax: number,
  seen: Checkpoint | undefined,
): Promise<Either<ReadError, Page>> => {
  const heads = seen === undefined ? decoded(await link.query(HEADS), decodeHeads) : E.right(seen)
  if (E.isLeft(heads)) return heads
  const parts = partsAfter(checkpoint, heads.right, countMax)
  if (parts.length === 0) return E.right({ events: [], next: checkpoint })
  const statement = parts.map(() => READ_PART).join(' UNION ALL ')
  const bounds = parts.flatMap(({ log, after, count }) => [log, after, after + count, count])
  const events = decoded(await link.query(statement, bounds), decodeRows)
  if (E.isLeft(events)) return events
  const next: Record<LogName, Seq> = { ...checkpoint }
  for (const { log, seq } of events.right) next[log] = seq
  return E.right({ events: events.right, next })
}

/**
 * The reading side, but for hearing of appends; see poll.ts. What is read over `polls` need not be causal, and `seen` gives
 * the ends of the logs as they were found there a moment ago, if somebody asks for them all the time.
 */
export const makeReader = (
  pages: Link,
  quick: Link,
  polls: Link,
  seen: () => Checkpoint | undefined,
): Omit<EventReader, 'close' | 'onAppended'> => ({
  readStream: (stream, from, countMax) => async () =>
    decoded(await pages.query(READ_STREAM, [stream, from, countMax]), decodeSealedRows),
  readLatest: (streams) => async () => {
    const once = [...new Set(streams)]
    if (once.length === 0) return E.right([])
    return decoded(await quick.query(READ_LATEST, [JSON.stringify(once), once.length]), decodeSealedRows)
  },
  readAfter: (checkpoint, countMax, freshness) => () =>
    freshness === 'seen'
      ? readAfter(polls, checkpoint, countMax, seen())
      : readAfter(pages, checkpoint, countMax, undefined),
  readLog: (log, after, countMax) => async () =>
    decoded(await pages.query(READ_LOG, [log, after, SEQ_MAX, countMax]), decodeSealedRows),
  heads: () => async () => decoded(await quick.query(HEADS), decodeHeads),
  clock: () => async () => decoded(await quick.query(CLOCK), ([row]) => integerOf(row?.[0])),
  servers: () => async () => decoded(await quick.query(SERVERS), decodeServers),
})

/** The end of BIGINT UNSIGNED, so that what lies beyond 2^53 is found and refused. A text, or it would be rounded. */
const SEQ_MAX = '18446744073709551615'
