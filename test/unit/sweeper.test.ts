import { describe, expect, it } from 'vitest'
import { makeMemoryLedger, openMemory } from '../../adapters/memory/memory-store.ts'
import { lease4Stream } from '../../domain/stream.ts'
import { realTimer } from '../../projections/timer.ts'
import { Sweeper } from '../../server/sweeper.ts'
import type { SweeperOptions } from '../../server/sweeper.ts'
import { at, policy, terms } from '../support/lease-spec.ts'
import { makeServer, silent } from '../support/servers.ts'

const stream = (i: number) => lease4Stream(0xc6336400 + i)

/** `leases` leases of a minute, a clock to move, and a sweeper that is to be asked. */
const given = async (leases: number, more: Partial<SweeperOptions> = {}) => {
  let seconds = 0
  const now = () => at(seconds)
  const store = makeMemoryLedger(now)
  const { ledger, replica } = makeServer(openMemory(store, 'server1'), now)
  const warnings: string[] = []
  const sweeper = new Sweeper({
    ledger,
    replica,
    cluster: { turnMs: () => 0, clockTrusted: true },
    now,
    timer: realTimer,
    maxClockSkewMs: policy.maxClockSkewMs,
    intervalMs: 0,
    leasesMax: 0,
    roundMsMax: 0,
    unwarnedRoundsMax: 2,
    log: { ...silent, warn: (_fields, message) => void warnings.push(message) },
    ...more,
  })
  for (let i = 0; i < leases; i++) {
    const granted = { type: 'Claim', terms: terms(`hw:1:${i}`, { validLifetimeSec: 60 }), ownOnly: false } as const
    await ledger.execute(stream(i), granted)
  }
  const expired = () => [...store.streams.values()].filter((events) => events.at(-1)?.type === 'LeaseExpired').length
  return { sweeper, replica, ledger, warnings, expired, pass: (passed: number) => (seconds += passed) }
}

describe('the sweeper', () => {
  it('expires what has been over for as long as clocks may differ, and nothing else', async () => {
    const a = await given(3)
    a.pass(64)
    expect(await a.sweeper.sweep(false)).toBe(0)
    a.pass(1)
    expect(await a.sweeper.sweep(false)).toBe(3)
    expect(a.expired()).toBe(3)
    expect(await a.sweeper.sweep(false)).toBe(0)
  })

  it('does no more in a round than it may, and says so when rounds are never enough', async () => {
    const a = await given(10, { leasesMax: 2 })
    a.pass(65)
    for (const round of [1, 2, 3]) {
      expect(await a.sweeper.sweep(false)).toBe(2)
      expect(a.warnings).toHaveLength(round > 2 ? 1 : 0)
    }
  })

  it('keeps within the time of a round', async () => {
    let ticks = 0
    const a = await given(250, { roundMsMax: 1 })
    const slow = await given(250, { roundMsMax: 1, now: () => at(65) + ticks++ })
    a.pass(65)
    slow.pass(65)
    expect(await a.sweeper.sweep(false)).toBe(250)
    expect(await slow.sweeper.sweep(false)).toBe(100)
  })

  it('leaves to others what is theirs for their turn, unless somebody needs the room', async () => {
    const turn = { cluster: { turnMs: () => 3000, clockTrusted: true } }
    const a = await given(4, turn)
    a.pass(65)
    expect(await a.sweeper.sweep(false)).toBe(0)
    expect(await a.sweeper.sweep(true)).toBe(4)
    const b = await given(4, turn)
    b.pass(65)
    expect(await b.sweeper.sweep(false)).toBe(0)
    b.pass(3)
    expect(await b.sweeper.sweep(false)).toBe(4)
  })

  it('makes room after a round under way that would not', async () => {
    const a = await given(4, { cluster: { turnMs: () => 3000, clockTrusted: true } })
    a.pass(65)
    const both = await Promise.all([a.sweeper.sweep(false), a.sweeper.sweep(true)])
    expect(both).toEqual([0, 4])
  })

  it('leaves everything to others while its clock is wrong', async () => {
    const a = await given(2, { cluster: { turnMs: () => 0, clockTrusted: false } })
    a.pass(65)
    expect(await a.sweeper.sweep(true)).toBe(0)
    expect(a.expired()).toBe(0)
  })
})
