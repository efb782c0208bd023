/**
 * Appending to one log in MySQL: one statement a batch, which is a transaction of its own, and the two unique keys as
 * arbiters.
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
import { ERROR, EVENTS_LOST, isCertain, isToBeLeft, isTransient, toReadError } from './failure.ts'
import type { Link } from './link.ts'
import { hostText } from './options.ts'
import { decoded, integerOf, textOf } from './reader.ts'
import { takenBy } from './registration.ts'
import type { Failure, Parameter, Session } from './session.ts'

// The batch is one JSON text, so that the statement is prepared once for batches of any size, and so that each event
// can be asked for its predecessor in the stream: where that is missing, the stream becomes NULL and breaks the batch,
// for otherwise a proposal from beyond the end of its stream would leave a gap. Strings are compared in the column's
// character set, or the index would not serve. Without locks on what is read: the isolation is READ COMMITTED.
const APPEND = `
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
  data           MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$[5]',
  hash           CHAR(64) PATH '$[6]'
)) t
LEFT JOIN events e
  ON t.revision > 0
 AND e.stream = CONVERT(t.stream USING ascii) COLLATE ascii_bin
 AND e.revision = t.revision - 1`

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
export const readHead = async (link: Pick<Session, 'query'>, writer: number): Promise<Either<ReadError, Head>> =>
  decoded(await link.query(HEAD, [writer]), ([row]) =>
    row === undefined ? EMPTY_HEAD : { seq: integerOf(row[0]), hash: Buffer.from(row[1] as Buffer) },
  )

/** Appends over `link`, from `head` on. */
export const makeLogWriter = (link: Link, self: LogIdentity, start: Head): LogWriter => {
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
    return E.right(outcomes as unknown as ReadonlyNonEmptyArray<Outcome>)
  }

  /** Gives up for now: a doubtful batch stays to be settled, any other was certainly not written. */
  const giveUp = (flight: Flight, failure: Failure): Outcomes => {
    if (isToBeLeft(failure)) link.drop()
    if (!isCertain(failure)) {
      // After an answer that leaves it open the session is not worth much: the server is going down, as a rule.
      link.drop()
      unsettled = { ...flight, doubtful: true }
      return E.left({ _tag: 'OutcomeUnknown', reason: failure.reason })
    }
    unsettled = flight.doubtful ? flight : undefined
    return E.left(toReadError(failure))
  }

  /** A read failed while a batch was being sorted out. Nothing was written unless it is doubtful. */
  const giveUpReading = (flight: Flight, error: ReadError): Outcomes => {
    unsettled = flight.doubtful ? flight : undefined
    return E.left(error)
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
      const sent = await link.writePrepared(APPEND, parametersOf(self.writer, flight.sealed))
      if (E.isRight(sent)) return arrive(flight)
      if (isTransient(sent.left) && ++transients <= TRANSIENTS_MAX) continue
      if (!isConflict(sent.left) || ++transients > TRANSIENTS_MAX + flight.batch.length) {
        return giveUp(flight, sent.left)
      }
      const next = await afterConflict(flight, sent.left)
      if (E.isLeft(next)) return next.left
      flight = next.right
    }
    return arrive(flight)
  }

  /** What to send next when one of the keys was broken; on the left, what the caller gets instead. */
  const afterConflict = async (flight: Flight, conflict: Failure): Promise<Either<Outcomes, Flight>> => {
    if (flight.doubtful || !isStreamKey(conflict)) {
      const place = await findOwn(flight)
      if (E.isLeft(place)) return E.left(giveUpReading(flight, place.left))
      if (place.right === 'ours') return E.left(arrive(flight))
      if (place.right === 'others') return afterTakenPosition({ ...flight, doubtful: false })
    }
    const streams = flight.open.map((index) => (flight.batch[index] as Proposal).stream)
    const revisions = decoded(
      await link.query(REVISIONS, [JSON.stringify(streams)]),
      (rows) => new Map(rows.map(([stream, revision]) => [textOf(stream), revision ? integerOf(revision) : -1])),
    )
    if (E.isLeft(revisions)) return E.left(giveUpReading(flight, revisions.left))
    const actualOf = (index: number): number => revisions.right.get((flight.batch[index] as Proposal).stream) ?? -1
    const expectedOf = (index: number): number => (flight.batch[index] as Proposal).expected
    if (isMissingPredecessor(conflict)) {
      // Also a node that lags finds a predecessor missing. The read has made it catch up: again, and it will not.
      const behind = flight.open.some((index) => actualOf(index) < expectedOf(index))
      const passed = flight.open.some((index) => actualOf(index) > expectedOf(index))
      if (flight.doubtful && behind) {
        const reason = `${conflict.reason}: events are missing that were there when the batch was first sent`
        return E.left(stop({ _tag: 'StoreUnusable', reason }))
      }
      if (!behind && !passed) return E.right(flight)
    }
    // Another event has one of its positions or one of its revisions: an earlier sending of this batch can never be
    // committed any more. It may be numbered anew.
    const outcomes = [...flight.outcomes]
    const open = flight.open.filter((index) => {
      const actual = actualOf(index)
      if (actual !== expectedOf(index)) outcomes[index] = { _tag: 'WrongExpectedRevision', actual }
      return actual === expectedOf(index)
    })
    return E.right(depart(flight.batch, outcomes, open))
  }

  /** Another event stands at a position of our log: the process that is registered under the name goes on. */
  const afterTakenPosition = async (flight: Flight): Promise<Either<Outcomes, Flight>> => {
    const owner = decoded(await link.query(OWNER, [self.writer]), ([row]) => textOf(row?.[0]))
    if (E.isLeft(owner)) return E.left(giveUpReading(flight, owner.left))
    if (owner.right !== self.identity) return E.left(stop(takenBy(self.log, owner.right)))
    // We are: it was the last breath of the process that had the name before.
    const found = await readHead(link, self.writer)
    if (E.isLeft(found)) return E.left(giveUpReading(flight, found.left))
    head = found.right
    return E.right(depart(flight.batch, flight.outcomes, flight.open))
  }

  /** What stands where the batch was to stand. It is one statement, so its first event speaks for all. */
  const findOwn = async (flight: Flight): Promise<Either<ReadError, 'ours' | 'others' | 'nothing'>> => {
    const first = flight.sealed[0] as Stored
    return decoded(await link.query(HASH_AT, [self.writer, first.seq]), ([row]) => {
      if (row === undefined) return 'nothing'
      return row[0]?.equals(first.hash) === true ? 'ours' : 'others'
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
      if (found.right[0]?.[0]?.equals(head.hash) === true) return E.right(undefined)
      const reason = `MySQL ${hostText(session.host)} lacks event ${self.log}/${head.seq}, which was committed`
      return E.left({ _tag: 'Refused', reason, errno: EVENTS_LOST, key: '', column: '' })
    },
  }
}

/** The batch met an event that is there already, or misses the one before it. */
const isConflict = (failure: Failure): boolean =>
  (failure._tag === 'Refused' && failure.errno === ERROR.DUP_ENTRY) || isMissingPredecessor(failure)

/** A revision was taken, and so the position was not: positions are looked at first. */
const isStreamKey = (failure: Failure): boolean => failure._tag === 'Refused' && failure.key === 'events_stream_key'

const isMissingPredecessor = (failure: Failure): boolean =>
  failure._tag === 'Refused' && failure.errno === ERROR.BAD_NULL && failure.column === 'stream'

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
