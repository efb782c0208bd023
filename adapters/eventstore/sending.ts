/** Sending events to streams, and finding out what became of them. */
import type { AppendResult, EventData } from '@kurrent/kurrentdb-client'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { NO_STREAM } from '../../domain/event-store.ts'
import type { Proposal, Revision } from '../../domain/event-store.ts'
import type { Failure } from './failure.ts'
import type { Link } from './link.ts'
import type { Names } from './names.ts'
import { readForwards } from './reader.ts'

/**
 * Events on their way at a time. A Node stream of objects takes 16 before it asks its writer to wait, and when the
 * connection breaks while it has one wait, this client (1.3) rejects a promise that nobody can catch.
 */
const IN_FLIGHT_MAX = 12
/** An event on its way to the stream of its lease. */
export interface Sending {
  readonly proposal: Proposal
  readonly id: string
  /** The event as it is sent, again and again if need be. */
  readonly event: EventData
  /** What became of it; undefined as long as that is not known. */
  fate: 'appended' | { readonly actual: Revision } | undefined
  /** It was sent, and nobody knows what became of that. */
  isDoubtful: boolean
}

/**
 * Appends events to a stream whose last revision is to be `expected`. The client's deadline of 10 s stands: it goes to
 * the database as a time of day, and a shorter one would be over before it comes where clocks are apart.
 */
export const send = (
  link: Link,
  stream: string,
  events: EventData[],
  expected: Revision,
): Promise<Either<Failure, AppendResult>> =>
  link.call((client) =>
    client.appendToStream(stream, events, {
      streamState: expected === NO_STREAM ? 'no_stream' : BigInt(expected),
      requiresLeader: true,
    }),
  )

/** Finds out what became of one event, sending it again if need be. Gives what stood in the way. */
const settleSending = async (link: Link, names: Names, sending: Sending): Promise<Failure | undefined> => {
  const { id, event } = sending
  const { stream, expected } = sending.proposal
  const sent = await send(link, names.lease(stream), [event], expected)
  if (E.isRight(sent)) {
    sending.fate = 'appended'
    return undefined
  }
  if (sent.left._tag === 'Lost') sending.isDoubtful = true
  if (sent.left._tag !== 'Conflict') return sent.left
  const { actual } = sent.left
  if (!sending.isDoubtful) {
    sending.fate = { actual }
    return undefined
  }
  // What it met may be its own first sending.
  const there = await readForwards(link, names.lease(stream), expected + 1, 1)
  if (E.isLeft(there)) return there.left
  sending.fate = there.right[0]?.event?.id === id ? 'appended' : { actual }
  return undefined
}

/** Settles those whose fate is not known, a few at a time; gives what stood in the way. */
export const settleSendings = async (
  link: Link,
  names: Names,
  sendings: ReadonlyArray<Sending>,
): Promise<ReadonlyArray<Failure>> => {
  const open = sendings.filter(({ fate }) => fate === undefined)
  const failures: Failure[] = []
  let next = 0
  const work = async (): Promise<void> => {
    // After the first failure the rest is left for later: it would fare alike, and somebody waits.
    while (next < open.length && failures.length === 0) {
      const failure = await settleSending(link, names, open[next++] as Sending)
      if (failure !== undefined) failures.push(failure)
    }
  }
  await Promise.all(Array.from({ length: Math.min(IN_FLIGHT_MAX, open.length) }, work))
  return failures
}
