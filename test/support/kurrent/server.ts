/**
 * A test double of EventStoreDB / KurrentDB that speaks the real wire protocol: gRPC over HTTP/2 with the messages
 * that the client package generates from the database's .proto files, so that the client is used as it is. It keeps
 * everything in memory and follows the documented rules for append, batch append, reads of streams and of `$all`,
 * subscriptions, server features and gossip. It is one node or several in front of one memory, without replication,
 * more than one user, access rules, scavenging or persistent subscriptions. What passes here has been seen to pass
 * this double, and no more: the same suites run against a real server when EVENTSTORE_URL names one.
 */
import { randomUUID } from 'node:crypto'
import { Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js'
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import gossip from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/gossip_pb.js'
import type { ClusterInfo } from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/gossip_pb.js'
import gossipService from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/gossip_grpc_pb.js'
import features from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_pb.js'
import type { SupportedMethods } from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_pb.js'
import featuresService from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_grpc_pb.js'
import shared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import type {
  AppendReq,
  AppendResp,
  BatchAppendReq,
  BatchAppendResp,
  ReadReq,
  ReadResp,
} from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import streamsService from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_grpc_pb.js'
import { makeDatabase } from './database.ts'
import type { Database, Expected, Kept, Sent } from './database.ts'
import {
  appendResp,
  batchAppendResp,
  caughtUpResp,
  checkpointResp,
  confirmationResp,
  eventResp,
  expectedOf,
  expectedOfBatch,
  filterOf,
  notFoundResp,
  sentOf,
  streamText,
} from './messages.ts'
import type { BatchAnswer } from './messages.ts'

/**
 * What happens to an append instead of the usual: the call breaks before or after the commit, nobody answers, or the
 * database answers that it ran out of time (after the commit) or that the account may not.
 */
export type Mishap = 'break before' | 'break after' | 'no answer' | 'timeout' | 'denied'

/** An append that is about to be carried out. */
export interface Arrived {
  readonly stream: string
  readonly expected: Expected
  readonly events: ReadonlyArray<Sent>
}

export interface KurrentOptions {
  /** Shared by the nodes of a cluster. */
  readonly database?: Database
  /** Asked before each append; a promise holds the append up. */
  readonly mishap?: (append: Arrived) => Mishap | undefined | Promise<Mishap | undefined>
  /** The port of the leader when this node is a follower: it then refuses what only a leader may answer. */
  readonly leaderPort?: () => number | undefined
  /** What gossip tells of the cluster. */
  readonly members?: () => ReadonlyArray<{ readonly port: number; readonly leader: boolean; readonly alive: boolean }>
  /** PEM of the node's certificate and its key: then it speaks TLS only. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer }
  /** The only account that may do anything; default, nobody is asked. */
  readonly account?: { readonly user: string; readonly password: string }
  /** Whether the node offers the batch append stream, as all have done since 21.10. Default true. */
  readonly batchAppend?: boolean
}

/** A node that runs. */
export interface TestKurrent {
  readonly host: '127.0.0.1'
  readonly port: number
  readonly url: string
  readonly database: Database
  /** Breaks all connections and refuses new ones. */
  readonly away: () => Promise<void>
  /** Listens again, on the same port and with all that was kept. */
  readonly back: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** Starts a node on a free port of the loopback. */
export const startKurrent = async (options: KurrentOptions = {}): Promise<TestKurrent> => {
  const database = options.database ?? makeDatabase()
  let server: Server
  let port = 0
  const listen = async (): Promise<void> => {
    server = new Server({ 'grpc.max_receive_message_length': 32 * 1024 * 1024 })
    server.addService(streamsService.StreamsService, streamsImplementation(database, options))
    server.addService(gossipService.GossipService, gossipImplementation(options))
    server.addService(featuresService.ServerFeaturesService, featuresImplementation(options))
    port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, credentialsOf(options), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      )
    })
  }
  await listen()
  return {
    host: '127.0.0.1',
    port,
    url: `kurrentdb://127.0.0.1:${port}?tls=${options.tls !== undefined}`,
    database,
    away: async () => server.forceShutdown(),
    back: listen,
    stop: async () => server.forceShutdown(),
  }
}

const credentialsOf = ({ tls }: KurrentOptions): ServerCredentials =>
  tls === undefined
    ? ServerCredentials.createInsecure()
    : ServerCredentials.createSsl(null, [{ cert_chain: tls.cert, private_key: tls.key }])

/** Why a caller is not served: it does not say who it is, or not truly. */
const refusal = ({ account }: KurrentOptions, metadata: Metadata): { code: status; details: string } | undefined => {
  if (account === undefined) return undefined
  const basic = `Basic ${Buffer.from(`${account.user}:${account.password}`).toString('base64')}`
  const isKnown = metadata.get('authorization')[0] === basic
  return isKnown ? undefined : { code: status.UNAUTHENTICATED, details: 'who are you?' }
}

const broken = { code: status.UNAVAILABLE, details: 'the node went away' }

