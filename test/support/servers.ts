/** Ledgers, replicas and followers of several servers over one store, as the service puts them together, for tests. */
import * as E from 'fp-ts/lib/Either.js'
import { START } from '../../domain/event-store.ts'
import type { EventStore, Recorded } from '../../domain/event-store.ts'
import { realTimer } from '../../projections/timer.ts'
import { Follower } from '../../server/follower.ts'
import { Ledger } from '../../server/ledger.ts'
import type { LedgerOptions } from '../../server/ledger.ts'
import type { Logger } from '../../server/logger.ts'
import { Replica } from '../../server/replica.ts'
import { policy } from './lease-spec.ts'

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
    catchUp: () => follower.catchUp(),
    onAppended: (events) => {
      appended.push(...events)
    },
    onFatal,
    ...more,
  })
  return { ledger, replica, follower, appended, fatal }
}

/** The value of a task that must not fail. */
export const right = async <A>(task: () => Promise<E.Either<unknown, A>>): Promise<A> => {
  const result = await task()
  if (E.isLeft(result)) throw new Error(`unexpected: ${JSON.stringify(result.left)}`)
  return result.right
}
