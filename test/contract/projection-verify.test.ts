/** `verify` and `replay` over a ledger in memory: what is well, and what was changed behind their back. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkLink, erasedData, GENESIS, sealAll } from '../../adapters/chain.ts'
import { makeMemoryLedger, openMemoryReader } from '../../adapters/memory/memory-store.ts'
import type { MemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { Recorded, Stored } from '../../domain/event-store.ts'
import { rowOf, stateOf } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import { makeMemoryTables, openMemoryTables } from '../../projections/memory/memory-tables.ts'
import { fill, replay } from '../../projections/replay.ts'
import { verify } from '../../projections/verify.ts'
import type { Verified } from '../../projections/verify.ts'
import { decideAll } from '../unit/projection-given.ts'
import { busySite, folded, histories } from './lease-table-histories.ts'
import { applyBatch, batchesOf, shown } from './lease-tables-contract.ts'
import { must } from './proposals.ts'
import { proposalOf, record } from './projection-support.ts'

const given = async (events: ReadonlyArray<Recorded>) => {
  const ledger = makeMemoryLedger(() => 0)
  await record(ledger, events)
  const database = makeMemoryTables()
  await must(replay({ store: openMemoryReader(ledger), tables: openMemoryTables(database), resume: false }))
  return { ledger, database }
}

const verified = (ledger: MemoryLedger, database?: ReturnType<typeof makeMemoryTables>): Promise<Verified> =>
  must(
    verify({
      store: openMemoryReader(ledger),
      tables: database === undefined ? undefined : openMemoryTables(database),
      checkLink,
      genesis: GENESIS,
      maxClockSkewMs: 5_000,
    }),
  )

/** A log that somebody who knows the chain wrote anew. */
const forged = (ledger: MemoryLedger, events: ReadonlyArray<Recorded>): void => {
  for (const log of new Set(events.map((event) => event.log))) {
    const own = events.filter((event) => event.log === log)
    ledger.logs.set(log, [...sealAll({ seq: 0, hash: GENESIS }, log, own.map(proposalOf))])
  }
}

