/**
 * Leases that do not fit the configuration any more, as Kea's `sanity-checks` has it. The ledger is never corrected:
 * what a lease was stays true. So `warn` and `fix` tell of them (the next renewal records the subnet that is right then),
 * and `del` and `fix-del` revoke, by an event that says why.
 */
import * as O from 'fp-ts/lib/Option.js'
import { setImmediate as turn } from 'node:timers/promises'
import type { Lease } from '../domain/lease.ts'
import { parseStream } from '../domain/stream.ts'
import type { Category, Resource, StreamName } from '../domain/stream.ts'
import type { SanityChecks } from './config/model.ts'
import type { Ledger } from './ledger.ts'
import type { Logger } from './logger.ts'
import type { Replica } from './replica.ts'

/** What a check needs. */
export interface LeaseChecks {
  readonly category: Category
  readonly mode: SanityChecks['leaseChecks']
  /** The subnet of an address or prefix that was leased in the subnet `leasedIn`; undefined when it is in none any more. */
  readonly subnetIdOf: (resource: Resource, leasedIn: number) => number | undefined
  readonly replica: Replica
  readonly ledger: Ledger
  readonly log: Logger
}

/** What a check found: leases in force in no subnet, or in another one than they were granted in. */
export interface Misfits {
  readonly homeless: number
  readonly moved: number
  readonly revoked: number
}

/** Leases looked at before the packets that wait have their turn. */
const TOGETHER_MAX = 5_000
/** Leases named in the warning. */
const NAMED_MAX = 5

/** Looks at all leases in force of a category, beside the service. */
export const checkLeases = async (checks: LeaseChecks): Promise<Misfits> => {
  const { category, mode, replica, subnetIdOf, log } = checks
  const found = { homeless: 0, moved: 0, revoked: 0 }
  if (mode === 'none') return found
  const named: string[] = []
  let looked = 0
  for (const [stream, { state }] of replica.entries()) {
    if (++looked % TOGETHER_MAX === 0) await turn()
    const parsed = state.status === 'bound' ? parseStream(stream) : O.none
    if (O.isNone(parsed) || parsed.value.category !== category) continue
    const subnetId = subnetIdOf(parsed.value, state.lease.subnetId)
    if (subnetId === state.lease.subnetId) continue
    if (subnetId === undefined) found.homeless++
    else found.moved++
    if (named.length < NAMED_MAX) named.push(stream)
    const unwanted = mode === 'del' || (mode === 'fix-del' && subnetId === undefined)
    if (unwanted && (await revoke(checks, stream, state.lease))) found.revoked++
  }
  if (found.homeless + found.moved > 0) {
    log.warn(
      { ...found, 'lease-checks': mode, some: named },
      'leases in force do not fit the subnets of the configuration',
    )
  }
  return found
}

const revoke = async ({ ledger }: LeaseChecks, stream: StreamName, { subnetId }: Lease): Promise<boolean> => {
  const reason = `lease-checks: it was granted in subnet ${subnetId}, which does not have the address`
  const answer = await ledger.execute(stream, { type: 'Revoke', reason })
  return answer._tag === 'Right'
}
