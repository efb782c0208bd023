import type { Logger } from './logger.ts'

/** Named counts since the start: packets by type, drops by reason. Names are made of known tags, never of packet content. */
export class Counters {
  readonly #counts = new Map<string, number>()
  #reported = ''

  /** Counts one more. */
  add(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  /** One count; 0 when nothing was counted. */
  get(name: string): number {
    return this.#counts.get(name) ?? 0
  }

  /** All counts, by name. */
  all(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** Logs all counts if any has changed since the last report. */
  report(log: Logger, more: object): void {
    const counts = this.all()
    const text = JSON.stringify(counts)
    if (text === this.#reported) return
    this.#reported = text
    log.info({ ...counts, ...more }, 'packets since the start')
  }
}
