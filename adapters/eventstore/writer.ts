/**
 * Appending to one log in EventStoreDB, in two steps.
 *
 * 1. Each event goes to the stream of its lease with the revision it expects. All go over one gRPC stream (the client
 *    uses the batch append of the protocol), each has an outcome of its own, and a loser costs its neighbours nothing.
 * 2. Those that were appended are entered in the stream `log/<server>`, as links and in one append, with the log's last
 *    revision expected. Only then is anybody told.
 *
 * Why links of their own and not a position and a hash in the event: an event cannot be changed, and its position in
 * a gapless log depends on who loses beside it. Why not the one order of `$all`: checkpoints, the chain and the rest
 * of the service know logs by server, and a log that is a stream gives all of that with plain reads: position =
 * revision + 1, head = last event, a second process under the same name = a wrong expected revision. Why not the
 * atomic append to many streams: it needs KurrentDB 25.1, and a loser undoes the whole batch.
 *
 * What dies between the steps leaves events without entries (see strays.ts); the next start under the name enters them.
 *
 * Every sending has an id of its own, and a second sending of the same has the same id, so that the database takes
 * it for what it is. Ids made from log, stream and revision would be worse: two different events that one server
 * proposed for one revision, before and after a crash, would be taken for one.
 */
import { randomUUID } from 'node:crypto'
import type { EventData } from '@kurrent/kurrentdb-client'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type { AppendError, LogName, Outcome, Proposal, Stored } from '../../domain/event-store.ts'
import { sealAll } from '../chain.ts'
import type { Head } from '../chain.ts'
import { toReadError } from './failure.ts'
import type { Failure } from './failure.ts'
import type { Link } from './link.ts'
import type { Names } from './names.ts'
import { readHead } from './reader.ts'
import { leaseEvent, linkEvent } from './records.ts'
import { confirmName, FRESH_MS } from './registration.ts'
import type { Opening } from './registration.ts'
import { send, settleSendings } from './sending.ts'
import type { Sending } from './sending.ts'
import { entriesOf, findStrays } from './strays.ts'

/** How often entries are chained anew because a predecessor's last entries came between. */
const ATTEMPTS_MAX = 5
/** How long after a start an append of the process before it may still be carried out: more than its deadline. ms */
const LATE_MS = 15_000

/** Entries on their way to the log. */
interface Entering {
  /** What they are chained to. */
  readonly base: Head
  readonly entries: ReadonlyArray<Stored>
  readonly links: EventData[]
}

/** A batch on its way. */
interface Flight {
  readonly sendings: ReadonlyArray<Sending>
  entering: Entering | undefined
}

type Outcomes = Either<AppendError, ReadonlyNonEmptyArray<Outcome>>

/** Which log, and which start. */
export interface LogIdentity {
  readonly log: LogName
  readonly opening: Opening
}

export interface LogWriter {
  readonly append: (batch: ReadonlyNonEmptyArray<Proposal>) => Promise<Outcomes>
  readonly settle: () => Promise<Outcomes>
  /** Enters what the start before this one left behind. At the start, and once more when nothing can come any more. */
  readonly enterStrays: () => Promise<Either<AppendError, void>>
  /** Whether it is time to look for strays the second time. */
  readonly isLookDue: () => boolean
  /** This start was seen to have the name. */
  readonly confirmed: () => void
  /** Whether all that was appended stands in the log, and nothing of an earlier start can be missing. */
  readonly isClean: () => boolean
}

const enteringOf = (base: Head, entries: ReadonlyArray<Stored>, names: Names): Entering => ({
  base,
  entries,
  links: entries.map((entry) => linkEvent(entry, names)),
})

/** Whether something of a batch is in the streams, or may yet be. */
const isThere = ({ sendings }: Flight): boolean =>
  sendings.some(({ fate, isDoubtful }) => fate === 'appended' || (fate === undefined && isDoubtful))

