/**
 * The event store on PostgreSQL.
 *
 * A store uses three connections: one that only appends, one for pages of events, and one for everything short (latest
 * events, heartbeats, clock, LISTEN and NOTIFY). A reader uses two. So a database needs `max_connections` of three for
 * each server, two for each command line tool, and what the projections take.
 */
import { setTimeout as pause } from 'node:timers/promises'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { EventReader, EventStore, LogName, LogTaken, ReadError } from '../../domain/event-store.ts'
import { identityText, takenBy, thisProcess } from '../identity.ts'
import { LogWriter } from '../log-writer.ts'
import type { LogIdentity } from '../log-writer.ts'
import { toReadError } from './failure.ts'
import { makeLink } from './link.ts'
import type { Link } from './link.ts'
import { checkPostgres, migratePostgres } from './migration.ts'
import type { PostgresOptions } from './options.ts'
import { CHANNEL, decoded, makeListeners, makeReader } from './reader.ts'
import type { Listeners } from './reader.ts'
import { register } from './registration.ts'
import { makeTimelines } from './timeline.ts'
import type { Timelines } from './timeline.ts'
import { acceptSession, openLogDatabase, readHead } from './writer.ts'

const HEARTBEAT = `
UPDATE writers
SET heartbeat = clock_timestamp(), info = $3::text
WHERE writer = $1::smallint AND identity = $2::text
RETURNING 'beat'`

const STOPPED = `
UPDATE writers
SET stopped = true
WHERE writer = $1::smallint AND identity = $2::text`

// A message makes a transaction with an entry in the WAL, and is only a hint: it does not wait for the disk.
const NOTIFY = `
SELECT set_config('synchronous_commit', 'off', true),
       pg_notify('${CHANNEL}', $1::text)::text`

/** Between two messages; what is appended meanwhile shares the next. */
const NOTIFY_GAP_MS = 10

const REMEMBER = `
INSERT INTO properties (key, value)
VALUES ($1::text, $2::text)
ON CONFLICT (key) DO NOTHING`

const RECALL = `
SELECT value
FROM properties
WHERE key = $1::text`

interface Reading {
  readonly pages: Link
  readonly quick: Link
  readonly listeners: Listeners
  readonly close: () => Promise<void>
}

const openReading = (options: PostgresOptions, writable: boolean, timelines: Timelines): Reading => {
  const listeners = makeListeners()
  const pages = makeLink(options, { writable, timelines })
  const quick: Link = makeLink(options, {
    writable,
    timelines,
    accept: async (session) => {
      if (!listeners.isListening()) return E.right(undefined)
      const listening = await session.query(`LISTEN ${CHANNEL}`)
      if (E.isRight(listening)) listeners.wake()
      return E.map(() => undefined)(listening)
    },
    events: { onNotify: (_channel, writer) => listeners.hear(writer), onClose: () => listeners.lost(quick) },
  })
  return {
    pages,
    quick,
    listeners,
    close: async () => {
      listeners.stop()
      await Promise.all([pages.close(), quick.close()])
    },
  }
}

/** Opens a ledger for reading, on any host of the list, a standby too. It must have been set up by a server before. */
export const openPostgresReader =
  (options: PostgresOptions): TaskEither<ReadError, EventReader> =>
  async () => {
    const checked = await checkPostgres(options, 'ledger')()
    if (E.isLeft(checked)) return checked
    const { pages, quick, listeners, close } = openReading(options, false, makeTimelines())
    return E.right({ ...makeReader(pages, quick, listeners), close })
  }

/**
 * Opens a ledger for the server named `log`: sets the tables up if need be, enters the name, and reads the head of its
 * log. `LogTaken` when a live process has the name, which may take 3 s to find out.
 */
export const openPostgres =
  (options: PostgresOptions, log: LogName): TaskEither<ReadError | LogTaken, EventStore> =>
  async () => {
    const migrated = await migratePostgres(options, 'ledger')()
    if (E.isLeft(migrated)) return migrated
    const timelines = makeTimelines()
    const reading = openReading(options, true, timelines)
    // The log's writer exists only after the head was read over this link; it then looks at every later connection.
    const accepting: { log?: OpenLog } = {}
    const link = makeLink(appending(options), {
      writable: true,
      timelines,
      accept: async (session) => {
        const { log } = accepting
        return log === undefined ? E.right(undefined) : acceptSession(session, log.self, log.writer.head)
      },
    })
    const opened = await openLog(reading, link, log)
    if (E.isLeft(opened)) {
      await Promise.all([reading.close(), link.close()])
      return opened
    }
    accepting.log = opened.right
    return E.right(opened.right.store)
  }

/** The connections beside one that was lost are likely dead too, and would each be waited for when they are needed next. */
const renewAll = (links: ReadonlyArray<Link>): void => links.forEach((each) => each.renew())

/**
 * Planning an append anew each time takes 100 µs of some 330. One plan for all must not come from a table that was still
 * empty and read it whole for each predecessor ever after; all that an append looks up has an index.
 */
const appending = (options: PostgresOptions): PostgresOptions => ({
  ...options,
  settings: { plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off' },
})

/** A log that is open for appending. */
interface OpenLog {
  readonly store: EventStore
  readonly writer: LogWriter
  readonly self: LogIdentity
}

const openLog = async (reading: Reading, link: Link, log: LogName): Promise<Either<ReadError | LogTaken, OpenLog>> => {
  const { pages, quick, listeners } = reading
  const identity = identityText(thisProcess())
  const registered = await register(quick, log, identity)
  if (E.isLeft(registered)) return registered
  const number = registered.right
  listeners.passOver(number)
  const head = await readHead(link, number)
  if (E.isLeft(head)) return head
  const self: LogIdentity = { log, writer: number, identity }
  const database = openLogDatabase(link, self, () => renewAll([pages, quick]))
  const writer = new LogWriter(database, self, head.right, makeNotifier(quick, number))
  const store: EventStore = {
    ...makeReader(pages, quick, listeners),
    log,
    append: (batch) => () => writer.append(batch),
    settle: () => () => writer.settle(),
    heartbeat: (info) => async () => {
      const beat = decoded(await quick.query(HEARTBEAT, [number, identity, info]), (rows) => rows.length > 0)
      if (E.isLeft(beat)) return beat
      return beat.right ? E.right(undefined) : E.left(takenBy(log, await ownerOf(quick, number)))
    },
    remember: (key, value) => async () => {
      const kept = await quick.query(REMEMBER, [key, value])
      if (E.isLeft(kept)) return E.left(toReadError(kept.left))
      return decoded(await quick.query(RECALL, [key]), (rows) => rows[0]?.[0] ?? value)
    },
    close: async () => {
      await quick.query(STOPPED, [number, identity])
      await Promise.all([reading.close(), link.close()])
    },
  }
  return E.right({ store, writer, self })
}

const ownerOf = async (link: Link, writer: number): Promise<string> => {
  const rows = await link.query('SELECT identity FROM writers WHERE writer = $1::smallint', [writer])
  return E.isRight(rows) ? (rows.right[0]?.[0] ?? '') : ''
}

/** Tells the listeners of appends, with a gap from one message to the next. */
const makeNotifier = (link: Link, writer: number): (() => void) => {
  let running = false
  let again = false
  const run = async (): Promise<void> => {
    running = true
    do {
      again = false
      // When a message is lost, readers find the events by polling.
      await Promise.all([link.query(NOTIFY, [String(writer)]), pause(NOTIFY_GAP_MS, undefined, { ref: false })])
    } while (again)
    running = false
  }
  return () => {
    again = true
    if (!running) void run()
  }
}
