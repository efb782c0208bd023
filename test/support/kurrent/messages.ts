/** Between the messages of the wire protocol, as the client package generates them from .proto files, and values. */
import any from 'google-protobuf/google/protobuf/any_pb.js'
import empty from 'google-protobuf/google/protobuf/empty_pb.js'
import shared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import type { StreamIdentifier, UUID } from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import status from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/status_pb.js'
import streams from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import type {
  AppendReq,
  AppendResp,
  BatchAppendReq,
  BatchAppendResp,
  ReadReq,
  ReadResp,
} from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'
import type { Appended, Expected, Filter, Kept, Resolved, Sent } from './database.ts'

/** .NET ticks of 100 ns in a millisecond: the unit of `created`. */
const TICKS_PER_MS = 10_000n

/** The text of a UUID that came as text or as two halves. */
export const uuidText = (uuid: UUID | undefined): string => {
  if (uuid === undefined) return ''
  const halves = uuid.getStructured()
  if (halves === undefined) return uuid.getString().toLowerCase()
  const hex = (half: string): string => BigInt.asUintN(64, BigInt(half)).toString(16).padStart(16, '0')
  const digits = hex(halves.getMostSignificantBits()) + hex(halves.getLeastSignificantBits())
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** The name in a stream identifier. */
export const streamText = (identifier: StreamIdentifier | undefined): string =>
  Buffer.from(identifier?.getStreamName_asU8() ?? []).toString()

const identifierOf = (stream: string): StreamIdentifier =>
  new shared.StreamIdentifier().setStreamName(Buffer.from(stream).toString('base64'))

/** An event of an append or a batch append. */
export const sentOf = (message: AppendReq.ProposedMessage | BatchAppendReq.ProposedMessage): Sent => ({
  id: uuidText(message.getId()),
  type: message.getMetadataMap().get('type') ?? '',
  contentType: message.getMetadataMap().get('content-type') ?? '',
  data: message.getData_asU8(),
  metadata: message.getCustomMetadata_asU8(),
})

/** What an append expects. */
export const expectedOf = (options: AppendReq.Options): Expected => {
  if (options.hasAny()) return 'any'
  if (options.hasNoStream()) return 'no_stream'
  if (options.hasStreamExists()) return 'stream_exists'
  return Number(options.getRevision())
}

/** What a batch append expects. */
export const expectedOfBatch = (options: BatchAppendReq.Options): Expected => {
  if (options.hasAny()) return 'any'
  if (options.hasNoStream()) return 'no_stream'
  if (options.hasStreamExists()) return 'stream_exists'
  return Number(options.getStreamPosition())
}

/** The answer to an append: both outcomes are answers here. */
export const appendResp = (appended: Appended, expected: Expected): AppendResp => {
  const response = new streams.AppendResp()
  if (appended._tag === 'Success') {
    const position = new streams.AppendResp.Position()
    position.setCommitPosition(`${appended.position}`)
    position.setPreparePosition(`${appended.position}`)
    const success = new streams.AppendResp.Success().setCurrentRevision(`${appended.revision}`).setPosition(position)
    return response.setSuccess(success)
  }
  const wrong = new streams.AppendResp.WrongExpectedVersion()
  if (appended.current < 0) wrong.setCurrentNoStream(new shared.Empty())
  else wrong.setCurrentRevision(`${appended.current}`)
  if (expected === 'no_stream') wrong.setExpectedNoStream(new shared.Empty())
  else if (expected === 'stream_exists') wrong.setExpectedStreamExists(new shared.Empty())
  else if (expected === 'any') wrong.setExpectedAny(new shared.Empty())
  else wrong.setExpectedRevision(`${expected}`)
  return response.setWrongExpectedVersion(wrong)
}

/** What a batch append is answered with: an outcome, or an error by the name of its message. */
export type BatchAnswer = Appended | { readonly _tag: 'Timeout' } | { readonly _tag: 'AccessDenied' }

/** The answer to one append of a batch stream. */
export const batchAppendResp = (
  correlation: UUID | undefined,
  stream: string,
  answer: BatchAnswer,
  expected: Expected,
): BatchAppendResp => {
  const response = new streams.BatchAppendResp()
  response.setCorrelationId(correlation)
  response.setStreamIdentifier(identifierOf(stream))
  if (answer._tag === 'Success') {
    const position = new shared.AllStreamPosition()
    position.setCommitPosition(`${answer.position}`).setPreparePosition(`${answer.position}`)
    const success = new streams.BatchAppendResp.Success().setCurrentRevision(`${answer.revision}`)
    return response.setSuccess(success.setPosition(position))
  }
  const details = new any.Any()
  details.pack(errorOf(answer, expected).serializeBinary(), `event_store.client.${answer._tag}`)
  return response.setError(new status.Status().setMessage(answer._tag).setDetails(details))
}

const errorOf = (
  answer: Exclude<BatchAnswer, { readonly _tag: 'Success' }>,
  expected: Expected,
): { readonly serializeBinary: () => Uint8Array } => {
  if (answer._tag === 'Timeout') return new shared.Timeout()
  if (answer._tag === 'AccessDenied') return new shared.AccessDenied()
  const wrong = new shared.WrongExpectedVersion()
  if (answer.current < 0) wrong.setCurrentNoStream(new empty.Empty())
  else wrong.setCurrentStreamRevision(`${answer.current}`)
  if (expected === 'no_stream') wrong.setExpectedNoStream(new empty.Empty())
  else if (expected === 'stream_exists') wrong.setExpectedStreamExists(new empty.Empty())
  else if (expected === 'any') wrong.setExpectedAny(new empty.Empty())
  else wrong.setExpectedStreamPosition(`${expected}`)
  return wrong
}

/** The filter of a read of `$all`; system events pass too, as they do in the database. */
export const filterOf = (options: ReadReq.Options): Filter => {
  const filter = options.getFilter()
  const expression = filter?.getStreamIdentifier() ?? filter?.getEventType()
  if (filter === undefined || expression === undefined) return () => true
  const text = (event: Kept): string => (filter.hasStreamIdentifier() ? event.stream : event.type)
  const prefixes = expression.getPrefixList()
  if (prefixes.length > 0) return (event) => prefixes.some((prefix) => text(event).startsWith(prefix))
  const regex = new RegExp(expression.getRegex())
  return (event) => regex.test(text(event))
}

const recordedEvent = (kept: Kept, structured: boolean): ReadResp.ReadEvent.RecordedEvent => {
  const event = new streams.ReadResp.ReadEvent.RecordedEvent()
  event.setId(uuidOf(kept.id, structured))
  event.setStreamIdentifier(identifierOf(kept.stream))
  event.setStreamRevision(`${kept.revision}`)
  event.setCommitPosition(`${kept.position}`)
  event.setPreparePosition(`${kept.position}`)
  event.getMetadataMap().set('type', kept.type)
  event.getMetadataMap().set('content-type', kept.contentType)
  event.getMetadataMap().set('created', `${BigInt(Math.trunc(kept.createdMs)) * TICKS_PER_MS}`)
  event.setData(kept.data)
  event.setCustomMetadata(kept.metadata)
  return event
}

const uuidOf = (text: string, structured: boolean): UUID => {
  if (!structured) return new shared.UUID().setString(text)
  const digits = text.replaceAll('-', '')
  const half = (from: number): string => `${BigInt.asIntN(64, BigInt(`0x${digits.slice(from, from + 16)}`))}`
  const halves = new shared.UUID.Structured().setMostSignificantBits(half(0)).setLeastSignificantBits(half(16))
  return new shared.UUID().setStructured(halves)
}

/** An event that was read. `structured`: the reader wants UUIDs in two halves. */
export const eventResp = ({ event, link }: Resolved, structured: boolean): ReadResp => {
  const read = new streams.ReadResp.ReadEvent()
  if (event !== undefined) read.setEvent(recordedEvent(event, structured))
  if (link !== undefined) read.setLink(recordedEvent(link, structured))
  read.setCommitPosition(`${(link ?? event)?.position ?? 0n}`)
  return new streams.ReadResp().setEvent(read)
}

/** There is no such stream. */
export const notFoundResp = (stream: string): ReadResp =>
  new streams.ReadResp().setStreamNotFound(
    new streams.ReadResp.StreamNotFound().setStreamIdentifier(identifierOf(stream)),
  )

/** The subscription stands. */
export const confirmationResp = (id: string): ReadResp =>
  new streams.ReadResp().setConfirmation(new streams.ReadResp.SubscriptionConfirmation().setSubscriptionId(id))

/** Up to here a filtered subscription has looked, whether anything passed the filter or not. */
export const checkpointResp = (position: bigint): ReadResp =>
  new streams.ReadResp().setCheckpoint(
    new streams.ReadResp.Checkpoint().setCommitPosition(`${position}`).setPreparePosition(`${position}`),
  )

/** The subscription has read what was there when it was made. */
export const caughtUpResp = (): ReadResp => new streams.ReadResp().setCaughtUp(new streams.ReadResp.CaughtUp())
