/** Proposals and answers for tests of event stores. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import { NO_STREAM } from '../../domain/event-store.ts'
import type { Proposal, Revision } from '../../domain/event-store.ts'
import { makeLease } from '../../domain/lease.ts'
import type { StreamName } from '../../domain/stream.ts'

const NOW = 1_790_000_000_123

export const streamAt = (host: number): StreamName =>
  `lease4/198.18.${Math.floor(host / 256)}.${host % 256}` as StreamName

/** A claim of the address by a client that says it is called `hostname`. */
export const claim = (stream: StreamName, expected: Revision = NO_STREAM, hostname = 'printer'): Proposal => ({
  stream,
  expected,
  recordedAt: NOW,
  event: {
    type: 'LeaseClaimed',
    lease: makeLease(
      {
        clientId: '01020304050607',
        duid: undefined,
        fqdnForward: undefined,
        fqdnReverse: undefined,
        holder: 'id:01020304050607',
        hostname,
        hwAddress: '020304050607',
        hwSource: undefined,
        hwType: 1,
        iaid: undefined,
        poolId: 0,
        preferredLifetimeSec: undefined,
        relay: { address: '198.18.0.1', circuitId: '000401' },
        subnetId: 1,
        transactionId: 7,
        userContext: undefined,
        validLifetimeSec: 3_600,
      },
      NOW + 3_600_000,
      0,
      NOW,
    ),
  },
})

/** Claims of the addresses from `from` on, each the first event of its stream. */
export const claims = (from: number, count: number): ReadonlyNonEmptyArray<Proposal> =>
  Array.from({ length: count }, (_, index) =>
    claim(streamAt(from + index)),
  ) as unknown as ReadonlyNonEmptyArray<Proposal>

export const batchOf = (...proposals: ReadonlyNonEmptyArray<Proposal>): ReadonlyNonEmptyArray<Proposal> => proposals

/** The value of an Either; throws with what the Left says. */
export const right = <L, A>(either: Either<L, A>): A => {
  if (E.isLeft(either)) throw new Error(`unexpected ${JSON.stringify(either.left)}`)
  return either.right
}

/** Runs a task and gives its value; rejects with what its Left says. */
export const must = async <L, A>(task: TaskEither<L, A>): Promise<A> => right(await task())
