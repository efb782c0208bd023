/**
 * What every event store must do when it loses its database in the middle of an append: the part of the contract for
 * stores that are reached over a connection. See event-store-contract.ts for the rest.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NO_STREAM, START } from '../../domain/event-store.ts'
import type { EventStore, LogName, LogTaken, ReadError, Unsealed } from '../../domain/event-store.ts'
import { until } from '../support/process.ts'
import { batchOf, claim, claims, must, streamAt } from './proposals.ts'
import { carriedOut, settled } from './settling.ts'
import { expectSoundLogs } from './sound-logs.ts'
import { startProxy } from './proxy.ts'
import type { Proxy, Upstream } from './proxy.ts'

/** A ledger of its own for one test, reached over TCP. */
export interface RemoteLedger {
  readonly upstream: Upstream
  /** Opens the ledger at a port of 127.0.0.1, or directly. At a port with limits of a second at most, which are run into. */
  readonly open: (log: LogName, port?: number) => TaskEither<ReadError | LogTaken, EventStore>
  readonly dispose: () => Promise<void>
}

const MARK = 'marked-for-loss'
const marked = claim(streamAt(1), NO_STREAM, MARK)

/** The store may have noticed that nothing was sent; else it does not know. */
const expectLost = (result: E.Either<{ readonly _tag: string }, unknown>): void => {
  expect(result).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
}

const eventsOf = async (store: EventStore): Promise<ReadonlyArray<Unsealed>> =>
  (await must(store.readAfter(START, 10_000))).events

/** The streams that the ledger holds, each once, on sound logs. */
const expectStreams = async (store: EventStore, streams: ReadonlyArray<string>): Promise<void> => {
  const events = await eventsOf(store)
  expect(events.map(({ stream }) => stream).sort()).toEqual([...streams].sort())
  await expectSoundLogs(store, events)
}

