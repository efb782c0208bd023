/** Spans as a fold: cut short, in any order, in each other; and a ledger of every earlier version. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as E from 'fp-ts/lib/Either.js'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { SCHEMA_VERSION } from '../../domain/lease.ts'
import { eventTypes, decodeEvent } from '../../domain/lease-codec.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { holderAt, mergeSpans, spanKey, spanRowOf, spanRowsOf, spansOf } from '../../projections/history.ts'
import { overlapsOf } from '../../projections/history-overlap.ts'
import { parseEventLine } from '../../server/import/event-line.ts'
import { histories } from '../contract/lease-table-histories.ts'

describe('spans', () => {
  it('are the same in whatever order their events come, and when events come twice', () => {
    const property = fc.property(histories(60), fc.infiniteStream(fc.nat()), (events, picks) => {
      const shuffled = [...events, ...events.slice(0, 5)]
      for (let i = shuffled.length - 1; i > 0; i--) {
        const j = (picks.next().value as number) % (i + 1)
        ;[shuffled[i], shuffled[j]] = [shuffled[j] as Recorded, shuffled[i] as Recorded]
      }
      const sorted = (recorded: ReadonlyArray<Recorded>) =>
        new Map(
          spanRowsOf(recorded)
            .map((row) => [spanKey(row), row])
            .toSorted() as never,
        )
      expect(sorted(shuffled)).toEqual(sorted(events))
    })
    fc.assert(property, { numRuns: 100 })
  })

  it('cover a moment with one holder at most, whoever the last to get it was', () => {
    const property = fc.property(histories(60), (events) => {
      const byStream = Map.groupBy(events, ({ stream }) => stream)
      for (const own of byStream.values()) {
        const spans = spansOf(own, Infinity)
        for (const [index, span] of spans.entries()) {
          expect(span.until).toBeLessThanOrEqual(spans[index + 1]?.from ?? Infinity)
          if (span.until > span.from) expect(holderAt(spans, span.from)).toBe(span)
        }
      }
    })
    fc.assert(property, { numRuns: 100 })
  })

  it('end where the next one begins when a clock was ahead', () => {
    const lease = (holder: string, startsAt: number, expiresAt: number) => ({
      holder,
      startsAt,
      expiresAt,
      renewals: 0,
    })
    const event = (revision: number, type: string, at: number, of: object): Recorded =>
      ({
        stream: 'lease4/198.18.0.1',
        log: 'a',
        seq: revision + 1,
        revision,
        recordedAt: at,
        event: { type, lease: of, cause: 'client' },
      }) as never
    const events = [
      event(0, 'LeaseClaimed', 10_000, lease('id:1', 10_000, 99_000)),
      event(1, 'LeaseReleased', 60_000, lease('id:1', 10_000, 60_000)),
      event(2, 'LeaseClaimed', 57_000, lease('id:2', 57_000, 99_000)),
    ]
    const spans = spansOf(events, 58_000)
    expect(spans.map(({ holder, from, until, endedBy }) => [holder, from, until, endedBy])).toEqual([
      ['id:1', 10_000, 57_000, 'released'],
      ['id:2', 57_000, 99_000, 'held'],
    ])
    expect(holderAt(spans, 58_000)?.holder).toBe('id:2')
  })

  it('remember what a client was known by earlier', () => {
    const at = (revision: number, circuitId: string): Recorded =>
      ({
        stream: 'lease4/198.18.0.1',
        log: 'a',
        seq: revision + 1,
        revision,
        recordedAt: revision,
        event: {
          type: revision === 0 ? 'LeaseClaimed' : 'LeaseRenewed',
          lease: { holder: 'id:1', startsAt: 0, expiresAt: 9, renewals: revision, relay: { circuitId } },
        },
      }) as never
    const rows = [at(0, '01'), at(1, '02'), at(2, '01'), at(3, '03')].map(spanRowOf)
    const merged = rows.reduce((one, other) => mergeSpans(one!, other!))
    expect(merged?.formerly).toEqual(['circuit-id=01', 'circuit-id=02'])
    expect(merged?.lease.relay?.circuitId).toBe('03')
  })
})

describe('delegated prefixes', () => {
  const row = (prefix: string, holder: string, startsAt: number, expiresAt: number) => {
    const place = { revision: 0, log: 'a', seq: 1, at: startsAt }
    const lease = { expiresAt, renewals: 0 }
    return {
      stream: `prefix6/${prefix}`,
      holder,
      startsAt,
      lease,
      first: place,
      last: place,
      end: undefined,
      formerly: [],
    } as never
  }

  it("are found to overlap when one lies in another at the same time and is another client's", () => {
    const rows = [
      row('2001:db8:8000::/48', 'one', 0, 100_000),
      row('2001:db8:8000:100::/56', 'two', 50_000, 200_000),
      row('2001:db8:8000:200::/56', 'two', 99_000, 200_000),
      row('2001:db8:8000:300::/56', 'one', 0, 100_000),
      row('2001:db8:8001::/48', 'three', 0, 200_000),
    ]
    expect(overlapsOf(rows, 5_000)).toEqual([
      '2001:db8:8000:100::/56: two had it from 1970-01-01T00:00:50.000Z, and one had 2001:db8:8000::/48, in which it ' +
        'lies, from 1970-01-01T00:00:00.000Z to 1970-01-01T00:01:40.000Z',
    ])
  })
})

describe('a ledger of schema version 1', () => {
  const lines = readFileSync(join(import.meta.dirname, 'fixtures/ledger-v1.ndjson'), 'utf8')
    .trimEnd()
    .split('\n')

  it('is read, proven and replayed as on the day it was written', () => {
    let previous: Uint8Array = GENESIS
    const events = lines.map((line) => {
      const stored = parseEventLine(line)
      if (E.isLeft(stored)) throw new Error(stored.left)
      expect(stored.right.schemaVersion).toBe(1)
      expect(checkLink(previous, stored.right)).toBe(true)
      previous = stored.right.hash
      const decoded = decodeEvent(stored.right.type, stored.right.schemaVersion, stored.right.data)
      if (E.isLeft(decoded)) throw new Error(decoded.left.reason)
      return { ...stored.right, event: decoded.right } as Recorded
    })
    expect(new Set(events.map(({ event }) => event.type))).toEqual(new Set(eventTypes))
    expect(SCHEMA_VERSION).toBeGreaterThanOrEqual(1)
    const byStream = Map.groupBy(events, ({ stream }) => stream)
    const told = [...byStream].flatMap(([stream, own]) =>
      spansOf(own, Date.UTC(2026, 5, 1)).map(({ holder, from, until, endedBy, renewals }) =>
        [stream, holder, new Date(from).toISOString(), new Date(until).toISOString(), endedBy, renewals].join(' '),
      ),
    )
    expect(told).toEqual([
      'lease4/198.18.0.1 id:0102 2026-01-01T00:00:05.000Z 2026-01-01T00:40:00.000Z superseded 1',
      'lease4/198.18.0.1 hw:1:020304050607 2026-01-01T01:00:00.000Z 2026-01-01T02:00:00.000Z expired 0',
      'lease4/198.18.0.3 id:0104 2025-12-31T23:00:00.000Z 2026-01-01T00:10:00.000Z revoked 0',
      'lease4/198.18.0.2 id:0103 2026-01-01T02:00:00.000Z 2026-01-01T02:00:01.000Z declined 0',
      'lease6/2001:db8::5 duid:00010203/7 2026-01-01T03:00:00.000Z 2026-01-01T04:00:00.000Z expired 0',
      'prefix6/2001:db8:8000::/56 duid:00010203/8 2026-01-01T03:00:00.000Z 9999-12-31T23:59:59.000Z held 0',
    ])
  })
})
