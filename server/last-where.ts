/**
 * Index of the last element for which `holds`, in a list where those come first; -1 when there is none. For ranges that are
 * sorted by where they begin: the one that an address may lie in is the last that begins at or before it.
 */
export const lastWhere = <A>(sorted: ReadonlyArray<A>, holds: (element: A) => boolean): number => {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (holds(sorted[middle] as A)) low = middle + 1
    else high = middle
  }
  return low - 1
}
