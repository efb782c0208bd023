/** A lease as another server kept it, on its way into the ledger. */
import { FOREVER, INFINITE_SEC } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import { makeLease } from '../../domain/lease.ts'
import type { Lease, LeaseImported, Terms } from '../../domain/lease.ts'
import type { StreamName } from '../../domain/stream.ts'

/** A lease to import, and where it stood: a line of a file, or a row of a table. */
export interface Found {
  readonly _tag: 'Found'
  readonly place: string
  readonly stream: StreamName
  readonly lease: Lease
  readonly status: LeaseImported['status']
}

/** A lease that was there and is no more: it takes an earlier one of the same file back. */
export interface Gone {
  readonly _tag: 'Gone'
  readonly place: string
  readonly stream: StreamName
}

/** What cannot be imported, with the reason in one sentence. */
export interface Bad {
  readonly _tag: 'Bad'
  readonly place: string
  readonly reason: string
}

export type Item = Found | Gone | Bad

/** A row of another server's leases, as far as all of them agree. Octets are hex. Instants are ms since 1970. */
export interface Row {
  readonly place: string
  readonly stream: StreamName
  readonly status: LeaseImported['status']
  readonly startsAt: Instant
  readonly expiresAt: Instant
  readonly validLifetimeSec: number
  readonly subnetId: number
  readonly terms: Partial<Terms>
}

/** The client key of a row: as the packet path makes it, so that the client is known when it renews. */
const holderOf = ({ clientId, duid, hwAddress, hwType, iaid }: Partial<Terms>): string => {
  if (duid !== undefined) return `duid:${duid}/${iaid ?? 0}`
  return clientId !== undefined && clientId !== '' ? `id:${clientId}` : `hw:${hwType ?? 1}:${hwAddress ?? ''}`
}

/** The import of a row. */
export const itemOf = (row: Row): Item => {
  const { place, stream, terms, status, validLifetimeSec } = row
  const isEndless = validLifetimeSec === INFINITE_SEC || row.expiresAt >= FOREVER
  const whole: Terms = {
    clientId: terms.clientId,
    duid: terms.duid,
    fqdnForward: terms.fqdnForward,
    fqdnReverse: terms.fqdnReverse,
    holder: holderOf(terms),
    hostname: terms.hostname,
    hwAddress: terms.hwAddress,
    hwSource: terms.hwSource,
    hwType: terms.hwType,
    iaid: terms.iaid,
    poolId: terms.poolId ?? 0,
    preferredLifetimeSec: terms.preferredLifetimeSec,
    relay: terms.relay,
    subnetId: row.subnetId,
    transactionId: 0,
    userContext: terms.userContext,
    validLifetimeSec,
  }
  const noClient = terms.duid === undefined && !terms.clientId && !terms.hwAddress
  if (status === 'bound' && noClient) return { _tag: 'Bad', place, reason: 'a lease in use without a client' }
  const expiresAt = isEndless ? FOREVER : row.expiresAt
  return {
    _tag: 'Found',
    place,
    stream,
    lease: makeLease(whole, expiresAt, 0, Math.min(row.startsAt, expiresAt)),
    status,
  }
}

/** Of items in the order of their file, the last one of each stream, and everything bad. */
export const lastOfEach = (
  items: Iterable<Item>,
): { readonly found: ReadonlyArray<Found>; readonly bad: ReadonlyArray<Bad> } => {
  const last = new Map<StreamName, Found>()
  const bad: Bad[] = []
  for (const item of items) {
    switch (item._tag) {
      case 'Found':
        last.set(item.stream, item)
        break
      case 'Gone':
        last.delete(item.stream)
        break
      case 'Bad':
        bad.push(item)
    }
  }
  return { found: [...last.values()], bad }
}
