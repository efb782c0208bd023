import { describe, expect, it } from 'vitest'
import { makeMemoryLedger, openMemory } from '../../adapters/memory/memory-store.ts'
import { START } from '../../domain/event-store.ts'
import { Follower } from '../../server/follower.ts'
import { Replica } from '../../server/replica.ts'
import { claims, right } from '../contract/proposals.ts'
import { until } from '../support/process.ts'
import { silent } from '../support/servers.ts'

const REST = 7
const REST_BUSY = 70
const POLL = 100

/** A follower whose time does not pass by itself, and how long each of its pauses would be. */
const startFollower = async () => {
  const ledger = makeMemoryLedger(() => 0)
  const other = openMemory(ledger, 'other')
  const store = openMemory(ledger, 'own')
  const replica = new Replica()
  const pauses: { readonly ms: number; readonly over: () => void }[] = []
  const follower = new Follower({
    store,
    replica,
    own: store.log,
    from: START,
    log: silent,
    timer: {
      after: (ms, over) => {
        pauses.push({ ms, over })
        return () => undefined
      },
      soon: setImmediate,
    },
    pageMax: 1_000,
    pollMinMs: POLL,
    pollMaxMs: POLL,
    restMs: REST,
    restBusyMs: REST_BUSY,
    onFatal: (reason) => {
      throw new Error(reason)
    },
  })
  await follower.start()
  let appended = 0
  return {
    replica,
    /** Appends by the other server; gives the pause after the reading that brings it. */
    pauseAfter: async (events: number): Promise<number> => {
      const before = pauses.length
      right(await other.append(claims(appended, events))())
      appended += events
      await until('a rest', () => replica.size === appended && pauses.length > before)
      const [rest] = pauses.splice(0).filter(({ ms }) => ms !== POLL)
      rest?.over()
      return rest?.ms ?? -1
    },
  }
}

describe('Follower', () => {
  it('rests for a moment after a reading, and for longer while many events come', async () => {
    const { pauseAfter, replica } = await startFollower()
    expect(await pauseAfter(1)).toBe(REST)
    expect(await pauseAfter(29)).toBe(REST)
    expect(await pauseAfter(30)).toBe(REST_BUSY)
    expect(await pauseAfter(200)).toBe(REST_BUSY)
    expect(await pauseAfter(3)).toBe(REST)
    expect(replica.size).toBe(263)
  })
})