/** Runs the faults against a kind of store; one of `connections` has no others that could be dead beside a lost one. */
export const eventStoreFaults = (
  name: string,
  makeLedger: () => Promise<RemoteLedger>,
  connections: 'one' | 'several' = 'several',
): void => {
  describe(`EventStore contract, faults: ${name}`, () => {
    let ledger: RemoteLedger
    let proxy: Proxy
    let store: EventStore
    let other: EventStore
    beforeEach(async () => {
      ledger = await makeLedger()
      proxy = await startProxy(ledger.upstream)
      store = await must(ledger.open('alpha', proxy.port))
      other = await must(ledger.open('beta'))
      await must(store.append(batchOf(claim(streamAt(0))))) // statements are prepared from here on
    })
    afterEach(async () => {
      await store.close()
      await other.close()
      await proxy.close()
      await ledger.dispose()
    })

    it('settles a commit that was done and not heard of', async () => {
      const cut = proxy.cutAfter(MARK)
      expectLost(await store.append(batchOf(marked, claim(streamAt(2))))())
      await cut
      expect(await settled(store)).toEqual([
        { _tag: 'Appended', revision: 0, seq: 2 },
        { _tag: 'Appended', revision: 0, seq: 3 },
      ])
      expect(await must(store.append(batchOf(claim(streamAt(1), 0))))).toEqual([
        { _tag: 'Appended', revision: 1, seq: 4 },
      ])
      await expectStreams(other, [0, 1, 2, 1].map(streamAt))
    })

    it('settles a commit that never reached the store', async () => {
      const cut = proxy.cutBefore(MARK)
      expectLost(await store.append(batchOf(marked, claim(streamAt(2))))())
      await cut
      expect((await settled(store)).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
      await must(store.append(claims(10, 2)))
      await expectStreams(other, [0, 1, 2, 10, 11].map(streamAt))
    })

    it('settles a commit whose answer does not come', async () => {
      const silent = proxy.silence(MARK)
      const result = await store.append(batchOf(marked))()
      expectLost(result)
      await silent
      expect(await settled(store)).toEqual([{ _tag: 'Appended', revision: 0, seq: 2 }])
      await expectStreams(other, [0, 1].map(streamAt))
    })

    it('is not upset by a commit that arrives after it was settled', async () => {
      const holding = proxy.hold(MARK)
      expectLost(await store.append(batchOf(marked, claim(streamAt(2))))())
      const late = await holding
      expect((await settled(store)).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
      await late.release()
      await must(store.append(claims(10, 1)))
      await expectStreams(other, [0, 1, 2, 10].map(streamAt))
    })

    it('settles once when the commit arrives at that very moment', async () => {
      for (let round = 0; round < 10; round++) {
        const holding = proxy.hold(MARK)
        const [first, second] = [streamAt(100 + round), streamAt(200 + round)]
        expectLost(await store.append(batchOf(claim(first, NO_STREAM, MARK), claim(second)))())
        const late = await holding
        const [outcomes] = await Promise.all([settled(store), late.release()])
        expect(outcomes.map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
      }
      const hosts = Array.from({ length: 10 }, (_, round) => [100 + round, 200 + round]).flat()
      await expectStreams(other, [0, ...hosts].map(streamAt))
    })

    it('gives a stream that was taken in the meantime up, and keeps the rest, also when the commit arrives late', async () => {
      const holding = proxy.hold(MARK)
      expectLost(await store.append(batchOf(marked, claim(streamAt(2)), claim(streamAt(3))))())
      const late = await holding
      await must(other.append(batchOf(claim(streamAt(2)))))
      expect(await settled(store)).toEqual([
        { _tag: 'Appended', revision: 0, seq: 2 },
        { _tag: 'WrongExpectedRevision', actual: 0 },
        { _tag: 'Appended', revision: 0, seq: 3 },
      ])
      await late.release()
      await expectStreams(other, [0, 1, 2, 3].map(streamAt))
      await must(store.append(claims(10, 1)))
    })

    const onlyWithSeveral = connections === 'several' ? it : () => undefined
    onlyWithSeveral('makes the connections beside a lost one anew, which may be dead too', async () => {
      await must(store.readAfter(START, 10))
      await must(store.readLatest([streamAt(0)]))
      const mute = proxy.mute()
      expectLost(await store.append(batchOf(marked))())
      const sent = mute.sent()
      expect(sent).toBeGreaterThan(0)
      await settled(store)
      await until('pages are read', async () => E.isRight(await store.readAfter(START, 10)()))
      await until('latest events are read', async () => E.isRight(await store.readLatest([streamAt(1)])()))
      expect(mute.sent()).toBe(sent)
      await expectStreams(other, [0, 1].map(streamAt))
    })

    it('writes nothing while the store is away, says so in time, and goes on when it is back', async () => {
      await proxy.refuse()
      const before = performance.now()
      const first = await store.append(batchOf(marked))()
      // The connection may have been found dead only by using it.
      expect(E.isLeft(first) ? first.left._tag : 'Right').toMatch(/^(StoreUnavailable|OutcomeUnknown)$/)
      const unknown = E.isLeft(first) && first.left._tag === 'OutcomeUnknown'
      const second = await (unknown ? store.settle() : store.append(batchOf(marked)))()
      expect(second).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(performance.now() - before).toBeLessThan(20_000)
      expect(await store.readAfter(START, 10)()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(await store.heartbeat('')()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      await proxy.admit()
      await (unknown ? settled(store) : carriedOut(store, batchOf(marked), second))
      await until('the heart beats again', async () => E.isRight(await store.heartbeat('')()))
      await until('pages are read again', async () => E.isRight(await store.readAfter(START, 10)()))
      await expectStreams(other, [0, 1].map(streamAt))
    })

    it('keeps an unknown outcome until the store is back', async () => {
      const cut = proxy.cutAfter(MARK)
      expectLost(await store.append(batchOf(marked))())
      await cut
      await proxy.refuse()
      for (let attempt = 0; attempt < 3; attempt++) {
        expect(await store.settle()()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      }
      await proxy.admit()
      expect(await settled(store)).toEqual([{ _tag: 'Appended', revision: 0, seq: 2 }])
    })

    it('hears of appends again after its connections were lost', async () => {
      let heard = 0
      await must(store.onAppended(() => heard++))
      await proxy.refuse()
      expect(E.isLeft(await store.heartbeat('')())).toBe(true)
      await proxy.admit()
      await until('the store is back', async () => E.isRight(await store.heartbeat('')()))
      heard = 0
      let host = 500
      await until('an append is heard of', async () => {
        await must(other.append(claims(host++, 1)))
        return heard > 0
      })
    })
  })
}
