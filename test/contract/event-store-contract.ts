/**
 * What every event store must do, as tests. An adapter's test says how a fresh ledger of its kind is made; what one
 * adapter's tests check alone would be a hole in this contract.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NO_STREAM, START } from '../../domain/event-store.ts'
import type {
  Checkpoint,
  EventReader,
  EventStore,
  LogName,
  LogTaken,
  Outcome,
  Proposal,
  ReadError,
  Unsealed,
} from '../../domain/event-store.ts'
import { decodeEvent } from '../../domain/lease-codec.ts'
import { until } from '../support/process.ts'
import { batchOf, claim, claims, must, streamAt } from './proposals.ts'
import { carriedOut } from './settling.ts'
import { expectSoundLogs } from './sound-logs.ts'

/** A ledger of its own for one test, empty at first. */
export interface LedgerUnderTest {
  readonly open: (log: LogName) => TaskEither<ReadError | LogTaken, EventStore>
  readonly openReader: () => TaskEither<ReadError, EventReader>
  /** Tries to change or remove events by the means of the store; rejects when the store refuses. Absent where none exist. */
  readonly vandalise?: ReadonlyArray<{ readonly what: string; readonly how: () => Promise<unknown> }>
  /** Puts an event at a position beyond 2^53 - 1 of the log; absent where the store cannot hold one. */
  readonly plantBeyondSafe?: (log: LogName) => Promise<void>
  readonly dispose: () => Promise<void>
}

const tags = (outcomes: ReadonlyArray<Outcome>): ReadonlyArray<string> => outcomes.map(({ _tag }) => _tag)

/** Everything after a checkpoint, page by page. */
const readAll = async (reader: EventReader, from: Checkpoint = START, countMax = 1_000): Promise<Unsealed[]> => {
  const all: Unsealed[] = []
  let checkpoint = from
  for (;;) {
    const page = await must(reader.readAfter(checkpoint, countMax))
    if (page.events.length === 0) return all
    all.push(...page.events)
    checkpoint = page.next
  }
}

/** Revisions of each stream must be 0, 1, 2… */
const expectSoundStreams = (events: ReadonlyArray<Unsealed>): void => {
  for (const [, stream] of Map.groupBy(events, (event) => event.stream)) {
    const revisions = stream.map(({ revision }) => revision).sort((a, b) => a - b)
    expect(revisions).toEqual(revisions.map((_, index) => index))
  }
}

/** Appends, and settles what a loaded machine could not answer in time: as the service does. */
const appendAll = async (store: EventStore, batch: ReadonlyNonEmptyArray<Proposal>) =>
  carriedOut(store, batch, await store.append(batch)())

