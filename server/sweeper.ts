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
import type { Logger } from './logger.ts'
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
  /** Length of a round: Kea's max-reclaim-time; 0 is without bound. */
  readonly roundMsMax: number
  /** Rounds in a row that may leave something over before it is said: Kea's unwarned-reclaim-cycles. */
  readonly unwarnedRoundsMax: number
  readonly log: Logger
}

/** When an expiry could not be written, it is tried again after this long. */
const RETRY_MS = 2_000

/** Expiries in flight at once: a share of a batch, so that claims go first. */
const TOGETHER_MAX = 100

/** Expires leases, a round each interval. */
export class Sweeper {
  readonly #options: SweeperOptions
  #cancel: () => void = () => undefined
  #running: { readonly everybody: boolean; readonly done: Promise<number> } | undefined
  #stopped = false
  /** Rounds in a row that left something over. */
  #behind = 0
  /** Leases that are over and wait for the server whose turn it is. */
  readonly #standing = new Set<StreamName>()

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
    await this.#running?.done
  }

  /**
   * One round. With `everybody` it does not wait for this server's turn: for a pool in which nothing is free. Gives the
   * number of leases whose end was written.
   */
  sweep(everybody: boolean): Promise<number> {
    const running = this.#running
    // A round that waits for turns is not what somebody needs for whom there is no address.
    if (running !== undefined && everybody && !running.everybody) return running.done.then(() => this.sweep(true))
    if (running !== undefined) return running.done
    const done = this.#round(everybody).finally(() => {
      this.#running = undefined
    })
    this.#running = { everybody, done }
    return done
  }

  async #round(everybody: boolean): Promise<number> {
    const { ledger, cluster, now, roundMsMax, leasesMax } = this.#options
    if (!cluster.clockTrusted || ledger.health !== 'up') return 0
    const began = now()
    let left = leasesMax === 0 ? Infinity : leasesMax
    let expired = 0
    let over = false
    while (left > 0 && !this.#stopped) {
      const due = this.#due(everybody, Math.min(left, TOGETHER_MAX))
      if (due.length === 0) break
      left -= due.length
      const results = await Promise.all(due.map((stream) => this.#expire(stream, everybody)))
      expired += results.filter(Boolean).length
      if (ledger.health !== 'up') break
      over = left <= 0 || (roundMsMax > 0 && now() - began >= roundMsMax)
      if (over) break
    }
    if (!everybody) this.#noteRest(over)
    return expired
  }

  #due(everybody: boolean, countMax: number): StreamName[] {
    const { replica, now, maxClockSkewMs } = this.#options
    const due: StreamName[] = []
    if (everybody) {
      for (const stream of this.#standing) {
        if (due.length >= countMax) break
        this.#standing.delete(stream)
        due.push(stream)
      }
    }
    return [...due, ...replica.takeDue(now() - maxClockSkewMs, countMax - due.length)]
  }

  /** Says it when rounds end before everything is done, again and again. */
  #noteRest(over: boolean): void {
    const { log, unwarnedRoundsMax, leasesMax, roundMsMax } = this.#options
    this.#behind = over ? this.#behind + 1 : 0
    if (this.#behind === 0 || this.#behind <= unwarnedRoundsMax) return
    const bounds = { 'max-reclaim-leases': leasesMax, 'max-reclaim-time': roundMsMax }
    log.warn(
      { rounds: this.#behind, ...bounds },
      'leases end faster than expired-leases-processing lets them be expired',
    )
    this.#behind = 0
  }

  async #expire(stream: StreamName, everybody: boolean): Promise<boolean> {
    const { ledger, replica, cluster, now, maxClockSkewMs } = this.#options
    const { state } = replica.get(stream)
    if (state.status === 'vacant') return false
    const turnAt = state.lease.expiresAt + maxClockSkewMs + cluster.turnMs(stream)
    if (!everybody && turnAt > now()) {
      this.#standing.add(stream)
      replica.postpone(stream, turnAt - maxClockSkewMs)
      return false
    }
    this.#standing.delete(stream)
    const answer = await ledger.execute(stream, { type: 'Expire' })
    if (E.isRight(answer)) return answer.right.event !== undefined
    replica.postpone(stream, answer.left._tag === 'NotDue' ? answer.left.due - maxClockSkewMs : now() + RETRY_MS)
    return false
  }
}
