/**
 * Appending to one log in a database of tables: one statement a batch, and the two unique keys as arbiters.
 *
 * The head of the log is kept in memory. Whatever was sent and not answered is remembered with its positions and hashes
 * until the log itself says what became of it.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import { NO_STREAM } from '../domain/event-store.ts'
import type {
  AppendError,
  LogName,
  Outcome,
  Proposal,
  ReadError,
  Revision,
  Seq,
  Stored,
} from '../domain/event-store.ts'
import type { StreamName } from '../domain/stream.ts'
import { sealAll } from './chain.ts'
import type { Head } from './chain.ts'
import { takenBy } from './identity.ts'

/** Which log, and as whom. */
export interface LogIdentity {
  readonly log: LogName
  readonly writer: number
  readonly identity: string
}

/** Why a batch was not appended, as far as the database says. */
export type NotAppended =
  /** It lost a race or ended a deadlock: the same again will do. */
  | { readonly _tag: 'Transient'; readonly error: ReadError }
  /** It met an event that is there, or misses the one before it. With `positionsFree`, what it met is no position. */
  | { readonly _tag: 'Conflict'; readonly reason: string; readonly positionsFree: boolean }
  /** It was certainly not written. */
  | { readonly _tag: 'Certain'; readonly error: ReadError }
  /** It may have been written. */
  | { readonly _tag: 'Unknown'; readonly reason: string }

/** What a database does for one log. */
export interface LogDatabase {
  /** Appends the events, all or none, each only behind its predecessor in the stream. */
  readonly append: (events: ReadonlyArray<Stored>) => Promise<Either<NotAppended, unknown>>
  /** The hash at a position of the log; undefined where nothing stands. */
  readonly hashAt: (seq: Seq) => Promise<Either<ReadError, Uint8Array | undefined>>
  readonly head: () => Promise<Either<ReadError, Head>>
  /** The last revisions of those streams that have events. */
  readonly revisions: (streams: ReadonlyArray<StreamName>) => Promise<Either<ReadError, ReadonlyMap<string, Revision>>>
  /** The identity that is registered under the log's name. */
  readonly owner: () => Promise<Either<ReadError, string>>
  /** Resolves when what can be read now is as safe as what was answered. */
  readonly confirm: () => Promise<Either<ReadError, unknown>>
}

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

/** Appends to one log. One call at a time. */
export class LogWriter {
  readonly #database: LogDatabase
  readonly #self: LogIdentity
  readonly #appended: () => void
  #head: Head
  #unsettled: Flight | undefined
  #ended: AppendError | undefined

  /** `head` is the last event of the log; `appended` is told after each commit. */
  constructor(database: LogDatabase, self: LogIdentity, head: Head, appended: () => void = () => undefined) {
    this.#database = database
    this.#self = self
    this.#head = head
    this.#appended = appended
  }

  /** The last event of the log that is known to be committed. */
  get head(): Head {
    return this.#head
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
      const sent = await this.#database.append(flight.sealed)
      if (E.isRight(sent)) break
      const failure = sent.left
      if (failure._tag === 'Unknown') return this.#leaveUnknown(flight, failure.reason)
      if (failure._tag === 'Certain') return this.#putOff(flight, failure.error)
      if (failure._tag === 'Transient') {
        if (tries < TRANSIENTS_MAX) continue
        return this.#putOff(flight, failure.error)
      }
      if (tries >= triesMax) return this.#putOff(flight, { _tag: 'StoreUnavailable', reason: failure.reason })
      const next = await this.#afterConflict(flight, failure)
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

  /** A batch that was found in the log arrives when what is found there is safe. */
  async #confirm(flight: Flight): Promise<Outcomes> {
    const confirmed = await this.#database.confirm()
    return E.isRight(confirmed) ? this.#arrive(flight) : this.#leaveUnknown(flight, confirmed.left.reason)
  }

  #leaveUnknown(flight: Flight, reason: string): Outcomes {
    this.#unsettled = { ...flight, doubtful: true, awaited: true }
    return E.left({ _tag: 'OutcomeUnknown', reason })
  }

  /** Gives up for now. What the caller does not come back for was certainly not written. */
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
    const found = await this.#database.hashAt(first.seq)
    return E.map((hash: Uint8Array | undefined) => {
      if (hash === undefined) return 'nothing' as const
      return Buffer.compare(hash, first.hash) === 0 ? ('ours' as const) : ('others' as const)
    })(found)
  }

  /** What to send next when one of the keys was broken; on the left, what the caller gets instead. */
  async #afterConflict(
    flight: Flight,
    { reason, positionsFree }: NotAppended & { readonly _tag: 'Conflict' },
  ): Promise<Either<Outcomes, Flight>> {
    if (flight.doubtful || !positionsFree) {
      const place = await this.#findOwn(flight)
      if (E.isLeft(place)) return E.left(this.#putOff(flight, place.left))
      if (place.right === 'ours') return E.left(await this.#confirm(flight))
      // Another event has the position for good, so an earlier sending of this batch can never be committed any more.
      if (place.right === 'others') return this.#afterTakenPosition({ ...flight, doubtful: false })
    }
    return this.#withoutLosers(flight, reason)
  }

  /** Another event stands at a position of our log: the process that is registered under the name goes on. */
  async #afterTakenPosition(flight: Flight): Promise<Either<Outcomes, Flight>> {
    const owner = await this.#database.owner()
    if (E.isLeft(owner)) return E.left(this.#putOff(flight, owner.left))
    if (owner.right !== this.#self.identity) return E.left(this.#end(takenBy(this.#self.log, owner.right)))
    // We are: it was the last breath of the process that had the name before.
    const found = await this.#database.head()
    if (E.isLeft(found)) return E.left(this.#putOff(flight, found.left))
    this.#head = found.right
    return E.right(this.#depart(flight.batch, flight.outcomes, flight.open, flight.awaited))
  }

  /** Reads where the streams of the batch stand, and answers those proposals that expected something else. */
  async #withoutLosers(flight: Flight, reason: string): Promise<Either<Outcomes, Flight>> {
    const proposals = flight.open.map((index) => ({ index, proposal: flight.batch[index] as Proposal }))
    const revisions = await this.#database.revisions(proposals.map(({ proposal }) => proposal.stream))
    if (E.isLeft(revisions)) return E.left(this.#putOff(flight, revisions.left))
    const actualOf = ({ stream }: Proposal): Revision => revisions.right.get(stream) ?? NO_STREAM
    const losers = proposals.filter(({ proposal }) => actualOf(proposal) !== proposal.expected)
    // A node of a cluster that lagged missed a predecessor, and this read has made it catch up.
    if (losers.length === 0) return E.right(flight)
    if (flight.doubtful && losers.some(({ proposal }) => actualOf(proposal) < proposal.expected)) {
      // Sent before and not refused then: the events that it follows were there.
      const lost = `${reason}: events are missing that were there when the batch was first sent`
      return E.left(this.#end({ _tag: 'StoreUnusable', reason: lost }))
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
