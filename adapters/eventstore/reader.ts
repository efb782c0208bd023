/** Reading the ledger from EventStoreDB. */
import { END, jsonEvent, streamNameFilter } from '@kurrent/kurrentdb-client'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type {
  Checkpoint,
  EventReader,
  LogName,
  ReadError,
  Revision,
  Seq,
  ServerSeen,
  Stored,
} from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'
import type { Head } from '../chain.ts'
import { toReadError } from './failure.ts'
import type { Failure } from './failure.ts'
import type { Found, Link } from './link.ts'
import type { Names } from './names.ts'
import type { Kept } from './read.ts'
import {
  entryOf,
  hashOf,
  headOf,
  leadsTo,
  leaseMetadata,
  OPENED,
  parseObject,
  placed,
  STOPPED,
  unplaced,
} from './records.ts'

/** How soon a lost subscription is made again. */
const LISTEN_AGAIN_MS = 500
/** Streams that are read at a time. */
const READS_AT_ONCE = 16

/** Reads a stream forwards, links followed; a stream that is missing is empty. */
export const readForwards = (
  link: Link,
  stream: string,
  from: Revision,
  countMax: number,
): Promise<Either<Failure, Found>> => link.read({ stream, from, countMax, followLinks: true })

/** The last event of a stream, links not followed; undefined when there is none. */
export const readLast = async (link: Link, stream: string): Promise<Either<Failure, Kept | undefined>> =>
  E.map((found: Found) => found[0]?.event)(await link.read({ lastOf: stream, countMax: 1 }))

/** The head of a log, and where its last link stands in `$all`. */
export const readHead = async (
  link: Link,
  log: LogName,
  names: Names,
): Promise<Either<ReadError, { readonly head: Head; readonly position: bigint }>> => {
  const last = await readLast(link, names.log(log))
  if (E.isLeft(last)) return E.left(toReadError(last.left))
  const position = last.right?.position ?? 0n
  return E.map((head: Head) => ({ head, position }))(headOf(last.right))
}

/**
 * The clock of the database. It has no call for that, so an event is written and the time of its creation read. When
 * others write there too it may be a later one that is read, which was also written during this call.
 */
export const readClock = async (link: Link, names: Names): Promise<Either<Failure, Instant>> => {
  const written = await link.call((client) =>
    client.appendToStream(names.clock, jsonEvent({ type: 'ClockRead', data: {} })),
  )
  if (E.isLeft(written)) return written
  const found = await readForwards(link, names.clock, Number(written.right.nextExpectedRevision), 1)
  if (E.isLeft(found)) return found
  const created = found.right[0]?.event?.created
  return created === undefined
    ? E.left({ _tag: 'Lost', reason: `${link.where}: what was written to ${names.clock} cannot be read` })
    : E.right(created)
}

/** The names of all servers that ever opened the ledger, in the order of their first start. */
export const readServers = async (link: Link, names: Names): Promise<Either<Failure, ReadonlyArray<LogName>>> => {
  const entries = await readForwards(link, names.servers, 0, Number.MAX_SAFE_INTEGER)
  return E.map((events: Found) => [
    ...new Set(events.map(({ event }) => parseObject<{ name: LogName }>(event?.data ?? '')?.name ?? '')),
  ])(entries)
}

/** Applies `read` to each item, a few at a time; the results in order, or the first failure. */
const eachOf = async <A, B, F>(
  items: ReadonlyArray<A>,
  read: (item: A) => Promise<Either<F, B>>,
): Promise<Either<F, ReadonlyArray<B>>> => {
  const results = new Array<B>(items.length)
  let failure: { readonly is: F } | undefined
  let next = 0
  const work = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const index = next++
      const result = await read(items[index] as A)
      if (E.isLeft(result)) failure ??= { is: result.left }
      else results[index] = result.right
    }
  }
  await Promise.all(Array.from({ length: Math.min(READS_AT_ONCE, items.length) }, work))
  return failure === undefined ? E.right(results) : E.left(failure.is)
}

const decodeAll = <A>(
  found: Either<Failure, ReadonlyArray<A>>,
  decode: (one: A) => Either<ReadError, Stored>,
): Either<ReadError, ReadonlyArray<Stored>> => {
  if (E.isLeft(found)) return E.left(toReadError(found.left))
  const events: Stored[] = []
  for (const one of found.right) {
    const stored = decode(one)
    if (E.isLeft(stored)) return stored
    events.push(stored.right)
  }
  return E.right(events)
}

const readLog = async (
  link: Link,
  names: Names,
  log: LogName,
  after: Seq,
  countMax: number,
): Promise<Either<ReadError, ReadonlyArray<Stored>>> =>
  decodeAll(await readForwards(link, names.log(log), after, countMax), (found) => entryOf(log, found, names))

/**
 * A lease event that was read from its own stream, with its place in the log if its entry is where it is to be
 * expected. Position 0 and no hash otherwise: the entry is still on its way, or came late.
 */
const place = async (link: Link, names: Names, event: Kept): Promise<Either<ReadError, Stored>> => {
  const metadata = leaseMetadata(event)
  if (metadata === undefined) return unplaced(event, names)
  const { log, after, place: further } = metadata
  const found = await link.read({ stream: names.log(log), from: after, countMax: further + 1 })
  if (E.isLeft(found)) return E.left(toReadError(found.left))
  const entry = found.right.find(({ event: candidate }) => candidate !== undefined && leadsTo(candidate, event))?.event
  if (entry === undefined) return unplaced(event, names)
  return placed(event, log, Number(entry.revision) + 1, hashOf(entry), names)
}

/** Tells listeners of appends: one subscription to all logs, made again whenever it is lost. */
export interface Listeners {
  readonly add: (wake: () => void) => Promise<Either<Failure, () => Promise<void>>>
  readonly stop: () => void
}

