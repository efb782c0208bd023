import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findFree, laneWithin, startingPlace } from '../../domain/allocation.ts'
import { Occupancy } from '../../domain/occupancy.ts'

describe('Occupancy', () => {
  it('says what a plain set says, whatever is added and deleted', () => {
    const size = fc.integer({ min: 1, max: 5000 })
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(4999)), { maxLength: 400 })
    fc.assert(
      fc.property(size, steps, fc.nat(4999), (places, changes, from) => {
        const occupancy = new Occupancy(places)
        const model = new Set<number>()
        for (const [add, at] of changes) {
          const place = at % places
          if (add) {
            occupancy.add(place)
            model.add(place)
          } else {
            occupancy.delete(place)
            model.delete(place)
          }
        }
        let expected = from
        while (model.has(expected)) expected++
        expect(occupancy.taken).toBe(model.size)
        expect(occupancy.nextFree(from)).toBe(expected < places ? expected : -1)
      }),
      { numRuns: 200 },
    )
  })

  it.each([32, 33, 1024, 1025, 40_000])('finds the only gap in a pool of %i, and nothing when it is full', (size) => {
    const occupancy = new Occupancy(size)
    for (let place = 0; place < size; place++) occupancy.add(place)
    expect(occupancy.nextFree(0)).toBe(-1)
    for (const gap of [0, 1, 31, Math.floor(size / 2), size - 1]) {
      occupancy.delete(gap)
      expect(occupancy.nextFree(0)).toBe(gap)
      expect(occupancy.nextFree(gap + 1)).toBe(-1)
      occupancy.add(gap)
    }
  })

  it('keeps huge pools sparse', () => {
    const occupancy = new Occupancy(2 ** 52)
    const far = 2 ** 51 + 12345
    for (let i = 0; i < 100; i++) occupancy.add(far + i)
    expect(occupancy.nextFree(far)).toBe(far + 100)
    expect(occupancy.nextFree(2 ** 52 - 1)).toBe(2 ** 52 - 1)
    for (let i = 0; i < 100; i++) occupancy.delete(far + i)
    expect(occupancy.taken).toBe(0)
    expect(occupancy.nextFree(far)).toBe(far)
  })
})

describe('allocation', () => {
  it('begins where the client’s key says, the same every time and inside the pool', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), fc.integer({ min: 1, max: 2 ** 52 }), (holder, subnetId, size) => {
        const place = startingPlace(holder, subnetId, size)
        expect(place).toBe(startingPlace(holder, subnetId, size))
        expect(place >= 0 && place < size && Number.isInteger(place)).toBe(true)
      }),
    )
  })

  it('spreads clients evenly', () => {
    const counts = new Array<number>(64).fill(0)
    for (let i = 0; i < 64_000; i++) {
      const place = startingPlace(`hw:1:0200${i.toString(16).padStart(8, '0')}`, 7, 64)
      counts[place] = (counts[place] ?? 0) + 1
    }
    // 1,000 expected in each; five standard deviations are about 158.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(160)
  })

  it('goes through all pools from any start and wraps round', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(sizes, fc.nat(), (lengths, seed) => {
        const spaces = lengths.map((length) => new Occupancy(length))
        const total = lengths.reduce((a, b) => a + b, 0)
        const seen = new Set<string>()
        for (let i = 0; i < total; i++) {
          const found = findFree(spaces, (seed + i * 7) % total)
          if (found === undefined) throw new Error('nothing found although something is free')
          seen.add(`${found.space}/${found.place}`)
          spaces[found.space]?.add(found.place)
        }
        expect(seen.size).toBe(total)
        expect(findFree(spaces, seed % total)).toBeUndefined()
      }),
      { numRuns: 100 },
    )
  })

  it('keeps those apart who choose at the same time, and gives the last place to any of them', () => {
    const cases = fc.record({
      size: fc.integer({ min: 8, max: 4000 }),
      starts: fc.tuple(fc.nat(), fc.nat()),
      count: fc.integer({ min: 2, max: 8 }),
      taken: fc.array(fc.nat(), { maxLength: 300 }),
    })
    fc.assert(
      fc.property(cases, ({ size, starts, count, taken }) => {
        const pool = new Occupancy(size)
        for (const place of taken) pool.add(place % size)
        const free = size - pool.taken
        const found = starts.map((start, own) => findFree([pool], start % size, { own, count })?.place)
        for (const [own, place] of found.entries()) {
          expect(place === undefined).toBe(free === 0)
          // Only where all near places are of other lanes, or the pool ends before one, it may be of any.
          if (place !== undefined && place % count !== own) {
            const after = Array.from({ length: size - place }, (_, index) => place + index)
            const missed = after.filter((each) => each % count === own && !pool.has(each))
            if (free === size) expect(missed).toEqual([])
          }
        }
      }),
    )
    const pool = new Occupancy(10_000)
    const lanes = [0, 1, 2, 3].map((own) => findFree([pool], 5_000, { own, count: 4 })?.place)
    expect(lanes).toEqual([5_000, 5_001, 5_002, 5_003])
    for (let place = 0; place < 10_000; place++) if (place !== 77) pool.add(place)
    for (const own of [0, 1, 2, 3]) expect(findFree([pool], 5_000, { own, count: 4 })?.place).toBe(77)
  })

  it('of workers of several servers are all different', () => {
    const lanes = [0, 1, 2].flatMap((own) =>
      [0, 1].map((worker) => laneWithin({ own, count: 3 }, { own: worker, count: 2 })),
    )
    expect(lanes).toEqual([0, 1, 2, 3, 4, 5].map((own) => ({ own, count: 6 })))
    expect(laneWithin({ own: 1, count: 3 }, undefined)).toEqual({ own: 1, count: 3 })
    expect(laneWithin(undefined, { own: 1, count: 2 })).toEqual({ own: 1, count: 2 })
    expect(laneWithin(undefined, undefined)).toBeUndefined()
  })
})
