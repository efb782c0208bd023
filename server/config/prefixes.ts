/**
 * Pools of delegated prefixes, and the rule that keeps delegations apart: nothing that could be delegated lies inside
 * or around anything else that could be, or that is a link of its own.
 */
import { ip6Last, ip6Network, ip6Text } from '../../domain/address.ts'
import { classRules } from './inherit.ts'
import type { ClientClass, OptionSet, PdPool, Prefix6 } from './model.ts'
import { mergeOptions, resolveOptions } from './options.ts'
import type { Definitions } from './options.ts'
import { refuseOverlaps } from './ranges.ts'
import type { Range } from './ranges.ts'
import type { Report } from './report.ts'
import type { PdPoolText, ReservationText6, SubnetText6 } from './shapes.ts'
import type { PrefixValue } from './values.ts'

/** The pools of delegated prefixes of a subnet; `outer` are the options of the subnet. */
export const resolvePdPools = (
  subnet: SubnetText6,
  outer: OptionSet,
  definitions: Definitions,
  classes: ReadonlyMap<string, ClientClass>,
  report: Report,
): readonly PdPool[] =>
  (subnet['pd-pools'] ?? []).map((written): PdPool => {
    const { prefix } = written
    const prefixLength = written['prefix-len']
    const delegatedLength = written['delegated-len']
    if (ip6Network(prefix, prefixLength) !== prefix) {
      const message = `expected a prefix of ${prefixLength} bits whose other bits are zero, found ${ip6Text(prefix)}`
      report.error([...written.at, 'prefix'], message)
    }
    if (delegatedLength < prefixLength) {
      const message = `expected at least prefix-len, which is ${prefixLength}, found ${delegatedLength}`
      report.error([...written.at, 'delegated-len'], message)
    }
    const options = mergeOptions(resolveOptions(written['option-data'], definitions, report), outer)
    return {
      id: written['pool-id'] ?? 0,
      prefix,
      prefixLength,
      delegatedLength,
      excluded: excludedOf(written, report),
      options,
      ...classRules(written, classes, report),
    }
  })

/** RFC 6603 §4.2: the excluded prefix is part of the delegated one; of the first, and alike in all that follow. */
const excludedOf = (written: PdPoolText, report: Report): Prefix6 | undefined => {
  const prefix = written['excluded-prefix']
  const length = written['excluded-prefix-len']
  if (prefix === undefined || length === undefined) {
    const given = prefix === undefined ? 'excluded-prefix-len' : 'excluded-prefix'
    if (prefix !== length)
      report.error([...written.at, given], 'expected excluded-prefix and excluded-prefix-len together')
    return undefined
  }
  // Kea's notation for none.
  if (prefix === 0n && length === 0) return undefined
  const delegated = written['delegated-len']
  const inside = length > delegated && ip6Network(prefix, delegated) === ip6Network(written.prefix, delegated)
  // The bits behind its length are not sent (RFC 6603 §4.2), and Kea takes any.
  if (inside) return { prefix: ip6Network(prefix, length), length }
  const first = `${ip6Text(written.prefix)}/${delegated}`
  const message = `expected a prefix inside ${first}, the first that is delegated, found ${ip6Text(prefix)}/${length}`
  report.error([...written.at, 'excluded-prefix'], message)
  return undefined
}

/**
 * Refuses pools of prefixes that overlap one another or a subnet, and reserved prefixes that overlap one another, a
 * subnet, or a pool whose prefixes have another length.
 */
export const refusePrefixOverlaps = (
  subnets: readonly SubnetText6[],
  globalReservations: readonly ReservationText6[],
  report: Report,
): void => {
  const links = subnets.map(({ at, subnet }) => rangeOf(subnet, [...at, 'subnet'], 'subnet'))
  const pools = subnets.flatMap((subnet) => subnet['pd-pools'] ?? []).map(rangeOfPool)
  const owners = [...globalReservations, ...subnets.flatMap(({ reservations }) => reservations ?? [])]
  const reserved = owners.flatMap(({ at, prefixes }) =>
    (prefixes ?? []).map((prefix, index) => rangeOf(prefix, [...at, 'prefixes', index], 'reserved prefix')),
  )
  refuseOverlaps(pools, 'prefix pool', report)
  refuseOverlaps(reserved, 'reserved prefix', report)
  refuseAcross(pools, links, () => false, report)
  refuseAcross(reserved, links, () => false, report)
  refuseAcross(reserved, pools, (prefix, pool) => inPool(prefix, pool), report)
}

interface Delegable extends Range<bigint> {
  readonly length: number
  readonly what: string
}

const rangeOf = (prefix: PrefixValue<bigint>, at: Range<bigint>['at'], what: string): Delegable => ({
  first: prefix.prefix,
  last: ip6Last(prefix.prefix, prefix.length),
  length: prefix.length,
  at,
  what,
  text: prefix.text,
})

/** Its length is that of what it delegates. */
const rangeOfPool = (pool: PdPoolText): Delegable => ({
  first: ip6Network(pool.prefix, pool['prefix-len']),
  last: ip6Last(pool.prefix, pool['prefix-len']),
  length: pool['delegated-len'],
  at: [...pool.at, 'prefix'],
  what: 'prefix pool',
  text: `${ip6Text(pool.prefix)}/${pool['prefix-len']}`,
})

/** A reservation out of a pool is one of the prefixes that the pool delegates. */
const inPool = (prefix: Delegable, pool: Delegable): boolean =>
  prefix.length === pool.length && prefix.first >= pool.first && prefix.last <= pool.last

const refuseAcross = (
  ranges: readonly Delegable[],
  others: readonly Delegable[],
  allowed: (range: Delegable, other: Delegable) => boolean,
  report: Report,
): void => {
  const sorted = [...others].sort((a, b) => (a.first < b.first ? -1 : 1))
  for (const range of ranges) {
    const other = firstThatMeets(sorted, range)
    if (other === undefined || allowed(range, other)) continue
    const line = report.line(other.at)
    report.error(range.at, `the ${range.what} ${range.text} overlaps the ${other.what} ${other.text} on line ${line}`)
  }
}

/** Of ranges in order, which do not overlap or are refused already, one that overlaps `range`. */
const firstThatMeets = (sorted: readonly Delegable[], range: Delegable): Delegable | undefined => {
  let low = 0
  for (let high = sorted.length; low < high;) {
    const middle = (low + high) >> 1
    if ((sorted[middle] as Delegable).last < range.first) low = middle + 1
    else high = middle
  }
  const found = sorted[low]
  return found !== undefined && found.first <= range.last ? found : undefined
}