/** Listeners over a link. The subscription stands as long as somebody listens. */
export const makeListeners = (link: Link, names: Names): Listeners => {
  const wakes = new Set<() => void>()
  let subscribed: Promise<Either<Failure, void>> | undefined
  let unsubscribe: () => void = () => undefined
  let again: NodeJS.Timeout | undefined
  const wakeAll = (): void => {
    for (const wake of wakes) wake()
  }

  const subscribe = (): Promise<Either<Failure, void>> =>
    link.call(async (client) => {
      const filter = streamNameFilter({ prefixes: names.logPrefixes })
      const subscription = client.subscribeToAll({ fromPosition: END, filter })
      const leave = (): void => void subscription.unsubscribe()
      unsubscribe = leave
      subscription.on('data', wakeAll)
      await new Promise<void>((resolve, reject) => {
        subscription.once('confirmation', resolve)
        subscription.once('end', () => reject(new Error('the subscription ended')))
        subscription.on('error', reject)
      })
      const lost = (): void => {
        if (unsubscribe !== leave) return
        subscribed = undefined
        if (wakes.size > 0) plan()
      }
      subscription.once('end', lost).once('close', lost).on('error', lost)
    })
  const plan = (): void => {
    clearTimeout(again)
    again = setTimeout(async () => {
      subscribed = subscribe()
      if (E.isRight(await subscribed))
        wakeAll() // something may have been appended meanwhile
      else plan()
    }, LISTEN_AGAIN_MS)
    again.unref()
  }
  const stop = (): void => {
    clearTimeout(again)
    wakes.clear()
    unsubscribe()
    unsubscribe = () => undefined
    subscribed = undefined
  }
  return {
    add: async (wake) => {
      const own = (): void => wake()
      wakes.add(own)
      subscribed ??= subscribe()
      const result = await subscribed
      if (E.isLeft(result)) {
        wakes.delete(own)
        subscribed = undefined
        return result
      }
      return E.right(async () => {
        wakes.delete(own)
        if (wakes.size === 0) stop()
      })
    },
    stop,
  }
}

const readServer = async (
  link: Link,
  names: Names,
  log: LogName,
  now: Instant,
): Promise<Either<Failure, ServerSeen | undefined>> => {
  const lastTwo = await link.read({ lastOf: names.server(log), countMax: 2 })
  if (E.isLeft(lastTwo)) return lastTwo
  const opened = lastTwo.right.find(({ event }) => event?.type === OPENED)?.event
  const beat = await readLast(link, names.heartbeat(log))
  if (E.isLeft(beat)) return beat
  if (opened === undefined || beat.right === undefined) return E.right(undefined) // entered, and never got further
  return E.right({
    log,
    silentMs: Math.max(0, now - beat.right.created),
    startedAt: opened.created,
    stopped: lastTwo.right[0]?.event?.type === STOPPED,
    info: parseObject<{ info: string }>(beat.right.data)?.info ?? '',
  })
}

/** The reading side over a link. */
export const makeReader = (link: Link, names: Names, listeners: Listeners): Omit<EventReader, 'close'> => {
  const heads = async (): Promise<Either<ReadError, Checkpoint>> => {
    const servers = await readServers(link, names)
    if (E.isLeft(servers)) return E.left(toReadError(servers.left))
    const read = await eachOf(servers.right, (log) => readHead(link, log, names))
    if (E.isLeft(read)) return read
    const entries = servers.right.map((log, index) => [log, read.right[index]?.head.seq ?? 0] as const)
    return E.right(Object.fromEntries(entries.filter(([, seq]) => seq > 0)))
  }
  return {
    readStream: (stream, from, countMax) => async () => {
      const found = await readForwards(link, names.lease(stream), from, countMax)
      if (E.isLeft(found)) return E.left(toReadError(found.left))
      const events = found.right.flatMap(({ event }) => event ?? [])
      return eachOf(events, (event) => place(link, names, event))
    },
    // Nobody who asks for the latest events of many streams, while a client waits, asks for their places.
    readLatest: (streams) => async () => {
      const found = await eachOf([...new Set(streams)], (stream) => readLast(link, names.lease(stream)))
      return decodeAll(
        E.map((events: ReadonlyArray<Kept | undefined>) => events.filter((event) => event !== undefined))(found),
        (event) => unplaced(event, names),
      )
    },
    readAfter: (checkpoint, countMax) => async () => {
      const servers = await readServers(link, names)
      if (E.isLeft(servers)) return E.left(toReadError(servers.left))
      const events: Stored[] = []
      const next: Record<LogName, Seq> = { ...checkpoint }
      for (const log of servers.right) {
        if (events.length >= countMax) break
        const some = await readLog(link, names, log, checkpoint[log] ?? 0, countMax - events.length)
        if (E.isLeft(some)) return some
        events.push(...some.right)
        const last = some.right.at(-1)
        if (last !== undefined) next[log] = last.seq
      }
      return E.right({ events, next })
    },
    readLog: (log, after, countMax) => () => readLog(link, names, log, after, countMax),
    heads: () => heads,
    onAppended: (wake) => async () => E.mapLeft(toReadError)(await listeners.add(wake)),
    clock: () => async () => E.mapLeft(toReadError)(await readClock(link, names)),
    servers: () => async () => {
      const entered = await readServers(link, names)
      if (E.isLeft(entered)) return E.left(toReadError(entered.left))
      const now = await readClock(link, names)
      if (E.isLeft(now)) return E.left(toReadError(now.left))
      const seen = await eachOf(entered.right, (log) => readServer(link, names, log, now.right))
      if (E.isLeft(seen)) return E.left(toReadError(seen.left))
      return E.right(seen.right.filter((one) => one !== undefined))
    },
  }
}