describe('verify', () => {
  it('finds nothing wrong with any history and the tables rebuilt from it', async () => {
    const property = fc.asyncProperty(histories(80), async (events) => {
      const { ledger, database } = await given(events)
      const found = await verified(ledger, database)
      const { overlap: _, ...others } = found.differences // the streams name prefixes that lie in each other
      expect(others).toEqual({})
      expect(found).toMatchObject({ events: events.length, streams: folded(events).size, rows: folded(events).size })
    })
    await fc.assert(property, { numRuns: 30 })
  })

  it('goes by the checkpoint of the tables when they are behind', async () => {
    const events = busySite(30, 4, 1)
    const { ledger } = await given(events)
    const database = makeMemoryTables()
    for (const batch of batchesOf(events.slice(0, 45), 10)) await applyBatch(openMemoryTables(database), batch)
    expect((await verified(ledger, database)).differences).toEqual({})
  })

  const log = (ledger: MemoryLedger): Stored[] => ledger.logs.get('alpha') as Stored[]
  const tampered: ReadonlyArray<readonly [what: string, how: (events: Stored[]) => void, found: RegExp]> = [
    [
      'changed',
      (events) => {
        const one = events[6] as Stored
        events[6] = { ...one, data: one.data.replace('host-6', 'host-x') }
      },
      /^event alpha\/7 \(lease4\/198\.18\.0\.6\) is not/,
    ],
    ['removed', (events) => void events.splice(6, 1), /^alpha: position 7 is missing/],
    ['removed at the end', (events) => void events.splice(19, 1), /^alpha: nothing can be read after position 19/],
    [
      'inserted',
      (events) => void events.splice(6, 0, { ...(events[6] as Stored), seq: 7 }),
      /^alpha: position 8 is missing/,
    ],
    [
      'swapped',
      (events) => {
        const [six, seven] = [events[6] as Stored, events[7] as Stored]
        events[6] = { ...seven, seq: 7 }
        events[7] = { ...six, seq: 8 }
      },
      /^event alpha\/7 /,
    ],
  ]
  for (const [what, how, found] of tampered) {
    it(`names the first event that was ${what}`, async () => {
      const { ledger } = await given(busySite(20, 4))
      const heads = { alpha: 20 }
      how(log(ledger))
      const store = { ...openMemoryReader(ledger), heads: () => async () => ({ _tag: 'Right' as const, right: heads }) }
      const result = await must(verify({ store, checkLink, genesis: GENESIS, maxClockSkewMs: 5_000 }))
      expect(result.differences.chain?.first).toMatch(found)
    })
  }

  it('accepts an event whose data was erased, in chain, rebuild and tables', async () => {
    const { ledger, database } = await given(busySite(20, 4))
    const one = log(ledger)[6] as Stored
    log(ledger)[6] = { ...one, data: erasedData(one) }
    const found = await verified(ledger, database)
    expect(found).toMatchObject({ events: 20, erased: 1, differences: {} })
    await must(replay({ store: openMemoryReader(ledger), tables: openMemoryTables(database), resume: false }))
    expect((await verified(ledger, database)).differences).toEqual({})
    expect((await shown(openMemoryTables(database))).rows.size).toBe(19)
  })

  it('finds revisions that are missing or doubled, across logs', async () => {
    const [first, second] = busySite(1, 4, 1) as [Recorded, Recorded]
    const ledger = makeMemoryLedger(() => 0)
    forged(ledger, [first, { ...second, log: 'beta', seq: 1, revision: 2 }])
    expect((await verified(ledger)).differences.revision?.first).toMatch(/revision 1 is missing/)
    forged(ledger, [first, { ...second, log: 'beta', seq: 1, revision: 0 }])
    expect((await verified(ledger)).differences.revision?.first).toMatch(/revision 0 is there twice, event beta\/1/)
  })

  it('finds a client that got the address while another held it, and allows for clocks that are apart', async () => {
    const address = 'lease4/198.18.0.9'
    const own = decideAll(address, [{ at: 0, claim: { validLifetimeSec: 60 } }])
    const other = (seconds: number): Recorded => {
      const event = decideAll(address, [{ at: seconds * 1000, claim: { validLifetimeSec: 60 } }])
      const lease = { ...event.event.lease, holder: 'hw:1:02000000ffff' }
      return { ...event, log: 'beta', revision: 1, event: { type: 'LeaseClaimed', lease } }
    }
    const ledger = makeMemoryLedger(() => 0)
    forged(ledger, [own, other(59)])
    expect((await verified(ledger)).differences.holder).toMatchObject({
      count: 1,
      first: expect.stringMatching(
        /02000000ffff has it from .*:59.000Z.* had it until .*:01:00.000Z \(event beta\/1\)/,
      ),
    })
    forged(ledger, [own, other(60)])
    expect((await verified(ledger)).differences).toEqual({})
    const released = decideAll(address, [
      { at: 0, claim: { validLifetimeSec: 60 } },
      { at: 30_000, release: true },
    ])
    forged(ledger, [own, released, { ...other(27), revision: 2 }])
    expect((await verified(ledger)).differences).toEqual({})
    forged(ledger, [own, released, { ...other(20), revision: 2 }])
    expect((await verified(ledger)).differences.holder?.count).toBe(1)
  })

  it('finds every way in which the tables may differ from the ledger', async () => {
    const { ledger, database } = await given(busySite(20, 4, 1))
    const { rows } = database.content
    const [changed, old, gone] = [...rows.values()]
    if (changed === undefined || old === undefined || gone === undefined) throw new Error('there are rows')
    rows.set(changed.stream, { ...changed, hostname: 'forged' })
    expect((await verified(ledger, database)).differences.row).toMatchObject({
      count: 1,
      first: expect.stringMatching(/198\.18\.0\.0: hostname is forged in the tables and host-0 by the ledger/),
    })
    rows.set(changed.stream, changed)
    rows.set(old.stream, rowOf(busySite(2, 4)[1] as Recorded))
    expect((await verified(ledger, database)).differences.row?.first).toMatch(/show revision 0.*has revision 1/)
    rows.set(old.stream, old)
    rows.delete(gone.stream)
    const found = await verified(ledger, database)
    expect(found.differences.row?.first).toMatch(/198\.18\.0\.2: the tables have no row/)
    expect(found.differences.statistic?.first).toMatch(/the statistic says 20, the rows are 19/)
    rows.set(gone.stream, { ...gone, revision: 9 })
    expect((await verified(ledger, database)).differences.row?.first).toMatch(/show revision 9, which is not in the/)
  })
})