/** The outcomes of a batch that is settled and entered, in its order. */
const outcomesOf = ({ sendings, entering }: Flight): ReadonlyNonEmptyArray<Outcome> => {
  const seqs = new Map(entering?.entries.map(({ stream, seq }) => [stream, seq]))
  const outcomes = sendings.map(({ proposal: { stream, expected }, fate }): Outcome => {
    if (typeof fate === 'object') return { _tag: 'WrongExpectedRevision', actual: fate.actual }
    return { _tag: 'Appended', revision: expected + 1, seq: seqs.get(stream) ?? 0 }
  })
  return outcomes as unknown as ReadonlyNonEmptyArray<Outcome>
}

/** Appends over `link`, from `start` on; call `enterStrays` before the first append. */
export const makeLogWriter = (link: Link, self: LogIdentity, names: Names, start: Head): LogWriter => {
  const { log, opening } = self
  const openedAt = performance.now()
  let head = start
  let unsettled: Flight | undefined
  let ended: AppendError | undefined
  let confirmedAt = openedAt
  let looks = 0
  let lookFrom = 0n
  let lookedTo = 0n
  let strays: Entering | undefined
  let queue: Promise<unknown> = Promise.resolve()

  /** One at a time: an append, or a look for strays. */
  const exclusively = <A>(act: () => Promise<A>): Promise<A> => {
    const result = queue.then(act)
    queue = result.catch(() => undefined)
    return result
  }

  const stop = (error: AppendError): Either<AppendError, never> => {
    unsettled = undefined
    ended = error
    return E.left(error)
  }

  const advance = ({ seq, hash }: Stored): void => {
    if (seq > head.seq) head = { seq, hash }
  }

  /**
   * Enters in the log; gives 'conflict' when something else stands there and this start has the name: then `head` is
   * the new end of the log.
   */
  const enter = async (entering: Entering): Promise<Either<AppendError | Failure, 'entered' | 'conflict'>> => {
    const { base, entries, links } = entering
    const last = entries.at(-1) as Stored
    const sent = await send(link, names.log(log), links, base.seq - 1)
    if (E.isRight(sent)) {
      advance(last)
      confirmedAt = performance.now()
      return E.right('entered')
    }
    if (sent.left._tag !== 'Conflict') return sent
    const there = await link.read({ stream: names.log(log), from: base.seq, countMax: 1 })
    if (E.isLeft(there)) return there
    if (there.right[0]?.event?.id === links[0]?.id) {
      advance(last)
      return E.right('entered')
    }
    const confirmed = await confirmName(link, log, opening, names)
    if (E.isLeft(confirmed)) return confirmed.left._tag === 'LogTaken' ? stop(confirmed.left) : confirmed
    // It was the last breath of the process that had the name before.
    const found = await readHead(link, log, names)
    if (E.isLeft(found)) return found
    head = found.right.head
    return E.right('conflict')
  }

  /** Gives up for now: a batch of which something may be in the streams stays to be settled. */
  const giveUp = (flight: Flight, failure: AppendError | Failure): Outcomes => {
    if (ended !== undefined) return E.left(ended)
    const { _tag, reason } = failure
    if (_tag === 'Refused' || _tag === 'StoreUnusable') return stop({ _tag: 'StoreUnusable', reason })
    const isFirst = unsettled === undefined
    if (isFirst && !isThere(flight)) return E.left({ _tag: 'StoreUnavailable', reason })
    unsettled = flight
    return E.left({ _tag: isFirst || _tag === 'Lost' ? 'OutcomeUnknown' : 'StoreUnavailable', reason })
  }

  const drive = async (flight: Flight): Promise<Outcomes> => {
    const failures = await settleSendings(link, names, flight.sendings)
    const refused = failures.find(({ _tag }) => _tag === 'Refused')
    const failure = refused ?? failures.find(({ _tag }) => _tag === 'Lost') ?? failures[0]
    if (failure !== undefined) return giveUp(flight, failure)
    const appended = flight.sendings.filter(({ fate }) => fate === 'appended').map(({ proposal }) => proposal)
    for (let attempt = 1; appended.length > 0; attempt++) {
      flight.entering ??= enteringOf(head, sealAll(head, log, appended), names)
      const entered = await enter(flight.entering)
      if (E.isLeft(entered)) return giveUp(flight, entered.left)
      if (entered.right === 'entered') break
      flight.entering = undefined
      if (attempt === ATTEMPTS_MAX) {
        return giveUp(flight, { _tag: 'NotSent', reason: `${link.where}: others write the log of ${log}` })
      }
    }
    unsettled = undefined
    return E.right(outcomesOf(flight))
  }

  const append = async (batch: ReadonlyNonEmptyArray<Proposal>): Promise<Outcomes> => {
    if (ended !== undefined) return E.left(ended)
    if (unsettled !== undefined) throw new Error('append: the batch before this one is not settled')
    // The streams of leases do not know who has the name. One who was not seen to have it for so long that another
    // may have taken it (a process that was stopped and goes on) looks before it writes to them.
    if (performance.now() - confirmedAt > FRESH_MS) {
      const confirmed = await confirmName(link, log, opening, names)
      if (E.isLeft(confirmed)) return confirmed.left._tag === 'LogTaken' ? stop(confirmed.left) : confirmed
      confirmedAt = performance.now()
    }
    const sendings = batch.map((proposal, place): Sending => {
      const id = randomUUID()
      const event = leaseEvent(proposal, { log, opening: opening.revision, after: head.seq, place }, id)
      return { proposal, id, event, fate: undefined, isDoubtful: false }
    })
    return drive({ sendings, entering: undefined })
  }

  const enterStrays = async (): Promise<Either<AppendError, void>> => {
    if (ended !== undefined) return E.left(ended)
    if (unsettled !== undefined) return E.right(undefined)
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      // What was sent before and not answered is sent again as it was: looked for anew it might be entered twice.
      if (strays === undefined) {
        const found = await look()
        if (E.isLeft(found)) return found
      }
      const entered = strays === undefined ? E.right('entered') : await enter(strays)
      if (E.isLeft(entered)) return E.left(toAppendError(entered.left))
      strays = undefined
      if (entered.right === 'conflict') continue
      looks++
      lookFrom = lookedTo
      return E.right(undefined)
    }
    return E.left({ _tag: 'StoreUnavailable', reason: `${link.where}: others write the log of ${log}` })
  }

  /** Looks for strays, and chains them to the end of the log as it is now. */
  const look = async (): Promise<Either<AppendError, void>> => {
    const end = await readHead(link, log, names)
    if (E.isLeft(end)) return end
    if (looks === 0) lookFrom = end.right.position
    const found = await findStrays(link, log, opening.revision, lookFrom, names)
    if (E.isLeft(found)) return found
    head = end.right.head
    lookedTo = found.right.end
    const entries = entriesOf(found.right.strays, log, head, names)
    if (E.isLeft(entries)) return entries
    strays = entries.right.length === 0 ? undefined : enteringOf(head, entries.right, names)
    return E.right(undefined)
  }

  const isLate = (): boolean => performance.now() - openedAt > LATE_MS
  return {
    append: (batch) => exclusively(() => append(batch)),
    settle: () =>
      exclusively(async () => {
        if (ended !== undefined) return E.left(ended)
        if (unsettled === undefined) throw new Error('settle: no outcome is unknown')
        return drive(unsettled)
      }),
    enterStrays: () => exclusively(enterStrays),
    isLookDue: () => !opening.isClean && looks === 1 && unsettled === undefined && ended === undefined && isLate(),
    confirmed: () => {
      confirmedAt = performance.now()
    },
    isClean: () => unsettled === undefined && (opening.isClean || looks > 1),
  }
}

const toAppendError = (error: AppendError | Failure): AppendError => {
  switch (error._tag) {
    case 'NotSent':
    case 'Lost':
    case 'Conflict':
    case 'Missing':
    case 'Refused':
      return toReadError(error)
    default:
      return error
  }
}
