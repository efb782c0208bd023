/** Entering a server name in the table of writers, and finding out whether somebody else lives under it. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { LogName, LogTaken, ReadError } from '../../domain/event-store.ts'
import { fateOf, takenBy } from '../identity.ts'
import { toReadError } from './failure.ts'
import type { Link } from './link.ts'

/** Younger than this, a heartbeat is that of a live server, unless watching shows otherwise. */
const FRESH_MS = 2_500
/** A server that shows no heartbeat for this long does not live. */
const WATCH_MS = 3_000
const WATCH_STEP_MS = 200
/** Others may come in between; each time we look again. */
const ATTEMPTS_MAX = 5

const REGISTER = `
INSERT INTO writers (name, identity)
VALUES ($1::text, $2::text)
ON CONFLICT ON CONSTRAINT writers_name_key DO NOTHING
RETURNING writer::text`

const LOOK = `
SELECT writer::text,
       identity,
       stopped::text,
       heartbeat::text,
       floor(extract(epoch FROM clock_timestamp() - heartbeat) * 1000)::bigint::text
FROM writers
WHERE name = $1::text`

const TAKE_OVER = `
UPDATE writers
SET identity = $2::text, last_start = clock_timestamp(), heartbeat = clock_timestamp(), stopped = false
WHERE name = $1::text AND identity = $3::text AND heartbeat = $4::text::timestamptz
RETURNING writer::text`

interface Entry {
  readonly writer: number
  readonly identity: string
  readonly stopped: boolean
  readonly heartbeat: string
  readonly silentMs: number
}

const look = async (link: Link, log: LogName): Promise<Either<ReadError, Entry | undefined>> => {
  const rows = await link.query(LOOK, [log])
  if (E.isLeft(rows)) return E.left(toReadError(rows.left))
  const [row] = rows.right
  if (row === undefined) return E.right(undefined)
  const [writer, identity, stopped, heartbeat, silentMs] = row as readonly [string, string, string, string, string]
  return E.right({
    writer: Number(writer),
    identity,
    stopped: stopped === 'true',
    heartbeat,
    silentMs: Number(silentMs),
  })
}

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
    const inserted = await link.query(REGISTER, [log, identity])
    if (E.isLeft(inserted)) return E.left(toReadError(inserted.left))
    if (inserted.right[0] !== undefined) return E.right(Number(inserted.right[0][0]))
    const found = await look(link, log)
    if (E.isLeft(found)) return found
    if (found.right === undefined) continue
    const free = await isFree(link, log, found.right)
    if (E.isLeft(free)) return free
    if (!free.right) return E.left(takenBy(log, found.right.identity))
    const taken = await link.query(TAKE_OVER, [log, identity, found.right.identity, found.right.heartbeat])
    if (E.isLeft(taken)) return E.left(toReadError(taken.left))
    if (taken.right[0] !== undefined) return E.right(Number(taken.right[0][0]))
  }
  return E.left({ _tag: 'LogTaken', reason: `several processes try to start under the server name "${log}" at once` })
}

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
