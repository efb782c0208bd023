/** When clients renew and rebind (RFC 2131 §4.4.5, RFC 8415 §14.2). */
import { INFINITE_SEC } from '../domain/instant.ts'
import type { Timers } from './config/model.ts'

/**
 * T1 and T2 in seconds for a lease of this length: the configured ones, or fractions of it where `calculate-tee-times` is
 * on; undefined where the client shall choose. T1 stays below T2, and T2 below the lease.
 */
export const teeTimes = (timers: Timers, leaseTimeSec: number): { renew?: number; rebind?: number } => {
  if (leaseTimeSec === INFINITE_SEC) return {}
  const share = (fraction: number): number | undefined =>
    timers.calculateTeeTimes ? Math.floor(leaseTimeSec * fraction) : undefined
  const rebind = timers.rebindSec ?? share(timers.t2Percent)
  const renew = timers.renewSec ?? share(timers.t1Percent)
  const rebindFits = rebind !== undefined && rebind < leaseTimeSec
  const renewFits = renew !== undefined && renew < (rebindFits ? rebind : leaseTimeSec)
  return { ...(renewFits ? { renew } : {}), ...(rebindFits ? { rebind } : {}) }
}
