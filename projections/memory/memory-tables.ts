/** Lease tables in memory, for tests and simulation. They keep every promise of the port but durability. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, LogName, ReadError, Seq, StoreUnavailable } from '../../domain/event-store.ts'
import type { StreamName } from '../../domain/stream.ts'
import type { LeaseRow } from '../lease-row.ts'
import type { LeaseTables, ShadowTables, Statistic } from '../lease-tables.ts'
import { countRow } from '../statistics.ts'

/** What a database of lease tables holds. Several {@link LeaseTables} may be opened on it. */
export interface MemoryTables {
  content: Content
  /** What the next calls meet, one each, before they do anything; or, with `applied`, after a batch was written. */
  readonly faults: Array<StoreUnavailable & { readonly applied?: boolean }>
  /** Tables that are being rebuilt, if any. */
  rebuild: Content | undefined
}

interface Content {
  readonly rows: Map<StreamName, LeaseRow>
  readonly checkpoints: Map<string, Map<LogName, Seq>>
  readonly statistics: Map<string, Statistic>
}

const empty = (): Content => ({ rows: new Map(), checkpoints: new Map(), statistics: new Map() })

/** A database with nothing in it. */
export const makeMemoryTables = (): MemoryTables => ({ content: empty(), faults: [], rebuild: undefined })

/** Opens the tables of a database. */
export const openMemoryTables = (database: MemoryTables): LeaseTables => ({
  ...access(database, () => database.content),
  shadow: (resume) => async () => {
    const fault = failing(database)
    if (fault) return fault
    if (!resume || database.rebuild === undefined) database.rebuild = empty()
    const built = database.rebuild
    const shadow: ShadowTables = {
      ...access(database, () => built),
      swap: () => async () => {
        const failed = failing(database)
        if (failed) return failed
        database.content = built
        database.rebuild = undefined
        return E.right(undefined)
      },
    }
    return E.right(shadow)
  },
})

const failing = (database: MemoryTables): Either<ReadError, never> | undefined => {
  const fault = database.faults.shift()
  return fault === undefined ? undefined : E.left({ _tag: fault._tag, reason: fault.reason })
}

const access = (database: MemoryTables, content: () => Content): Omit<ShadowTables, 'swap'> => ({
  where: 'memory',
  apply: (projection, log, from, to, rows) => async () => {
    const fault = database.faults.shift()
    const failed = (): Either<ReadError, never> => E.left({ _tag: 'StoreUnavailable', reason: fault?.reason ?? '' })
    if (fault !== undefined && fault.applied !== true) return failed()
    const { checkpoints, rows: kept, statistics } = content()
    const logs = checkpoints.get(projection) ?? new Map<LogName, Seq>()
    const checkpointAt = logs.get(log) ?? 0
    if (checkpointAt !== from) return E.right({ _tag: 'Elsewhere', checkpointAt })
    checkpoints.set(projection, logs.set(log, to))
    for (const row of rows) {
      const before = kept.get(row.stream)
      if (before !== undefined && before.revision >= row.revision) continue
      kept.set(row.stream, row)
      if (before !== undefined) countRow(statistics, before, -1)
      countRow(statistics, row, 1)
    }
    return fault === undefined ? E.right({ _tag: 'Applied' }) : failed()
  },
  checkpoint: (projection) => async () => failing(database) ?? E.right(checkpointOf(content(), projection)),
  snapshot: (projection, onRow) => async () => {
    const fault = failing(database)
    if (fault) return fault
    const { rows, statistics } = content()
    for (const row of rows.values()) onRow(row)
    const counted = [...statistics.values()].filter(({ leases }) => leases !== 0)
    return E.right({ checkpoint: checkpointOf(content(), projection), statistics: counted })
  },
  close: async () => undefined,
})

const checkpointOf = (content: Content, projection: string): Checkpoint =>
  Object.fromEntries(content.checkpoints.get(projection) ?? [])
