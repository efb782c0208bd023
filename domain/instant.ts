/**
 * A moment, in milliseconds since 1970-01-01T00:00:00Z. A plain number: it is compared and added to on every packet,
 * and it is stored as it is. The domain never asks for the time; it is given.
 */
export type Instant = number

/** The end of a lease that never ends (lifetime 0xffffffff, RFC 2131 §3.3 and RFC 8415 §7.7): 9999-12-31T23:59:59Z. */
export const FOREVER: Instant = 253_402_300_799_000

/** The lifetime, in seconds, that means forever (RFC 2131 §3.3, RFC 8415 §7.7). */
export const INFINITE_SEC = 0xffffffff

/** `start` plus `seconds` (uint32); 0xffffffff gives {@link FOREVER}. */
export const after = (start: Instant, seconds: number): Instant =>
  seconds === INFINITE_SEC ? FOREVER : start + seconds * 1000

/** The text of an instant in UTC with milliseconds, RFC 3339. */
export const isoText = (at: Instant): string => new Date(at).toISOString()
