/** A client holds one lease on a link: taking another one gives the first back, by an event that says so. */
import type { Instant } from '../domain/instant.ts'
import { grantedAt, RETRANSMISSION_MS } from '../domain/lease.ts'
import type { ClientKey, LeaseEvent } from '../domain/lease.ts'
import { categoryOf } from '../domain/stream.ts'
import type { StreamName } from '../domain/stream.ts'
import type { Ledger } from './ledger.ts'
import type { Replica } from './replica.ts'

/** The lease that a client has just got or extended. */
export interface Kept {
  readonly stream: StreamName
  readonly holder: ClientKey
  /** What was recorded; undefined when it was so already. */
  readonly event: LeaseEvent | undefined
  /** Subnets of the client's link, by id. */
  readonly onLink: ReadonlySet<number>
}

/**
 * Releases what else the client holds on its link. A message may have been late: then what it asked for is the older
 * wish, and the lease that would be released is the one in use. So a lease goes at once only if the kept one was offered
 * after it was granted, and otherwise when it has not been asked for during the time in which messages are repeated; then
 * a later renewal of the kept lease comes back to it, or it expires.
 */
export const supersede = (kept: Kept, replica: Replica, ledger: Ledger, now: Instant): void => {
  const { stream: supersededBy, holder, event, onLink } = kept
  const category = categoryOf(supersededBy)
  const offeredAt = event?.type === 'LeaseClaimed' ? event.offered?.at : undefined
  for (const stream of replica.heldBy(holder)) {
    if (stream === supersededBy || categoryOf(stream) !== category) continue
    const { state } = replica.get(stream)
    if (state.status !== 'bound' || state.lease.holder !== holder || !onLink.has(state.lease.subnetId)) continue
    if (grantedAt(state.lease) >= (offeredAt ?? now - RETRANSMISSION_MS)) continue
    const ofGrant = state.lease.expiresAt
    void ledger.execute(stream, { type: 'Release', holder, cause: 'superseded', supersededBy, ofGrant })
  }
}
