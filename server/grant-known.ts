import type { Instant } from '../domain/instant.ts'
import type { ClientKey } from '../domain/lease.ts'
import type { StreamName } from '../domain/stream.ts'
import type { Replica } from './replica.ts'

/**
 * The grant that a RELEASE or DECLINE is about: the one that this server knew of when the message came. If the client gets
 * the lease anew while the message waits for the store, the message must not end the new grant. Absent when this server
 * does not know the client as the holder.
 */
export const grantKnown = (replica: Replica, stream: StreamName, holder: ClientKey): { readonly ofGrant?: Instant } => {
  const { state } = replica.get(stream)
  return state.status === 'bound' && state.lease.holder === holder ? { ofGrant: state.lease.expiresAt } : {}
}
