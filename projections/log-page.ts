/** Stored events of a log as projections take them. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { EventReader, LogName, ReadError, Recorded, Seq, Stored, Unsealed } from '../domain/event-store.ts'
import { decodeStored } from '../domain/lease-codec.ts'
import type { Undecodable } from '../domain/lease-codec.ts'
import { coalesced, rowOf } from './lease-row.ts'
import type { LeaseRow } from './lease-row.ts'

/** Events of a log that follow each other, and the position of the last one. */
export interface LogPage {
  readonly events: ReadonlyArray<Recorded>
  readonly to: Seq
}

/**
 * Decodes events of one log, in order. An event whose data was erased leaves its position and nothing else: there is
 * no lease in it any more.
 */
export const decodePage = (stored: ReadonlyArray<Stored>, after: Seq): Either<Undecodable, LogPage> => {
  const events: Recorded[] = []
  for (const one of stored) {
    if (isErased(one)) continue
    const decoded = decodeStored(one)
    if (E.isLeft(decoded)) return decoded
    events.push(decoded.right)
  }
  return E.right({ events, to: stored.at(-1)?.seq ?? after })
}

/** Whether the personal data of an event was erased; its digest stands in its place. */
export const isErased = (stored: Unsealed): boolean => /^\s*\{\s*"erased"\s*:/.test(stored.data)

/** Reads and decodes up to `countMax` events of `log` after `after`; none when there is nothing more. */
export const readPage = async (
  reader: EventReader,
  log: LogName,
  after: Seq,
  countMax: number,
): Promise<Either<ReadError | Undecodable, LogPage>> => {
  const stored = await reader.readLog(log, after, countMax)()
  return E.isLeft(stored) ? stored : decodePage(stored.right, after)
}

/** The rows that a batch of events leaves, one a stream. An event whose fields are not what they should be is named. */
export const rowsOf = (events: ReadonlyArray<Recorded>): Either<Undecodable, ReadonlyArray<LeaseRow>> => {
  const rows: LeaseRow[] = []
  for (const event of events) {
    try {
      rows.push(rowOf(event))
    } catch (error) {
      const reason = `event ${event.log}/${event.seq} carries no whole lease: ${(error as Error).message}`
      return E.left({ _tag: 'Undecodable', reason })
    }
  }
  return E.right(coalesced(rows))
}
