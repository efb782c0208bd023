/**
 * Whether the ledger can vouch for a time: that every event recorded up to its end is there and is the one that was
 * chained at its place. Only then does finding nothing mean that there was nothing.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import type { EventReader, LogName, ReadError, Revision, Seq, Stored } from '../../domain/event-store.ts'
import { isoText } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import { addressText } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { isErased } from '../../projections/log-page.ts'

/** What was looked at, and what a complete ledger would have. Complete when nothing is missing. */
export interface Proof {
  readonly from: Instant
  readonly to: Instant
  readonly events: number
  /** How far each log was followed from its beginning; `hash` is that of its event there, hex. */
  readonly logs: ReadonlyArray<{ readonly log: LogName; readonly seq: Seq; readonly hash: string }>
  /** One sentence each, the first of its kind and log. */
  readonly missing: ReadonlyArray<string>
}

/** What is to be proven, and of what. */
export interface ProofOptions {
  readonly reader: EventReader
  readonly from: Instant
  readonly to: Instant
  /** The streams in question: their revisions must be gapless, and none of their events erased. None: all of them. */
  readonly streams: ReadonlyArray<StreamName>
  /** Whether positions follow each other without gaps; not so for a store that counts bytes. */
  readonly isGapless?: boolean
  readonly onProgress?: ((events: number) => void) | undefined
  /** Is shown every event that is looked at. */
  readonly onEvent?: ((stored: Stored) => void) | undefined
}

const PAGE_MAX = 2_000

/** A log whose next page is all this much later than the window has nothing more to say about it, whatever its clock. */
const LATER_MS = 3_600_000

/**
 * Follows every log from its beginning to the end of the window. From the beginning, because a claim from long before
 * may have held until then: a lease can be for ever.
 */
export const proveWindow = async (options: ProofOptions): Promise<Either<ReadError, Proof>> => {
  const heads = await options.reader.heads()()
  if (E.isLeft(heads)) return heads
  const walk = new Walk(options)
  for (const [log, head] of Object.entries(heads.right)) {
    const walked = await walk.follow(log, head)
    if (E.isLeft(walked)) return walked
  }
  return E.right(walk.finish())
}

class Walk {
  readonly #options: ProofOptions
  readonly #missing: string[] = []
  readonly #logs: { log: LogName; seq: Seq; hash: string }[] = []
  readonly #revisions = new Map<StreamName, Set<Revision>>()
  #erased = 0
  #events = 0
  #begins = Infinity

  constructor(options: ProofOptions) {
    this.#options = options
    for (const stream of options.streams) this.#revisions.set(stream, new Set())
  }

  async follow(log: LogName, head: Seq): Promise<Either<ReadError, void>> {
    const { reader, to, onProgress } = this.#options
    let [at, hash, isWhole] = [0, GENESIS, true]
    while (at < head) {
      const page = await reader.readLog(log, at, PAGE_MAX)()
      if (E.isLeft(page)) return page
      if (page.right.length === 0) {
        this.#missing.push(`${log}: nothing can be read after position ${at}, its last is ${head}`)
        break
      }
      for (const { recordedAt } of page.right) this.#begins = Math.min(this.#begins, recordedAt)
      if (page.right.every(({ recordedAt }) => recordedAt > to + LATER_MS)) break
      for (const stored of page.right) {
        isWhole = isWhole && this.#fits(at, hash, stored)
        this.#take(stored)
        at = stored.seq
        hash = stored.hash
      }
      onProgress?.(this.#events)
    }
    this.#logs.push({ log, seq: at, hash: Buffer.from(hash).toString('hex') })
    return E.right(undefined)
  }

  #fits(at: Seq, hash: Uint8Array, stored: Stored): boolean {
    const { log, seq, stream } = stored
    const isNext = seq === at + 1 || this.#options.isGapless === false
    if (isNext && checkLink(hash, stored)) return true
    const what = isNext ? `event ${log}/${seq} (${stream}) is not the event that was recorded there` : ''
    this.#missing.push(isNext ? what : `${log}: position ${at + 1} is missing`)
    return false
  }

  #take(stored: Stored): void {
    this.#events++
    this.#options.onEvent?.(stored)
    const revisions = this.#revisions.get(stored.stream)
    revisions?.add(stored.revision)
    const concerns = revisions !== undefined || this.#revisions.size === 0
    if (concerns && stored.recordedAt <= this.#options.to && isErased(stored)) this.#erased++
  }

  finish(): Proof {
    const { from, to } = this.#options
    const missing = [...this.#missing]
    if (this.#begins > from) {
      const begins = this.#begins === Infinity ? 'the ledger is empty' : `the ledger begins at ${isoText(this.#begins)}`
      missing.push(`${begins}: it says nothing of the time before`)
    }
    for (const [stream, revisions] of this.#revisions) {
      const gap = Array.from({ length: revisions.size }, (_, i) => i).find((revision) => !revisions.has(revision))
      if (gap !== undefined) missing.push(`${addressText(stream)}: its event ${gap} is missing`)
    }
    if (this.#erased > 0) missing.push(`the data of ${this.#erased} events that may matter here was erased`)
    return { from, to, events: this.#events, logs: this.#logs, missing }
  }
}
