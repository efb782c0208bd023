/** A real primary with a synchronous standby: the primary is lost, the standby is promoted, and nothing else is. */
import * as E from 'fp-ts/lib/Either.js'
import postgres from 'postgres'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openPostgres, openPostgresReader } from '../../adapters/postgres/open.ts'
import type { PostgresOptions } from '../../adapters/postgres/options.ts'
import { checkPostgresSettings } from '../../adapters/postgres/settings.ts'
import { START } from '../../domain/event-store.ts'
import type { EventReader, EventStore } from '../../domain/event-store.ts'
import { standbyMissing, startPostgres, startSynchronousStandby } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { until } from '../support/process.ts'
import { batchOf, claim, claims, must, streamAt } from './proposals.ts'
import { settled } from './settling.ts'
import { expectSoundLogs } from './sound-logs.ts'

const missing = standbyMissing()
const title = `on a PostgreSQL primary and standby${missing === undefined ? '' : ` (skipped: ${missing})`}`
describe.skipIf(missing !== undefined)(title, () => {
  let primary: TestPostgres
  let standby: TestPostgres
  let stores: EventStore[]
  beforeEach(async () => {
    stores = []
    primary = await startPostgres()
    standby = await startSynchronousStandby(primary)
  })
  afterEach(async () => {
    // A stopped process would make the others wait for it.
    primary.resume()
    standby.resume()
    for (const store of stores) await store.close()
    await standby.stop()
    await primary.stop()
  })

  const optionsFor = (...hosts: ReadonlyArray<TestPostgres>): PostgresOptions => ({
    hosts: hosts.map(({ host, port }) => ({ host, port })),
    database: primary.database,
    user: primary.user,
    connectTimeoutMs: 2_000,
    statementTimeoutMs: 2_000,
    preferAgainMs: 50,
  })
  const open = async (log: string, ...hosts: ReadonlyArray<TestPostgres>): Promise<EventStore> => {
    const store = await must(openPostgres(optionsFor(...hosts), log))
    stores.push(store)
    return store
  }
  const eventsOf = async (store: EventReader) => (await must(store.readAfter(START, 10_000))).events
  /** Each address once, and every log gapless and chained. */
  const expectSound = async (store: EventReader, addresses: number): Promise<void> => {
    const events = await eventsOf(store)
    expect(new Set(events.map(({ stream }) => stream)).size).toBe(addresses)
    expect(events).toHaveLength(addresses)
    await expectSoundLogs(store, events)
  }

  it('writes to the primary wherever it stands in the list, and reads from the standby too', async () => {
    const store = await open('alpha', standby, primary)
    await must(store.append(claims(0, 3)))
    const refused = await openPostgres(optionsFor(standby), 'beta')()
    expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
    expect(E.isLeft(refused) && refused.left.reason).toContain(`127.0.0.1:${standby.port} is a standby`)
    const reader = await must(openPostgresReader(optionsFor(standby)))
    // Synchronous is the standby's disk; what can be read there follows in a moment.
    await until('the standby shows the events', async () => (await eventsOf(reader)).length === 3)
    await reader.close()
    expect(await must(checkPostgresSettings(optionsFor(standby, primary)))).toEqual([])
  })

  it('goes on by itself after the primary was killed and the standby promoted', async () => {
    const store = await open('alpha', primary, standby)
    const other = await open('beta', primary, standby)
    let heard = 0
    await must(other.onAppended(() => heard++))

    // Both append without a pause; the primary dies somewhere in the middle of it.
    const acknowledged = { alpha: 0, beta: 0 }
    let killed = false
    /** Whether the outcome of the last batch is unknown. */
    const appendUntilKilled = async (by: EventStore, log: 'alpha' | 'beta', from: number): Promise<boolean> => {
      let unknown = false
      for (;;) {
        const answer = await (unknown ? by.settle() : by.append(claims(from + acknowledged[log], 20)))()
        if (E.isRight(answer)) acknowledged[log] += 20
        unknown = E.isLeft(answer) && (unknown || answer.left._tag === 'OutcomeUnknown')
        if (E.isLeft(answer) && killed) return unknown
      }
    }
    const appending = [appendUntilKilled(store, 'alpha', 0), appendUntilKilled(other, 'beta', 20_000)] as const
    await until('some batches are acknowledged', () => acknowledged.alpha > 100 && acknowledged.beta > 100)
    await primary.kill()
    killed = true
    const [unknownA, unknownB] = await Promise.all(appending)

    // Until somebody promotes the standby it is not written to, and what is unknown stays so.
    for (const [by, unknown] of [[store, unknownA] as const, [other, unknownB] as const]) {
      const again = await (unknown ? by.settle() : by.append(claims(60_000, 1)))()
      expect(again).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(E.isLeft(again) && again.left.reason).toContain('is a standby')
      expect(await by.heartbeat('')()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
    }

    await standby.promote()
    let expected = acknowledged.alpha + acknowledged.beta
    for (const [by, unknown] of [[store, unknownA] as const, [other, unknownB] as const]) {
      if (!unknown) continue
      expect(new Set((await settled(by)).map(({ _tag }) => _tag))).toEqual(new Set(['Appended']))
      expected += 20
    }
    await must(store.append(claims(40_000, 10)))
    await must(other.append(claims(41_000, 10)))
    await expectSound(other, expected + 20)
    heard = 0
    let address = 42_000
    await until('appends are heard of', async () => {
      await must(store.append(claims(address++, 1)))
      return heard > 0
    })
  })

  it('does not go back to the old primary when that comes back and accepts writes', async () => {
    const store = await open('alpha', primary, standby)
    const other = await open('beta', primary, standby)
    await must(store.append(claims(0, 5)))
    await must(other.append(claims(10, 5)))
    await primary.kill()
    await standby.promote()
    // Nobody appends before the old one is back: the events alone do not tell the two hosts apart.
    for (const by of [store, other]) await until('the fail-over', async () => E.isRight(await by.heartbeat('')()))
    await primary.restart()
    await must(store.append(claims(20, 5)))
    const old = postgres(primary.url, { max: 1 })
    const fresh = postgres(standby.url, { max: 1 })
    const sessions = (sql: postgres.Sql) => sql`
      SELECT FROM pg_stat_activity WHERE application_name = 'lease-ledger' AND datname = current_database()`
    // Whatever is dialled there is closed again; appends and heartbeats keep landing on the new primary.
    for (let round = 0; round < 10; round++) await must(store.append(claims(100 + round, 1)))
    await until('nobody is connected to the old primary', async () => (await sessions(old)).length === 0)
    expect((await sessions(fresh)).length).toBeGreaterThan(0)
    const [kept] = await old`SELECT count(*)::int AS events FROM events`
    expect(kept?.events).toBe(10)
    await old.end({ timeout: 1 })
    await fresh.end({ timeout: 1 })
    await expectSound(store, 25)
  })

  it('does not take an event for safe that only the primary has', async () => {
    const store = await open('alpha', primary, standby)
    await must(store.append(claims(0, 2)))
    standby.pause()
    expect(await store.append(batchOf(claim(streamAt(10))))()).toMatchObject({
      _tag: 'Left',
      left: { _tag: 'OutcomeUnknown' },
    })
    // The commit waits for the standby. Told to stop, its backend lets everybody see it, and the standby lacks it.
    const admin = postgres(primary.url, { max: 1 })
    const stop = () => admin`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`
    await until('the commit waits no more and is seen', async () => {
      await stop()
      return (await admin`SELECT FROM events WHERE stream = ${streamAt(10)}`).length === 1
    })
    expect(E.isRight(await store.settle()())).toBe(false)
    standby.resume()
    expect((await settled(store)).map(({ _tag }) => _tag)).toEqual(['Appended'])
    await admin.end({ timeout: 1 })
    await primary.kill()
    await standby.promote()
    await until('the new primary is used', async () => E.isRight(await store.heartbeat('')()))
    await expectSound(store, 3)
  })
})
