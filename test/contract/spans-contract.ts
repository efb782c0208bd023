/** What every database that keeps spans must do: the same fold as the ledger's, in whatever order logs come. */
import * as fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { makeMemoryLedger, openMemoryReader } from '../../adapters/memory/memory-store.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { FOREVER } from '../../domain/instant.ts'
import { addressText } from '../../domain/stream.ts'
import { IDENTIFIER_KINDS, identifierOf, spanKey, spanRowsOf } from '../../projections/history.ts'
import type { SpanRow } from '../../projections/history.ts'
import { coalesced, rowOf } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { HistoryTable, LeaseTables } from '../../projections/lease-tables.ts'
import { verify } from '../../projections/verify.ts'
import { histories } from './lease-table-histories.ts'
import { batchesOf } from './lease-tables-contract.ts'
import type { TablesUnderTest } from './lease-tables-contract.ts'
import { record } from './projection-support.ts'
import { must } from './proposals.ts'

/** One database of lease tables with spans. */
export interface SpansUnderTest extends TablesUnderTest {
  /** Takes the table of spans away, so that writing to it fails, and puts it back. */
  readonly hide: () => Promise<void>
  readonly unhide: () => Promise<void>
  /** How many rows the lease tables have. */
  readonly countLeases: () => Promise<number>
  /** Rejects unless what people ask in SQL serves when all spans are there, none of them disputed. */
  readonly ask: () => Promise<void>
}

/** Applies a batch of one log with its spans. */
export const applySpans = (tables: Pick<LeaseTables, 'apply'>, batch: ReadonlyArray<Recorded>) => {
  const [first, last] = [batch[0] as Recorded, batch.at(-1) as Recorded]
  return tables.apply(LEASES, first.log, first.seq - 1, last.seq, coalesced(batch.map(rowOf)), spanRowsOf(batch))
}

/** The first of many made-up events that is a claim of an IPv4 address. */
export const sampleClaim = (): Recorded => {
  const samples = fc.sample(histories(1), { seed: 3, numRuns: 200 }).flat()
  const claim = samples.find(({ event, stream }) => event.type === 'LeaseClaimed' && stream.startsWith('lease4/'))
  if (claim === undefined) throw new Error('no claim among the samples')
  return claim
}

/** What the spans of a database say, without what texts of a database cannot hold. */
const essence = (rows: Iterable<SpanRow>): ReadonlyMap<string, object> => {
  const known = [...rows].map((row) => {
    const { lease, first, last, end, formerly } = row
    return [spanKey(row), { renewals: lease.renewals, until: lease.expiresAt, first, last, end, formerly }] as const
  })
  return new Map(known.toSorted(([one], [other]) => (one < other ? -1 : 1)))
}

const logsOf = (events: ReadonlyArray<Recorded>): ReadonlyArray<string> => [...new Set(events.map(({ log }) => log))]

/** The events of three logs, of which one is not enough for what two writers do at once. */
const manyEvents = (): ReadonlyArray<Recorded> =>
  fc.sample(histories(300), { seed: 11, numRuns: 1 })[0] as ReadonlyArray<Recorded>

/** What `verify` says of the tables beside a ledger of these events. */
const verified = async (tables: LeaseTables, events: ReadonlyArray<Recorded>) => {
  const ledger = makeMemoryLedger(() => 0)
  await record(ledger, events)
  return must(verify({ store: openMemoryReader(ledger), tables, checkLink, genesis: GENESIS, maxClockSkewMs: 5_000 }))
}

/** Every span is found by its address, and by everything that its client is known by. */
const expectFound = async (history: HistoryTable, rows: ReadonlyArray<SpanRow>): Promise<void> => {
  for (const row of rows) {
    const within = await must(history.within(addressText(row.stream)))
    expect(within.map(spanKey)).toContain(spanKey(row))
    for (const kind of IDENTIFIER_KINDS) {
      const value = identifierOf(row.lease, kind)
      if (value === undefined || row.last === undefined) continue
      const held = await must(history.ofClient({ kind, value }, 0, FOREVER))
      expect(held.map(spanKey)).toContain(spanKey(row))
    }
  }
}

