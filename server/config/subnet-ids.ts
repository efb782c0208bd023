/** How subnets are named: their prefix, and their number, which is the one given or the next free one from 1. */
import type { Report } from './report.ts'
import type { Placed } from './shape.ts'

interface Numbered extends Placed {
  readonly id?: number | undefined
  readonly subnet: { readonly text: string; readonly inexact: string | undefined }
}

/** The id of every subnet. An id that is given twice is reported. */
export const subnetIds = <S extends Numbered>(subnets: readonly S[], report: Report): ReadonlyMap<S, number> => {
  const ids = new Map<S, number>()
  const owners = new Map<number, S>()
  for (const subnet of subnets) {
    if (!subnet.id) continue
    ids.set(subnet, subnet.id)
    const before = owners.get(subnet.id)
    if (before === undefined) owners.set(subnet.id, subnet)
    else {
      const first = `${before.subnet.text} on line ${report.line(before.at)}`
      const message = `the subnet id ${subnet.id} is given twice, first to ${first}`
      report.error([...subnet.at, 'id'], message)
    }
  }
  let next = 1
  for (const subnet of subnets) {
    if (subnet.id) continue
    while (owners.has(next)) next++
    owners.set(next, subnet)
    ids.set(subnet, next)
    const advice = 'give it one, so that leases stay with it when others are added'
    report.warn(`the subnet ${subnet.subnet.text} has no id and gets ${next}: ${advice}`)
  }
  return ids
}

/** Says which network is meant by a prefix with host bits. */
export const noticeHostBits = ({ subnet }: Numbered, report: Report): void => {
  if (subnet.inexact !== undefined) report.warn(`the subnet ${subnet.inexact} has host bits: ${subnet.text} is served`)
}
