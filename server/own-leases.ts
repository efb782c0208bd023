/** What the DHCP servers ask of states of leases, in DHCPv4 and DHCPv6 alike. */
import { INFINITE_SEC } from '../domain/instant.ts'
import type { Lease, LeaseState } from '../domain/lease.ts'
import type { LeaseCache } from './config/model.ts'
import type { StreamName } from '../domain/stream.ts'
import type { Failure } from './ledger.ts'
import type { Replica } from './replica.ts'

/** The lease of a state, whatever became of it. */
export const leaseIn = (state: LeaseState): Lease | undefined => (state.status === 'vacant' ? undefined : state.lease)

/** Which of a client's former leases to offer first; {@link NOT_OWN} is not at all. */
export const OWN_RANK: Readonly<Record<LeaseState['status'], number>> = {
  bound: 0,
  offered: 1,
  expired: 2,
  released: 3,
  revoked: 9,
  declined: 9,
  vacant: 9,
}

/** The rank of what a client has no claim to any more. */
export const NOT_OWN = 9

/** Of streams that a client holds or held last, those it may have again: what it holds first, then what ended last. */
export const ownFirst = (replica: Replica, streams: ReadonlyArray<StreamName>): StreamName[] => {
  if (streams.length === 0) return []
  return streams
    .map((stream) => {
      const { status, expiresAt } = replica.standing(stream)
      return { stream, rank: OWN_RANK[status], expiresAt }
    })
    .filter(({ rank }) => rank < NOT_OWN)
    .sort((a, b) => a.rank - b.rank || b.expiresAt - a.expiresAt)
    .map(({ stream }) => stream)
}

/** How young a grant of this lifetime may be to be renewed without an event. Seconds. */
export const reuseSecOf = ({ threshold, maxAgeSec }: LeaseCache, validLifetimeSec: number): number => {
  const share = validLifetimeSec === INFINITE_SEC ? 0 : Math.floor(validLifetimeSec * threshold)
  return Math.min(share, maxAgeSec ?? share)
}

/** Why a message is not answered when the ledger failed; each is a counter. */
export const dropForFailure = (failure: Failure): 'storeUnavailable' | 'overloaded' | 'contended' => {
  switch (failure._tag) {
    case 'Unavailable':
      return 'storeUnavailable'
    case 'Overloaded':
      return 'overloaded'
    case 'Contended':
      return 'contended'
  }
}
