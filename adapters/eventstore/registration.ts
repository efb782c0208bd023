/**
 * Entering a server name, and finding out whether somebody else lives under it.
 *
 * The stream `server/<name>` tells of each start and stop, and its expected revision lets exactly one of two processes
 * take the name. Its last event says who has it.
 */
import { jsonEvent } from '@kurrent/kurrentdb-client'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { LogName, LogTaken, ReadError, Revision } from '../../domain/event-store.ts'
import { fateOf, takenBy } from '../identity.ts'
import { toReadError } from './failure.ts'
import type { Failure } from './failure.ts'
import type { Link } from './link.ts'
import type { Names } from './names.ts'
import type { Kept } from './read.ts'
import { readClock, readLast, readServers } from './reader.ts'
import { OPENED, parseObject, STOPPED } from './records.ts'

/** Younger than this, a heartbeat is that of a live server, unless watching shows otherwise. */
export const FRESH_MS = 2_500
/** A server that shows no heartbeat for this long does not live. */
const WATCH_MS = 3_000
const WATCH_STEP_MS = 200
/** Others may come in between; each time we look again. */
const ATTEMPTS_MAX = 5

/** A name that this process has taken. */
export interface Opening {
  /** Of the event in `server/<name>`: tells this start from all others. */
  readonly revision: Revision
  /** Whether the start before it, if any, ended with all its events in the log. */
  readonly isClean: boolean
}

interface Entry {
  readonly identity: string
  readonly clean?: boolean
}

const entryOf = (event: Kept): Entry => ({ identity: '', ...parseObject<Entry>(event.data) })

/** Whether this start still has the name; on the left also `LogTaken`. */
export const confirmName = async (
  link: Link,
  log: LogName,
  opening: Opening,
  names: Names,
): Promise<Either<ReadError | LogTaken, void>> => {
  const last = await readLast(link, names.server(log))
  if (E.isLeft(last)) return E.left(toReadError(last.left))
  if (last.right !== undefined && Number(last.right.revision) === opening.revision) return E.right(undefined)
  return E.left(takenBy(log, last.right === undefined ? '' : entryOf(last.right).identity))
}

/** Writes a sign of life. */
export const beat = async (
  link: Link,
  log: LogName,
  identity: string,
  info: string,
  names: Names,
): Promise<Either<Failure, void>> => {
  const event = jsonEvent({ type: 'Heartbeat', data: { identity, info } })
  const written = await link.call((client) =>
    client.appendToStream(names.heartbeat(log), event, { requiresLeader: true }),
  )
  return E.map(() => undefined)(written)
}

/** Says goodbye. `clean`: all that was appended stands in the log. */
export const leave = async (
  link: Link,
  log: LogName,
  opening: Opening,
  identity: string,
  clean: boolean,
  names: Names,
): Promise<void> => {
  const event = jsonEvent({ type: STOPPED, data: { identity, clean } })
  await link.call((client) =>
    client.appendToStream(names.server(log), event, {
      streamState: BigInt(opening.revision),
      requiresLeader: true,
    }),
  )
}

/**
 * Takes the name `log` for this process. `LogTaken` when it belongs to a live process: one of this machine that runs,
 * or one whose heartbeat moves while we watch (up to 3 s).
 */
export const register = async (
  link: Link,
  log: LogName,
  identity: string,
  names: Names,
): Promise<Either<ReadError | LogTaken, Opening>> => {
  const entered = await enter(link, log, identity, names)
  if (E.isLeft(entered)) return E.left(toReadError(entered.left))
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const last = await readLast(link, names.server(log))
    if (E.isLeft(last)) return E.left(toReadError(last.left))
    const before = last.right
    if (before !== undefined) {
      const free = await isFree(link, log, before, names)
      if (E.isLeft(free)) return E.left(toReadError(free.left))
      if (!free.right) return E.left(takenBy(log, entryOf(before).identity))
    }
    const taken = await take(link, log, identity, before, names)
    if (E.isLeft(taken)) return E.left(toReadError(taken.left))
    if (taken.right === undefined) continue
    const beaten = await beat(link, log, identity, '', names)
    if (E.isLeft(beaten)) return E.left(toReadError(beaten.left))
    const isClean = before === undefined || (before.type === STOPPED && entryOf(before).clean === true)
    return E.right({ revision: taken.right, isClean })
  }
  return E.left({ _tag: 'LogTaken', reason: `several processes try to start under the server name "${log}" at once` })
}

/** Enters a name that is new. A heartbeat comes first, since whoever finds the name looks for it. */
const enter = async (link: Link, log: LogName, identity: string, names: Names): Promise<Either<Failure, void>> => {
  const servers = await readServers(link, names)
  if (E.isLeft(servers)) return servers
  if (servers.right.includes(log)) return E.right(undefined)
  const kept = await link.call(async (client) => {
    await client.setStreamMetadata(names.heartbeat(log), { maxCount: 1 })
    await client.setStreamMetadata(names.clock, { maxCount: 1 })
  })
  if (E.isLeft(kept)) return kept
  const beaten = await beat(link, log, identity, '', names)
  if (E.isLeft(beaten)) return beaten
  const event = jsonEvent({ type: 'ServerEntered', data: { name: log } })
  const entered = await link.call((client) => client.appendToStream(names.servers, event, { requiresLeader: true }))
  return E.map(() => undefined)(entered)
}

/** Takes the name after its last event; undefined when somebody was quicker. */
const take = async (
  link: Link,
  log: LogName,
  identity: string,
  before: Kept | undefined,
  names: Names,
): Promise<Either<Failure, Revision | undefined>> => {
  const event = jsonEvent({ type: OPENED, data: { identity } })
  const taken = await link.call((client) =>
    client.appendToStream(names.server(log), event, {
      streamState: before === undefined ? 'no_stream' : before.revision,
      requiresLeader: true,
    }),
  )
  if (E.isRight(taken)) return E.right(Number(taken.right.nextExpectedRevision))
  return taken.left._tag === 'Conflict' ? E.right(undefined) : taken
}

const isFree = async (link: Link, log: LogName, last: Kept, names: Names): Promise<Either<Failure, boolean>> => {
  if (last.type === STOPPED) return E.right(true)
  const fate = fateOf(entryOf(last).identity)
  if (fate !== 'unknown') return E.right(fate === 'dead')
  const now = await readClock(link, names)
  if (E.isLeft(now)) return now
  const heartbeat = await readLast(link, names.heartbeat(log))
  if (E.isLeft(heartbeat)) return heartbeat
  if (now.right - (heartbeat.right?.created ?? 0) > FRESH_MS) return E.right(true)
  for (let waitedMs = 0; waitedMs < WATCH_MS; waitedMs += WATCH_STEP_MS) {
    await new Promise((resolve) => setTimeout(resolve, WATCH_STEP_MS))
    const server = await readLast(link, names.server(log))
    if (E.isLeft(server)) return server
    // The caller then takes the name after the event before this one, meets it, and looks again.
    if (server.right?.type === STOPPED) return E.right(true)
    const beaten = await readLast(link, names.heartbeat(log))
    if (E.isLeft(beaten)) return beaten
    if (beaten.right?.revision !== heartbeat.right?.revision) return E.right(false)
  }
  return E.right(true)
}
