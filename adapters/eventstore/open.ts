/**
 * The event store on EventStoreDB or KurrentDB, from version 21.10 on (the batch append of its gRPC protocol).
 *
 * A store has two connections: one that only appends to the ledger, and one for everything else. A reader has one.
 *
 * The account must be allowed to read `$all`, to write and to read the streams of names.ts, and to write the
 * metadata of the heartbeats and the clock. Where users exist, take from it the right to delete streams: the
 * database has no other way to change or remove what was appended.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import { jsonEvent } from '@kurrent/kurrentdb-client'
import type { AppendError, EventReader, EventStore, LogName, LogTaken, ReadError } from '../../domain/event-store.ts'
import { identityText, thisProcess } from '../identity.ts'
import { toReadError } from './failure.ts'
import { makeLink } from './link.ts'
import type { Link } from './link.ts'
import { makeNames } from './names.ts'
import type { Names } from './names.ts'
import type { EventStoreOptions } from './options.ts'
import { makeListeners, makeReader, readForwards, readHead, readServers } from './reader.ts'
import { parseObject } from './records.ts'
import { beat, confirmName, leave, register } from './registration.ts'
import type { Opening } from './registration.ts'
import { makeLogWriter } from './writer.ts'
import type { LogWriter } from './writer.ts'

/** Opens a ledger for reading. It must have been set up by a server before, else it reads as empty. */
export const openEventStoreReader =
  (options: EventStoreOptions): TaskEither<ReadError, EventReader> =>
  async () => {
    const link = makeLink(options)
    if (E.isLeft(link)) return E.left(toReadError(link.left))
    const names = makeNames(options.prefix)
    const servers = await readServers(link.right, names)
    if (E.isLeft(servers)) {
      await link.right.close()
      return E.left(toReadError(servers.left))
    }
    const listeners = makeListeners(link.right, names)
    return E.right({
      ...makeReader(link.right, names, listeners),
      close: async () => {
        listeners.stop()
        await link.right.close()
      },
    })
  }

/**
 * Opens a ledger for the server named `log`: takes the name, reads the head of its log, and enters what an earlier
 * start left behind. `LogTaken` when a live process has the name, which may take 3 s to find out.
 */
export const openEventStore =
  (options: EventStoreOptions, log: LogName): TaskEither<ReadError | LogTaken, EventStore> =>
  async () => {
    const quick = makeLink(options)
    if (E.isLeft(quick)) return E.left(toReadError(quick.left))
    const appending = makeLink(options)
    if (E.isLeft(appending)) return E.left(toReadError(appending.left))
    const opened = await openLog(quick.right, appending.right, log, makeNames(options.prefix))
    if (E.isLeft(opened)) await Promise.all([quick.right.close(), appending.right.close()])
    return opened
  }

const openLog = async (
  quick: Link,
  appending: Link,
  log: LogName,
  names: Names,
): Promise<Either<ReadError | LogTaken, EventStore>> => {
  const identity = identityText(thisProcess())
  const registered = await register(quick, log, identity, names)
  if (E.isLeft(registered)) return registered
  const opening = registered.right
  const writer = await openWriter(appending, log, opening, names)
  if (E.isLeft(writer)) return writer
  const listeners = makeListeners(quick, names)
  const { append, settle, isClean } = writer.right
  return E.right({
    ...makeReader(quick, names, listeners),
    log,
    append: (batch) => () => append(batch),
    settle: () => settle,
    heartbeat: (info) => () => heartbeat(quick, writer.right, { log, opening, identity, info }, names),
    remember: (key, value) => () => remember(quick, names.property(key), value),
    close: async () => {
      listeners.stop()
      await leave(quick, log, opening, identity, isClean(), names)
      await Promise.all([quick.close(), appending.close()])
    },
  })
}

const openWriter = async (
  link: Link,
  log: LogName,
  opening: Opening,
  names: Names,
): Promise<Either<ReadError | LogTaken, LogWriter>> => {
  const found = await readHead(link, log, names)
  if (E.isLeft(found)) return found
  const { head } = found.right
  const writer = makeLogWriter(link, { log, opening }, names, head)
  if (opening.isClean) return E.right(writer)
  const entered = await writer.enterStrays()
  if (E.isRight(entered)) return E.right(writer)
  const { _tag, reason } = entered.left
  return E.left(_tag === 'OutcomeUnknown' ? { _tag: 'StoreUnavailable', reason } : entered.left)
}

interface Beat {
  readonly log: LogName
  readonly opening: Opening
  readonly identity: string
  readonly info: string
}

const heartbeat = async (
  link: Link,
  writer: LogWriter,
  { log, opening, identity, info }: Beat,
  names: Names,
): Promise<Either<AppendError, void>> => {
  const confirmed = await confirmName(link, log, opening, names)
  if (E.isLeft(confirmed)) return confirmed
  writer.confirmed()
  if (writer.isLookDue()) {
    const entered = await writer.enterStrays()
    if (E.isLeft(entered)) return entered
  }
  return E.mapLeft(toReadError)(await beat(link, log, identity, info, names))
}

/** The stream's first event is what is kept: nobody can write another one. */
const remember = async (link: Link, stream: string, value: string): Promise<Either<ReadError, string>> => {
  const event = jsonEvent({ type: 'Remembered', data: { value } })
  const written = await link.call((client) =>
    client.appendToStream(stream, event, {
      streamState: 'no_stream',
      requiresLeader: true,
    }),
  )
  if (E.isLeft(written) && written.left._tag !== 'Conflict') return E.left(toReadError(written.left))
  const kept = await readForwards(link, stream, 0, 1)
  if (E.isLeft(kept)) return E.left(toReadError(kept.left))
  return E.right(parseObject<{ value: string }>(kept.right[0]?.event?.data ?? '')?.value ?? value)
}
