/** Times as people write and read them: any form of ISO 8601, in any zone, and back in UTC and in the zone asked. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { FOREVER, isoText } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'

/** A place's time: minutes that its clocks are before UTC at an instant. */
export interface Zone {
  /** `+01:00`, `UTC` or `Europe/Berlin`. */
  readonly name: string
  readonly offsetMin: (at: Instant) => number
}

/** A moment, and the zone in which it was asked for. */
export interface Asked {
  readonly at: Instant
  readonly zone: Zone
}

/** Coordinated universal time. */
export const UTC: Zone = { name: 'UTC', offsetMin: () => 0 }

/** A zone by its IANA name or its offset; `Left` is one sentence. */
export const parseZone = (text: string): Either<string, Zone> => {
  if (/^(z|utc|gmt)$/i.test(text)) return E.right(UTC)
  const offset = /^([+-])(\d{2}):?(\d{2})?$/.exec(text)
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3] ?? 0)
    return Number(offset[3] ?? 0) < 60 && minutes <= 14 * 60
      ? E.right(fixedZone(offset[1] === '-' ? -minutes : minutes))
      : E.left(`${text} is no offset from UTC`)
  }
  try {
    return E.right(namedZone(text))
  } catch {
    return E.left(`${text} is no time zone such as Europe/Berlin or +01:00`)
  }
}

/** The zone of this machine. */
export const localZone = (): Zone => namedZone(Intl.DateTimeFormat().resolvedOptions().timeZone)

const fixedZone = (minutes: number): Zone =>
  minutes === 0 ? UTC : { name: offsetText(minutes), offsetMin: () => minutes }

/** Throws when there is no such zone. */
const namedZone = (name: string): Zone => {
  const format = new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', {
    timeZone: name,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  return {
    name,
    offsetMin: (at) => {
      const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
      const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
      return Math.round((Date.UTC(year, month - 1, day, hour, minute, second) - at) / 60_000)
    },
  }
}

