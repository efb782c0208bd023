/** Delegated prefixes that lie in each other and were held by different clients at once. */
import * as O from 'fp-ts/lib/Option.js'
import { isoText } from '../domain/instant.ts'
import { addressText, parseStream } from '../domain/stream.ts'
import { spanOf } from './history.ts'
import type { Span, SpanRow } from './history.ts'

interface Held {
  readonly first: bigint
  readonly length: number
  readonly span: Span
}

/**
 * One sentence for each pair of spans, of a prefix and of one that it lies in, with different holders at one time.
 * Clocks may be `maxClockSkewMs` apart. Prefixes lie in each other or beside each other, so those that enclose the one
 * that is looked at stand on a stack.
 */
export const overlapsOf = (rows: Iterable<SpanRow>, maxClockSkewMs: number): ReadonlyArray<string> => {
  const held: Held[] = []
  for (const row of rows) {
    const span = spanOf(row, Infinity)
    const resource = O.toUndefined(parseStream(row.stream))
    if (span === undefined || resource?.category !== 'prefix6') continue
    held.push({ first: resource.address, length: resource.prefixLength, span })
  }
  held.sort((one, other) => (one.first === other.first ? one.length - other.length : one.first < other.first ? -1 : 1))
  const found: string[] = []
  let enclosing: Held[] = []
  for (const one of held) {
    enclosing = enclosing.filter((outer) => contains(outer, one))
    for (const outer of enclosing) {
      if (outer.length < one.length && atOnce(outer.span, one.span, maxClockSkewMs)) found.push(sentence(outer, one))
    }
    enclosing.push(one)
  }
  return found
}

const contains = (outer: Held, inner: Held): boolean => {
  const free = BigInt(128 - outer.length)
  return inner.length >= outer.length && inner.first >> free === outer.first >> free
}

const atOnce = (one: Span, other: Span, skewMs: number): boolean =>
  one.holder !== other.holder && one.from + skewMs < other.until && other.from + skewMs < one.until

const sentence = ({ span: outer }: Held, { span: inner }: Held): string =>
  `${addressText(inner.stream)}: ${inner.holder} had it from ${isoText(inner.from)}, and ${outer.holder} had ` +
  `${addressText(outer.stream)}, in which it lies, from ${isoText(outer.from)} to ${isoText(outer.until)}`
