/** The statistics of the lease tables as a fold over their rows. */
import { leaseTypeOf, tableOf } from './lease-row.ts'
import type { LeaseRow } from './lease-row.ts'
import type { Statistic } from './lease-tables.ts'

/** Adds `change` (1 for a row that came, -1 for one that went) to the statistic that counts `row`, if any does. */
export const countRow = (
  statistics: Map<string, Statistic>,
  row: Pick<LeaseRow, 'stream' | 'state' | 'subnetId' | 'poolId'>,
  change: number,
): void => {
  const { state, subnetId, poolId } = row
  if (state !== 0 && state !== 1) return
  const statistic = { table: tableOf(row.stream), subnetId, poolId, leaseType: leaseTypeOf(row.stream), state }
  const key = statisticKey(statistic)
  const leases = (statistics.get(key)?.leases ?? 0) + change
  statistics.set(key, { ...statistic, leases })
}

/** What a statistic counts, as one comparable text for people too. */
export const statisticKey = (statistic: Omit<Statistic, 'leases'>): string => {
  const { table, subnetId, poolId, leaseType, state } = statistic
  return `${table} subnet ${subnetId} pool ${poolId} type ${leaseType} state ${state}`
}