const RUNS = 15

/** The suite. */
export const spansContract = (name: string, make: () => Promise<SpansUnderTest>) =>
  describe(`spans: ${name}`, () => {
    let under: SpansUnderTest
    let tables: LeaseTables
    beforeAll(async () => {
      under = await make()
      tables = await under.open()
    })
    afterAll(async () => {
      await tables?.close()
      await under?.dispose()
    })
    beforeEach(() => under.clear())

    const history = (): HistoryTable => {
      if (tables.history === undefined) throw new Error('these tables keep no spans')
      return tables.history
    }
    const stored = async (): Promise<ReadonlyArray<SpanRow>> => {
      const rows: SpanRow[] = []
      await must(history().all((row) => rows.push(row)))
      return rows
    }
    const applied = async (batch: ReadonlyArray<Recorded>): Promise<void> =>
      expect(await must(applySpans(tables, batch))).toEqual({ _tag: 'Applied' })

    it('holds what the events say, however they are batched and whichever log comes first', async () => {
      const property = fc.asyncProperty(histories(60), fc.integer({ min: 1, max: 20 }), async (events, size) => {
        const batches = batchesOf(events, size)
        const reversed = logsOf(events)
          .toReversed()
          .flatMap((log) => batches.filter((batch) => batch[0]?.log === log))
        for (const order of [batches, reversed]) {
          await under.clear()
          const half = Math.floor(order.length / 2)
          for (const batch of order.slice(0, half)) await applied(batch)
          expect((await verified(tables, events)).differences).not.toHaveProperty('span') // tables may be behind
          for (const batch of order.slice(half)) await applied(batch)
          expect(essence(await stored())).toEqual(essence(spanRowsOf(events)))
          const { spans, differences } = await verified(tables, events)
          expect(spans).toBe(spanRowsOf(events).length)
          expect([differences.span, differences.disputed]).toEqual([undefined, undefined])
          await expectFound(history(), spanRowsOf(events))
          await under.ask()
        }
      })
      await fc.assert(property, { numRuns: RUNS })
    })

    it('takes an empty name for none', async () => {
      const claim = sampleClaim()
      const named = (hostname: string | undefined, revision: number): Recorded => ({
        ...claim,
        seq: revision + 1,
        revision,
        event: {
          ...claim.event,
          type: revision === 0 ? 'LeaseClaimed' : 'LeaseRenewed',
          lease: { ...claim.event.lease, hostname },
        },
      })
      const events = [named('', 0), named(undefined, 1)]
      for (const event of events) await applied([event])
      expect(essence(await stored())).toEqual(essence(spanRowsOf(events)))
    })

    it('moves the checkpoint and writes the rows only with the spans', async () => {
      const [batch] = batchesOf(manyEvents(), 20) as [ReadonlyArray<Recorded>]
      await under.hide()
      const failed = await applySpans(tables, batch)()
      await under.unhide()
      expect(failed).toMatchObject({ _tag: 'Left' })
      expect(await must(tables.checkpoint(LEASES))).toEqual({})
      expect(await under.countLeases()).toBe(0)
      await applied(batch)
      expect(essence(await stored())).toEqual(essence(spanRowsOf(batch)))
    })

    it('merges what two writers tell of one span at once', async () => {
      const events = manyEvents()
      const logs = logsOf(events)
      expect(logs.length).toBeGreaterThan(1)
      const other = await under.open()
      const follow = async (writer: LeaseTables, log: string): Promise<void> => {
        const own = events.filter((event) => event.log === log)
        for (let at = 0; at < own.length; at += 5) await must(applySpans(writer, own.slice(at, at + 5)))
      }
      const shares = [tables, other].map(async (writer, index) => {
        for (const log of logs.filter((_, place) => place % 2 === index)) await follow(writer, log)
      })
      await Promise.all(shares)
      await other.close()
      expect(essence(await stored())).toEqual(essence(spanRowsOf(events)))
    })
  })
