/**
 * Appending to one log in PostgreSQL: one statement a batch, and the two unique keys as arbiters.
 *
 * The head of the log is kept in memory. Whatever was sent and not answered is remembered with its positions and
 * hashes until the log itself says what became of it.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type { AppendError, LogName, Outcome, Proposal, ReadError, Stored } from '../../domain/event-store.ts'
import { EMPTY_HEAD, sealAll } from '../chain.ts'
import type { Head } from '../chain.ts'
import { isReadOnly, isTransient, toReadError } from './failure.ts'
import type { Link } from './link.ts'
import { decoded, safeInteger } from './reader.ts'
import { takenBy } from './registration.ts'
import type { Failure, Parameter, Rows, Session } from './session.ts'

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

const OWNER = `
SELECT identity
FROM writers
WHERE writer = $1::smallint`

/** How often a batch is sent again after a deadlock or a lost race before the caller is told to come back. */
const TRANSIENTS_MAX = 8

/** A batch on its way: what was asked, what is known, and the events as they were sent. */
interface Flight {
  readonly batch: ReadonlyNonEmptyArray<Proposal>
  readonly outcomes: (Outcome | undefined)[]
  /** Indices in the batch of what was sent, in the order of `sealed`. */
  readonly open: ReadonlyArray<number>
  readonly sealed: ReadonlyArray<Stored>
  /** It was sent before, and that sending may yet be committed. */
  readonly doubtful: boolean
}

type Outcomes = Either<AppendError, ReadonlyNonEmptyArray<Outcome>>

/** Which log, and as whom. */
export interface LogIdentity {
  readonly log: LogName
  readonly writer: number
  readonly identity: string
}

export interface LogWriter {
  readonly append: (batch: ReadonlyNonEmptyArray<Proposal>) => Promise<Outcomes>
  readonly settle: () => Promise<Outcomes>
  /** Looks whether a host that was connected to anew still has what was committed. */
  readonly acceptSession: (session: Session) => Promise<Either<Failure, void>>
}

/** The head of a log as the database has it. */
export const readHead = async (
  link: { readonly query: Session['query'] },
  writer: number,
): Promise<Either<ReadError, Head>> =>
  decoded(await link.query(HEAD, [writer]), ([row]) =>
    row === undefined ? EMPTY_HEAD : { seq: safeInteger(row[0] ?? ''), hash: Buffer.from(row[1] ?? '', 'hex') },
  )

