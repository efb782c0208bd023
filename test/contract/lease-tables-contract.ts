/** What every database of lease tables must do. Each case gets tables of its own. */
import * as fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { Recorded, Seq } from '../../domain/event-store.ts'
import { coalesced, rowOf, stateOf } from '../../projections/lease-row.ts'
import type { LeaseRow } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { LeaseTables, SnapshotEnd, Statistic } from '../../projections/lease-tables.ts'
import { countRow, statisticKey } from '../../projections/statistics.ts'
import { busySite, folded, histories } from './lease-table-histories.ts'
import { must } from './proposals.ts'

/** One empty database of lease tables. */
export interface TablesUnderTest {
  /** Opens them, any number of times. */
  readonly open: () => Promise<LeaseTables>
  /** Empties them. */
  readonly clear: () => Promise<void>
  readonly dispose: () => Promise<void>
}

/** Everything that the tables show. */
export interface Shown extends SnapshotEnd {
  readonly rows: ReadonlyMap<string, LeaseRow>
}

/** The content of the tables as one value that can be compared. */
export const shown = async (tables: Pick<LeaseTables, 'snapshot'>): Promise<Shown> => {
  const rows: LeaseRow[] = []
  const { checkpoint, statistics } = await must(tables.snapshot(LEASES, (row) => rows.push(row)))
  const byKey = (one: Statistic, other: Statistic): number => (statisticKey(one) < statisticKey(other) ? -1 : 1)
  const sorted = rows.sort((one, other) => (one.stream < other.stream ? -1 : 1))
  return {
    checkpoint,
    statistics: [...statistics].sort(byKey),
    rows: new Map(sorted.map((row) => [row.stream, row])),
  }
}

/** The statistics that the rows themselves give. */
export const counted = (rows: Iterable<LeaseRow>): ReadonlyArray<Statistic> => {
  const statistics = new Map<string, Statistic>()
  for (const row of rows) countRow(statistics, row, 1)
  return [...statistics.keys()].sort().map((key) => statistics.get(key) as Statistic)
}

/** The events of each log in batches of up to `size`, the logs taking turns. */
export const batchesOf = (events: ReadonlyArray<Recorded>, size: number): ReadonlyArray<ReadonlyArray<Recorded>> => {
  const logs = [...new Set(events.map(({ log }) => log))]
  const batches = logs.map((log) => {
    const own = events.filter((event) => event.log === log)
    return Array.from({ length: Math.ceil(own.length / size) }, (_, i) => own.slice(i * size, (i + 1) * size))
  })
  const longest = Math.max(0, ...batches.map(({ length }) => length))
  return Array.from({ length: longest }, (_, turn) => batches.flatMap((own) => own.slice(turn, turn + 1))).flat()
}

/** Applies a batch of one log; gives what became of it. */
export const applyBatch = (tables: Pick<LeaseTables, 'apply'>, batch: ReadonlyArray<Recorded>) => {
  const [first, last] = [batch[0] as Recorded, batch.at(-1) as Recorded]
  return must(tables.apply(LEASES, first.log, first.seq - 1, last.seq, coalesced(batch.map(rowOf))))
}

const RUNS = 25

