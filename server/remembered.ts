/** What is kept: relays are few, and clients repeat. */
const KEPT_MAX = 4_096

/** A function that keeps its results, which must not change; all are forgotten when there are too many. */
export const remembered = <K, V>(make: (key: K) => V): ((key: K) => V) => {
  const kept = new Map<K, V>()
  return (key) => {
    const known = kept.get(key)
    if (known !== undefined) return known
    if (kept.size >= KEPT_MAX) kept.clear()
    const made = make(key)
    kept.set(key, made)
    return made
  }
}
