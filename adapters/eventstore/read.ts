/**
 * Reading streams and `$all`.
 *
 * The client's own reads go through a native part with connections of its own. In version 1.3 that part leaves Nagle's
 * algorithm on, so that most reads wait 40 ms for an acknowledgement, takes half a second to connect, rounds times down
 * to seconds, and cannot be cancelled. Here the same messages, which the client generates from the database's .proto
 * files, go over the connection that the client appends and subscribes on, with its discovery, credentials and way to
 * the leader.
 */
import { KurrentDBClient } from '@kurrent/kurrentdb-client'
import shared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import streams from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import type { ReadReq, ReadResp } from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import service from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_grpc_pb.js'
import type { Revision } from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'

/** An event as the database gives it. */
export interface Kept {
  readonly stream: string
  readonly revision: bigint
  readonly id: string
  readonly type: string
  /** When it was written, by the clock of the database. */
  readonly created: Instant
  /** Its place in `$all`. */
  readonly position: bigint
  /** UTF-8 text. */
  readonly data: string
  readonly metadata: string
}

/** What was read: an event, or a link and the event it leads to if that is there. */
export interface Read {
  readonly event: Kept | undefined
  readonly link: Kept | undefined
}

/** What to read. Both ends are inclusive. */
export type Wanted =
  | { readonly stream: string; readonly from: Revision; readonly countMax: number; readonly followLinks?: boolean }
  /** The last events, the very last first. */
  | { readonly lastOf: string; readonly countMax: number }
  /** Of `$all`, from a position on, the streams whose names begin with one of these. */
  | { readonly allFrom: bigint; readonly prefixes: string[] }

/** Calls that are under way, to be read to their end or given up. */
export interface Reading {
  readonly answers: AsyncIterator<ReadResp>
  readonly cancel: () => void
}

// Generated numbers: ReadReq.Options.ReadDirection.
const FORWARDS = 0
const BACKWARDS = 1
/** .NET ticks of 100 ns: the unit of `created`. */
const TICKS_PER_MS = 10_000n

const requestOf = (wanted: Wanted): ReadReq => {
  const { Options } = streams.ReadReq
  const options = new Options()
  options.setUuidOption(new Options.UUIDOption().setString(new shared.Empty()))
  options.setReadDirection(FORWARDS)
  options.setNoFilter(new shared.Empty())
  if ('allFrom' in wanted) {
    const position = `${wanted.allFrom}`
    const from = new Options.Position().setCommitPosition(position).setPreparePosition(position)
    const all = new Options.AllOptions()
    options.setAll(wanted.allFrom === 0n ? all.setStart(new shared.Empty()) : all.setPosition(from))
    const names = new Options.FilterOptions.Expression().setPrefixList(wanted.prefixes)
    const filter = new Options.FilterOptions().setStreamIdentifier(names).setCount(new shared.Empty())
    options.setFilter(filter.setCheckpointintervalmultiplier(1))
    options.setCount(`${Number.MAX_SAFE_INTEGER}`)
  } else {
    const name = 'lastOf' in wanted ? wanted.lastOf : wanted.stream
    const identifier = new shared.StreamIdentifier().setStreamName(Buffer.from(name).toString('base64'))
    const stream = new Options.StreamOptions().setStreamIdentifier(identifier)
    if ('lastOf' in wanted) options.setReadDirection(BACKWARDS)
    options.setStream('lastOf' in wanted ? stream.setEnd(new shared.Empty()) : stream.setRevision(`${wanted.from}`))
    options.setResolveLinks('followLinks' in wanted && wanted.followLinks === true)
    options.setCount(`${wanted.countMax}`)
  }
  return new streams.ReadReq().setOptions(options)
}

/** Reaches the parts of the client by which its own calls are made; they are protected, not private. */
class Inside extends KurrentDBClient {
  static async read(client: KurrentDBClient, request: ReadReq): Promise<Reading> {
    const inside = client as Inside
    const calling = inside.GRPCStreamCreator(service.StreamsClient, 'read', (stub) =>
      // A follower refuses: it may not have yet what was acknowledged. The client then goes to the leader.
      stub.read(request, ...inside.callArguments({ requiresLeader: true }, { deadline: Infinity })),
    )
    const call = await calling()
    return { answers: call[Symbol.asyncIterator]() as AsyncIterator<ReadResp>, cancel: () => call.cancel() }
  }

  static async close(client: KurrentDBClient): Promise<void> {
    const channel = await (client as Inside).getChannel()
    channel.close()
  }
}

/** Ends all calls of a client and closes its connection, which the client itself leaves open. */
export const closeClient = async (client: KurrentDBClient): Promise<void> => {
  await client.dispose()
  await Inside.close(client)
}

/** Begins to read. Throws, as do the answers, what the client's own calls throw. */
export const startRead = (client: KurrentDBClient, wanted: Wanted): Promise<Reading> =>
  Inside.read(client, requestOf(wanted))

const keptOf = (event: ReadResp.ReadEvent.RecordedEvent): Kept => {
  const metadata = event.getMetadataMap()
  return {
    stream: Buffer.from(event.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString(),
    revision: BigInt(event.getStreamRevision()),
    id: event.getId()?.getString() ?? '',
    type: metadata.get('type') ?? '',
    created: Number(BigInt(metadata.get('created') ?? 0) / TICKS_PER_MS),
    position: BigInt(event.getCommitPosition()),
    data: Buffer.from(event.getData_asU8()).toString(),
    metadata: Buffer.from(event.getCustomMetadata_asU8()).toString(),
  }
}

/** The event in an answer; undefined when the answer is none (no such stream, and places that newer versions tell). */
export const readOf = (answer: ReadResp): Read | undefined => {
  const read = answer.getEvent()
  if (read === undefined) return undefined
  const [event, link] = [read.getEvent(), read.getLink()]
  return {
    event: event === undefined ? undefined : keptOf(event),
    link: link === undefined ? undefined : keptOf(link),
  }
}
