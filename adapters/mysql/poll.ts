/**
 * Hearing of appends in a database that cannot call: a cheap question to the ends of the logs, put often while there
 * are news and seldom while there are none, and not at all while nobody listens.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Checkpoint, EventReader, ReadError } from '../../domain/event-store.ts'
import type { Link } from './link.ts'
import { decoded, decodeHeads, textOf } from './reader.ts'

/** Between two questions: right after an append, and after a long silence, as it grows by half each time. */
const POLL_MS_MIN = 15
const POLL_MS_MAX = 200

const ENDS = `
SELECT w.writer, w.name, (SELECT e.seq FROM events e WHERE e.writer = w.writer ORDER BY e.seq DESC LIMIT 1)
FROM writers w
ORDER BY w.writer`

export interface Poller {
  readonly onAppended: EventReader['onAppended']
  /** The ends of the logs as the last question found them. */
  readonly seen: () => Checkpoint
  /** What this writer appends is no news: it knows. */
  readonly passOver: (writer: number) => void
  readonly stop: () => void
}

/** Asks over `link`, a connection of its own whose reads need not be causal: what a question misses, the next sees. */
export const makePoller = (link: Link): Poller => {
  const wakes = new Set<() => void>()
  let known: string | undefined
  let seen: Checkpoint = {}
  let own = ''
  let waitMs = POLL_MS_MIN
  let timer: NodeJS.Timeout | undefined
  let asking = false

  const ask = async (): Promise<Either<ReadError, void>> => {
    const asked = decoded(await link.query(ENDS), (rows) => ({
      others: rows.map(([writer, , seq]) => (textOf(writer) === own ? '' : `${textOf(writer)}/${textOf(seq)}`)).join(),
      heads: decodeHeads(rows.map(([, ...head]) => head)),
    }))
    if (E.isLeft(asked)) {
      known = undefined // whatever happens meanwhile is news when it can be asked again
      waitMs = POLL_MS_MAX
      return asked
    }
    const { others, heads } = asked.right
    const isNews = known !== others
    waitMs = isNews ? POLL_MS_MIN : Math.min(POLL_MS_MAX, waitMs * 1.5)
    known = others
    seen = heads
    if (isNews) for (const wake of [...wakes]) wake()
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
    seen: () => seen,
    passOver: (writer) => {
      own = String(writer)
    },
    stop: () => {
      wakes.clear()
      clearTimeout(timer)
      timer = undefined
    },
  }
}
