/** Entering a server name in the table of writers, and finding out whether somebody else lives under it. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { LogName, LogTaken, ReadError } from '../../domain/event-store.ts'
import { fateOf, takenBy } from '../identity.ts'
import { ERROR, isTransient, toReadError } from './failure.ts'
import type { Link } from './link.ts'
import { decoded, integerOf, textOf } from './reader.ts'

/** Younger than this, a heartbeat is that of a live server, unless watching shows otherwise. */
const FRESH_MS = 2_500
/** A server that shows no heartbeat for this long does not live. */
const WATCH_MS = 3_000
const WATCH_STEP_MS = 200
/** Others may come in between; each time we look again. */
const ATTEMPTS_MAX = 5

const REGISTER = `
INSERT INTO writers (name, identity, first_start, last_start, heartbeat)
VALUES (?, ?, utc_timestamp(6), utc_timestamp(6), utc_timestamp(6))`

const LOOK = `
SELECT writer,
       identity,
       stopped,
       CAST(heartbeat AS CHAR),
       timestampdiff(MICROSECOND, heartbeat, utc_timestamp(6)) DIV 1000
FROM writers
WHERE name = ?`

const TAKE_OVER = `
UPDATE writers
SET identity = ?, last_start = utc_timestamp(6), heartbeat = utc_timestamp(6), stopped = 0
WHERE name = ? AND identity = ? AND heartbeat = CAST(? AS DATETIME(6))`

interface Entry {
  readonly writer: number
  readonly identity: string
  readonly stopped: boolean
  readonly heartbeat: string
  readonly silentMs: number
}

const look = async (link: Link, log: LogName): Promise<Either<ReadError, Entry | undefined>> =>
  decoded(await link.query(LOOK, [log]), ([row]) => {
    if (row === undefined) return undefined
    const [writer, identity, stopped, heartbeat, silentMs] = row
    return {
      writer: integerOf(writer),
      identity: textOf(identity),
      stopped: textOf(stopped) !== '0',
      heartbeat: textOf(heartbeat),
      silentMs: Number(textOf(silentMs)),
    }
  })

/**
 * Enters this process as the one that writes `log`; gives the number of the writer. `LogTaken` when the name belongs
 * to a live process: one of this machine that runs, or one whose heartbeat moves while we watch (up to 3 s).
 */
export const register = async (
  link: Link,
  log: LogName,
  identity: string,
): Promise<Either<ReadError | LogTaken, number>> => {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    // Looked up first: an insert that fails would use up a number.
    const found = await look(link, log)
    if (E.isLeft(found)) return found
    if (found.right?.identity === identity) return E.right(found.right.writer)
    if (found.right === undefined) {
      const inserted = await link.write(REGISTER, [log, identity])
      if (E.isLeft(inserted) && !isLostRace(inserted.left)) return E.left(toReadError(inserted.left))
      continue
    }
    const free = await isFree(link, log, found.right)
    if (E.isLeft(free)) return free
    if (!free.right) return E.left(takenBy(log, found.right.identity))
    const taken = await link.write(TAKE_OVER, [identity, log, found.right.identity, found.right.heartbeat])
    if (E.isLeft(taken) && !isLostRace(taken.left)) return E.left(toReadError(taken.left))
  }
  return E.left({ _tag: 'LogTaken', reason: `several processes try to start under the server name "${log}" at once` })
}

type Refusal = Parameters<typeof isTransient>[0]

const isLostRace = (failure: Refusal): boolean =>
  isTransient(failure) || (failure._tag === 'Refused' && failure.errno === ERROR.DUP_ENTRY)

const isFree = async (link: Link, log: LogName, entry: Entry): Promise<Either<ReadError, boolean>> => {
  if (entry.stopped) return E.right(true)
  const fate = fateOf(entry.identity)
  if (fate !== 'unknown') return E.right(fate === 'dead')
  if (entry.silentMs > FRESH_MS) return E.right(true)
  for (let waitedMs = 0; waitedMs < WATCH_MS; waitedMs += WATCH_STEP_MS) {
    await new Promise((resolve) => setTimeout(resolve, WATCH_STEP_MS))
    const now = await look(link, log)
    if (E.isLeft(now)) return now
    if (now.right?.stopped === true) return E.right(true) // the caller looks again before it takes the name over
    if (now.right?.heartbeat !== entry.heartbeat || now.right.identity !== entry.identity) return E.right(false)
  }
  return E.right(true)
}
