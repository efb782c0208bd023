/** The row of a lease: that it and the state say the same, and that it says it in Kea's words. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decideAll } from './projection-given.ts'
import { coalesced, rowOf, stateOf } from '../../projections/lease-row.ts'
import { evolve, vacant } from '../../domain/lease.ts'
import { folded, histories } from '../contract/lease-table-histories.ts'

describe('a row of the lease tables', () => {
  it('gives back revision and state of every event, on all fields', () => {
    fc.assert(
      fc.property(histories(40), (events) => {
        for (const recorded of events) {
          const { revision, state } = stateOf(rowOf(recorded))
          expect(revision).toBe(recorded.revision)
          expect(state).toStrictEqual(evolve(vacant, recorded.event))
        }
      }),
    )
  })

  it('coalesces a batch to what its last events leave', () => {
    fc.assert(
      fc.property(histories(60), fc.integer(), (events, seed) => {
        const shuffled = [...events].sort((a, b) => order(a.seq, seed) - order(b.seq, seed))
        const rows = coalesced(shuffled.map(rowOf))
        expect(new Map(rows.map((row) => [row.stream, stateOf(row)]))).toStrictEqual(folded(events))
      }),
    )
  })

  it('shows a bound lease as Kea would: state 0, whole seconds, and the moment of its grant', () => {
    const row = rowOf(decideAll('lease4/198.18.0.9', [{ at: 1_500, claim: { validLifetimeSec: 3_600 } }]))
    const expire = row.startsAt / 1000 - 0.5 + 3_600
    expect(row).toMatchObject({ state: 0, validLifetime: 3_600, expire, kept: null })
    expect(row.expiresAt).toBe(row.startsAt + 3_600_000)
  })

  it('shows a declined IPv4 lease without its client, in state 1 until probation ends, and keeps the client', () => {
    const recorded = decideAll('lease4/198.18.0.9', [
      { at: 0, claim: { hostname: 'printer', clientId: '0102', hwAddress: '020304050607' } },
      { at: 10_000, decline: 86_400 },
    ])
    const row = rowOf(recorded)
    expect(row).toMatchObject({ state: 1, hwaddr: null, clientId: null, hostname: null, validLifetime: 86_400 })
    expect((row.expire - row.validLifetime) * 1000).toBe(recorded.recordedAt)
    expect(stateOf(row).state.lease).toStrictEqual(recorded.event.lease)
  })

  it('shows a declined IPv6 lease with the empty DUID that Kea writes', () => {
    const recorded = decideAll('lease6/2001:db8::9', [
      { at: 0, claim: { duid: '000300010203', iaid: 4_000_000_000 } },
      { at: 10_000, decline: 60 },
    ])
    expect(rowOf(recorded)).toMatchObject({ state: 1, duid: '000000', iaid: 4_000_000_000 })
  })

  it('ends a lease that never ends at the last second that Kea can show', () => {
    const row = rowOf(decideAll('lease4/198.18.0.9', [{ at: 0, claim: { validLifetimeSec: 0xffffffff } }]))
    expect(row).toMatchObject({ expire: 2 ** 31 - 1, validLifetime: 0xffffffff })
  })

  it('counts what is offered, expired or revoked as nobody’s, and what was given back as released', () => {
    const claim = { at: 0, claim: { validLifetimeSec: 60 } }
    expect(rowOf(decideAll('lease4/198.18.0.9', [{ at: 0, offer: {} }])).state).toBe(2)
    expect(rowOf(decideAll('lease4/198.18.0.9', [claim, { at: 70_000, expire: true }])).state).toBe(2)
    expect(rowOf(decideAll('lease4/198.18.0.9', [claim, { at: 5_000, revoke: 'abuse' }])).state).toBe(2)
    expect(rowOf(decideAll('lease4/198.18.0.9', [claim, { at: 5_000, release: true }])).state).toBe(3)
  })
})

/** A fixed but arbitrary order. */
const order = (seq: number, seed: number): number => Math.imul(seq ^ seed, 2_654_435_761) >>> 0