/** The suite. */
export const leaseTablesContract = (name: string, make: () => Promise<TablesUnderTest>) =>
  describe(`lease tables: ${name}`, () => {
    let dispose: Array<() => Promise<void>> = []
    afterEach(async () => {
      for (const close of dispose.reverse()) await close()
      dispose = []
    })

    const given = async (): Promise<{ tables: LeaseTables; under: TablesUnderTest }> => {
      const under = await make()
      dispose.push(() => under.dispose())
      const tables = await under.open()
      dispose.push(() => tables.close())
      return { tables, under }
    }

    it('shows for every stream what the fold of its events gives, in batches of any size', async () => {
      const { tables, under } = await given()
      const property = fc.asyncProperty(histories(60), fc.integer({ min: 1, max: 20 }), async (events, size) => {
        await under.clear()
        for (const batch of batchesOf(events, size))
          expect(await applyBatch(tables, batch)).toEqual({ _tag: 'Applied' })
        const { rows, statistics } = await shown(tables)
        expect(new Map([...rows].map(([stream, row]) => [stream, stateOf(row)]))).toStrictEqual(folded(events))
        expect(statistics).toStrictEqual(counted(rows.values()))
      })
      await fc.assert(property, { numRuns: RUNS })
    })

    it('shows the same whether events come one by one or coalesced, and in whatever order the logs come', async () => {
      const { tables, under } = await given()
      const property = fc.asyncProperty(histories(40), async (events) => {
        const outcomes = []
        for (const order of [batchesOf(events, 1), batchesOf(events, 7).toSorted(byLog(1)), batchesOf(events, 50)]) {
          await under.clear()
          for (const batch of order) await applyBatch(tables, batch)
          outcomes.push(await shown(tables))
        }
        expect(outcomes[1]).toStrictEqual(outcomes[0])
        expect(outcomes[2]).toStrictEqual(outcomes[0])
      })
      await fc.assert(property, { numRuns: RUNS })
    })

    it('lets a batch through once, and says where the checkpoint stands', async () => {
      const { tables } = await given()
      const events = busySite(30, 4)
      expect(await applyBatch(tables, events.slice(0, 20))).toEqual({ _tag: 'Applied' })
      const before = await shown(tables)
      expect(await applyBatch(tables, events.slice(0, 20))).toEqual({ _tag: 'Elsewhere', checkpointAt: 20 })
      expect(await applyBatch(tables, events.slice(10, 30))).toEqual({ _tag: 'Elsewhere', checkpointAt: 20 })
      expect(await applyBatch(tables, events.slice(25, 30))).toEqual({ _tag: 'Elsewhere', checkpointAt: 20 })
      expect(await shown(tables)).toStrictEqual(before)
      expect(await must(tables.apply(LEASES, 'unknown', 5, 6, []))).toEqual({ _tag: 'Elsewhere', checkpointAt: 0 })
      expect(await must(tables.checkpoint(LEASES))).toEqual({ alpha: 20 })
    })

    it('moves the checkpoint over events that leave no row', async () => {
      const { tables } = await given()
      expect(await must(tables.apply(LEASES, 'alpha', 0, 5, []))).toEqual({ _tag: 'Applied' })
      expect(await must(tables.checkpoint(LEASES))).toEqual({ alpha: 5 })
      expect(await must(tables.checkpoint('another'))).toEqual({})
    })

    it('keeps rows, checkpoint and statistics right while several writers project the same logs', async () => {
      const { tables, under } = await given()
      const others = [tables, await under.open(), await under.open()]
      dispose.push(...others.slice(1).map((other) => () => other.close()))
      const events = fc.sample(histories(400), { seed: 20_260, numRuns: 1 })[0] as ReadonlyArray<Recorded>
      const logs = [...new Set(events.map(({ log }) => log))]
      await Promise.all(others.flatMap((writer) => logs.map((log) => followLog(writer, ofLog(events, log)))))
      const { rows, statistics, checkpoint } = await shown(tables)
      expect(new Map([...rows].map(([stream, row]) => [stream, stateOf(row)]))).toStrictEqual(folded(events))
      expect(statistics).toStrictEqual(counted(rows.values()))
      expect(checkpoint).toEqual(Object.fromEntries(logs.map((log) => [log, ofLog(events, log).length])))
    })

    it('rebuilds beside the live tables and puts the result in their place', async () => {
      const { tables } = await given()
      const events = [...busySite(40, 4, 1), ...busySite(40, 6, 1).map((event) => ({ ...event, log: 'beta' }))]
      for (const batch of batchesOf(events, 30)) await applyBatch(tables, batch)
      const live = await shown(tables)
      const first = await must(tables.shadow(false))
      await applyBatch(first, ofLog(events, 'alpha').slice(0, 50))
      await first.close()
      const resumed = await must(tables.shadow(true))
      expect(await must(resumed.checkpoint(LEASES))).toEqual({ alpha: 50 })
      await applyBatch(resumed, ofLog(events, 'alpha').slice(50))
      await applyBatch(resumed, ofLog(events, 'beta'))
      expect(await shown(tables)).toStrictEqual(live)
      await must(resumed.swap())
      await resumed.close()
      expect(await shown(tables)).toStrictEqual(live)
      const anew = await must(tables.shadow(false))
      expect((await shown(anew)).rows.size).toBe(0)
      await anew.close()
    })
  })

const ofLog = (events: ReadonlyArray<Recorded>, log: string): ReadonlyArray<Recorded> =>
  events.filter((event) => event.log === log)

const byLog =
  (sign: 1 | -1) =>
  (one: ReadonlyArray<Recorded>, other: ReadonlyArray<Recorded>): number =>
    sign * (other[0]?.log ?? '').localeCompare(one[0]?.log ?? '')

/** Projects a log to its end as one of several writers does: from wherever the tables say they stand. */
const followLog = async (tables: LeaseTables, events: ReadonlyArray<Recorded>): Promise<void> => {
  let at: Seq = 0
  while (at < events.length) {
    const outcome = await applyBatch(tables, events.slice(at, at + 5))
    at = outcome._tag === 'Applied' ? Math.min(at + 5, events.length) : outcome.checkpointAt
  }
}
