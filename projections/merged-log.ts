/**
 * All logs of a ledger as one sequence of events in about the order in which they were recorded, and of that the events
 * of each stream in exactly their order. Memory holds a page of each log, and the events that came before their
 * predecessor did, which are few: servers' clocks are nearly together.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, LogName, ReadError, Seq, Stored } from '../domain/event-store.ts'

const PAGE_MAX = 2_000

interface Source {
  readonly log: LogName
  readonly end: Seq
  page: ReadonlyArray<Stored>
  next: number
  at: Seq
}

/**
 * Calls `onEvent` for each event up to `heads`, each log in its order, of the logs' next events the earliest first.
 * Gives `Left` when the store cannot be read.
 */
export const walkMerged = async (
  store: EventReader,
  heads: Checkpoint,
  onEvent: (stored: Stored) => void,
): Promise<Either<ReadError, void>> => {
  const sources: Source[] = Object.entries(heads).map(([log, end]) => ({ log, end, page: [], next: 0, at: 0 }))
  let open = sources
  for (;;) {
    for (const source of open) {
      const refilled = await refill(store, source)
      if (E.isLeft(refilled)) return refilled
    }
    open = open.filter(({ page }) => page.length > 0)
    if (open.length === 0) return E.right(undefined)
    // Until one of them runs dry.
    while (open.every((source) => source.next < source.page.length)) {
      const source = earliest(open)
      const stored = source.page[source.next++] as Stored
      source.at = stored.seq
      onEvent(stored)
    }
  }
}

const refill = async (store: EventReader, source: Source): Promise<Either<ReadError, void>> => {
  if (source.next < source.page.length) return E.right(undefined)
  const page = source.at < source.end ? await store.readLog(source.log, source.at, PAGE_MAX)() : E.right([])
  if (E.isLeft(page)) return page
  source.page = page.right.filter(({ seq }) => seq <= source.end)
  source.next = 0
  return E.right(undefined)
}

const recordedAt = ({ page, next }: Source): number => page[next]?.recordedAt ?? Infinity

const earliest = (sources: ReadonlyArray<Source>): Source =>
  sources.reduce((first, source) => (recordedAt(source) < recordedAt(first) ? source : first))
