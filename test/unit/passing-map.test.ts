import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { PassingMap } from '../../server/passing-map.ts'

/** What can be done with a map, by number: set, delete, or now and then clear. */
type Act = readonly [what: 'set' | 'delete' | 'clear', key: number, value: number]

const acts = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 50, arbitrary: fc.constant('set' as const) },
      { weight: 49, arbitrary: fc.constant('delete' as const) },
      { weight: 1, arbitrary: fc.constant('clear' as const) },
    ),
    fc.nat(40),
    fc.nat(),
  ),
  { maxLength: 400 },
)

const play = (
  map: Pick<Map<number, number>, 'set' | 'delete' | 'clear'> | PassingMap<number, number>,
  all: readonly Act[],
) =>
  all.map(([what, key, value]) => {
    if (what === 'delete') return map.delete(key)
    if (what === 'set') map.set(key, value)
    else map.clear()
    return undefined
  })

describe('PassingMap', () => {
  it('holds what a Map holds, in the same order', () => {
    fc.assert(
      fc.property(acts, (all) => {
        const [map, passing] = [new Map<number, number>(), new PassingMap<number, number>()]
        expect(play(passing, all)).toEqual(play(map, all))
        expect([...passing.keys()]).toEqual([...map.keys()])
        expect([...passing.values()]).toEqual([...map.values()])
        expect(passing.size).toBe(map.size)
        for (let key = 0; key <= 40; key++) {
          expect(passing.get(key)).toBe(map.get(key))
          expect(passing.has(key)).toBe(map.has(key))
        }
      }),
    )
  })

  it('keeps what is there when thousands have come and gone', () => {
    const map = new PassingMap<number, number>()
    map.set(-1, 7)
    for (let n = 0; n < 20_000; n++) {
      map.set(n, n)
      if (n >= 10) map.delete(n - 10)
    }
    expect(map.size).toBe(11)
    expect([...map.keys()]).toEqual([-1, ...Array.from({ length: 10 }, (_, i) => 19_990 + i)])
    expect(map.get(-1)).toBe(7)
  })

  it('lets entries end while it is gone through', () => {
    const map = new PassingMap<number, number>()
    for (let n = 0; n < 100; n++) map.set(n, n)
    const seen: number[] = []
    for (const key of map.keys()) {
      seen.push(key)
      map.delete(key + 1)
    }
    expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => 2 * i))
  })
})