const offsetText = (minutes: number): string => {
  const two = (value: number): string => String(value).padStart(2, '0')
  const size = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`
}

/** `2026-03-03T14:05:00.000+01:00`: an instant as the clocks of a zone show it (RFC 3339). */
export const zonedText = (at: Instant, zone: Zone): string => {
  if (at >= FOREVER) return 'for ever'
  const minutes = zone.offsetMin(at)
  return minutes === 0 ? isoText(at) : isoText(at + minutes * 60_000).replace('Z', offsetText(minutes))
}

const WEEK_DATE = /^(?<year>\d{4})-?W(?<week>\d{2})(?:-?(?<weekday>[1-7]))?$/
const ORDINAL_DATE = /^(?<year>\d{4})-?(?<ordinal>\d{3})$/
const CALENDAR_DATE = /^(?<year>\d{4})(?:-(?<month>\d{2})(?:-(?<day>\d{2}))?|(?<month2>\d{2})(?<day2>\d{2}))$/
const TIME = /^(\d{2})(?::?(\d{2})(?::?(\d{2}))?)?(?:[.,](\d+))?$/
const ZONE = /(z|[+-]\d{2}(?::?\d{2})?)$/i

const DAY_MS = 86_400_000

/**
 * A moment in any form of ISO 8601: calendar (`2026-03-03`, `20260303`), week (`2026-W10-2`) and ordinal dates
 * (`2026-062`), with or without a time of day, its zone as an offset, `Z` or in brackets (RFC 9557); `@1780000000` are
 * seconds since 1970. What has no zone is in `zone`. `Left` is one sentence.
 */
export const parseTime = (text: string, zone: Zone): Either<string, Asked> => {
  const wrong = E.left(`${text} is not a time such as 2026-03-03T14:05:00+01:00`)
  if (/^@\d+(\.\d+)?$/.test(text)) return E.right({ at: Math.round(Number(text.slice(1)) * 1000), zone })
  const bracket = /^(.*)\[!?([^\]=]+)\]$/.exec(text.trim())
  const inBrackets = bracket === null ? E.right(undefined) : parseZone(bracket[2] as string)
  if (E.isLeft(inBrackets)) return inBrackets
  const [, date = '', rest] = /^([^T ]+)(?:[T ]\s*(.+))?$/i.exec(bracket?.[1] ?? text.trim()) ?? []
  const start = dateOf(date)
  if (start === undefined) return wrong
  const offset = rest === undefined ? null : ZONE.exec(rest)
  const given = offset === null ? E.right(undefined) : parseZone(offset[1] as string)
  if (E.isLeft(given)) return given
  const clock = rest?.slice(0, offset?.index).trim()
  const sinceMidnight = clock === undefined ? 0 : timeOf(clock)
  if (sinceMidnight === undefined) return wrong
  const shown = start + sinceMidnight
  if (given.right !== undefined) {
    return E.right({ at: shown - given.right.offsetMin(shown) * 60_000, zone: inBrackets.right ?? given.right })
  }
  return inZone(shown, inBrackets.right ?? zone, text)
}

/** The day's midnight as if in UTC; undefined when there is no such day. */
const dateOf = (text: string): number | undefined => {
  const parts = (WEEK_DATE.exec(text) ?? ORDINAL_DATE.exec(text) ?? CALENDAR_DATE.exec(text))?.groups
  if (parts === undefined) return undefined
  const year = Number(parts['year'])
  if (parts['week'] !== undefined) {
    const week = Number(parts['week'])
    const fourth = Date.UTC(year, 0, 4) // always in week 1
    const monday = fourth - ((new Date(fourth).getUTCDay() + 6) % 7) * DAY_MS
    return week < 1 || week > 53 ? undefined : monday + ((week - 1) * 7 + Number(parts['weekday'] ?? 1) - 1) * DAY_MS
  }
  if (parts['ordinal'] !== undefined) {
    const at = Date.UTC(year, 0, Number(parts['ordinal']))
    return new Date(at).getUTCFullYear() === year ? at : undefined
  }
  const [month, day] = [Number(parts['month'] ?? parts['month2'] ?? 1), Number(parts['day'] ?? parts['day2'] ?? 1)]
  const at = Date.UTC(year, month - 1, day)
  return new Date(at).getUTCMonth() === month - 1 && new Date(at).getUTCDate() === day ? at : undefined
}

/** Milliseconds since midnight; a fraction belongs to the last part given. */
const timeOf = (text: string): number | undefined => {
  const [whole, hours, minutes, seconds, fraction = ''] = TIME.exec(text) ?? []
  if (whole === undefined) return undefined
  const unit = minutes === undefined ? 3_600_000 : seconds === undefined ? 60_000 : 1_000
  const [h, m, s] = [Number(hours), Number(minutes ?? 0), Number(seconds ?? 0)]
  const ms = ((h * 60 + m) * 60 + s) * 1000 + Math.round(Number(`0.${fraction || '0'}`) * unit)
  return m > 59 || s > 60 || ms > DAY_MS ? undefined : ms
}

/** The instant at which the clocks of a zone show it; one that they skip or show twice is no answer. */
const inZone = (shown: number, zone: Zone, text: string): Either<string, Asked> => {
  const offsets = new Set([zone.offsetMin(shown - DAY_MS), zone.offsetMin(shown + DAY_MS)])
  const found = [...offsets].map((minutes) => shown - minutes * 60_000)
  const real = [...new Set(found)].filter((at) => at + zone.offsetMin(at) * 60_000 === shown)
  const [at] = real
  if (at !== undefined && real.length === 1) return E.right({ at, zone })
  const often = real.length === 0 ? 'never' : 'twice'
  return E.left(`the clocks of ${zone.name} ${often} showed ${text}: give the offset, such as +01:00`)
}
