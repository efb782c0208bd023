import { describe, expect, it } from 'vitest'
import { makeMemoryLedger, openMemory } from '../../adapters/memory/memory-store.ts'
import { realTimer } from '../../projections/timer.ts'
import { Cluster } from '../../server/cluster.ts'
import { silent } from '../support/servers.ts'

const T0 = 1_700_000_000_000

describe('Cluster', () => {
  it('counts the workers of a server as one server', async () => {
    const ledger = makeMemoryLedger(() => T0)
    const clusterOf = (log: string): Cluster =>
      new Cluster({
        store: openMemory(ledger, log),
        now: () => T0,
        log: silent,
        timer: realTimer,
        maxClockSkewMs: 5_000,
        heartbeatMs: 60_000,
        silentMsMax: 60_000,
        clockCheckMs: 60_000,
        info: () => '',
        onFatal: (reason) => {
          throw new Error(reason)
        },
      })
    const first = clusterOf('a#1')
    expect(first.servers).toEqual(['a'])
    const second = clusterOf('a#2')
    await second.start()
    expect(second.alive).toEqual(['a#1', 'a#2'])
    expect(second.servers).toEqual(['a'])
    const other = clusterOf('b')
    await other.start()
    expect(other.servers).toEqual(['a', 'b'])
    for (const each of [first, second, other]) each.stop()
  })
})
