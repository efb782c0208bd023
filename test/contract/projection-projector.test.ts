/** The projector over a ledger and tables in memory: what it must get right whatever the database. */
import * as fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { makeMemoryLedger, openMemoryReader } from '../../adapters/memory/memory-store.ts'
import type { MemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { Recorded, Stored } from '../../domain/event-store.ts'
import { stateOf } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import { makeMemoryTables, openMemoryTables } from '../../projections/memory/memory-tables.ts'
import type { MemoryTables } from '../../projections/memory/memory-tables.ts'
import { realTimer } from '../../projections/timer.ts'
import type { Timer } from '../../projections/timer.ts'
import { Projector } from '../../projections/projector.ts'
import type { ProjectorOptions } from '../../projections/projector.ts'
import { replay } from '../../projections/replay.ts'
import { until } from '../support/process.ts'
import { busySite, folded, histories } from './lease-table-histories.ts'
import { counted, shown } from './lease-tables-contract.ts'
import { must } from './proposals.ts'
import { makeLog, record } from './projection-support.ts'

const QUICK = { gatherMs: 1, surveyMs: 20, retryMinMs: 1, retryMaxMs: 10 }

describe('a projector', () => {
  const running: Projector[] = []
  afterEach(async () => {
    for (const projector of running.splice(0)) await projector.stop()
  })

  const given = () => ({ ledger: makeMemoryLedger(() => 0), database: makeMemoryTables(), log: makeLog() })

  const started = (ledger: MemoryLedger, database: MemoryTables, more: Partial<ProjectorOptions> = {}): Projector => {
    const projector = new Projector({
      store: openMemoryReader(ledger),
      tables: openMemoryTables(database),
      log: makeLog(),
      own: 'alpha',
      ...QUICK,
      ...more,
    })
    running.push(projector)
    projector.start()
    return projector
  }

  const isAt = (database: MemoryTables, log: string, seq: number) => () =>
    database.content.checkpoints.get(LEASES)?.get(log) === seq

  const expectFolded = async (database: MemoryTables, events: ReadonlyArray<Recorded>): Promise<void> => {
    const { rows, statistics } = await shown(openMemoryTables(database))
    expect(new Map([...rows].map(([stream, row]) => [stream, stateOf(row)]))).toStrictEqual(folded(events))
    expect(statistics).toStrictEqual(counted(rows.values()))
  }

  it('projects what is offered without reading it back', async () => {
    const { ledger, database } = given()
    const events = busySite(300, 4, 1)
    await record(ledger, events.slice(0, 100))
    const reads: string[] = []
    const store = openMemoryReader({ ...ledger, fault: (call) => void reads.push(call) })
    const projector = started(ledger, database, { store, surveyMs: 60_000 })
    await until('the gap is read', isAt(database, 'alpha', 100))
    reads.length = 0
    await record(ledger, events.slice(100))
    for (let i = 100; i < events.length; i += 50) projector.offer(events.slice(i, i + 50))
    await until('all is projected', isAt(database, 'alpha', events.length))
    expect(reads.filter((call) => call === 'readLog')).toEqual([])
    expect(projector.state).toEqual({ _tag: 'Live', lag: 0 })
    expect(projector.counters.events).toBe(events.length)
    await expectFolded(database, events)
  })

  it('gathers for longer while many events come', async () => {
    const { ledger, database } = given()
    const waits: number[] = []
    const after: Timer['after'] = (ms, act) => {
      waits.push(ms)
      return realTimer.after(ms === 333 ? 5 : ms, act)
    }
    const timer = { ...realTimer, after }
    const projector = started(ledger, database, { timer, gatherMs: 3, gatherBusyMs: 333, surveyMs: 60_000 })
    await until('it follows', () => projector.state._tag === 'Live')
    const events = busySite(60, 4)
    const offered = async (from: number, to: number): Promise<ReadonlyArray<number>> => {
      await record(ledger, events.slice(from, to))
      waits.length = 0
      projector.offer(events.slice(from, to))
      await until('it is projected', isAt(database, 'alpha', to))
      return waits.filter((ms) => ms === 3 || ms === 333)
    }
    expect(await offered(0, 1)).toEqual([3])
    expect(await offered(1, 30)).toEqual([3])
    expect(await offered(30, 32)).toEqual([333])
    expect(await offered(32, 33)).toEqual([3])
  })

  it('leaves what the fold gives, whatever of it is offered late, twice or never', async () => {
    const property = fc.asyncProperty(histories(80), fc.array(fc.nat(3), { minLength: 4 }), async (events, fates) => {
      const { ledger, database } = given()
      const half = Math.floor(events.length / 2)
      await record(ledger, events.slice(0, half))
      const projectors = ['alpha', 'beta'].map((own) => started(ledger, database, { own, batchMax: 7, queueMax: 9 }))
      await record(ledger, events.slice(half))
      events.slice(half).forEach((event, index) => {
        const fate = fates[index % fates.length]
        const projector = projectors[event.log === 'alpha' ? 0 : 1] as Projector
        if (fate !== 0) projector.offer([event])
        if (fate === 1) projector.offer([event])
      })
      for (const log of new Set(events.map((event) => event.log))) {
        const last = events.filter((event) => event.log === log).length
        await until(`${log} is projected`, isAt(database, log, last))
      }
      await expectFolded(database, events)
      for (const projector of projectors) await projector.stop()
    })
    await fc.assert(property, { numRuns: 15 })
  })

  it('lets go of the queue when the tables are away, and reads it back when they return', async () => {
    const { ledger, database } = given()
    const log = makeLog()
    const events = busySite(200, 4)
    await record(ledger, events)
    const projector = started(ledger, database, { log, queueMax: 50 })
    await until('caught up', isAt(database, 'alpha', 200))
    const more = busySite(200, 4, 1).slice(200)
    await record(ledger, more)
    database.faults.push(...Array.from({ length: 8 }, () => ({ _tag: 'StoreUnavailable' as const, reason: 'away' })))
    for (let i = 0; i < 200; i += 20) projector.offer(more.slice(i, i + 20))
    expect(projector.state).toEqual({ _tag: 'AtCapacity', lag: 200 })
    await until('caught up again', isAt(database, 'alpha', 400))
    await until('live', () => projector.state._tag === 'Live')
    expect(log.lines.filter((line) => line.includes('fall behind')).length).toBeGreaterThan(0)
    expect(log.lines.filter((line) => line.includes('can be written again')).length).toBeGreaterThan(0)
    await expectFolded(database, [...events, ...more])
  })

  it('takes a batch for done whose answer was lost', async () => {
    const { ledger, database } = given()
    const events = busySite(20, 4)
    await record(ledger, events)
    const projector = started(ledger, database, { own: 'alpha', surveyMs: 60_000 })
    await until('caught up', isAt(database, 'alpha', 20))
    const more = busySite(20, 4, 1).slice(20)
    await record(ledger, more)
    database.faults.push({ _tag: 'StoreUnavailable', reason: 'lost', applied: true })
    projector.offer(more)
    await until('live', () => projector.lag === 0 && projector.state._tag === 'Live')
    await expectFolded(database, [...events, ...more])
  })

  it('takes on the log of a server that is gone, together with others that notice', async () => {
    const { ledger, database } = given()
    const events = busySite(500, 4, 1)
    await record(ledger, events)
    const heirs = ['beta', 'gamma', 'delta'].map((own) => started(ledger, database, { own, batchMax: 20 }))
    await until('the log is carried on', isAt(database, 'alpha', events.length))
    await expectFolded(database, events)
    await until('all are live', () => heirs.every(({ state }) => state._tag === 'Live' && state.lag === 0))
    expect(heirs.map(({ counters }) => counters.events).reduce((sum, n) => sum + n)).toBe(events.length)
  })

  it('finds tables that fell behind, after a crash or a rebuild, and reads the difference', async () => {
    const { ledger, database } = given()
    const events = busySite(60, 4, 1)
    await record(ledger, events.slice(0, 60))
    const projector = started(ledger, database)
    await until('caught up', isAt(database, 'alpha', 60))
    database.content = makeMemoryTables().content
    await record(ledger, events.slice(60))
    projector.offer(events.slice(60))
    await until('caught up again', isAt(database, 'alpha', 120))
    await expectFolded(database, events)
  })

  it('stops and says what to do when the tables are ahead of the ledger', async () => {
    const { ledger, database, log } = given()
    await must(openMemoryTables(database).apply(LEASES, 'alpha', 0, 20, []))
    await record(ledger, busySite(10, 4))
    const projector = started(ledger, database, { log })
    await until('stopped', () => projector.state._tag === 'Stopped')
    expect(log.lines.at(-1)).toMatch(/^error .*alpha up to 20.*up to 10.*run `ledger replay`/)
    await must(replay({ store: openMemoryReader(ledger), tables: openMemoryTables(database), resume: false }))
    await expectFolded(database, busySite(10, 4))
  })

  it('stops and names an event that it cannot make a row of', async () => {
    const { ledger, database, log } = given()
    await record(ledger, busySite(10, 4))
    const events = ledger.logs.get('alpha') as Stored[]
    events[4] = { ...(events[4] as Stored), data: (events[4] as Stored).data.replace('"host-4"', '4') }
    const projector = started(ledger, database, { log })
    await until('stopped', () => projector.state._tag === 'Stopped')
    expect(log.lines.at(-1)).toMatch(/event alpha\/5 carries no whole lease/)
  })

  it('stops and says so when a defect shows, and the server goes on', async () => {
    const { ledger, database, log } = given()
    const tables = {
      ...openMemoryTables(database),
      apply: () => () => {
        throw new TypeError('a defect')
      },
    }
    const projector = started(ledger, database, { log, tables })
    projector.offer(busySite(3, 4, 1))
    await until('stopped', () => projector.state._tag === 'Stopped')
    expect(projector.state).toEqual({ _tag: 'Stopped', reason: 'a defect' })
    expect(log.lines.join('\n')).toContain('the lease tables are not kept current any more')
  })

  it('projects what is queued before it stops', async () => {
    const { ledger, database } = given()
    const projector = started(ledger, database, { gatherMs: 10_000, surveyMs: 60_000 })
    const events = busySite(50, 6)
    await record(ledger, events)
    projector.offer(events)
    await projector.stop()
    expect(projector.state._tag).toBe('Stopped')
    await expectFolded(database, events)
  })
})
