/**
 * Appending to one log in PostgreSQL: one statement a batch, and the two unique keys as arbiters.
 *
 * The head of the log is kept in memory. Whatever was sent and not answered is remembered with its positions and
 * hashes until the log itself says what became of it.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import { NO_STREAM } from '../../domain/event-store.ts'
import type { AppendError, LogName, Outcome, Proposal, ReadError, Stored } from '../../domain/event-store.ts'
import { EMPTY_HEAD, sealAll } from '../chain.ts'
import type { Head } from '../chain.ts'
import { EVENTS_LOST, isTransient, toReadError } from './failure.ts'
import type { Link } from './link.ts'
import { hostText } from './options.ts'
import { decoded, safeInteger } from './reader.ts'
import { takenBy } from './registration.ts'
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

/** How often a batch is sent again after a deadlock or a lost race before the caller is told to come back. */
const TRANSIENTS_MAX = 8

/** A batch on its way: what was asked, what is known, and the events as they were sent. */
interface Flight {
  readonly batch: ReadonlyNonEmptyArray<Proposal>
  readonly outcomes: ReadonlyArray<Outcome | undefined>
  /** Indices in the batch of what is sent, in the order of `sealed`. */
  readonly open: ReadonlyArray<number>
  readonly sealed: ReadonlyArray<Stored>
  /** It was sent before, and that sending may yet be committed. */
  readonly doubtful: boolean
  /** The caller was told that the outcome is unknown, and comes back for it with `settle`. */
  readonly awaited: boolean
}

type Outcomes = Either<AppendError, ReadonlyNonEmptyArray<Outcome>>

/** Which log, and as whom. */
export interface LogIdentity {
  readonly log: LogName
  readonly writer: number
  readonly identity: string
}

/** The head of a log as the database has it. */
export const readHead = async (
  link: { readonly query: Session['query'] },
  writer: number,
): Promise<Either<ReadError, Head>> =>
  decoded(await link.query(HEAD, [writer]), ([row]) =>
    row === undefined ? EMPTY_HEAD : { seq: safeInteger(row[0] ?? ''), hash: Buffer.from(row[1] ?? '', 'hex') },
  )

/** Appends to one log over one link. One call at a time. */
export class LogWriter {
  readonly #link: Link
  readonly #self: LogIdentity
  readonly #appended: () => void
  #head: Head
  #unsettled: Flight | undefined
  #ended: AppendError | undefined

  /** `head` is the last event of the log; `appended` is told after each commit. */
  constructor(link: Link, self: LogIdentity, head: Head, appended: () => void) {
    this.#link = link
    this.#self = self
    this.#head = head
    this.#appended = appended
  }

  /** See EventStore. */
  async append(batch: ReadonlyNonEmptyArray<Proposal>): Promise<Outcomes> {
    if (this.#ended !== undefined) return E.left(this.#ended)
    if (this.#unsettled !== undefined) throw new Error('append: the batch before this one is not settled')
    const all = batch.map((_, index) => index)
    return this.#drive(this.#depart(batch, new Array<Outcome | undefined>(batch.length), all, false))
  }

  /** See EventStore. */
  async settle(): Promise<Outcomes> {
    if (this.#ended !== undefined) return E.left(this.#ended)
    const flight = this.#unsettled
    if (flight === undefined) throw new Error('settle: no outcome is unknown')
    const place = await this.#findOwn(flight)
    if (E.isLeft(place)) return E.left(place.left)
    if (place.right === 'ours') return this.#confirm(flight)
    // Not there does not mean that it will not come: sent again, it meets the late one at the keys.
    return this.#drive(flight)
  }

  /** Looks whether a host that was connected to anew still has what was committed. */
  async acceptSession(session: Session): Promise<Either<Failure, void>> {
    const { seq, hash } = this.#head
    if (seq === 0) return E.right(undefined)
    const found = await session.query(HASH_AT, [this.#self.writer, seq])
    if (E.isLeft(found)) return found
    if (found.right[0]?.[0] === Buffer.from(hash).toString('hex')) return E.right(undefined)
    const reason = `PostgreSQL ${hostText(session.host)} lacks event ${this.#self.log}/${seq}, which was committed`
    return E.left({ _tag: 'Refused', reason, code: EVENTS_LOST, constraint: '', column: '' })
  }

  /** The batch less what has its outcome already, numbered and chained from the head on. */
  #depart(batch: Flight['batch'], outcomes: Flight['outcomes'], open: Flight['open'], awaited: boolean): Flight {
    const proposals = open.map((index) => batch[index] as Proposal)
    return { batch, outcomes, open, sealed: sealAll(this.#head, this.#self.log, proposals), doubtful: false, awaited }
  }

  /** Sends the batch, and what is left of it, until every proposal has its outcome. */
  async #drive(first: Flight): Promise<Outcomes> {
    const triesMax = TRANSIENTS_MAX + first.batch.length
    let flight = first
    for (let tries = 1; flight.open.length > 0; tries++) {
      const sent = await this.#link.query(APPEND, parametersOf(this.#self.writer, flight.sealed))
      if (E.isRight(sent)) break
      if (isTransient(sent.left) && tries < TRANSIENTS_MAX) continue
      if (!isConflict(sent.left) || tries >= triesMax) return this.#giveUp(flight, sent.left)
      const next = await this.#afterConflict(flight, sent.left)
      if (E.isLeft(next)) return next.left
      flight = next.right
    }
    return this.#arrive(flight)
  }

  #arrive(flight: Flight): Outcomes {
    const outcomes = [...flight.outcomes]
    flight.open.forEach((index, at) => {
      const { revision, seq } = flight.sealed[at] as Stored
      outcomes[index] = { _tag: 'Appended', revision, seq }
    })
    this.#unsettled = undefined
    const last = flight.sealed.at(-1)
    if (last !== undefined) {
      this.#head = { seq: last.seq, hash: last.hash }
      this.#appended()
    }
    return E.right(outcomes as unknown as ReadonlyNonEmptyArray<Outcome>)
  }

  /**
   * A batch that was found in the log arrives when a commit after it has been answered. A primary that was killed, or
   * made to stop waiting, shows what its synchronous standby may lack; with a later commit the standby has both.
   */
  async #confirm(flight: Flight): Promise<Outcomes> {
    const confirmed = await this.#link.query(CONFIRM, [this.#self.writer])
    if (E.isRight(confirmed)) return this.#arrive(flight)
    this.#unsettled = { ...flight, doubtful: true, awaited: true }
    return E.left({ _tag: 'OutcomeUnknown', reason: confirmed.left.reason })
  }

  /** Gives up for now. What the caller does not come back for was certainly not written. */
  #giveUp(flight: Flight, failure: Failure): Outcomes {
    if (failure._tag !== 'Lost') return this.#putOff(flight, toReadError(failure))
    this.#unsettled = { ...flight, doubtful: true, awaited: true }
    return E.left({ _tag: 'OutcomeUnknown', reason: failure.reason })
  }

  #putOff(flight: Flight, error: ReadError): Outcomes {
    this.#unsettled = flight.awaited ? flight : undefined
    return E.left(error)
  }

  #end(error: AppendError): Outcomes {
    this.#unsettled = undefined
    this.#ended = error
    return E.left(error)
  }

