/** What an import of leases does with a ledger that knows some of them already. */
import { describe, expect, it } from 'vitest'
import { makeMemoryLedger, openMemory } from '../../adapters/memory/memory-store.ts'
import type { EventStore } from '../../domain/event-store.ts'
import { importLeases } from '../../server/import/write.ts'
import type { ImportOptions } from '../../server/import/write.ts'
import { HEADER4, readKeaCsv } from '../../server/import/kea-csv.ts'
import { lastOfEach } from '../../server/import/item.ts'
import { claim, must, streamAt } from './proposals.ts'

const NOW = 1_790_000_000_000
const EXPIRE = NOW / 1_000 + 1_800

const leaseOf = (host: number, expire = EXPIRE, mac = '02:00:00:00:00:01'): string =>
  `198.18.0.${host},${mac},,3600,${expire},7,0,0,,0,,0`

const importing = (store: EventStore, lines: ReadonlyArray<string>, more: Partial<ImportOptions> = {}) => {
  const { found } = lastOfEach(readKeaCsv('leases4.csv', [HEADER4, ...lines]))
  return must(() => importLeases(found, { store, source: 'kea', now: NOW, dryRun: false, ...more }))
}

describe('an import that is repeated', () => {
  it('names the leases that have changed since, and leaves them as they were', async () => {
    const store = openMemory(
      makeMemoryLedger(() => NOW),
      'import',
    )
    const before = [1, 2, 3, 4].map((host) => leaseOf(host))
    expect(await importing(store, before)).toEqual({ imported: 4, known: 0, changed: [] })
    expect(await importing(store, before)).toEqual({ imported: 0, known: 4, changed: [] })
    const renewed = leaseOf(2, EXPIRE + 900)
    const other = leaseOf(3, EXPIRE, '02:00:00:00:00:09')
    const after = [...before, renewed, other, leaseOf(5)]
    for (const dryRun of [true, false]) {
      const { changed, ...counts } = await importing(store, after, { dryRun })
      expect(counts).toEqual({ imported: 1, known: 4 })
      expect(changed.map(({ place, stream }) => `${place} ${stream}`)).toEqual([
        'leases4.csv:6 lease4/198.18.0.2',
        'leases4.csv:7 lease4/198.18.0.3',
      ])
    }
    expect(await must(store.readStream(streamAt(2), 0, 10))).toHaveLength(1)
  })

  it('says nothing of what has gone on in the ledger itself', async () => {
    const store = openMemory(
      makeMemoryLedger(() => NOW),
      'import',
    )
    await importing(store, [leaseOf(1)])
    await must(store.append([claim(streamAt(1), 0)]))
    expect(await importing(store, [leaseOf(1, EXPIRE + 900)])).toEqual({ imported: 0, known: 1, changed: [] })
  })

  it('begins no lease later than now, whatever the clock of the other server said', async () => {
    const store = openMemory(
      makeMemoryLedger(() => NOW),
      'import',
    )
    await importing(store, [leaseOf(1, EXPIRE + 7_200)])
    const [stored] = await must(store.readStream(streamAt(1), 0, 10))
    expect(JSON.parse(stored?.data ?? '{}')).toMatchObject({ lease: { startsAt: NOW, expiresAt: NOW + 9_000_000 } })
  })
})
