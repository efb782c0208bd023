import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Attention } from '../../server/net/attention.ts'

/** An attention, and what passes before it: so many datagrams a second, one at a time, for so long. */
const given = () => {
  const attention = new Attention()
  let now = 1_790_000_000_000
  const hear = (perSecond: number, ms: number): void => {
    for (const end = now + ms; now < end;) {
      now += 1_000 / perSecond
      attention.heard(1, now)
    }
  }
  const pass = (ms: number): void => void (now += ms)
  return { attention, hear, pass, now: () => now }
}

describe('attention', () => {
  it('is full for what is seldom, and for what was much when little comes now', () => {
    const { attention, hear, pass, now } = given()
    hear(200, 2_000)
    expect(attention.isLax).toBe(false)
    hear(1_000, 1_000)
    expect(attention.isLax).toBe(true)
    hear(300, 1_000)
    expect(attention.isLax).toBe(true)
    hear(200, 1_000)
    expect(attention.isLax).toBe(false)
    hear(1_000, 1_000)
    for (let look = 0; look < 30; look++) {
      pass(5)
      attention.heard(0, now())
    }
    expect(attention.isLax).toBe(false)
  })

  it('is full at once for whoever is answered, and for as long as one of many is', () => {
    const { attention, hear } = given()
    hear(5_000, 1_000)
    expect(attention.isLax).toBe(true)
    attention.answered()
    expect(attention.isLax).toBe(false)
    for (let n = 0; n < 20; n++) {
      hear(5_000, 90)
      expect(attention.isLax).toBe(false)
      attention.answered()
    }
    hear(5_000, 1_000)
    expect(attention.isLax).toBe(true)
  })

  it('is full for few in a long time, however many they have become, and after the clock was set', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -10_000_000, max: 10_000_000 }),
        fc.integer({ min: 1, max: 1_000 }),
        (ms, count) => {
          const { attention, pass, now } = given()
          for (let n = 0; n < count; n++) {
            pass(200)
            attention.heard(1, now())
            expect(attention.isLax).toBe(false)
          }
          pass(ms)
          attention.heard(1, now())
          expect(attention.isLax).toBe(false)
        },
      ),
    )
  })
})