  /** What stands where the batch was to stand. It is one statement, so its first event speaks for all. */
  async #findOwn(flight: Flight): Promise<Either<ReadError, 'ours' | 'others' | 'nothing'>> {
    const first = flight.sealed[0] as Stored
    return decoded(await this.#link.query(HASH_AT, [this.#self.writer, first.seq]), ([row]) => {
      if (row === undefined) return 'nothing'
      return row[0] === Buffer.from(first.hash).toString('hex') ? 'ours' : 'others'
    })
  }

  /** What to send next when one of the keys was broken; on the left, what the caller gets instead. */
  async #afterConflict(flight: Flight, conflict: Failure): Promise<Either<Outcomes, Flight>> {
    const place = await this.#findOwn(flight)
    if (E.isLeft(place)) return E.left(this.#putOff(flight, place.left))
    if (place.right === 'ours') return E.left(await this.#confirm(flight))
    if (flight.doubtful && isMissingPredecessor(conflict)) {
      // Sent before and not refused then: the events that it follows were there.
      const reason = `${conflict.reason}: events are missing that were there when the batch was first sent`
      return E.left(this.#end({ _tag: 'StoreUnusable', reason }))
    }
    // Another event has one of its positions or one of its revisions for good, so an earlier sending of this batch
    // can never be committed any more. It may be numbered anew.
    const certain = { ...flight, doubtful: false }
    return place.right === 'others' ? this.#afterTakenPosition(certain) : this.#withoutLosers(certain)
  }

  /** Another event stands at a position of our log: the process that is registered under the name goes on. */
  async #afterTakenPosition(flight: Flight): Promise<Either<Outcomes, Flight>> {
    const { log, writer, identity } = this.#self
    const owner = decoded(await this.#link.query(OWNER, [writer]), ([row]) => row?.[0] ?? '')
    if (E.isLeft(owner)) return E.left(this.#putOff(flight, owner.left))
    if (owner.right !== identity) return E.left(this.#end(takenBy(log, owner.right)))
    // We are: it was the last breath of the process that had the name before.
    const found = await readHead(this.#link, writer)
    if (E.isLeft(found)) return E.left(this.#putOff(flight, found.left))
    this.#head = found.right
    return E.right(this.#depart(flight.batch, flight.outcomes, flight.open, flight.awaited))
  }

  /** Reads where the streams of the batch stand, and answers those proposals that expected something else. */
  async #withoutLosers(flight: Flight): Promise<Either<Outcomes, Flight>> {
    const streams = flight.open.map((index) => (flight.batch[index] as Proposal).stream)
    const revisions = decoded(
      await this.#link.query(REVISIONS, [streams.join('\n')]),
      (rows) => new Map(rows.map(([stream, revision]) => [stream ?? '', safeInteger(revision ?? '')] as const)),
    )
    if (E.isLeft(revisions)) return E.left(this.#putOff(flight, revisions.left))
    const outcomes = [...flight.outcomes]
    const open = flight.open.filter((index) => {
      const { stream, expected } = flight.batch[index] as Proposal
      const actual = revisions.right.get(stream) ?? NO_STREAM
      if (actual !== expected) outcomes[index] = { _tag: 'WrongExpectedRevision', actual }
      return actual === expected
    })
    return E.right(this.#depart(flight.batch, outcomes, open, flight.awaited))
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
