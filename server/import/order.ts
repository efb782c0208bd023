/**
 * Every event of the ledger once, each log in its order and each stream in the order of its revisions. An event whose
 * predecessor stands in another log waits for it, and with it everything behind it in its log; so what was given is
 * always a whole beginning of each log, and a checkpoint says exactly what it was. It cannot wait for ever: whoever
 * appended an event had seen its predecessor in the ledger.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, LogName, ReadError, Revision, Seq, Stored } from '../../domain/event-store.ts'
import type { StreamName } from '../../domain/stream.ts'

const PAGE_MAX = 1_000

/** Reads the ledger on from a checkpoint. */
export class OrderedReader {
  readonly #reader: EventReader
  readonly #given: Record<LogName, Seq>
  readonly #waiting = new Map<LogName, Stored[]>()
  /** The last revision given of each stream that something was given of. */
  readonly #revisions = new Map<StreamName, Revision>()

  constructor(reader: EventReader, from: Checkpoint) {
    this.#reader = reader
    this.#given = { ...from }
  }

  /** What was given up to now. */
  get checkpoint(): Checkpoint {
    return { ...this.#given }
  }

  /**
   * Gives every event that can be given now, one call each, and whether there were any. `onEvent` may read
   * {@link checkpoint}, which includes its event; what it returns is waited for. Ends early once `isOver`.
   */
  async drain(
    onEvent: (stored: Stored) => void | Promise<void>,
    isOver: () => boolean = () => false,
  ): Promise<Either<ReadError, boolean>> {
    const heads = await this.#reader.heads()()
    if (E.isLeft(heads)) return heads
    let any = false
    for (let progress = true; progress && !isOver();) {
      progress = false
      for (const [log, head] of Object.entries(heads.right)) {
        const moved = await this.#advance(log, head, onEvent, isOver)
        if (E.isLeft(moved)) return moved
        progress ||= moved.right
      }
      any ||= progress
    }
    return E.right(any)
  }

  /** Gives from one log until it is at its end, or its next event has to wait. Whether anything was given. */
  async #advance(
    log: LogName,
    head: Seq,
    onEvent: (stored: Stored) => void | Promise<void>,
    isOver: () => boolean,
  ): Promise<Either<ReadError, boolean>> {
    let any = false
    for (;;) {
      if (isOver()) return E.right(any)
      const waiting = this.#waiting.get(log) ?? []
      if (waiting.length === 0) {
        const at = this.#given[log] ?? 0
        if (at >= head) return E.right(any)
        const page = await this.#reader.readLog(log, at, PAGE_MAX)()
        if (E.isLeft(page)) return page
        if (page.right.length === 0) return E.right(any)
        waiting.push(...page.right)
        this.#waiting.set(log, waiting)
      }
      let given = 0
      for (const stored of waiting) {
        if (isOver()) break
        const ready = await this.#isReady(stored)
        if (E.isLeft(ready)) return ready
        if (!ready.right) break
        this.#given[log] = stored.seq
        this.#revisions.set(stored.stream, stored.revision)
        given++
        await onEvent(stored)
      }
      this.#waiting.set(log, waiting.slice(given))
      any ||= given > 0
      if (given < waiting.length) return E.right(any)
    }
  }

  /** Whether the event before it in its stream was given, by this reader or by one before it. */
  async #isReady({ stream, revision }: Stored): Promise<Either<ReadError, boolean>> {
    if (revision === 0) return E.right(true)
    const known = this.#revisions.get(stream)
    if (known !== undefined) return E.right(known >= revision - 1)
    const before = await this.#reader.readStream(stream, revision - 1, 1)()
    if (E.isLeft(before)) return before
    const [predecessor] = before.right
    // One that is missing is for `ledger verify` to name; waiting for it would hold up everything behind it.
    if (predecessor === undefined || predecessor.revision !== revision - 1) return E.right(true)
    return E.right(predecessor.seq <= (this.#given[predecessor.log] ?? 0))
  }
}

/** A checkpoint as one word, to be given back as it is. */
export const checkpointText = (checkpoint: Checkpoint): string =>
  Buffer.from(JSON.stringify(checkpoint)).toString('base64url')

/** The checkpoint in a word that {@link checkpointText} made; undefined for any other. */
export const parseCheckpoint = (text: string): Checkpoint | undefined => {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    const isWhole = Object.values(value).every((seq) => Number.isSafeInteger(seq) && seq >= 0)
    return isWhole ? (value as Checkpoint) : undefined
  } catch {
    return undefined
  }
}

/** One sentence when a checkpoint says more than a ledger with these heads holds: it is another ledger's, or a younger one's. */
export const aheadOfHeads = (checkpoint: Checkpoint, heads: Checkpoint): string | undefined => {
  for (const [log, seq] of Object.entries(checkpoint)) {
    const head = heads[log] ?? 0
    if (seq > head) return `the checkpoint has the log of ${log} up to ${seq}, and this ledger has it up to ${head}`
  }
  return undefined
}
