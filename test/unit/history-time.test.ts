/** Times as people write them. */
import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import { localZone, parseTime, parseZone, UTC, zonedText } from '../../server/cli/time.ts'
import type { Zone } from '../../server/cli/time.ts'

const zone = (name: string): Zone => {
  const parsed = parseZone(name)
  if (E.isLeft(parsed)) throw new Error(parsed.left)
  return parsed.right
}

const at = (text: string, inZone = UTC): string => {
  const parsed = parseTime(text, inZone)
  return E.isLeft(parsed) ? parsed.left : new Date(parsed.right.at).toISOString()
}

describe('times', () => {
  it.each([
    ['2026-03-03T14:05:00+01:00', '2026-03-03T13:05:00.000Z'],
    ['2026-03-03T14:05:00Z', '2026-03-03T14:05:00.000Z'],
    ['2026-03-03 14:05', '2026-03-03T14:05:00.000Z'],
    ['20260303T140500,5-0330', '2026-03-03T17:35:00.500Z'],
    ['20260303T1405Z', '2026-03-03T14:05:00.000Z'],
    ['2026-03-03', '2026-03-03T00:00:00.000Z'],
    ['2026-03', '2026-03-01T00:00:00.000Z'],
    ['2026-W10-2T14:05Z', '2026-03-03T14:05:00.000Z'],
    ['2026W102', '2026-03-03T00:00:00.000Z'],
    ['2026-062T24:00', '2026-03-04T00:00:00.000Z'],
    ['2026-03-03T14.5+01', '2026-03-03T13:30:00.000Z'],
    ['2026-07-03T14:05[Europe/Berlin]', '2026-07-03T12:05:00.000Z'],
    ['2026-07-03T14:05+02:00[Europe/Berlin]', '2026-07-03T12:05:00.000Z'],
    ['@1780000000', '2026-05-28T20:26:40.000Z'],
  ])('%s is %s', (text, expected) => expect(at(text)).toBe(expected))

  it('are in the zone asked when they name none, and refused when its clocks never or twice showed them', () => {
    const berlin = zone('Europe/Berlin')
    expect(at('2026-03-03T14:05', berlin)).toBe('2026-03-03T13:05:00.000Z')
    expect(at('2026-07-03T14:05', berlin)).toBe('2026-07-03T12:05:00.000Z')
    expect(at('2026-03-29T02:30', berlin)).toMatch(/never showed .*give the offset/)
    expect(at('2026-10-25T02:30', berlin)).toMatch(/twice showed/)
    expect(at('2026-10-25T02:30+01:00', berlin)).toBe('2026-10-25T01:30:00.000Z')
    expect(at('2026-03-03T14:05', localZone())).toMatch(/Z$/)
  })

  it.each(['yesterday', '2026-13-01', '2026-02-30', '2026-03-03T25:00', '2026-366', '2026-W54', '3.3.2026', ''])(
    '%s is none',
    (text) => expect(at(text)).toMatch(/is not a time such as/),
  )

  it('are shown in the zone asked', () => {
    const noon = Date.UTC(2026, 2, 3, 13, 5)
    expect(zonedText(noon, zone('Europe/Berlin'))).toBe('2026-03-03T14:05:00.000+01:00')
    expect(zonedText(noon, zone('-03:30'))).toBe('2026-03-03T09:35:00.000-03:30')
    expect(zonedText(noon, UTC)).toBe('2026-03-03T13:05:00.000Z')
    expect(parseZone('Mars/Base')).toMatchObject(E.left(expect.stringContaining('no time zone')))
  })
})
