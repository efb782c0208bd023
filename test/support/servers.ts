/** Ledgers, replicas and followers of several servers over one store, as the service puts them together, for tests. */
import * as E from 'fp-ts/lib/Either.js'
import { makeMemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { Fault, MemoryLedger } from '../../adapters/memory/memory-store.ts'
import { START } from '../../domain/event-store.ts'
import type { EventStore, Recorded } from '../../domain/event-store.ts'
import { realTimer } from '../../projections/timer.ts'
import type { Timer } from '../../projections/timer.ts'
import { formatErrors, resolveSources } from '../../server/config/load.ts'
import type { Config } from '../../server/config/model.ts'
import { sourceOf } from '../../server/config/source.ts'
import { Follower } from '../../server/follower.ts'
import { Ledger } from '../../server/ledger.ts'
import type { LedgerOptions } from '../../server/ledger.ts'
import type { Logger } from '../../server/logger.ts'
import { Replica } from '../../server/replica.ts'
import { Turns } from '../../server/turns.ts'
import { at, policy } from './lease-spec.ts'
import { PATIENCE_MS } from './process.ts'

/** A logger that says nothing. */
export const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** One server without sockets. */
export interface TestServer {
  readonly ledger: Ledger
  readonly replica: Replica
  readonly follower: Follower
  readonly appended: Recorded[]
  readonly fatal: string[]
}

/** Puts a server together on a store. */
export const makeServer = (store: EventStore, now: () => number, more: Partial<LedgerOptions> = {}): TestServer => {
  const replica = new Replica()
  const appended: Recorded[] = []
  const fatal: string[] = []
  const onFatal = (reason: string): void => void fatal.push(reason)
  const follower = new Follower({
    store,
    replica,
    own: store.log,
    from: START,
    log: silent,
    timer: realTimer,
    pageMax: 100,
    pollMinMs: 1,
    pollMaxMs: 1,
    restMs: 1,
    restBusyMs: 1,
    onFatal,
  })
  const ledger = new Ledger({
    store,
    replica,
    policy,
    now,
    timer: realTimer,
    log: silent,
    batchMax: 20,
    offerBatchMax: 20,
    attemptsMax: 4,
    queueMax: 1000,
    offerDelayMs: 0,
    retryMs: 1,
    hasPeers: () => true,
    catchUp: () => follower.catchUp(),
    onAppended: (events) => {
      appended.push(...events)
    },
    onFatal,
    ...more,
  })
  return { ledger, replica, follower, appended, fatal }
}

/** The value of a configuration in Kea's dialect that must be good. */
export const configOf = (whole: object): Config => {
  const source = sourceOf('test', JSON.stringify(whole))
  const config = E.isLeft(source) ? E.left([source.left]) : resolveSources([source.right])
  if (E.isLeft(config)) throw new Error(formatErrors(config.left))
  return config.right
}

/** Writes down what is over, as a server does that finds no free address; false when the store is away. */
export const makeRoomOn =
  ({ ledger, replica, follower }: TestServer, now: () => number) =>
  async (): Promise<boolean> => {
    if (!(await follower.catchUp())) return false
    const due = replica.takeDue(now() - 5000, 100)
    await Promise.all(due.map((stream) => ledger.execute(stream, { type: 'Expire' })))
    return ledger.health === 'up'
  }

/** Waits until a handler has come to its decisions. */
export const decided = async (handler: { readonly waiting: number }): Promise<void> => {
  const deadline = performance.now() + PATIENCE_MS
  while (handler.waiting > 0) {
    if (performance.now() > deadline) throw new Error('the server did not come to a decision in time')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** A ledger in memory and its clock. */
export interface TimedLedger {
  readonly store: MemoryLedger
  readonly now: () => number
  /** Seconds pass. */
  readonly pass: (seconds: number) => void
}

/** An empty ledger; while `faults` has one, it is what the store does instead of answering. */
export const makeTimedLedger = (faults: ReadonlyArray<Fault>): TimedLedger => {
  let seconds = 0
  const now = (): number => at(seconds)
  return {
    store: makeMemoryLedger(now, () => (faults.length === 0 ? undefined : Promise.resolve(faults[0]))),
    now,
    pass: (passed) => {
      seconds += passed
    },
  }
}

/** The types of the events of a stream. */
export const typesOf = ({ store }: Pick<TimedLedger, 'store'>, stream: string): string[] =>
  ([...store.streams].find(([name]) => name === stream)?.[1] ?? []).map(({ type }) => type)

/** The value of a task that must not fail. */
export const right = async <A>(task: () => Promise<E.Either<unknown, A>>): Promise<A> => {
  const result = await task()
  if (E.isLeft(result)) throw new Error(`unexpected: ${JSON.stringify(result.left)}`)
  return result.right
}

/** Turns of a server that is alone: nobody stands back. */
export const turnsAlone = new Turns({ share: () => ({ own: '', alive: [] }), now: () => 0, timer: realTimer })

/** Turns of the second of two servers on the link of a relay. What it stands back from is answered when the test says so. */
export const turnsOfSecond = (relay: string): { readonly turns: Turns; readonly inVain: () => void } => {
  let waiting: (() => void)[] = []
  const after: Timer['after'] = (_, act) => {
    waiting.push(act)
    return () => void (waiting = waiting.filter((each) => each !== act))
  }
  const timer: Timer = { after, soon: (act) => act() }
  const alive = ['a', 'b']
  const link = { relay, interfaceName: undefined }
  const turnsOf = (own: string): Turns => new Turns({ share: () => ({ own, alive }), now: () => 0, timer })
  const second = alive.find((own) => turnsOf(own).standsBack(Uint8Array.of(), link, () => undefined)) as string
  waiting = []
  const inVain = (): void => {
    const acts = waiting
    waiting = []
    for (const act of acts) act()
  }
  return { turns: turnsOf(second), inVain }
}
