/** The highest rate that a server carries: at most 2.5 % of the exchanges lost, the criterion of Kea's own figures. */
import type { Run } from './works.ts'

/** Share of exchanges that may be lost at a rate that counts as carried. */
export const LOST_MAX = 0.025

/** Below this share of the rate asked for, perfdhcp itself did not keep up, and the rate says nothing of the server. */
const OFFERED_MIN = 0.9

/** Above this share a rate is not tried a second time. */
const HOPELESS = 0.2

/** The end of a search. */
export interface Peak {
  /** The run with the highest rate that was carried; undefined when none was. */
  readonly best: Run | undefined
  /** Every run, in order. */
  readonly runs: ReadonlyArray<Run>
  /** The load generator, and not the server, was the limit. */
  readonly limitedByLoad: boolean
}

export interface SearchOptions {
  readonly from: number
  /** The search ends when the lowest rate that failed is less than this factor above the highest that was carried. */
  readonly within: number
  readonly run: (ratePerSec: number, isProbe: boolean) => Promise<Run>
}

/**
 * Doubles the rate from `from` on (or halves it) until one is carried and one is not, then narrows the gap. Rates
 * far below the limit are short probes.
 */
export const findPeak = async ({ from, within, run }: SearchOptions): Promise<Peak> => {
  const runs: Run[] = []
  let carried: Run | undefined
  let failed = Infinity
  let rate = from
  let limitedByLoad = false
  while (rate >= 1) {
    const isProbe = carried === undefined || failed === Infinity
    let done = await run(Math.round(rate), isProbe)
    runs.push(done)
    if (done.lost > LOST_MAX && done.lost < HOPELESS) {
      // The machine may have been busy with something else for a moment: a rate fails when it fails twice.
      done = await run(Math.round(rate), isProbe)
      runs.push(done)
    }
    limitedByLoad = done.lost <= LOST_MAX && done.offered < done.asked * OFFERED_MIN
    if (done.lost <= LOST_MAX) {
      if (carried === undefined || done.completed > carried.completed) carried = done
      if (limitedByLoad) break
    } else failed = Math.min(failed, rate)
    if (carried === undefined) rate = failed / 2
    else if (failed === Infinity) rate = rate * 1.6
    else if (failed / carried.asked <= within) break
    else rate = Math.sqrt(failed * carried.asked)
  }
  return { best: carried, runs, limitedByLoad }
}

/** Middle value; the mean of the two middle ones for an even count. NaN for none. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return NaN
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
