/**
 * The exchanges of a DHCP server that wait for the ledger: how many there may be, how late a reply may be, and that no
 * defect of ours ends the service. The same for DHCPv4 and DHCPv6.
 */
import type { Instant } from '../domain/instant.ts'
import type { Counters } from './counters.ts'
import type { Logger } from './logger.ts'

/** What both servers are made of. */
export interface ExchangeOptions {
  readonly now: () => Instant
  readonly counters: Counters
  readonly log: Logger
  /** Exchanges that wait for the ledger; beyond three quarters of it first messages are dropped, beyond it everything. */
  readonly queueMax: number
  /** A reply that took longer is not sent: the client has asked again. ms. */
  readonly packetAgeMsMax: number
}

/** A reply, or the reason for silence, which is the name of a counter. */
type Verdict = { readonly reply: unknown } | { readonly drop: string }

/** The exchanges of one server. `protocol` is what the names of its counters begin with. */
export class Exchanges<V extends Verdict> {
  readonly #options: ExchangeOptions
  readonly #protocol: string
  #waiting = 0

  constructor(protocol: 'dhcp4' | 'dhcp6', options: ExchangeOptions) {
    this.#protocol = protocol
    this.#options = options
  }

  /** Exchanges that wait for the ledger. */
  get waiting(): number {
    return this.#waiting
  }

  /** Whether there is no room for one more. What begins an exchange (`first`) is turned away before what ends one. */
  isFull(first: boolean): boolean {
    const { queueMax } = this.#options
    return this.#waiting >= (first ? (queueMax * 3) / 4 : queueMax)
  }

  /** Counts a message that gets no reply. */
  drop(reason: string): void {
    this.#options.counters.add(`${this.#protocol}.drop.${reason}`)
  }

  /** Does a part of an exchange. A defect of ours must not let one packet stop the service for all; it is loud in the log. */
  guard(part: () => void): void {
    try {
      part()
    } catch (error) {
      this.#defect(error)
    }
  }

  /** Sends what has been decided, or counts why there is nothing to send; at once, or when the ledger has answered. */
  settle(verdict: V | Promise<V>, send: (verdict: Extract<V, { reply: unknown }>) => void): void {
    if (!(verdict instanceof Promise)) {
      this.#conclude(verdict, send)
      return
    }
    const { now, packetAgeMsMax } = this.#options
    const began = now()
    this.#waiting++
    verdict.then(
      (settled) => {
        this.#waiting--
        const late = now() - began > packetAgeMsMax && 'reply' in settled
        if (late) this.drop('tooLate')
        else this.guard(() => this.#conclude(settled, send))
      },
      (error: unknown) => {
        this.#waiting--
        this.#defect(error)
      },
    )
  }

  #conclude(verdict: V, send: (verdict: Extract<V, { reply: unknown }>) => void): void {
    if ('drop' in verdict) this.drop(verdict.drop)
    else send(verdict as Extract<V, { reply: unknown }>)
  }

  #defect(error: unknown): void {
    this.drop('defect')
    const stack = error instanceof Error ? error.stack : undefined
    this.#options.log.error({ error: String(error), stack }, 'a packet hit a defect')
  }
}

/**
 * Names of counters by message type, made once: a text that is put together must be hashed at each look-up. `prefix` ends
 * without a dot.
 */
export const counterNames = (
  prefix: string,
  types: Readonly<Record<string, number>>,
): Readonly<Record<number, string>> =>
  Object.fromEntries(Object.entries(types).map(([name, code]) => [code, `${prefix}.${name}`]))
