/** A log in PostgreSQL: what `LogWriter` needs of it. An append is one statement, which is a transaction of its own. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadError, Stored } from '../../domain/event-store.ts'
import { EMPTY_HEAD } from '../chain.ts'
import type { Head } from '../chain.ts'
import type { LogDatabase, LogIdentity, NotAppended } from '../log-writer.ts'
import { EVENTS_LOST, isTransient, toReadError } from './failure.ts'
import type { Link } from './link.ts'
import { hostText } from './options.ts'
import { decoded, safeInteger } from './reader.ts'
import type { Failure, Parameter, Session } from './session.ts'

// A column of the batch is one text, cut at line feeds, which canonical JSON and stream names never hold: nothing is
// escaped, and the statement is prepared once for batches of any size. In batches of 50 and 200 it is as quick as
// multi-row VALUES (which need a statement a size and a parameter a value) and quicker than json_to_recordset.
//
// An event whose predecessor in the stream is missing gives NULL for the stream and so breaks the batch: without that,
// a proposal from beyond the end of its stream would leave a gap. (A subselect and not EXISTS, which the planner may
// turn into a hash of the whole table.)
//
// No NOTIFY here: it would hold a lock of the whole server through the commit and so put the commits of all servers in
// a row, and it costs a single append a fifth more. It follows the commit on another connection.
const APPEND = `
INSERT INTO events (seq, revision, recorded_at, writer, schema_version, stream, type, data, hash)
SELECT $2::bigint + t.place,
       t.revision::bigint,
       timestamptz 'epoch' + t.recorded_at::bigint * interval '1 millisecond',
       $1::smallint,
       t.schema_version::smallint,
       CASE
         WHEN t.revision = '0' THEN t.stream
         ELSE (
           SELECT e.stream FROM events e
           WHERE e.stream = t.stream COLLATE "C" AND e.revision = t.revision::bigint - 1
           LIMIT 1
         )
       END,
       t.type,
       t.data::json,
       decode(t.hash, 'hex')
FROM unnest(
  string_to_array($3::text, E'\\n'),
  string_to_array($4::text, E'\\n'),
  string_to_array($5::text, E'\\n'),
  string_to_array($6::text, E'\\n'),
  string_to_array($7::text, E'\\n'),
  string_to_array($8::text, E'\\n'),
  string_to_array($9::text, E'\\n')
) WITH ORDINALITY AS t (stream, revision, recorded_at, schema_version, type, data, hash, place)`

// Ordered by the column of the table: a bare `seq` would be the text that is selected, by which 9 follows 10.
const HEAD = `
SELECT e.seq::text, encode(e.hash, 'hex')
FROM events e
WHERE e.writer = $1::smallint
ORDER BY e.seq DESC
LIMIT 1`

const HASH_AT = `
SELECT encode(hash, 'hex')
FROM events
WHERE writer = $1::smallint AND seq = $2::bigint`

const REVISIONS = `
SELECT s.stream, e.revision::text
FROM unnest(string_to_array($1::text, E'\\n')) AS s (stream)
CROSS JOIN LATERAL (
  SELECT revision FROM events WHERE stream = s.stream COLLATE "C" ORDER BY revision DESC LIMIT 1
) e`

const CONFIRM = `
UPDATE writers
SET info = info
WHERE writer = $1::smallint`

const OWNER = `
SELECT identity
FROM writers
WHERE writer = $1::smallint`

/** The head of a log as the database has it. */
export const readHead = async (
  link: { readonly query: Session['query'] },
  writer: number,
): Promise<Either<ReadError, Head>> =>
  decoded(await link.query(HEAD, [writer]), ([row]) =>
    row === undefined ? EMPTY_HEAD : { seq: safeInteger(row[0] ?? ''), hash: Buffer.from(row[1] ?? '', 'hex') },
  )

/** A log over one link. `lost` is told when the connection gave no answer. */
export const openLogDatabase = (link: Link, { writer }: LogIdentity, lost: () => void): LogDatabase => ({
  append: async (events) => {
    const sent = await link.query(APPEND, parametersOf(writer, events))
    if (E.isRight(sent)) return sent
    if (sent.left._tag === 'Lost') lost()
    return E.left(notAppended(sent.left))
  },
  hashAt: async (seq) =>
    decoded(await link.query(HASH_AT, [writer, seq]), ([row]) =>
      row === undefined ? undefined : Buffer.from(row[0] ?? '', 'hex'),
    ),
  head: () => readHead(link, writer),
  revisions: async (streams) =>
    decoded(
      await link.query(REVISIONS, [streams.join('\n')]),
      (rows) => new Map(rows.map(([stream, revision]) => [stream ?? '', safeInteger(revision ?? '')] as const)),
    ),
  owner: async () => decoded(await link.query(OWNER, [writer]), ([row]) => row?.[0] ?? ''),
  // A primary that was killed, or made to stop waiting, shows what its synchronous standby may lack; when a commit after
  // it has been answered, the standby has both.
  confirm: async () => E.mapLeft(toReadError)(await link.query(CONFIRM, [writer])),
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
  if (found.right[0]?.[0] === Buffer.from(hash).toString('hex')) return E.right(undefined)
  const reason = `PostgreSQL ${hostText(session.host)} lacks event ${log}/${seq}, which was committed`
  return E.left({ _tag: 'Refused', reason, code: EVENTS_LOST, constraint: '', column: '' })
}

const notAppended = (failure: Failure): NotAppended => {
  if (failure._tag === 'Lost') return { _tag: 'Unknown', reason: failure.reason }
  if (isTransient(failure)) return { _tag: 'Transient', error: toReadError(failure) }
  // Which of the two keys is looked at first is the server's affair.
  if (isConflict(failure)) return { _tag: 'Conflict', reason: failure.reason, positionsFree: false }
  return { _tag: 'Certain', error: toReadError(failure) }
}

/** The batch met an event that is there already, or misses the one before it. */
const isConflict = (failure: Failure): boolean =>
  failure._tag === 'Refused' &&
  ((failure.code === '23505' && ['events_log_key', 'events_stream_key'].includes(failure.constraint)) ||
    (failure.code === '23502' && failure.column === 'stream'))

const parametersOf = (writer: number, events: ReadonlyArray<Stored>): ReadonlyArray<Parameter> => {
  const column = (value: (event: Stored) => string | number): string => events.map(value).join('\n')
  return [
    writer,
    (events[0] as Stored).seq - 1,
    column((event) => event.stream),
    column((event) => event.revision),
    column((event) => event.recordedAt),
    column((event) => event.schemaVersion),
    column((event) => event.type),
    column((event) => event.data),
    column((event) => Buffer.from(event.hash).toString('hex')),
  ]
}
