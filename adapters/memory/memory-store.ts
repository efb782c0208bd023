/**
 * The reference event store: one ledger object in memory and any number of writers on it. It passes the same contract
 * suite as the databases and serves tests and the simulation; it keeps nothing.
 */
import * as E from 'fp-ts/lib/Either.js'
import * as TE from 'fp-ts/lib/TaskEither.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type {
  AppendError,
  Checkpoint,
  EventReader,
  EventStore,
  LogName,
  LogTaken,
  Outcome,
  OutcomeUnknown,
  Page,
  Proposal,
  StoreUnavailable,
  Stored,
} from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'
import type { StreamName } from '../../domain/stream.ts'
import { EMPTY_HEAD, seal } from '../chain.ts'

/** What may go wrong with a call. For `append`, `OutcomeUnknown` comes with or without the commit being done. */
export type Fault = StoreUnavailable | (OutcomeUnknown & { readonly committed: boolean })

interface Writer {
  owner: object
  readonly startedAt: Instant
  heartbeatAt: Instant
  stopped: boolean
  info: string
}

/** The ledger that stores and readers share. */
export interface MemoryLedger {
  readonly logs: Map<LogName, Stored[]>
  readonly streams: Map<StreamName, Stored[]>
  readonly writers: Map<LogName, Writer>
  readonly properties: Map<string, string>
  readonly wakes: Set<() => void>
  /** The clock of the store. */
  readonly clock: () => Instant
  /** Asked before each call; what it gives is what the caller gets. A promise holds the call up. */
  readonly fault: (call: keyof EventStore, by: LogName) => Promise<Fault | undefined> | undefined
}

/** An empty ledger. */
export const makeMemoryLedger = (
  clock: () => Instant,
  fault: MemoryLedger['fault'] = () => undefined,
): MemoryLedger => ({
  logs: new Map(),
  streams: new Map(),
  writers: new Map(),
  properties: new Map(),
  wakes: new Set(),
  clock,
  fault,
})

const lastRevision = (ledger: MemoryLedger, stream: StreamName): number => (ledger.streams.get(stream)?.length ?? 0) - 1

const seqAfter = (ledger: MemoryLedger, checkpoint: Checkpoint, countMax: number): Page => {
  const events: Stored[] = []
  const next: Record<LogName, number> = { ...checkpoint }
  for (const [log, all] of ledger.logs) {
    const after = checkpoint[log] ?? 0
    const some = all.slice(after, after + countMax - events.length)
    events.push(...some)
    if (some.length > 0) next[log] = after + some.length
  }
  return { events, next }
}

/** Opens a ledger for reading. `by` names the reader to the fault hook. */
export const openMemoryReader = (ledger: MemoryLedger, by: LogName = ''): EventReader => {
  const call =
    <A>(name: keyof EventStore, act: () => A) =>
    async (): Promise<E.Either<StoreUnavailable, A>> => {
      const fault = await ledger.fault(name, by)
      return fault === undefined ? E.right(act()) : E.left({ _tag: 'StoreUnavailable', reason: fault.reason })
    }
  return {
    readStream: (stream, from, countMax) =>
      call('readStream', () => (ledger.streams.get(stream) ?? []).slice(from, from + countMax)),
    readLatest: (streams) =>
      call('readLatest', () => [...new Set(streams)].flatMap((stream) => ledger.streams.get(stream)?.at(-1) ?? [])),
    readAfter: (checkpoint, countMax) => call('readAfter', () => seqAfter(ledger, checkpoint, countMax)),
    readLog: (log, after, countMax) =>
      call('readLog', () => (ledger.logs.get(log) ?? []).slice(after, after + countMax)),
    heads: () =>
      call('heads', () => Object.fromEntries([...ledger.logs].map(([log, { length }]) => [log, length] as const))),
    onAppended: (wake) =>
      call('onAppended', () => {
        const own = () => wake()
        ledger.wakes.add(own)
        return async () => void ledger.wakes.delete(own)
      }),
    clock: () => call('clock', ledger.clock),
    servers: () =>
      call('servers', () =>
        [...ledger.writers].map(([log, { startedAt, heartbeatAt, stopped, info }]) => ({
          log,
          silentMs: ledger.clock() - heartbeatAt,
          startedAt,
          stopped,
          info,
        })),
      ),
    close: async () => undefined,
  }
}

