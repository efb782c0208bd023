/**
 * Renewals that were answered from the lease as it stood (Kea's lease caching) and that no event tells of yet. They are
 * counted here, in memory, and ride in the next renewal of the lease that this server records. What a server has counted
 * is lost when it ends, and when the lease ends before it is renewed again; what the lease was is right in the ledger
 * either way, since these renewals changed nothing.
 */
import type { Instant } from '../domain/instant.ts'
import { isRenewalCopy, RENEWAL_COPY_MS } from '../domain/lease.ts'
import type { Command, LeaseState } from '../domain/lease.ts'
import type { StreamName } from '../domain/stream.ts'

interface Counted {
  count: number
  /** Which lease of the stream was renewed: it began then. */
  readonly startsAt: Instant
  /** The last renewal that was counted, to know a copy of it by. */
  transactionId: number
  at: Instant
}

/** The counts of one server. */
export class UnrecordedRenewals {
  readonly #counted = new Map<StreamName, Counted>()

  /** The command, with the count that its event should carry. */
  counted(stream: StreamName, command: Command, state: LeaseState): Command {
    if (this.#counted.size === 0 || (command.type !== 'Renew' && command.type !== 'Claim')) return command
    const known = this.#counted.get(stream)
    if (known === undefined || state.status !== 'bound' || state.lease.startsAt !== known.startsAt) return command
    return { ...command, unrecorded: known.count }
  }

  /** Counts a command that was granted without an event if it was a renewal, and no copy of one. */
  note(stream: StreamName, command: Command, state: LeaseState, now: Instant): void {
    if (command.type !== 'Renew' || state.status !== 'bound') return
    const { lease } = state
    const { terms } = command
    if (isRenewalCopy(lease, terms, now)) return
    const { transactionId } = terms
    const known = this.#counted.get(stream)
    if (known?.startsAt !== lease.startsAt) {
      this.#counted.set(stream, { count: 1, startsAt: lease.startsAt, transactionId, at: now })
      return
    }
    if (known.transactionId === transactionId && now - known.at < RENEWAL_COPY_MS) return
    known.count++
    known.transactionId = transactionId
    known.at = now
  }

  /** An event of this server is in the ledger: it carried the count, or ended the lease. */
  forget(stream: StreamName): void {
    if (this.#counted.size > 0) this.#counted.delete(stream)
  }
}
