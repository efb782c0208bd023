import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkLink, EMPTY_HEAD, erasedData, GENESIS, seal, sealAll } from '../../adapters/chain.ts'
import type { Stored } from '../../domain/event-store.ts'
import type { StreamName } from '../../domain/stream.ts'
import { claim, claims, streamAt } from '../contract/proposals.ts'

const chainOf = (count: number): ReadonlyArray<Stored> => sealAll(EMPTY_HEAD, 'alpha', claims(0, count))

/** Position of the first event that does not fit, as `verify` finds it. */
const firstBroken = (events: ReadonlyArray<Stored>): number | undefined => {
  let previous = GENESIS
  for (const event of events) {
    if (!checkLink(previous, event)) return event.seq
    previous = event.hash
  }
  return undefined
}

const swapped = <A>(items: ReadonlyArray<A>, index: number, item: A): ReadonlyArray<A> => items.with(index, item)

describe('the hash chain', () => {
  it('is what its definition says, computed by hand', () => {
    const sealed = seal(GENESIS, 'alpha', 1, claim(streamAt(1)))
    const event =
      `{"data":${sealed.data},"recordedAt":${sealed.recordedAt},"revision":0,"schemaVersion":1,` +
      `"stream":"lease4/198.18.0.1","type":"LeaseClaimed"}`
    const digest = hash('sha256', event, 'buffer')
    const expected = hash('sha256', Buffer.concat([Buffer.alloc(32), Buffer.from('alpha/1'), digest]), 'hex')
    expect(Buffer.from(sealed.hash).toString('hex')).toBe(expected)
  })

  it('never changes: the hash of a known event is pinned', () => {
    expect(Buffer.from(seal(GENESIS, 'alpha', 1, claim(streamAt(1))).hash).toString('hex')).toBe(
      '236634e345393017dd13ae657285045cc9f42cb42cd99c5151ed6c0b09bb0625',
    )
  })

  it('fits an untouched log', () => {
    expect(firstBroken(chainOf(20))).toBeUndefined()
  })

  it('fits whatever a store does to white space and the order of keys', () => {
    const events = chainOf(3).map((event) => {
      const { lease } = JSON.parse(event.data) as { lease: object }
      const turned = Object.fromEntries(Object.entries(lease).reverse())
      return { ...event, data: JSON.stringify({ lease: turned }, null, 2) }
    })
    expect(firstBroken(events)).toBeUndefined()
  })

  it('names the first event of which anything was changed', () => {
    const events = chainOf(6)
    const victim = events[3] as Stored
    const changes: ReadonlyArray<Partial<Stored>> = [
      { data: victim.data.replace('printer', 'plotter') },
      { recordedAt: victim.recordedAt + 1 },
      { revision: 1 },
      { schemaVersion: 2 },
      { stream: 'lease4/198.18.7.7' as StreamName },
      { type: 'LeaseRenewed' },
      { hash: Buffer.alloc(32, 7) },
      { data: 'no JSON' },
      { log: 'beta' },
    ]
    for (const change of changes) expect(firstBroken(swapped(events, 3, { ...victim, ...change }))).toBe(4)
  })

  it('notices events that were removed, inserted or swapped', () => {
    const events = chainOf(6)
    expect(firstBroken(events.toSpliced(2, 1))).toBe(4)
    expect(firstBroken(events.toSpliced(2, 0, events[1] as Stored))).toBe(2)
    const [second, third] = [events[1], events[2]] as [Stored, Stored]
    expect(firstBroken(events.with(1, { ...third, seq: 2 }).with(2, { ...second, seq: 3 }))).toBe(2)
  })

  it('still fits after the data of an event was erased, and protects what is left of it', () => {
    const events = chainOf(6)
    const victim = events[3] as Stored
    const erased = { ...victim, data: erasedData(victim) }
    expect(erased.data).toMatch(/^\{"erased":"[0-9a-f]{64}"\}$/)
    expect(firstBroken(swapped(events, 3, erased))).toBeUndefined()
    expect(erasedData(erased)).toBe(erased.data)
    const forged = { ...erased, data: `{"erased":"${'0'.repeat(64)}"}` }
    expect(firstBroken(swapped(events, 3, forged))).toBe(4)
    const padded = { ...erased, data: erased.data.replace('}', ',"lease":1}') }
    expect(firstBroken(swapped(events, 3, padded))).toBe(4)
  })

  it('keeps positions apart whose texts run into each other', () => {
    const one = seal(GENESIS, 'alpha', 11, claim(streamAt(1)))
    const other = seal(GENESIS, 'alpha/1', 1, claim(streamAt(1)))
    expect(Buffer.from(one.hash).equals(Buffer.from(other.hash))).toBe(false)
  })

  it('fits any text that a client may send', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), (first, second) => {
        const events = sealAll(EMPTY_HEAD, 'größe "1"', [claim(streamAt(1), -1, first), claim(streamAt(2), -1, second)])
        expect(firstBroken(events)).toBeUndefined()
      }),
    )
  })
})