/** Opens a ledger for the server `log`. Whoever opened it under this name before has lost it. */
export const openMemory = (ledger: MemoryLedger, log: LogName): EventStore => {
  const now = ledger.clock()
  const owner = {}
  ledger.writers.set(log, { owner, startedAt: now, heartbeatAt: now, stopped: false, info: '' })
  let unsettled:
    { batch: ReadonlyNonEmptyArray<Proposal>; outcomes: ReadonlyNonEmptyArray<Outcome> | undefined } | undefined

  const write = (batch: ReadonlyNonEmptyArray<Proposal>): ReadonlyNonEmptyArray<Outcome> => {
    const own = ledger.logs.get(log) ?? []
    const outcomes = batch.map((proposal): Outcome => {
      const actual = lastRevision(ledger, proposal.stream)
      if (actual !== proposal.expected) return { _tag: 'WrongExpectedRevision', actual }
      const stored = seal(own.at(-1)?.hash ?? EMPTY_HEAD.hash, log, own.length + 1, proposal)
      own.push(stored)
      ledger.logs.set(log, own)
      const stream = ledger.streams.get(proposal.stream)
      if (stream === undefined) ledger.streams.set(proposal.stream, [stored])
      else stream.push(stored)
      return { _tag: 'Appended', revision: stored.revision, seq: stored.seq }
    })
    for (const wake of ledger.wakes) queueMicrotask(wake)
    return outcomes as unknown as ReadonlyNonEmptyArray<Outcome>
  }

  const taken = (): LogTaken | undefined =>
    ledger.writers.get(log)?.owner === owner
      ? undefined
      : { _tag: 'LogTaken', reason: `server name ${log} is in use by another process` }

  const append = async (
    batch: ReadonlyNonEmptyArray<Proposal>,
  ): Promise<E.Either<AppendError, ReadonlyNonEmptyArray<Outcome>>> => {
    const fault = await ledger.fault('append', log)
    const lost = taken()
    if (lost !== undefined) return E.left(lost)
    if (fault === undefined) return E.right(write(batch))
    if (fault._tag === 'StoreUnavailable') return E.left(fault)
    unsettled = { batch, outcomes: fault.committed ? write(batch) : undefined }
    return E.left({ _tag: 'OutcomeUnknown', reason: fault.reason })
  }

  return {
    ...openMemoryReader(ledger, log),
    log,
    append: (batch) => () => append(batch),
    settle: () => async () => {
      const fault = await ledger.fault('settle', log)
      if (fault !== undefined) return E.left({ _tag: 'StoreUnavailable', reason: fault.reason })
      const lost = taken()
      if (lost !== undefined) return E.left(lost)
      if (unsettled === undefined) throw new Error('settle: no outcome is unknown')
      const { batch, outcomes } = unsettled
      unsettled = undefined
      return E.right(outcomes ?? write(batch))
    },
    heartbeat: (info) => async () => {
      const fault = await ledger.fault('heartbeat', log)
      if (fault !== undefined) return E.left({ _tag: 'StoreUnavailable', reason: fault.reason })
      const lost = taken()
      if (lost !== undefined) return E.left(lost)
      const writer = ledger.writers.get(log)
      if (writer !== undefined) Object.assign(writer, { heartbeatAt: ledger.clock(), info })
      return E.right(undefined)
    },
    remember: (key, value) =>
      TE.fromIO(() => {
        const kept = ledger.properties.get(key) ?? value
        ledger.properties.set(key, kept)
        return kept
      }),
    close: async () => {
      const writer = ledger.writers.get(log)
      if (writer?.owner === owner) writer.stopped = true
    },
  }
}