/** Appends over `link`, from `head` on. `appended` is told after each commit. */
export const makeLogWriter = (link: Link, self: LogIdentity, start: Head, appended: () => void): LogWriter => {
  let head = start
  let unsettled: Flight | undefined
  let ended: AppendError | undefined

  const depart = (batch: Flight['batch'], outcomes: Flight['outcomes'], open: ReadonlyArray<number>): Flight => ({
    batch,
    outcomes,
    open,
    sealed: sealAll(
      head,
      self.log,
      open.map((index) => batch[index] as Proposal),
    ),
    doubtful: false,
  })

  const arrive = (flight: Flight): Outcomes => {
    const outcomes = [...flight.outcomes]
    flight.open.forEach((index, at) => {
      const { revision, seq } = flight.sealed[at] as Stored
      outcomes[index] = { _tag: 'Appended', revision, seq }
    })
    const last = flight.sealed.at(-1)
    if (last !== undefined) head = { seq: last.seq, hash: last.hash }
    unsettled = undefined
    if (last !== undefined) appended()
    return E.right(outcomes as unknown as ReadonlyNonEmptyArray<Outcome>)
  }

  /** Gives up for now: a doubtful batch stays to be settled, any other was certainly not written. */
  const giveUp = (flight: Flight, failure: Failure): Outcomes => {
    if (isReadOnly(failure)) link.drop()
    if (failure._tag === 'Lost') {
      unsettled = { ...flight, doubtful: true }
      return E.left({ _tag: 'OutcomeUnknown', reason: failure.reason })
    }
    unsettled = flight.doubtful ? flight : undefined
    return E.left(toReadError(failure))
  }

  const stop = (error: AppendError): Outcomes => {
    unsettled = undefined
    ended = error
    return E.left(error)
  }

  /** Sends the batch, and what is left of it, until every proposal has its outcome. */
  const drive = async (first: Flight): Promise<Outcomes> => {
    let flight = first
    let transients = 0
    while (flight.open.length > 0) {
      const sent = await link.query(APPEND, parametersOf(self.writer, flight.sealed))
      if (E.isRight(sent)) return arrive(flight)
      if (isTransient(sent.left) && ++transients <= TRANSIENTS_MAX) continue
      if (!isConflict(sent.left) || ++transients > TRANSIENTS_MAX + flight.batch.length)
        return giveUp(flight, sent.left)
      const next = await afterConflict(flight, sent.left)
      if (E.isLeft(next)) return next.left
      flight = next.right
    }
    return arrive(flight)
  }

  /** What to send next when one of the keys was broken; on the left, what the caller gets instead. */
  const afterConflict = async (flight: Flight, conflict: Failure): Promise<Either<Outcomes, Flight>> => {
    const place = await findOwn(flight)
    if (E.isLeft(place)) return E.left(giveUpReading(flight, place.left))
    if (place.right === 'ours') return E.left(arrive(flight))
    if (flight.doubtful && isMissingPredecessor(conflict)) {
      // Sent before and not refused then: the events that it follows were there.
      const reason = `${conflict.reason}: events are missing that were there when the batch was first sent`
      return E.left(stop({ _tag: 'StoreUnusable', reason }))
    }
    // Whether another event has one of its positions or one of its revisions: an earlier sending of this batch can
    // never be committed any more. It may be numbered anew.
    const certain = { ...flight, doubtful: false }
    if (place.right === 'others') return afterTakenPosition(certain)
    const streams = flight.open.map((index) => (flight.batch[index] as Proposal).stream)
    const rows = await link.query(REVISIONS, [streams.join('\n')])
    const revisions = decoded(
      rows,
      (found) => new Map(found.map(([stream, revision]) => [stream ?? '', safeInteger(revision ?? '')] as const)),
    )
    if (E.isLeft(revisions)) return E.left(giveUpReading(certain, revisions.left))
    const outcomes = [...flight.outcomes]
    const open = flight.open.filter((index) => {
      const { stream, expected } = flight.batch[index] as Proposal
      const actual = revisions.right.get(stream) ?? -1
      if (actual !== expected) outcomes[index] = { _tag: 'WrongExpectedRevision', actual }
      return actual === expected
    })
    return E.right(depart(flight.batch, outcomes, open))
  }

  /** Another event stands at a position of our log: the process that is registered under the name goes on. */
  const afterTakenPosition = async (flight: Flight): Promise<Either<Outcomes, Flight>> => {
    const owner = decoded(await link.query(OWNER, [self.writer]), ([row]) => row?.[0] ?? '')
    if (E.isLeft(owner)) return E.left(giveUpReading(flight, owner.left))
    if (owner.right !== self.identity) return E.left(stop(takenBy(self.log, owner.right)))
    // We are: it was the last breath of the process that had the name before.
    const found = await readHead(link, self.writer)
    if (E.isLeft(found)) return E.left(giveUpReading(flight, found.left))
    head = found.right
    return E.right(depart(flight.batch, flight.outcomes, flight.open))
  }

  /** A read failed while a batch was being sorted out. Nothing was written unless it is doubtful. */
  const giveUpReading = (flight: Flight, error: ReadError): Outcomes => {
    unsettled = flight.doubtful ? flight : undefined
    return E.left(error)
  }

  /** What stands where the batch was to stand. It is one statement, so its first event speaks for all. */
  const findOwn = async (flight: Flight): Promise<Either<ReadError, 'ours' | 'others' | 'nothing'>> => {
    const first = flight.sealed[0] as Stored
    return decoded(await link.query(HASH_AT, [self.writer, first.seq]), (rows: Rows) => {
      const hash = rows[0]?.[0]
      if (hash === undefined) return 'nothing'
      return hash === Buffer.from(first.hash).toString('hex') ? 'ours' : 'others'
    })
  }

  return {
    append: async (batch) => {
      if (ended !== undefined) return E.left(ended)
      if (unsettled !== undefined) throw new Error('append: the batch before this one is not settled')
      const all = batch.map((_, index) => index)
      return drive(depart(batch, new Array<Outcome | undefined>(batch.length), all))
    },
    settle: async () => {
      if (ended !== undefined) return E.left(ended)
      const flight = unsettled
      if (flight === undefined) throw new Error('settle: no outcome is unknown')
      const place = await findOwn(flight)
      if (E.isLeft(place)) return E.left(place.left)
      if (place.right === 'ours') return arrive(flight)
      // Not there does not mean that it will not come: sent again, it meets the late one at the keys.
      return drive(flight)
    },
    acceptSession: async (session) => {
      if (head.seq === 0) return E.right(undefined)
      const found = await session.query(HASH_AT, [self.writer, head.seq])
      if (E.isLeft(found)) return found
      if (found.right[0]?.[0] === Buffer.from(head.hash).toString('hex')) return E.right(undefined)
      const reason = `PostgreSQL ${session.host.host} lacks event ${self.log}/${head.seq}, which was committed`
      return E.left({ _tag: 'Refused', reason, code: 'LLOST', constraint: '', column: '' })
    },
  }
}

/** The batch met an event that is there already, or misses the one before it. */
const isConflict = (failure: Failure): boolean =>
  failure._tag === 'Refused' &&
  ((failure.code === '23505' && ['events_log_key', 'events_stream_key'].includes(failure.constraint)) ||
    isMissingPredecessor(failure))

const isMissingPredecessor = (failure: Failure): boolean =>
  failure._tag === 'Refused' && failure.code === '23502' && failure.column === 'stream'

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