/** The refusal by which a follower sends a client to the leader. */
const notLeader = (port: number): { code: status; details: string; metadata: Metadata } => {
  const metadata = new Metadata()
  metadata.set('exception', 'not-leader')
  metadata.set('leader-endpoint-host', '127.0.0.1')
  metadata.set('leader-endpoint-port', `${port}`)
  return { code: status.NOT_FOUND, details: 'Leader info available', metadata }
}

const streamsImplementation = (database: Database, options: KurrentOptions): UntypedServiceImplementation => ({
  append: (call: ServerReadableStream<AppendReq, AppendResp>, callback: sendUnaryData<AppendResp>) =>
    handleAppend(database, options, call, callback),
  batchAppend: (call: ServerDuplexStream<BatchAppendReq, BatchAppendResp>) =>
    handleBatchAppend(database, options, call),
  read: (call: ServerWritableStream<ReadReq, ReadResp>) => handleRead(database, options, call),
  delete: (_: unknown, callback: sendUnaryData<never>) => callback({ code: status.UNIMPLEMENTED }),
  tombstone: (_: unknown, callback: sendUnaryData<never>) => callback({ code: status.UNIMPLEMENTED }),
})

const handleAppend = (
  database: Database,
  options: KurrentOptions,
  call: ServerReadableStream<AppendReq, AppendResp>,
  callback: sendUnaryData<AppendResp>,
): void => {
  const leader = options.leaderPort?.()
  let stream = ''
  let expected: Expected = 'any'
  const events: Sent[] = []
  call.on('data', (request: AppendReq) => {
    const header = request.getOptions()
    if (header !== undefined) {
      stream = streamText(header.getStreamIdentifier())
      expected = expectedOf(header)
    }
    const message = request.getProposedMessage()
    if (message !== undefined) events.push(sentOf(message))
  })
  call.on('error', () => undefined)
  call.on('end', async () => {
    const refused = refusal(options, call.metadata)
    if (refused !== undefined) return callback(refused)
    if (leader !== undefined) return callback(notLeader(leader))
    const mishap = await options.mishap?.({ stream, expected, events })
    if (mishap === 'break before') return callback(broken)
    if (mishap === 'denied') return callback({ code: status.PERMISSION_DENIED, details: 'denied' })
    const appended = database.append(stream, expected, events)
    if (mishap === 'no answer') return
    if (mishap === 'timeout') return callback({ code: status.ABORTED, details: 'timeout' })
    if (mishap === 'break after') return callback(broken)
    callback(null, appendResp(appended, expected))
  })
}

const handleBatchAppend = (
  database: Database,
  options: KurrentOptions,
  call: ServerDuplexStream<BatchAppendReq, BatchAppendResp>,
): void => {
  const leader = options.leaderPort?.()
  const refused = refusal(options, call.metadata)
  if (refused !== undefined) return void call.emit('error', refused)
  if (leader !== undefined) return void call.emit('error', notLeader(leader))
  // An append may come in several messages; the last one says so.
  const open = new Map<string, { header: BatchAppendReq.Options; events: Sent[] }>()
  let isBroken = false
  const breakOff = (): void => {
    if (!isBroken) call.emit('error', broken)
    isBroken = true
  }
  const carryOut = async (request: BatchAppendReq, header: BatchAppendReq.Options, events: Sent[]): Promise<void> => {
    const stream = streamText(header.getStreamIdentifier())
    const expected = expectedOfBatch(header)
    const answer = (what: BatchAnswer): void => {
      if (!isBroken) call.write(batchAppendResp(request.getCorrelationId(), stream, what, expected))
    }
    const asked = options.mishap?.({ stream, expected, events })
    // Without a promise, the append is done before the next message is looked at: a node writes in order of arrival.
    const mishap = asked instanceof Promise ? await asked : asked
    if (mishap === 'break before') return breakOff()
    if (mishap === 'denied') return answer({ _tag: 'AccessDenied' })
    const appended = database.append(stream, expected, events)
    if (mishap === 'break after') return breakOff()
    if (mishap === 'timeout') return answer({ _tag: 'Timeout' })
    if (mishap === undefined) answer(appended)
  }
  call.on('data', (request: BatchAppendReq) => {
    const id = JSON.stringify(request.getCorrelationId()?.toObject())
    const header = request.getOptions() ?? open.get(id)?.header
    if (header === undefined) return
    const events = [...(open.get(id)?.events ?? []), ...request.getProposedMessagesList().map(sentOf)]
    open.set(id, { header, events })
    if (!request.getIsFinal()) return
    open.delete(id)
    void carryOut(request, header, events)
  })
  call.on('error', () => undefined)
  call.on('end', () => call.end())
}

