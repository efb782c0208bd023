/**
 * What an EventStoreDB keeps, in memory: streams, their order in `$all`, and the documented rules of appending and
 * reading (expected revisions, idempotent event ids, `$maxCount`, links). It knows nothing of gRPC; see server.ts.
 */

/** An event as a client sends it. */
export interface Sent {
  readonly id: string
  readonly type: string
  readonly contentType: string
  readonly data: Uint8Array
  readonly metadata: Uint8Array
}

/** An event as it is kept. `position` is its place in `$all`; `createdMs` is by the clock of the database. */
export interface Kept extends Sent {
  readonly stream: string
  readonly revision: number
  readonly position: bigint
  readonly createdMs: number
}

/** What a writer expects of a stream; a number is the revision of its last event. */
export type Expected = number | 'any' | 'no_stream' | 'stream_exists'

/** What became of an append. `current` is -1 where there is no stream. */
export type Appended =
  | { readonly _tag: 'Success'; readonly revision: number; readonly position: bigint }
  | { readonly _tag: 'WrongExpectedVersion'; readonly current: number }

/** An event that was read; a link that was followed has both, a link to nothing only `link`. */
export interface Resolved {
  readonly event?: Kept
  readonly link?: Kept
}

/** Which events of `$all` somebody wants. */
export type Filter = (event: Kept) => boolean

export interface Database {
  readonly append: (stream: string, expected: Expected, events: ReadonlyArray<Sent>) => Appended
  /** Undefined when there is no such stream. `from` is inclusive, in both directions. */
  readonly readStream: (stream: string, from: number, backwards: boolean, countMax: number) => Kept[] | undefined
  /** Forwards, events at or after `from`; backwards, events before it. */
  readonly readAll: (from: bigint, backwards: boolean, countMax: number, filter: Filter) => Kept[]
  readonly resolve: (event: Kept) => Resolved
  /** The last revision of a stream, -1 where there is none. */
  readonly last: (stream: string) => number
  /** Calls `listener` with each event as it is kept; gives the way to stop that. */
  readonly follow: (listener: (event: Kept) => void) => () => void
  /** Everything, in order. For assertions. */
  readonly all: ReadonlyArray<Kept>
}

const LINK = '$>'

/** An empty database. `clock` gives ms since 1970. */
export const makeDatabase = (clock: () => number = Date.now): Database => {
  const all: Kept[] = []
  const streams = new Map<string, Kept[]>()
  const listeners = new Set<(event: Kept) => void>()

  const keep = (stream: string, sent: Sent): Kept => {
    const events = streams.get(stream) ?? []
    const before = all.at(-1)
    // Positions are octets in the transaction log: they grow, and not by one.
    const position = before === undefined ? 0n : before.position + BigInt(100 + before.data.length)
    const kept: Kept = { ...sent, stream, revision: events.length, position, createdMs: clock() }
    events.push(kept)
    streams.set(stream, events)
    all.push(kept)
    for (const listener of listeners) listener(kept)
    return kept
  }
  const last = (stream: string): number => (streams.get(stream)?.length ?? 0) - 1

  const isExpected = (stream: string, expected: Expected): boolean => {
    if (expected === 'any') return true
    if (expected === 'stream_exists') return last(stream) >= 0
    return last(stream) === (expected === 'no_stream' ? -1 : expected)
  }

  /** The last of the events when the very same ones, by id, stand where they were to stand. */
  const alreadyThere = (stream: string, expected: Expected, events: ReadonlyArray<Sent>): Kept | undefined => {
    const kept = streams.get(stream) ?? []
    const first =
      expected === 'any' || expected === 'stream_exists'
        ? kept.findIndex(({ id }) => id === events[0]?.id)
        : (expected === 'no_stream' ? -1 : expected) + 1
    if (first < 0 || events.length === 0) return undefined
    const same = events.every(({ id }, index) => kept[first + index]?.id === id)
    return same ? kept[first + events.length - 1] : undefined
  }

  /** `$maxCount` of the stream's metadata hides the older events; their revisions stay taken. */
  const firstVisible = (stream: string): number => {
    const metadata = streams.get(`$$${stream}`)?.at(-1)
    if (metadata === undefined) return 0
    const { $maxCount } = JSON.parse(Buffer.from(metadata.data).toString()) as { readonly $maxCount?: number }
    return $maxCount === undefined ? 0 : Math.max(0, last(stream) + 1 - $maxCount)
  }

  return {
    all,
    last,
    append: (stream, expected, events) => {
      const there = alreadyThere(stream, expected, events)
      if (there !== undefined) return { _tag: 'Success', revision: there.revision, position: there.position }
      if (!isExpected(stream, expected)) return { _tag: 'WrongExpectedVersion', current: last(stream) }
      const kept = events.map((event) => keep(stream, event)).at(-1)
      return { _tag: 'Success', revision: last(stream), position: kept?.position ?? 0n }
    },
    readStream: (stream, from, backwards, countMax) => {
      const events = streams.get(stream)
      if (events === undefined) return undefined
      const visible = firstVisible(stream)
      if (!backwards) return events.slice(Math.max(from, visible), Math.max(from, visible) + countMax)
      return events
        .slice(visible, Math.min(from, last(stream)) + 1)
        .reverse()
        .slice(0, countMax)
    },
    readAll: (from, backwards, countMax, filter) => {
      const wanted = all.filter(
        (event) => (backwards ? event.position < from : event.position >= from) && filter(event),
      )
      return (backwards ? wanted.reverse() : wanted).slice(0, countMax)
    },
    resolve: (event) => {
      if (event.type !== LINK) return { event }
      const [revision, ...stream] = Buffer.from(event.data).toString().split('@')
      const target = streams.get(stream.join('@'))?.[Number(revision)]
      return target === undefined ? { link: event } : { event: target, link: event }
    },
    follow: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
