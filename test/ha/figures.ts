/** What an experiment is judged by, counted from what its clients and the database's probes have seen. */
import type { Deed, Family, Record } from './crowd.ts'
import { longestGap } from './probe.ts'
import { WIDE_LEASE_SEC } from './stage.ts'

/** Figures of one family in one experiment. Times in ms. */
export interface Figures {
  readonly family: Family
  /** Longest time in which no new client got a lease. */
  readonly gapMs: number
  readonly claims: number
  readonly claimsRefused: number
  readonly claimsUnanswered: number
  readonly renewals: number
  readonly renewalsRefused: number
  /** Renewals and rebinds that were answered with what was left of the lease. */
  readonly remaining: number
  /** Rebinds that no server answered. */
  readonly rebindsUnanswered: number
}

/** The figures of a family between two moments. */
export const figuresOf = (family: Family, record: Record, from: number, to: number): Figures => {
  const own = record.deeds.filter((deed) => deed.family === family)
  const claims = own.filter(({ task, claimed }) => task === 'acquire' && claimed)
  const renewals = own.filter(({ task }) => task === 'renew' || task === 'rebind')
  const granted = claims.filter(({ end }) => end === 'granted').map(({ endedAt }) => endedAt)
  return {
    family,
    gapMs: longestGap(granted, from, to),
    claims: claims.length,
    claimsRefused: count(claims, 'refused'),
    claimsUnanswered: count(claims, 'silent'),
    renewals: renewals.length,
    renewalsRefused: count(renewals, 'refused'),
    remaining: renewals.filter(({ end, leaseTimeSec }) => end === 'granted' && leaseTimeSec < WIDE_LEASE_SEC).length,
    rebindsUnanswered: renewals.filter(({ task, end }) => task === 'rebind' && end === 'silent').length,
  }
}

const count = (deeds: ReadonlyArray<Deed>, end: Deed['end']): number => deeds.filter((deed) => deed.end === end).length

/** Failed claims of 1,000, refused or unanswered. */
export const failedPerMille = ({ claims, claimsRefused, claimsUnanswered }: Figures): number =>
  claims === 0 ? 0 : ((claimsRefused + claimsUnanswered) * 1_000) / claims
