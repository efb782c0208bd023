/**
 * Strays: events that a server appended to the streams of leases and, because it died, never entered in its log. Nobody
 * was told of them, but they are there, and the next event of their stream stands on them.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { LogName, ReadError, Revision, Stored } from '../../domain/event-store.ts'
import { hashAfter } from '../chain.ts'
import type { Head } from '../chain.ts'
import { toReadError } from './failure.ts'
import type { Link } from './link.ts'
import type { Names } from './names.ts'
import type { Kept } from './read.ts'
import { leaseMetadata, unplaced } from './records.ts'

/** The database looks through events of others before it finds one that passes the filter. */
const IDLE_MS = 30_000

/** What a look found: the strays in the order of their commits, and where to look from the next time. */
export interface Look {
  readonly strays: ReadonlyArray<Kept>
  readonly end: bigint
}

/**
 * Events of the server `log` after position `from` in `$all` that an earlier start than `opening` appended. All that
 * such a start appended before the last entry of its log is entered; so from there on these are strays.
 */
export const findStrays = async (
  link: Link,
  log: LogName,
  opening: Revision,
  from: bigint,
  names: Names,
): Promise<Either<ReadError, Look>> => {
  const strays: Kept[] = []
  let end = from
  const read = await link.read(
    { allFrom: from, prefixes: names.leasePrefixes },
    ({ event }) => {
      if (event === undefined) return false
      const metadata = leaseMetadata(event)
      // A read from a position begins with the event at that position. Nothing but a lease's first event is at 0.
      const isNew = event.position > from || from === 0n
      if (isNew && metadata?.log === log && metadata.opening < opening) strays.push(event)
      end = event.position
      return false
    },
    IDLE_MS,
  )
  return E.isLeft(read) ? E.left(toReadError(read.left)) : E.right({ strays, end })
}

/** The strays as entries of the log after `head`, chained. */
export const entriesOf = (
  strays: ReadonlyArray<Kept>,
  log: LogName,
  head: Head,
  names: Names,
): Either<ReadError, ReadonlyArray<Stored>> => {
  const entries: Stored[] = []
  let previous = head.hash
  for (const event of strays) {
    const stored = unplaced(event, names)
    if (E.isLeft(stored)) return stored
    const entry = { ...stored.right, log, seq: head.seq + 1 + entries.length }
    const hash = hashAfter(previous, entry)
    if (hash === undefined) {
      return E.left({ _tag: 'StoreUnusable', reason: `${entry.stream} revision ${entry.revision} holds no JSON` })
    }
    entries.push({ ...entry, hash })
    previous = hash
  }
  return E.right(entries)
}
