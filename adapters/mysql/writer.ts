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
import { NO_STREAM } from '../../domain/event-store.ts'
import type { AppendError, LogName, Outcome, Proposal, ReadError, Stored } from '../../domain/event-store.ts'
import { EMPTY_HEAD, sealAll } from '../chain.ts'
import type { Head } from '../chain.ts'
import { ERROR, EVENTS_LOST, isCertain, isTransient, toReadError } from './failure.ts'
import type { Link } from './link.ts'
import { hostText } from './options.ts'
import { decoded, integerOf, textOf } from './reader.ts'
import { takenBy } from './registration.ts'
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
export const readHead = async (link: Pick<Session, 'query'>, writer: number): Promise<Either<ReadError, Head>> =>
  decoded(await link.query(HEAD, [writer]), ([row]) =>
    row === undefined ? EMPTY_HEAD : { seq: integerOf(row[0]), hash: Buffer.from(row[1] as Buffer) },
  )

/** Appends to one log over one link. One call at a time. */
export class LogWriter {
  readonly #link: Link
  readonly #self: LogIdentity
  #head: Head
  #unsettled: Flight | undefined
  #ended: AppendError | undefined

  /** `head` is the last event of the log. */
  constructor(link: Link, self: LogIdentity, head: Head) {
    this.#link = link
    this.#self = self
    this.#head = head
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
    if (place.right === 'ours') return this.#arrive(flight)
    // Not there does not mean that it will not come: sent again, it meets the late one at the keys.
    return this.#drive(flight)
  }

  /** Looks whether a host that was connected to anew still has what was committed. */
  async acceptSession(session: Session): Promise<Either<Failure, void>> {
    const { seq, hash } = this.#head
    if (seq === 0) return E.right(undefined)
    const found = await session.query(HASH_AT, [this.#self.writer, seq])
    if (E.isLeft(found)) return found
    if (found.right[0]?.[0]?.equals(hash) === true) return E.right(undefined)
    const reason = `MySQL ${hostText(session.host)} lacks event ${this.#self.log}/${seq}, which was committed`
    return E.left({ _tag: 'Refused', reason, errno: EVENTS_LOST, key: '', column: '' })
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
      const sent = await this.#link.writePrepared(
        statementFor(flight.sealed),
        parametersOf(this.#self.writer, flight.sealed),
      )
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
    if (last !== undefined) this.#head = { seq: last.seq, hash: last.hash }
    return E.right(outcomes as unknown as ReadonlyNonEmptyArray<Outcome>)
  }

  /** Gives up for now. What the caller does not come back for was certainly not written. */
  #giveUp(flight: Flight, failure: Failure): Outcomes {
    if (isCertain(failure)) return this.#putOff(flight, toReadError(failure))
    // After an answer that leaves it open the session is not worth much: the server is going down, as a rule.
    this.#link.drop()
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
      return row[0]?.equals(first.hash) === true ? 'ours' : 'others'
    })
  }

  /** What to send next when one of the keys was broken; on the left, what the caller gets instead. */
  async #afterConflict(flight: Flight, conflict: Failure): Promise<Either<Outcomes, Flight>> {
    // Positions are looked at first: who broke the other key for the first time has found his positions free.
    if (flight.doubtful || !isStreamKey(conflict)) {
      const place = await this.#findOwn(flight)
      if (E.isLeft(place)) return E.left(this.#putOff(flight, place.left))
      if (place.right === 'ours') return E.left(this.#arrive(flight))
      if (place.right === 'others') return this.#afterTakenPosition({ ...flight, doubtful: false })
    }
    return this.#withoutLosers(flight, conflict)
  }

  /** Another event stands at a position of our log: the process that is registered under the name goes on. */
  async #afterTakenPosition(flight: Flight): Promise<Either<Outcomes, Flight>> {
    const { log, writer, identity } = this.#self
    const owner = decoded(await this.#link.query(OWNER, [writer]), ([row]) => textOf(row?.[0]))
    if (E.isLeft(owner)) return E.left(this.#putOff(flight, owner.left))
    if (owner.right !== identity) return E.left(this.#end(takenBy(log, owner.right)))
    // We are: it was the last breath of the process that had the name before.
    const found = await readHead(this.#link, writer)
    if (E.isLeft(found)) return E.left(this.#putOff(flight, found.left))
    this.#head = found.right
    return E.right(this.#depart(flight.batch, flight.outcomes, flight.open, flight.awaited))
  }

  /** Reads where the streams of the batch stand, and answers those proposals that expected something else. */
  async #withoutLosers(flight: Flight, conflict: Failure): Promise<Either<Outcomes, Flight>> {
    const proposals = flight.open.map((index) => ({ index, proposal: flight.batch[index] as Proposal }))
    const streams = JSON.stringify(proposals.map(({ proposal }) => proposal.stream))
    const read = decoded(
      await this.#link.query(REVISIONS, [streams]),
      (rows) => new Map(rows.map(([stream, revision]) => [textOf(stream), revision ? integerOf(revision) : NO_STREAM])),
    )
    if (E.isLeft(read)) return E.left(this.#putOff(flight, read.left))
    const actualOf = ({ stream }: Proposal): number => read.right.get(stream) ?? NO_STREAM
    const losers = proposals.filter(({ proposal }) => actualOf(proposal) !== proposal.expected)
    // A node of a cluster that lagged missed a predecessor, and this read has made it catch up.
    if (losers.length === 0) return E.right(flight)
    if (flight.doubtful && losers.some(({ proposal }) => actualOf(proposal) < proposal.expected)) {
      // Sent before and not refused then: the events that it follows were there.
      const reason = `${conflict.reason}: events are missing that were there when the batch was first sent`
      return E.left(this.#end({ _tag: 'StoreUnusable', reason }))
    }
    // Another event has one of its revisions for good, so an earlier sending of this batch can never be committed any
    // more. It may be numbered anew.
    const outcomes = [...flight.outcomes]
    for (const { index, proposal } of losers) {
      outcomes[index] = { _tag: 'WrongExpectedRevision', actual: actualOf(proposal) }
    }
    const open = flight.open.filter((index) => outcomes[index] === undefined)
    return E.right(this.#depart(flight.batch, outcomes, open, flight.awaited))
  }
}

/** The batch met an event that is there already, or misses the one before it. */
const isConflict = (failure: Failure): boolean =>
  (failure._tag === 'Refused' && failure.errno === ERROR.DUP_ENTRY) || isMissingPredecessor(failure)

/** A revision was taken, and so the position was not: positions are looked at first. */
const isStreamKey = (failure: Failure): boolean => failure._tag === 'Refused' && failure.key === 'events_stream_key'

const isMissingPredecessor = (failure: Failure): boolean =>
  failure._tag === 'Refused' && failure.errno === ERROR.BAD_NULL && failure.column === 'stream'

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
