/**
 * The event store on MySQL 8, MariaDB (10.6 or later) and Galera.
 *
 * A store uses three connections: one that only appends, one for pages of events, and one for everything short (latest
 * events, heartbeats, clock); a fourth polls for news while somebody wants to hear of them. A reader uses up to three.
 *
 * Privileges. The account that sets the tables up needs CREATE, ALTER, DROP, INDEX, TRIGGER, CREATE VIEW, SELECT,
 * INSERT, UPDATE, DELETE on the database. Triggers refuse UPDATE and DELETE of events but see neither TRUNCATE nor
 * DROP, which MySQL ties to the privilege DROP: once set up, a server can run under an account that has SELECT and
 * INSERT on `events`, SELECT, INSERT and UPDATE on the other tables, and nothing else.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { EventReader, EventStore, LogName, LogTaken, ReadError } from '../../domain/event-store.ts'
import { identityText, takenBy, thisProcess } from '../identity.ts'
import { LogWriter } from '../log-writer.ts'
import type { LogIdentity } from '../log-writer.ts'
import { ERROR, isTransient, toReadError } from './failure.ts'
import { makeLink } from './link.ts'
import type { Link } from './link.ts'
import { checkMysql, migrateMysql } from './migration.ts'
import type { MysqlOptions } from './options.ts'
import { makePoller } from './poll.ts'
import type { Poller } from './poll.ts'
import { decoded, makeReader, textOf } from './reader.ts'
import { register } from './registration.ts'
import { acceptSession, openLogDatabase, readHead } from './writer.ts'

const HEARTBEAT = `
UPDATE writers
SET heartbeat = utc_timestamp(6), info = left(?, 1024)
WHERE writer = ? AND identity = ?`

const STOPPED = `
UPDATE writers
SET stopped = 1
WHERE writer = ? AND identity = ?`

const OWNER = `
SELECT identity
FROM writers
WHERE writer = ?`

const REMEMBER = `
INSERT INTO properties (\`key\`, value)
VALUES (?, ?)`

const RECALL = `
SELECT value
FROM properties
WHERE \`key\` = ?`

interface Reading {
  readonly pages: Link
  readonly quick: Link
  readonly polls: Link
  readonly poller: Poller
  readonly close: () => Promise<void>
}

const openReading = (options: MysqlOptions, writable: boolean): Reading => {
  const pages = makeLink(options, { writable, causal: true })
  const quick = makeLink(options, { writable, causal: true })
  const polls = makeLink(options, { writable, causal: false })
  const poller = makePoller(polls)
  return {
    pages,
    quick,
    polls,
    poller,
    close: async () => {
      poller.stop()
      await Promise.all([pages.close(), quick.close(), polls.close()])
    },
  }
}

/**
 * Opens a ledger for reading, on any host of the list, a replica too. It must have been set up by a server before.
 */
export const openMysqlReader =
  (options: MysqlOptions): TaskEither<ReadError, EventReader> =>
  async () => {
    const checked = await checkMysql(options, 'ledger')()
    if (E.isLeft(checked)) return checked
    const { pages, quick, polls, poller, close } = openReading(options, false)
    return E.right({ ...makeReader(pages, quick, polls, poller.seen), onAppended: poller.onAppended, close })
  }

/**
 * Opens a ledger for the server named `log`: sets the tables up if need be, enters the name, and reads the head of its
 * log. `LogTaken` when a live process has the name, which may take 3 s to find out.
 */
export const openMysql =
  (options: MysqlOptions, log: LogName): TaskEither<ReadError | LogTaken, EventStore> =>
  async () => {
    const migrated = await migrateMysql(options, 'ledger')()
    if (E.isLeft(migrated)) return migrated
    const reading = openReading(options, true)
    // The log's writer exists only after the head was read over this link; it then looks at every later connection.
    const accepting: { log?: OpenLog } = {}
    const link = makeLink(options, {
      writable: true,
      causal: true,
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

/** A log that is open for appending. */
interface OpenLog {
  readonly store: EventStore
  readonly writer: LogWriter
  readonly self: LogIdentity
}

const openLog = async (reading: Reading, link: Link, log: LogName): Promise<Either<ReadError | LogTaken, OpenLog>> => {
  const { pages, quick, polls, poller } = reading
  const identity = identityText(thisProcess())
  const registered = await register(quick, log, identity)
  if (E.isLeft(registered)) return registered
  const number = registered.right
  poller.passOver(log)
  const head = await readHead(link, number)
  if (E.isLeft(head)) return head
  const self: LogIdentity = { log, writer: number, identity }
  // The connections beside one that was lost are likely dead too, and would each be waited for when they are needed next.
  const lost = (): void => [pages, quick, polls].forEach((each) => each.renew())
  const writer = new LogWriter(openLogDatabase(link, self, lost), self, head.right)
  const store: EventStore = {
    ...makeReader(pages, quick, polls, poller.seen),
    onAppended: poller.onAppended,
    log,
    append: (batch) => () => writer.append(batch),
    settle: () => () => writer.settle(),
    heartbeat: (info) => async () => {
      const beat = await quick.write(HEARTBEAT, [info, number, identity])
      if (E.isLeft(beat)) return E.left(toReadError(beat.left))
      return beat.right > 0 ? E.right(undefined) : E.left(takenBy(log, await ownerOf(quick, number)))
    },
    remember: (key, value) => async () => {
      const kept = await quick.write(REMEMBER, [key, value])
      if (E.isLeft(kept) && !isKept(kept.left)) return E.left(toReadError(kept.left))
      return decoded(await quick.query(RECALL, [key]), ([row]) => (row === undefined ? value : textOf(row[0])))
    },
    close: async () => {
      await quick.write(STOPPED, [number, identity])
      await Promise.all([reading.close(), link.close()])
    },
  }
  return E.right({ store, writer, self })
}

type Refusal = Parameters<typeof isTransient>[0]

/** Somebody remembered the key before, or does at this moment on another node. */
const isKept = (failure: Refusal): boolean =>
  isTransient(failure) || (failure._tag === 'Refused' && failure.errno === ERROR.DUP_ENTRY)

const ownerOf = async (link: Link, writer: number): Promise<string> => {
  const rows = await link.query(OWNER, [writer])
  return E.isRight(rows) ? textOf(rows.right[0]?.[0]) : ''
}