describe('replay', () => {
  it('gives tables equal to those that were kept live, and says how far it is', async () => {
    const property = fc.asyncProperty(histories(60), async (events) => {
      const { ledger, database } = await given(events)
      const live = makeMemoryTables()
      for (const batch of batchesOf(events, 3)) await applyBatch(openMemoryTables(live), batch)
      const progress: Array<{ done: number; total: number }> = []
      const store = openMemoryReader(ledger)
      const onProgress = (step: { done: number; total: number }): void => void progress.push(step)
      await must(replay({ store, tables: openMemoryTables(database), resume: false, batchMax: 5, onProgress }))
      expect(await shown(openMemoryTables(database))).toStrictEqual(await shown(openMemoryTables(live)))
      if (events.length > 0) expect(progress.at(-1)).toEqual({ done: events.length, total: events.length })
    })
    await fc.assert(property, { numRuns: 20 })
  })

  it('goes on where it was interrupted', async () => {
    const events = busySite(100, 4)
    const { ledger, database } = await given(events)
    const store = openMemoryReader(ledger)
    const tables = openMemoryTables(database)
    let reads = 0
    const breaking = {
      ...store,
      readLog: (...asked: Parameters<typeof store.readLog>) =>
        ++reads > 3
          ? async () => ({ _tag: 'Left' as const, left: { _tag: 'StoreUnavailable' as const, reason: 'away' } })
          : store.readLog(...asked),
    }
    expect(await replay({ store: breaking, tables, resume: false, batchMax: 10 })()).toMatchObject({ _tag: 'Left' })
    const resumed = await must(replay({ store, tables, resume: true, batchMax: 10 }))
    expect(resumed).toEqual({ events: 70, checkpoint: { alpha: 100 } })
    expect((await verified(ledger, database)).differences).toEqual({})
  })

  it('does not go on with what is further than the ledger', async () => {
    const { ledger, database } = await given(busySite(20, 4))
    const tables = openMemoryTables(database)
    const shadow = await must(tables.shadow(false))
    await must(shadow.apply(LEASES, 'alpha', 0, 21, []))
    const store = openMemoryReader(ledger)
    expect(await replay({ store, tables, resume: true })()).toMatchObject({
      left: { reason: expect.stringContaining('alpha up to 21, and the ledger has it up to 20') },
    })
    expect(await must(replay({ store, tables, resume: false }))).toMatchObject({ events: 20 })
  })

  it('builds the tables as they were at a time', async () => {
    const property = fc.asyncProperty(histories(60), fc.nat(60), async (events, index) => {
      const { ledger } = await given(events)
      const at = events[Math.min(index, events.length - 1)]?.recordedAt ?? 0
      const then = openMemoryTables(makeMemoryTables())
      await must(fill({ store: openMemoryReader(ledger), tables: then, until: at, batchMax: 7 }))
      const states = new Map<string, unknown>()
      await must(then.snapshot(LEASES, (row) => states.set(row.stream, stateOf(row))))
      const before = folded(events.filter(({ recordedAt }) => recordedAt <= at))
      expect(new Map([...states].sort())).toStrictEqual(new Map([...before].sort()))
    })
    await fc.assert(property, { numRuns: 20 })
  })
})
