/** Building lease tables from the ledger: `ledger replay`, and the tables as they were at some time. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { Checkpoint, EventReader, LogName, ReadError, Seq } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import type { Undecodable } from '../domain/lease-codec.ts'
import { spanRowsOf } from './history.ts'
import { LEASES } from './lease-tables.ts'
import type { LeaseTables } from './lease-tables.ts'
import { readPage, rowsOf } from './log-page.ts'

/** Why a replay ended early. Another one can go on from there. */
export type ReplayError = ReadError | Undecodable

/** How far a replay is. `total` grows while servers append. */
export interface ReplayProgress {
  readonly done: number
  readonly total: number
}

/** What a replay did. */
export interface Replayed {
  /** Events that it went through, without those that an interrupted replay had done before. */
  readonly events: number
  readonly checkpoint: Checkpoint
}

export interface FillOptions {
  readonly store: EventReader
  readonly tables: Pick<LeaseTables, 'apply' | 'checkpoint'>
  /** Only what was recorded up to then, inclusive; every event without it. */
  readonly until?: Instant | undefined
  /** Only the beginning of each log up to here; all of it without. */
  readonly upTo?: Checkpoint | undefined
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined
  /** Events of a batch. */
  readonly batchMax?: number | undefined
}

const BATCH_MAX = 2_000

/** With so few events left the projectors of the servers do the rest, after the swap. */
const NEARLY = 1_000

/**
 * Takes tables from wherever their checkpoint stands to the end of the ledger. Ends when there was nothing more to
 * read, also when servers append as it goes. With `until` the tables get another content than the ledger's own: they
 * must be others than those that a server keeps current.
 */
export const fill =
  (options: FillOptions): TaskEither<ReplayError, Replayed> =>
  async () => {
    const { store, tables, onProgress } = options
    const begun = await tables.checkpoint(LEASES)()
    if (E.isLeft(begun)) return begun
    const at: Record<LogName, Seq> = { ...begun.right }
    const skipped = sum(begun.right)
    for (;;) {
      const found = await store.heads()()
      if (E.isLeft(found)) return found
      const ahead = Object.entries(at).find(([log, seq]) => seq > (found.right[log] ?? 0))
      if (ahead !== undefined) return E.left(notOf(ahead, found.right))
      const heads = bounded(found.right, options.upTo)
      const total = sum(heads)
      for (const [log, head] of Object.entries(heads)) {
        while ((at[log] ?? 0) < head) {
          const moved = await fillBatch(options, log, at[log] ?? 0, head)
          if (E.isLeft(moved)) return moved
          if (moved.right === (at[log] ?? 0)) break
          at[log] = moved.right
          onProgress?.({ done: sum(at), total: Math.max(total, sum(at)) })
        }
      }
      if (total - sum(at) < NEARLY) return E.right({ events: sum(at) - skipped, checkpoint: at })
    }
  }

const sum = (checkpoint: Checkpoint): number => Object.values(checkpoint).reduce((total, seq) => total + seq, 0)

/** What an interrupted replay left is further than the ledger: that was another one, or there was more of it. */
const notOf = ([log, seq]: readonly [LogName, Seq], heads: Checkpoint): ReplayError => ({
  _tag: 'StoreUnusable',
  reason:
    `the tables that are to be gone on with show the log of ${log} up to ${seq}, and the ledger has it up to ` +
    `${heads[log] ?? 0}: begin anew`,
})

const bounded = (heads: Checkpoint, upTo: Checkpoint | undefined): Checkpoint =>
  upTo === undefined
    ? heads
    : Object.fromEntries(Object.entries(heads).map(([log, head]) => [log, Math.min(head, upTo[log] ?? 0)]))

const fillBatch = async (
  options: FillOptions,
  log: LogName,
  from: Seq,
  head: Seq,
): Promise<Either<ReplayError, Seq>> => {
  const { store, tables, until = Infinity, upTo } = options
  const batchMax = options.batchMax ?? BATCH_MAX
  const page = await readPage(store, log, from, upTo === undefined ? batchMax : Math.min(batchMax, head - from))
  if (E.isLeft(page)) return page
  const { events, to } = page.right
  if (to === from) return E.right(from)
  const taken = until === Infinity ? events : events.filter(({ recordedAt }) => recordedAt <= until)
  const rows = rowsOf(taken)
  if (E.isLeft(rows)) return rows
  const applied = await tables.apply(LEASES, log, from, to, rows.right, spanRowsOf(taken))()
  if (E.isLeft(applied)) return applied
  return E.right(applied.right._tag === 'Applied' ? to : applied.right.checkpointAt)
}

export interface ReplayOptions extends Omit<FillOptions, 'tables' | 'until' | 'upTo'> {
  readonly tables: LeaseTables
  /** Goes on with what an interrupted replay left, if anything. */
  readonly resume: boolean
}

/**
 * Rebuilds the lease tables from the whole ledger beside the live ones and then puts them in their place. Queries and
 * servers go on meanwhile; a server that projects finds the tables a little behind after the swap and catches up.
 */
export const replay =
  (options: ReplayOptions): TaskEither<ReplayError, Replayed> =>
  async () => {
    const shadow = await options.tables.shadow(options.resume)()
    if (E.isLeft(shadow)) return shadow
    try {
      const filled = await fill({ ...options, tables: shadow.right, until: undefined, upTo: undefined })()
      if (E.isLeft(filled)) return filled
      const swapped = await shadow.right.swap()()
      return E.isLeft(swapped) ? swapped : filled
    } finally {
      await shadow.right.close()
    }
  }
