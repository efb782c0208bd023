/**
 * Writes down that leases and probations are over. Every server on the ledger could; whose turn it is depends on the
 * stream and on who is alive, and if two try, one of them loses the append and nothing is written twice.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Instant } from '../domain/instant.ts'
import type { StreamName } from '../domain/stream.ts'
import type { Timer } from '../projections/timer.ts'
import type { Cluster } from './cluster.ts'
import type { Ledger } from './ledger.ts'
import type { Replica } from './replica.ts'

/** What a sweeper is made of. Times in ms. */
export interface SweeperOptions {
  readonly ledger: Ledger
  readonly replica: Replica
  readonly cluster: Pick<Cluster, 'turnMs' | 'clockTrusted'>
  readonly now: () => Instant
  readonly timer: Timer
  readonly maxClockSkewMs: number
  /** Pause between rounds: Kea's reclaim-timer-wait-time. 0 sweeps only when asked to. */
  readonly intervalMs: number
  /** Leases a round: Kea's max-reclaim-leases; 0 is without bound. */
  readonly leasesMax: number
}

/** When an expiry could not be written, it is tried again after this long. */
const RETRY_MS = 2_000

/** Expiries in flight at once: a share of a batch, so that claims go first. */
const TOGETHER_MAX = 100

/** Expires leases, a round each interval. */
export class Sweeper {
  readonly #options: SweeperOptions
  #cancel: () => void = () => undefined
  #running: Promise<number> | undefined
  #stopped = false

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  /** Begins the rounds. */
  start(): void {
    if (this.#options.intervalMs > 0 && !this.#stopped) {
      const { timer, intervalMs } = this.#options
      this.#cancel = timer.after(intervalMs, () => void this.sweep(false).finally(() => this.start()))
    }
  }

  /** Ends the rounds. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#running
  }

  /**
   * One round. With `everybody` it does not wait for this server's turn: for a pool in which nothing is free. Gives the
   * number of leases whose end was written.
   */
  sweep(everybody: boolean): Promise<number> {
    this.#running ??= this.#round(everybody).finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #round(everybody: boolean): Promise<number> {
    const { ledger, replica, cluster, now, maxClockSkewMs, leasesMax } = this.#options
    if (!cluster.clockTrusted || ledger.health !== 'up') return 0
    let left = leasesMax === 0 ? Infinity : leasesMax
    let expired = 0
    while (left > 0 && !this.#stopped) {
      const due = replica.takeDue(now() - maxClockSkewMs, Math.min(left, TOGETHER_MAX))
      if (due.length === 0) break
      left -= due.length
      const results = await Promise.all(due.map((stream) => this.#expire(stream, everybody)))
      expired += results.filter(Boolean).length
      if (ledger.health !== 'up') break
    }
    return expired
  }

  async #expire(stream: StreamName, everybody: boolean): Promise<boolean> {
    const { ledger, replica, cluster, now } = this.#options
    const { state } = replica.get(stream)
    if (state.status === 'vacant') return false
    const turnAt = state.lease.expiresAt + this.#options.maxClockSkewMs + cluster.turnMs(stream)
    if (!everybody && turnAt > now()) {
      replica.postpone(stream, turnAt - this.#options.maxClockSkewMs)
      return false
    }
    const answer = await ledger.execute(stream, { type: 'Expire' })
    if (E.isRight(answer)) return answer.right.event !== undefined
    replica.postpone(stream, answer.left._tag === 'NotDue' ? answer.left.due : now() + RETRY_MS)
    return false
  }
}
