/** Judges a ledger by its events alone: was an address ever bound to two clients at once? */
import * as E from 'fp-ts/lib/Either.js'
import type { Stored } from '../../domain/event-store.ts'
import { statusAfter } from '../../domain/lease.ts'
import type { Lease } from '../../domain/lease.ts'
import { decodeEvent } from '../../domain/lease-codec.ts'

/**
 * What is wrong with the events of one stream, as sentences: gaps in the revisions, and bindings that begin while another
 * client's still runs. `skewMs` is how far apart the clocks of the writers may be.
 */
export const checkStream = (events: ReadonlyArray<Stored>, skewMs: number): string[] => {
  const problems: string[] = []
  let bound: Lease | undefined
  events.forEach((stored, i) => {
    if (stored.revision !== i) problems.push(`${stored.stream}: revision ${stored.revision} stands at place ${i}`)
    const decoded = decodeEvent(stored.type, stored.schemaVersion, stored.data)
    if (E.isLeft(decoded)) {
      problems.push(`${stored.stream}@${stored.revision}: ${decoded.left.reason}`)
      return
    }
    const event = decoded.right
    const { lease } = event
    const status = statusAfter(event)
    if (bound !== undefined && bound.holder !== lease.holder && stored.recordedAt + skewMs < bound.expiresAt) {
      problems.push(
        `${stored.stream}@${stored.revision}: ${event.type} for ${lease.holder} while ${bound.holder} holds it`,
      )
    }
    if (event.type === 'LeaseExpired' && bound !== undefined && stored.recordedAt + skewMs < bound.expiresAt) {
      problems.push(`${stored.stream}@${stored.revision}: expired before its end`)
    }
    bound = status === 'bound' ? lease : undefined
  })
  return problems
}
