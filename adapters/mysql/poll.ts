/**
 * Hearing of appends in a database that cannot call: a cheap question to the ends of the logs, put often while there
 * are news and seldom while there are none, and not at all while nobody listens.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, LogName, ReadError } from '../../domain/event-store.ts'
import type { Link } from './link.ts'
import { decoded, decodeHeads, HEADS } from './reader.ts'

/**
 * Between two questions: right after an append; after many, which are told in fewer answers; and after a long silence, as it
 * grows by half each time.
 */
const POLL_MS_MIN = 15
const POLL_MS_BUSY = 30
const POLL_MS_MAX = 200

/** So many events between two questions are many. */
const BUSY_EVENTS = 30

export interface Poller {
  readonly onAppended: EventReader['onAppended']
  /** The ends of the logs as the last question found them; undefined when that got no answer, and while none is put. */
  readonly seen: () => Checkpoint | undefined
  /** What is appended to this log is no news: its writer knows. */
  readonly passOver: (log: LogName) => void
  readonly stop: () => void
}

/** Asks over `link`, a connection of its own whose reads need not be causal: what a question misses, the next sees. */
export const makePoller = (link: Link): Poller => {
  const wakes = new Set<() => void>()
  let seen: Checkpoint | undefined
  let own: LogName | undefined
  let waitMs = POLL_MS_MIN
  let timer: NodeJS.Timeout | undefined
  let asking = false

  const ask = async (): Promise<Either<ReadError, void>> => {
    const heads = decoded(await link.query(HEADS), decodeHeads)
    if (E.isLeft(heads)) {
      seen = undefined // whatever happens meanwhile is news when it can be asked again
      waitMs = POLL_MS_MAX
      return heads
    }
    const before = seen
    seen = heads.right
    let news = 0
    for (const [log, head] of Object.entries(seen)) if (log !== own) news += Math.abs(head - (before?.[log] ?? 0))
    if (news === 0) waitMs = Math.min(POLL_MS_MAX, waitMs * 1.5)
    else waitMs = news < BUSY_EVENTS ? POLL_MS_MIN : POLL_MS_BUSY
    if (news > 0) for (const wake of [...wakes]) wake()
    return E.right(undefined)
  }

  const next = (): void => {
    if (wakes.size === 0 || timer !== undefined || asking) return
    timer = setTimeout(async () => {
      timer = undefined
      asking = true
      await ask()
      asking = false
      next()
    }, waitMs)
    timer.unref()
  }

  return {
    onAppended: (wake) => async () => {
      const own = (): void => wake()
      if (wakes.size === 0) {
        const first = await ask()
        if (E.isLeft(first)) return first
      }
      wakes.add(own)
      next()
      return E.right(async () => void wakes.delete(own))
    },
    seen: () => (wakes.size === 0 ? undefined : seen),
    passOver: (log) => {
      own = log
    },
    stop: () => {
      wakes.clear()
      clearTimeout(timer)
      timer = undefined
    },
  }
}
