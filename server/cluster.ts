/**
 * The servers that share the ledger, as far as their heartbeats in the store show, and how far this server's clock is
 * from the store's. Nothing here decides who holds an address: it only spreads work and keeps a wrong clock from harm.
 */
import * as E from 'fp-ts/lib/Either.js'
import { hash32 } from '../domain/allocation.ts'
import type { EventStore, LogName } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import type { StreamName } from '../domain/stream.ts'
import type { Timer } from '../projections/timer.ts'
import type { Logger } from './logger.ts'
import { serverOf } from './worker.ts'

/** What a cluster view is made of. Times in ms. */
export interface ClusterOptions {
  readonly store: EventStore
  readonly now: () => Instant
  readonly log: Logger
  readonly timer: Timer
  readonly maxClockSkewMs: number
  readonly heartbeatMs: number
  /** A server that is silent for longer counts as gone. */
  readonly silentMsMax: number
  readonly clockCheckMs: number
  /** What others see beside this server's name. */
  readonly info: () => string
  readonly onFatal: (reason: string) => void
}

/** How far a server that is not first in turn stands back for each place that it is behind. */
const TURN_MS = 3_000

/** Sends heartbeats, watches those of others, and compares clocks. */
export class Cluster {
  readonly #options: ClusterOptions
  #alive: ReadonlyArray<LogName>
  #servers: ReadonlyArray<string>
  #offsetMs = 0
  #cancelBeat: () => void = () => undefined
  #cancelClock: () => void = () => undefined
  #stopped = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#alive = [options.store.log]
    this.#servers = [serverOf(options.store.log)]
  }

  /** Logs of the servers and workers that are alive, this one's included, in the order of their names. */
  get alive(): ReadonlyArray<LogName> {
    return this.#alive
  }

  /** Names of the servers that are alive, this one included; the workers of one are one server. */
  get servers(): ReadonlyArray<string> {
    return this.#servers
  }

  /** The store's clock less this server's, in ms, as last measured. */
  get clockOffsetMs(): number {
    return this.#offsetMs
  }

  /** Whether this server's clock is near enough to the store's to say that somebody else's lease is over. */
  get clockTrusted(): boolean {
    return Math.abs(this.#offsetMs) <= this.#options.maxClockSkewMs
  }

  /** How long this server should wait before it does what any server may do to a stream; 0 when it is its turn. ms. */
  turnMs(stream: StreamName): number {
    const count = this.#alive.length
    const own = this.#alive.indexOf(this.#options.store.log)
    if (count < 2 || own < 0) return 0
    return ((own - (hash32(stream, 0) % count) + count) % count) * TURN_MS
  }

  /** Measures the clock and sends the first heartbeat, then goes on by itself. */
  async start(): Promise<void> {
    await this.checkClock()
    await this.#sendBeat()
    this.#scheduleBeat()
    this.#scheduleClock()
  }

  /** Stops the timers. */
  stop(): void {
    this.#stopped = true
    this.#cancelBeat()
    this.#cancelClock()
  }

  /** Compares this server's clock with the store's, and warns where they are apart. */
  async checkClock(): Promise<void> {
    const { store, now, log, maxClockSkewMs } = this.#options
    const before = now()
    const clock = await store.clock()()
    if (E.isLeft(clock)) return
    this.#offsetMs = Math.round(clock.right - (before + now()) / 2)
    const apart = Math.abs(this.#offsetMs)
    const fields = { offsetMs: this.#offsetMs, maxClockSkewMs }
    if (apart > maxClockSkewMs) {
      log.error(
        fields,
        'the clock is further from the store’s than max-clock-skew: this server expires no leases; set it',
      )
    } else if (apart > maxClockSkewMs / 2) {
      log.warn(fields, 'the clock is more than half of max-clock-skew from the store’s: check time synchronisation')
    }
  }

  #scheduleBeat(): void {
    if (this.#stopped) return
    const { timer, heartbeatMs } = this.#options
    this.#cancelBeat = timer.after(heartbeatMs, () => void this.#sendBeat().finally(() => this.#scheduleBeat()))
  }

  #scheduleClock(): void {
    if (this.#stopped) return
    const { timer, clockCheckMs } = this.#options
    this.#cancelClock = timer.after(clockCheckMs, () => void this.checkClock().finally(() => this.#scheduleClock()))
  }

  async #sendBeat(): Promise<void> {
    const { store, info, onFatal, silentMsMax, log } = this.#options
    const beaten = await store.heartbeat(info())()
    if (E.isLeft(beaten)) {
      if (beaten.left._tag === 'LogTaken' || beaten.left._tag === 'StoreUnusable') onFatal(beaten.left.reason)
      return
    }
    const servers = await store.servers()()
    if (E.isLeft(servers)) return
    const alive = servers.right.filter((server) => !server.stopped && server.silentMs <= silentMsMax)
    const names = [...new Set([store.log, ...alive.map((server) => server.log)])].sort()
    if (names.join() === this.#alive.join()) return
    log.info({ servers: names }, 'the servers on this ledger have changed')
    this.#alive = names
    this.#servers = [...new Set(names.map(serverOf))]
  }
}
