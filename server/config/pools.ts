/** Pools of addresses, of either protocol. */
import { classRules } from './inherit.ts'
import type { ClassRules, ClientClass, OptionSet } from './model.ts'
import { mergeOptions, resolveOptions } from './options.ts'
import type { Definitions } from './options.ts'
import { refuseOutside, refuseOverlaps } from './ranges.ts'
import type { Range } from './ranges.ts'
import type { Report } from './report.ts'
import type { PoolText4, PoolText6 } from './shapes.ts'

/** A range of addresses, both ends included; see `Pool4` and `Pool6`. */
interface Pool<A> extends ClassRules {
  readonly id: number
  readonly first: A
  readonly last: A
  readonly options: OptionSet
}

type PoolText<A> = Omit<PoolText4 | PoolText6, 'pool'> & { readonly pool: { readonly first: A; readonly last: A } }

/** What the pools of a subnet are resolved with: `within` is the subnet, `outer` its options. */
export interface PoolContext<A extends number | bigint> {
  readonly within: Range<A>
  readonly outer: OptionSet
  readonly textOf: (address: A) => string
  readonly definitions: Definitions
  readonly classes: ReadonlyMap<string, ClientClass>
  readonly report: Report
}

/** The pools of a subnet, in order. Those that overlap or lie outside of it are reported. */
export const resolvePools = <A extends number | bigint>(
  pools: ReadonlyArray<PoolText<A>> | undefined,
  { within, outer, textOf, definitions, classes, report }: PoolContext<A>,
): ReadonlyArray<Pool<A>> => {
  const ranges: Range<A>[] = []
  const resolved = (pools ?? []).map((written): Pool<A> => {
    const { first, last } = written.pool
    const range = { first, last, at: [...written.at, 'pool'], text: `${textOf(first)} - ${textOf(last)}` }
    ranges.push(range)
    refuseOutside(range, within, 'pool', report)
    const options = mergeOptions(resolveOptions(written['option-data'], definitions, report), outer)
    return { id: written['pool-id'] ?? 0, first, last, options, ...classRules(written, classes, report) }
  })
  refuseOverlaps(ranges, 'pool', report)
  return resolved
}
