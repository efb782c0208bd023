/**
 * Strays: events that a server appended to the streams of leases and, because it died, never entered in its log. Nobody
 * was told of them, but they are there, and the next event of their stream stands on them.
 */
import { START as FROM_START, streamNameFilter } from '@kurrent/kurrentdb-client'
import type { Position, RecordedEvent, ResolvedEvent } from '@kurrent/kurrentdb-client'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { LogName, ReadError, Revision, Stored } from '../../domain/event-store.ts'
import { hashAfter } from '../chain.ts'
import type { Head } from '../chain.ts'
import { toReadError } from './failure.ts'
import type { Link } from './link.ts'
import type { Names } from './names.ts'
import { leaseMetadata, unplaced } from './records.ts'

/** The database looks through events of others before it finds one that passes the filter. */
const IDLE_MS = 30_000

/** What a look found: the strays in the order of their commits, and where to look from the next time. */
export interface Found {
  readonly strays: ReadonlyArray<RecordedEvent>
  readonly end: Position | undefined
}

/**
 * Events of the server `log` after `from` in `$all` that an earlier start than `opening` appended. All that such a
 * start appended before the last entry of its log is entered; so from there on these are strays.
 */
export const findStrays = async (
  link: Link,
  log: LogName,
  opening: Revision,
  from: Position | undefined,
  names: Names,
): Promise<Either<ReadError, Found>> => {
  const filter = streamNameFilter({ prefixes: names.leasePrefixes })
  const read = await link.read(
    (client) => ofStart(client.readAll({ fromPosition: from ?? FROM_START, filter, requiresLeader: true })),
    IDLE_MS,
  )
  if (E.isLeft(read)) return E.left(toReadError(read.left))
  const strays = read.right.filter((event) => {
    const metadata = leaseMetadata(event)
    const isAfter = from === undefined || (event.position?.commit ?? 0n) > from.commit
    return isAfter && metadata !== undefined && metadata.log === log && metadata.opening < opening
  })
  return E.right({ strays, end: read.right.at(-1)?.position ?? from })

  /** Keeps what may matter of a read that may be long: the log's own events, and the last of all for its place. */
  async function* ofStart(events: AsyncIterable<ResolvedEvent>): AsyncIterable<RecordedEvent> {
    let last: RecordedEvent | undefined
    for await (const { event } of events) {
      last = event as RecordedEvent
      if (leaseMetadata(last)?.log === log) yield last
    }
    if (last !== undefined && leaseMetadata(last)?.log !== log) yield last
  }
}

/** The strays as entries of the log after `head`, chained. */
export const entriesOf = (
  strays: ReadonlyArray<RecordedEvent>,
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
