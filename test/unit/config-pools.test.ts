import * as E from 'fp-ts/lib/Either.js'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ip4Text, ip6Text } from '../../domain/address.ts'
import { resolveSources } from '../../server/config/load.ts'
import { sourceOf } from '../../server/config/source.ts'
import { dhcp4, dhcp6 } from './config-support.ts'

const accepted = (text: string): boolean => {
  const source = sourceOf('test.conf', text)
  return E.isRight(source) && E.isRight(resolveSources([source.right]))
}

interface Span {
  readonly first: number
  readonly last: number
}

const disjoint = (spans: readonly Span[]): boolean =>
  spans.every((a, at) => spans.slice(at + 1).every((b) => a.last < b.first || b.last < a.first))

const BASE = 0xc6336400 // 198.51.100.0

const span = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 24 }))
  .map(([first, more]): Span => ({ first, last: Math.min(first + more, 255) }))

describe('pools of addresses', () => {
  it('are accepted exactly when none overlaps another', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 8 }), (spans) => {
        const pools = spans.map(({ first, last }) => `{"pool": "${ip4Text(BASE + first)} - ${ip4Text(BASE + last)}"}`)
        const text = dhcp4(`"subnet4": [{"id": 1, "subnet": "198.51.100.0/24", "pools": [${pools.join()}]}]`)
        expect(accepted(text)).toBe(disjoint(spans))
      }),
      { numRuns: 200 },
    )
  })
})

/** Prefixes below 2001:db8::/32 as spans of /64s, so that a few bits decide whether they overlap. */
const prefix = fc.tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 60, max: 64 })).map(([place, length]) => {
  const size = 2 ** (64 - length)
  const first = place - (place % size)
  return { first, last: first + size - 1, length }
})

const prefixText = ({ first }: Span): string => ip6Text((0x20010db8n << 96n) | (BigInt(first) << 64n))

describe('prefixes', () => {
  it('of pools and subnets are accepted exactly when none overlaps another', () => {
    fc.assert(
      fc.property(
        fc.array(prefix, { minLength: 1, maxLength: 3 }),
        fc.array(prefix, { maxLength: 3 }),
        (links, pools) => {
          const written = pools.map(
            (pool) => `{"prefix": "${prefixText(pool)}", "prefix-len": ${pool.length}, "delegated-len": 64}`,
          )
          const subnets = links.map(
            (link, at) =>
              `{"id": ${at + 1}, "subnet": "${prefixText(link)}/${link.length}", "pd-pools": [${at === 0 ? written.join() : ''}]}`,
          )
          expect(accepted(dhcp6(`"subnet6": [${subnets.join()}]`))).toBe(disjoint([...links, ...pools]))
        },
      ),
      { numRuns: 200 },
    )
  })

  it('that are reserved out of a pool have the length that it delegates', () => {
    fc.assert(
      fc.property(prefix, prefix, fc.integer({ min: 60, max: 64 }), (pool, reserved, delegated) => {
        fc.pre(delegated >= pool.length)
        const written = `{"prefix": "${prefixText(pool)}", "prefix-len": ${pool.length}, "delegated-len": ${delegated}}`
        const reservation = `{"duid": "01", "prefixes": ["${prefixText(reserved)}/${reserved.length}"]}`
        const text = dhcp6(
          `"subnet6": [{"id": 1, "subnet": "2001:db8:ffff::/64", "pd-pools": [${written}], "reservations": [${reservation}]}]`,
        )
        const inside = reserved.first >= pool.first && reserved.last <= pool.last && reserved.length === delegated
        expect(accepted(text)).toBe(inside || disjoint([pool, reserved]))
      }),
      { numRuns: 200 },
    )
  })
})
