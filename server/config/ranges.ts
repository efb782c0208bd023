/** Ranges of addresses that must not overlap. */
import type { Report } from './report.ts'
import type { Path } from './tree.ts'

/** A range, both ends included, with where it was written and how people call it. */
export interface Range<A extends number | bigint> {
  readonly first: A
  readonly last: A
  readonly at: Path
  readonly text: string
}

/** Reports each range that overlaps one before it in the order of addresses; `what` names their kind. */
export const refuseOverlaps = <A extends number | bigint>(
  ranges: readonly Range<A>[],
  what: string,
  report: Report,
): void => {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))
  let widest: Range<A> | undefined
  for (const range of sorted) {
    if (widest !== undefined && range.first <= widest.last) {
      const [earlier, later] = inOrder(widest, range, report)
      const line = report.line(earlier.at)
      report.error(later.at, `the ${what} ${later.text} overlaps the ${what} ${earlier.text} on line ${line}`)
    }
    if (widest === undefined || range.last > widest.last) widest = range
  }
}

/** The one that stands later in the file is the one to complain of. */
const inOrder = <A extends number | bigint>(a: Range<A>, b: Range<A>, report: Report): readonly [Range<A>, Range<A>] =>
  report.line(a.at) <= report.line(b.at) ? [a, b] : [b, a]

/** Reports a range that is not wholly inside another. */
export const refuseOutside = <A extends number | bigint>(
  range: Range<A>,
  outer: Range<A>,
  what: string,
  report: Report,
): void => {
  if (range.first >= outer.first && range.last <= outer.last) return
  report.error(range.at, `expected a ${what} inside the subnet ${outer.text}, found ${range.text}`)
}