/** Runs the contract against a kind of store. `makeLedger` gives a fresh ledger for each test. */
export const eventStoreContract = (name: string, makeLedger: () => Promise<LedgerUnderTest>): void => {
  describe(`EventStore contract: ${name}`, () => {
    let ledger: LedgerUnderTest
    let opened: { close: () => Promise<void> }[]
    beforeEach(async () => {
      ledger = await makeLedger()
      opened = []
    })
    afterEach(async () => {
      for (const each of opened) await each.close()
      await ledger.dispose()
    })
    const open = async (log: LogName = 'alpha'): Promise<EventStore> => {
      const store = await must(ledger.open(log))
      opened.push(store)
      return store
    }
    const openReader = async (): Promise<EventReader> => {
      const reader = await must(ledger.openReader())
      opened.push(reader)
      return reader
    }

    describe('append', () => {
      it('numbers the events of a stream from 0 and those of a log from 1, without gaps', async () => {
        const store = await open()
        const first = await must(store.append(claims(0, 3)))
        expect(first).toEqual([1, 2, 3].map((seq) => ({ _tag: 'Appended', revision: 0, seq })))
        const second = await must(store.append(batchOf(claim(streamAt(1), 0), claim(streamAt(9)))))
        expect(second).toEqual([
          { _tag: 'Appended', revision: 1, seq: 4 },
          { _tag: 'Appended', revision: 0, seq: 5 },
        ])
        const events = await readAll(store)
        expectSoundStreams(events)
        await expectSoundLogs(store, events)
      })

      it('lets exactly one of two writers at one revision win', async () => {
        const [a, b] = [await open('alpha'), await open('beta')]
        for (let host = 0; host < 20; host++) {
          const race = await Promise.all([a, b].map((store) => must(store.append(batchOf(claim(streamAt(host)))))))
          expect(race.flatMap(tags).sort()).toEqual(['Appended', 'WrongExpectedRevision'])
        }
        expect(await readAll(a)).toHaveLength(20)
      })

      it('refuses NO_STREAM on a stream that exists, and says where the stream is', async () => {
        const store = await open()
        await must(store.append(batchOf(claim(streamAt(1)))))
        await must(store.append(batchOf(claim(streamAt(1), 0))))
        expect(await must(store.append(batchOf(claim(streamAt(1)))))).toEqual([
          { _tag: 'WrongExpectedRevision', actual: 1 },
        ])
      })

      it('refuses a revision that the stream has passed', async () => {
        const store = await open()
        await must(store.append(batchOf(claim(streamAt(1)))))
        await must(store.append(batchOf(claim(streamAt(1), 0))))
        expect(await must(store.append(batchOf(claim(streamAt(1), 0))))).toEqual([
          { _tag: 'WrongExpectedRevision', actual: 1 },
        ])
      })

      it('refuses a revision that the stream has not reached', async () => {
        const store = await open()
        await must(store.append(batchOf(claim(streamAt(1)))))
        const outcomes = await must(
          store.append(batchOf(claim(streamAt(1), 4), claim(streamAt(2), 0), claim(streamAt(3)))),
        )
        expect(outcomes).toEqual([
          { _tag: 'WrongExpectedRevision', actual: 0 },
          { _tag: 'WrongExpectedRevision', actual: NO_STREAM },
          { _tag: 'Appended', revision: 0, seq: 2 },
        ])
      })

      it('lets a loser cost its neighbours nothing, and keeps the order of the outcomes', async () => {
        const [a, b] = [await open('alpha'), await open('beta')]
        await must(b.append(batchOf(claim(streamAt(1)), claim(streamAt(3)))))
        expect(await must(a.append(claims(0, 5)))).toEqual([
          { _tag: 'Appended', revision: 0, seq: 1 },
          { _tag: 'WrongExpectedRevision', actual: 0 },
          { _tag: 'Appended', revision: 0, seq: 2 },
          { _tag: 'WrongExpectedRevision', actual: 0 },
          { _tag: 'Appended', revision: 0, seq: 3 },
        ])
        const events = await readAll(a)
        expect(events).toHaveLength(5)
        expect(await expectSoundLogs(a, events)).toBe(2)
      })

      it('answers a batch of losers without writing anything', async () => {
        const [a, b] = [await open('alpha'), await open('beta')]
        await must(b.append(claims(0, 4)))
        expect(tags(await must(a.append(claims(0, 4))))).toEqual(new Array(4).fill('WrongExpectedRevision'))
        expect(await must(a.heads())).toEqual({ beta: 4 })
        expect(tags(await must(a.append(claims(8, 1))))).toEqual(['Appended'])
      })

      it('takes batches of 1,000 events', async () => {
        const store = await open()
        const outcomes = await must(store.append(claims(0, 1_000)))
        expect(outcomes.at(-1)).toEqual({ _tag: 'Appended', revision: 0, seq: 1_000 })
        await expectSoundLogs(store, await readAll(store))
      })

      it('keeps texts as they are', async () => {
        const store = await open()
        const texts = [
          '',
          "o'brien",
          'back\\slash',
          '"quoted"',
          'a\nb\tc\u0001',
          '\u0000',
          'größe-日本-🖨',
          '\ud800',
          '$1 %s {}',
        ]
        const batch = texts.map((text, index) => claim(streamAt(index), NO_STREAM, text))
        await must(store.append(batch as unknown as ReadonlyNonEmptyArray<Proposal>))
        const events = await readAll(store)
        const names = events.map(({ type, schemaVersion, data }) => {
          const event = decodeEvent(type, schemaVersion, data)
          return E.isRight(event) ? event.right.lease.hostname : event.left.reason
        })
        expect(names).toEqual(texts)
        expect(events.map(({ recordedAt }) => recordedAt)).toEqual(batch.map(({ recordedAt }) => recordedAt))
        await expectSoundLogs(store, events)
      })
    })

    describe('reading', () => {
      it('gives an empty ledger as empty', async () => {
        const store = await open()
        expect(await must(store.readAfter(START, 10))).toEqual({ events: [], next: START })
        expect(await must(store.heads())).toEqual({})
        expect(await must(store.readLatest([streamAt(1)]))).toEqual([])
        expect(await must(store.readLatest([]))).toEqual([])
        expect(await must(store.readStream(streamAt(1), 0, 10))).toEqual([])
        expect(await must(store.readLog('alpha', 0, 10))).toEqual([])
      })

      it('pages through several logs and ends with an empty page', async () => {
        const [a, b] = [await open('alpha'), await open('beta')]
        await must(a.append(claims(0, 25)))
        await must(b.append(claims(100, 18)))
        for (const countMax of [1, 7, 25, 1_000]) {
          const events = await readAll(a, START, countMax)
          expect(events).toHaveLength(43)
          expect(await expectSoundLogs(a, events)).toBe(2)
        }
        const all = await must(b.readAfter({ alpha: 20, beta: 18 }, 100))
        expect(all.events.map(({ log, seq }) => `${log}/${seq}`)).toEqual(
          [21, 22, 23, 24, 25].map((seq) => `alpha/${seq}`),
        )
        expect(all.next).toEqual({ alpha: 25, beta: 18 })
        expect(await must(b.readAfter(all.next, 100))).toEqual({ events: [], next: all.next })
      })

      it('reads a stream from a revision on', async () => {
        const store = await open()
        for (let revision = 0; revision < 5; revision++) {
          await must(store.append(batchOf(claim(streamAt(1), revision - 1), claim(streamAt(revision + 10)))))
        }
        const some = await must(store.readStream(streamAt(1), 1, 3))
        expect(some.map(({ revision }) => revision)).toEqual([1, 2, 3])
        expect(some.every(({ stream }) => stream === streamAt(1))).toBe(true)
      })

      it('reads a log from a position on', async () => {
        const store = await open()
        await must(store.append(claims(0, 9)))
        const some = await must(store.readLog('alpha', 4, 3))
        expect(some.map(({ seq }) => seq)).toEqual([5, 6, 7])
      })

      it('shows at once in readLatest what another writer committed', async () => {
        const [a, b] = [await open('alpha'), await open('beta')]
        await must(a.append(batchOf(claim(streamAt(1)), claim(streamAt(2)))))
        await must(b.append(batchOf(claim(streamAt(1), 0, 'plotter'))))
        const latest = await must(a.readLatest([streamAt(1), streamAt(2), streamAt(3), streamAt(1)]))
        expect(latest.map(({ stream, revision, log }) => `${stream} ${revision} ${log}`).sort()).toEqual([
          `${streamAt(1)} 1 beta`,
          `${streamAt(2)} 0 alpha`,
        ])
      })

      it('reads the same through a reader as through a store', async () => {
        const store = await open()
        await must(store.append(claims(0, 5)))
        const reader = await openReader()
        expect(await readAll(reader)).toEqual(await readAll(store))
        expect(await must(reader.heads())).toEqual({ alpha: 5 })
      })

      it('never lets a reader miss an event of a writer that commits late', async () => {
        const stores = [await open('alpha'), await open('beta'), await open('gamma')]
        const reader = await openReader()
        let writing = true
        const seen = new Set<string>()
        const following = (async () => {
          for (let checkpoint: Checkpoint = START; ;) {
            const last = !writing
            const page = await must(reader.readAfter(checkpoint, 40))
            for (const { log, seq } of page.events) {
              expect(seen.has(`${log}/${seq}`)).toBe(false)
              seen.add(`${log}/${seq}`)
            }
            checkpoint = page.next
            if (last && page.events.length === 0) return
          }
        })()
        await Promise.all(
          stores.map(async (store, writer) => {
            // Batches of different size take different time, and all want the hosts below 40.
            for (let round = 0; round < 15; round++) {
              const shared = claim(streamAt(round))
              const own = claims(1_000 * (writer + 1) + round * 60, 1 + ((round * 17 * (writer + 1)) % 60))
              await must(store.append([shared, ...own]))
            }
          }),
        )
        writing = false
        await following
        expect(seen.size).toBe((await readAll(reader)).length)
      })

      it('refuses to round positions beyond 2^53 - 1', async () => {
        const store = await open()
        await must(store.append(claims(0, 1)))
        if (ledger.plantBeyondSafe === undefined) return
        await ledger.plantBeyondSafe('alpha')
        const page = await store.readAfter({ alpha: 1 }, 10)()
        expect(page).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
        const heads = await store.heads()()
        expect(heads).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
      })
    })

    describe('a server', () => {
      it('continues its log and its chain when it is opened again', async () => {
        // More than ten positions: as texts, 9 would be the highest.
        const before = await must(ledger.open('alpha'))
        await must(before.append(claims(0, 12)))
        await before.close()
        const after = await open('alpha')
        expect(tags(await must(after.append(batchOf(claim(streamAt(0), 0), claim(streamAt(99))))))).toEqual([
          'Appended',
          'Appended',
        ])
        const events = await readAll(after)
        expect(events).toHaveLength(14)
        expect(await expectSoundLogs(after, events)).toBe(1)
      })

      it('shares its name with nobody: of two, one goes on', async () => {
        const a = await open('alpha')
        await must(a.append(claims(0, 1)))
        const second = await beating(a, () => ledger.open('alpha')())
        const stores = E.isRight(second) ? [a, second.right] : [a]
        if (E.isRight(second)) opened.push(second.right)
        else expect(second.left).toMatchObject({ _tag: 'LogTaken', reason: expect.stringContaining('alpha') })
        const alive: EventStore[] = []
        for (const store of stores) {
          const beat = await store.heartbeat('')()
          if (E.isRight(beat)) alive.push(store)
          else expect(beat.left._tag).toBe('LogTaken')
        }
        expect(alive).toHaveLength(1)
        await must((alive[0] as EventStore).append(claims(10, 2)))
        for (const store of stores.filter((each) => each !== alive[0])) {
          expect(await store.append(claims(20, 1))()).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
        }
        await expectSoundLogs(a, await readAll(a))
      })

      it('is seen by others with its heartbeat, and seen to have stopped', async () => {
        const a = await open('alpha')
        const b = await must(ledger.open('beta'))
        await must(a.heartbeat('share 1 of 2'))
        await must(b.heartbeat('share 2 of 2'))
        const both = await must(a.servers())
        expect(both.map(({ log, stopped, info }) => ({ log, stopped, info }))).toEqual([
          { log: 'alpha', stopped: false, info: 'share 1 of 2' },
          { log: 'beta', stopped: false, info: 'share 2 of 2' },
        ])
        for (const { silentMs } of both) expect(silentMs).toBeLessThan(30_000)
        await b.close()
        expect((await must(a.servers())).map(({ stopped }) => stopped)).toEqual([false, true])
      })

      it('remembers the first value of a key', async () => {
        const [a, b] = [await open('alpha'), await open('beta')]
        expect(await must(a.remember('duid', '0001'))).toBe('0001')
        expect(await must(b.remember('duid', '0002'))).toBe('0001')
        expect(await must(b.remember('other', '0003'))).toBe('0003')
      })

      it('can ask the store for the time', async () => {
        const store = await open()
        const [first, second] = [await must(store.clock()), await must(store.clock())]
        expect(Number.isSafeInteger(first)).toBe(true)
        expect(second).toBeGreaterThanOrEqual(first)
      })

      it('hears of what others append', async () => {
        const [a, b] = [await open('alpha'), await open('beta')]
        const reader = await openReader()
        let heard = 0
        let heardByReader = 0
        const forget = await must(b.onAppended(() => heard++))
        await must(reader.onAppended(() => heardByReader++))
        await must(a.append(claims(0, 3)))
        await until('the other server and the reader hear of it', () => heard > 0 && heardByReader > 0)
        await forget()
        const before = heard
        heardByReader = 0
        await must(a.append(claims(10, 3)))
        await until('the reader hears of it', () => heardByReader > 0)
        expect(heard).toBe(before)
      })
    })

    it('keeps every (stream, revision) once, whatever several writers propose', async () => {
      const stores = [await open('alpha'), await open('beta'), await open('gamma')]
      const hosts = fc.uniqueArray(fc.nat({ max: 11 }), { minLength: 1, maxLength: 8 })
      let appended = 0
      await fc.assert(
        fc.asyncProperty(fc.array(hosts, { minLength: 3, maxLength: 9 }), async (batches) => {
          await Promise.all(
            stores.map(async (store, writer) => {
              for (const [index, batch] of batches.entries()) {
                if (index % stores.length !== writer) continue
                const streams = batch.map(streamAt)
                const latest = await must(store.readLatest(streams))
                const known = new Map(latest.map(({ stream, revision }) => [stream, revision]))
                const proposals = streams.map((stream) => claim(stream, known.get(stream) ?? NO_STREAM))
                const outcomes = await appendAll(store, proposals as unknown as ReadonlyNonEmptyArray<Proposal>)
                appended += outcomes.filter(({ _tag }) => _tag === 'Appended').length
              }
            }),
          )
        }),
        { numRuns: 12 },
      )
      const events = await readAll(stores[0] as EventStore)
      expect(events).toHaveLength(appended)
      expectSoundStreams(events)
      await expectSoundLogs(stores[0] as EventStore, events)
    })

    it('refuses to change or remove events', async () => {
      const store = await open()
      await must(store.append(claims(0, 3)))
      const before = await readAll(store)
      for (const { what, how } of ledger.vandalise ?? []) {
        await expect(how(), what).rejects.toThrow(/never changed or removed/)
      }
      expect(await readAll(store)).toEqual(before)
    })
  })
}

/** Keeps a server's heart beating while something else is done. */
const beating = async <A>(store: EventStore, act: () => Promise<A>): Promise<A> => {
  const beat = setInterval(() => void store.heartbeat('')(), 100)
  try {
    return await act()
  } finally {
    clearInterval(beat)
  }
}
