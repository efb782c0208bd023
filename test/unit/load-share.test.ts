import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hashBucket, inShare, laneIn, WAITED_SEC } from '../../server/load-share.ts'

const key = fc.uint8Array({ minLength: 1, maxLength: 32 })

describe('load sharing', () => {
  it('mixes by a permutation of all octets', () => {
    const buckets = new Set(Array.from({ length: 256 }, (_, octet) => hashBucket(Uint8Array.of(octet))))
    expect(buckets.size).toBe(256)
  })

  it('follows the algorithm of RFC 3074 §6 from the last octet to the first', () => {
    // One octet: table[1 ^ octet]. Two: table[table[2 ^ second] ^ first].
    expect(hashBucket(Uint8Array.of(1))).toBe(251)
    expect(hashBucket(Uint8Array.of(0))).toBe(175)
    expect(hashBucket(Uint8Array.of(251, 2))).toBe(251)
  })

  it('has exactly one of the living servers answer a fresh client', () => {
    fc.assert(
      fc.property(key, fc.integer({ min: 1, max: 7 }), (bytes, count) => {
        const alive = Array.from({ length: count }, (_, i) => `server ${i}`)
        expect(alive.filter((own) => inShare({ own, alive }, bytes, 0)).length).toBe(1)
      }),
    )
  })

  it('has every server answer a client that nobody has answered', () => {
    fc.assert(
      fc.property(key, (bytes) => {
        const alive = ['a', 'b', 'c']
        expect(alive.every((own) => inShare({ own, alive }, bytes, WAITED_SEC))).toBe(true)
      }),
    )
  })

  it('gives the share of a server that is gone to the others', () => {
    fc.assert(
      fc.property(key, (bytes) => {
        const alive = ['a', 'c']
        expect(alive.filter((own) => inShare({ own, alive }, bytes, 0)).length).toBe(1)
      }),
    )
  })

  it('has a server that does not see itself answer everybody rather than nobody', () => {
    expect(inShare({ own: 'a', alive: ['b', 'c'] }, Uint8Array.of(1, 2, 3), 0)).toBe(true)
  })

  it('has each living server lead its clients to other addresses than the others lead theirs to', () => {
    const alive = ['a', 'b', 'c']
    expect(alive.map((own) => laneIn({ own, alive }))).toEqual([0, 1, 2].map((own) => ({ own, count: 3 })))
    expect(laneIn({ own: 'a', alive: ['a'] })).toBeUndefined()
    expect(laneIn({ own: 'a', alive: ['b', 'c'] })).toBeUndefined()
  })
})
