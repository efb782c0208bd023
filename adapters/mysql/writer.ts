/** A log in MySQL: what `LogWriter` needs of it. An append is one statement, which is a transaction of its own. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { NO_STREAM } from '../../domain/event-store.ts'
import type { ReadError, Stored } from '../../domain/event-store.ts'
import { EMPTY_HEAD } from '../chain.ts'
import type { Head } from '../chain.ts'
import type { LogDatabase, LogIdentity, NotAppended } from '../log-writer.ts'
import { ERROR, EVENTS_LOST, isCertain, isTransient, toReadError } from './failure.ts'
import type { Link } from './link.ts'
import { hostText } from './options.ts'
import { decoded, integerOf, textOf } from './reader.ts'
import type { Failure, Parameter, Session } from './session.ts'

// The batch is one JSON text, so that the statement is prepared once for batches of any size, and so that each event
// can be asked for its predecessor in the stream: where that is missing, the stream becomes NULL and breaks the batch,
// for otherwise a proposal from beyond the end of its stream would leave a gap. Strings are compared in the column's
// character set, or the index would not serve. Without locks on what is read: the isolation is READ COMMITTED.
//
// `data` is text of any length only where it has to be: MariaDB keeps rows with a TEXT in a temporary table on disk, whose
// files took three quarters of the processor time of a batch of four.
const appendWith = (data: string): string => `
INSERT INTO events (writer, seq, stream, revision, type, schema_version, recorded_at, data, hash)
SELECT CAST(? AS UNSIGNED),
       CAST(? AS UNSIGNED) + t.place,
       IF(t.revision = 0, CONVERT(t.stream USING ascii), e.stream),
       t.revision,
       t.type,
       t.schema_version,
       timestampadd(MICROSECOND, t.recorded_at * 1000, '1970-01-01 00:00:00'),
       t.data,
       unhex(t.hash)
FROM json_table(?, '$[*]' COLUMNS (
  place          FOR ORDINALITY,
  stream         VARCHAR(64) PATH '$[0]',
  revision       BIGINT PATH '$[1]',
  type           VARCHAR(64) PATH '$[2]',
  schema_version SMALLINT UNSIGNED PATH '$[3]',
  recorded_at    BIGINT PATH '$[4]',
  data           ${data} CHARACTER SET utf8mb4 PATH '$[5]',
  hash           CHAR(64) PATH '$[6]'
)) t
LEFT JOIN events e
  ON t.revision > 0
 AND e.stream = CONVERT(t.stream USING ascii) COLLATE ascii_bin
 AND e.revision = t.revision - 1`

/** Characters. A lease has some hundreds. */
const SHORT_DATA_MAX = 2048

const APPEND_SHORT = appendWith(`VARCHAR(${SHORT_DATA_MAX})`)
const APPEND_LONG = appendWith('MEDIUMTEXT')

const HEAD = `
SELECT seq, hash
FROM events
WHERE writer = ?
ORDER BY seq DESC
LIMIT 1`

const HASH_AT = `
SELECT hash
FROM events
WHERE writer = ? AND seq = ?`

const REVISIONS = `
SELECT s.stream, (
  SELECT x.revision
  FROM events x
  WHERE x.stream = CONVERT(s.stream USING ascii) COLLATE ascii_bin
  ORDER BY x.revision DESC
  LIMIT 1
)
FROM json_table(?, '$[*]' COLUMNS (stream VARCHAR(64) PATH '$')) s`

const OWNER = `
SELECT identity
FROM writers
WHERE writer = ?`

/** The head of a log as the database has it. */
export const readHead = async (link: Pick<Session, 'query'>, writer: number): Promise<Either<ReadError, Head>> =>
  decoded(await link.query(HEAD, [writer]), ([row]) =>
    row === undefined ? EMPTY_HEAD : { seq: integerOf(row[0]), hash: Buffer.from(row[1] as Buffer) },
  )

/** A log over one link. `lost` is told when the connection gave no answer. */
export const openLogDatabase = (link: Link, { writer }: LogIdentity, lost: () => void): LogDatabase => ({
  append: async (events) => {
    const sent = await link.writePrepared(statementFor(events), parametersOf(writer, events))
    if (E.isRight(sent)) return sent
    const failure = notAppended(sent.left)
    // After an answer that leaves it open the session is not worth much: the server is going down, as a rule.
    if (failure._tag === 'Unknown') {
      link.drop()
      lost()
    }
    return E.left(failure)
  },
  hashAt: async (seq) => decoded(await link.query(HASH_AT, [writer, seq]), ([row]) => row?.[0] ?? undefined),
  head: () => readHead(link, writer),
  revisions: async (streams) =>
    decoded(
      await link.query(REVISIONS, [JSON.stringify(streams)]),
      (rows) => new Map(rows.map(([stream, revision]) => [textOf(stream), revision ? integerOf(revision) : NO_STREAM])),
    ),
  owner: async () => decoded(await link.query(OWNER, [writer]), ([row]) => textOf(row?.[0])),
  confirm: async () => E.right(undefined),
})

/** Looks whether a host that was connected to anew still has the last event of the log that was committed. */
export const acceptSession = async (
  session: Session,
  { log, writer }: LogIdentity,
  { seq, hash }: Head,
): Promise<Either<Failure, void>> => {
  if (seq === 0) return E.right(undefined)
  const found = await session.query(HASH_AT, [writer, seq])
  if (E.isLeft(found)) return found
  if (found.right[0]?.[0]?.equals(hash) === true) return E.right(undefined)
  const reason = `MySQL ${hostText(session.host)} lacks event ${log}/${seq}, which was committed`
  return E.left({ _tag: 'Refused', reason, errno: EVENTS_LOST, key: '', column: '' })
}

const notAppended = (failure: Failure): NotAppended => {
  if (isTransient(failure)) return { _tag: 'Transient', error: toReadError(failure) }
  // Positions are looked at first: what broke the other key has found its positions free.
  if (isConflict(failure)) return { _tag: 'Conflict', reason: failure.reason, positionsFree: isStreamKey(failure) }
  if (isCertain(failure)) return { _tag: 'Certain', error: toReadError(failure) }
  return { _tag: 'Unknown', reason: failure.reason }
}

/** The batch met an event that is there already, or misses the one before it. */
const isConflict = (failure: Failure): boolean =>
  failure._tag === 'Refused' &&
  (failure.errno === ERROR.DUP_ENTRY || (failure.errno === ERROR.BAD_NULL && failure.column === 'stream'))

const isStreamKey = (failure: Failure): boolean => failure._tag === 'Refused' && failure.key === 'events_stream_key'

const statementFor = (events: ReadonlyArray<Stored>): string =>
  events.every(({ data }) => data.length <= SHORT_DATA_MAX) ? APPEND_SHORT : APPEND_LONG

const parametersOf = (writer: number, events: ReadonlyArray<Stored>): ReadonlyArray<Parameter> => [
  String(writer),
  String((events[0] as Stored).seq - 1),
  JSON.stringify(
    events.map(({ stream, revision, type, schemaVersion, recordedAt, data, hash }) => [
      stream,
      revision,
      type,
      schemaVersion,
      recordedAt,
      data,
      Buffer.from(hash).toString('hex'),
    ]),
  ),
]