const handleRead = (
  database: Database,
  options: KurrentOptions,
  call: ServerWritableStream<ReadReq, ReadResp>,
): void => {
  call.on('error', () => undefined)
  const leader = options.leaderPort?.()
  const refused = refusal(options, call.metadata)
  if (refused !== undefined) return void call.emit('error', refused)
  const needsLeader = call.metadata.get('requires-leader')[0] === 'true'
  if (leader !== undefined && needsLeader) return void call.emit('error', notLeader(leader))
  const request = call.request.getOptions() as ReadReq.Options
  if (request.hasSubscription()) return subscribe(database, request, call)
  const structured = request.getUuidOption()?.hasStructured() ?? false
  const found = request.hasStream() ? readStream(database, request) : readAll(database, request)
  if (found === undefined) {
    call.write(notFoundResp(streamText(request.getStream()?.getStreamIdentifier())))
  } else {
    for (const event of found) {
      call.write(eventResp(request.getResolveLinks() ? database.resolve(event) : { event }, structured))
    }
  }
  call.end()
}

const readStream = (database: Database, request: ReadReq.Options): Kept[] | undefined => {
  const options = request.getStream() as ReadReq.Options.StreamOptions
  const from = options.hasStart() ? 0 : options.hasEnd() ? Number.MAX_SAFE_INTEGER : Number(options.getRevision())
  return database.readStream(streamText(options.getStreamIdentifier()), from, isBackwards(request), countOf(request))
}

const readAll = (database: Database, request: ReadReq.Options): Kept[] => {
  const options = request.getAll() as ReadReq.Options.AllOptions
  const position = options.getPosition()?.getCommitPosition()
  const end = (database.all.at(-1)?.position ?? 0n) + 1n
  const from = options.hasStart() ? 0n : options.hasEnd() ? end : BigInt(position ?? 0)
  return database.readAll(from, isBackwards(request), countOf(request), filterOf(request))
}

const isBackwards = (request: ReadReq.Options): boolean => request.getReadDirection() === 1
const countOf = (request: ReadReq.Options): number => Math.min(Number(request.getCount()), Number.MAX_SAFE_INTEGER)

/** Sends what is there after the position or revision given, then what comes; both are exclusive here. */
const subscribe = (
  database: Database,
  request: ReadReq.Options,
  call: ServerWritableStream<ReadReq, ReadResp>,
): void => {
  const structured = request.getUuidOption()?.hasStructured() ?? false
  const all = request.getAll()
  const filter = filterOf(request)
  const send = (event: Kept): void => {
    if (!filter(event)) return void (request.hasFilter() && call.write(checkpointResp(event.position)))
    call.write(eventResp(request.getResolveLinks() ? database.resolve(event) : { event }, structured))
  }
  call.write(confirmationResp(randomUUID()))
  const stream = streamText(request.getStream()?.getStreamIdentifier())
  for (const event of all === undefined ? streamBacklog(database, request) : allBacklog(database, all)) send(event)
  call.write(caughtUpResp())
  const stop = database.follow((event) => {
    if (all !== undefined || event.stream === stream) send(event)
  })
  call.on('cancelled', stop)
  call.on('close', stop)
}

const streamBacklog = (database: Database, request: ReadReq.Options): Kept[] => {
  const options = request.getStream() as ReadReq.Options.StreamOptions
  if (options.hasEnd()) return []
  const from = options.hasStart() ? 0 : Number(options.getRevision()) + 1
  return database.readStream(streamText(options.getStreamIdentifier()), from, false, Number.MAX_SAFE_INTEGER) ?? []
}

const allBacklog = (database: Database, options: ReadReq.Options.AllOptions): Kept[] => {
  if (options.hasEnd()) return []
  const from = options.hasStart() ? 0n : BigInt(options.getPosition()?.getCommitPosition() ?? 0) + 1n
  return database.readAll(from, false, Number.MAX_SAFE_INTEGER, () => true)
}

const { VNodeState } = gossip.MemberInfo

const gossipImplementation = (options: KurrentOptions): UntypedServiceImplementation => ({
  read: (_: ServerUnaryCall<unknown, ClusterInfo>, callback: sendUnaryData<ClusterInfo>) => {
    const info = new gossip.ClusterInfo()
    for (const { port, leader, alive } of options.members?.() ?? []) {
      const member = new gossip.MemberInfo()
      member.setInstanceId(new shared.UUID().setString(randomUUID()))
      member.setTimeStamp('0')
      member.setIsAlive(alive)
      member.setState(leader ? VNodeState.LEADER : VNodeState.FOLLOWER)
      member.setHttpEndPoint(new gossip.EndPoint().setAddress('127.0.0.1').setPort(port))
      info.addMembers(member)
    }
    callback(null, info)
  },
})

const featuresImplementation = (options: KurrentOptions): UntypedServiceImplementation => ({
  getSupportedMethods: (_: unknown, callback: sendUnaryData<SupportedMethods>) => {
    const supported = new features.SupportedMethods().setEventStoreServerVersion('24.10.0')
    const methods = ['append', 'read', ...(options.batchAppend === false ? [] : ['batchappend'])]
    for (const name of methods) {
      const method = new features.SupportedMethod()
      method.setServiceName('event_store.client.streams.streams').setMethodName(name)
      supported.addMethods(method)
    }
    callback(null, supported)
  },
})
