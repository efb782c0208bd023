/**
 * Events as EventStoreDB keeps them.
 *
 * A lease event has the type and the JSON data of the domain. Its metadata say who proposed it and when. Its place in a
 * log and its hash are not in it: an event cannot be changed, and while it is on its way nobody knows how many of its
 * batch will be appended. They stand in the link that the log holds: the link's revision is the position less one, and
 * its metadata hold the hash.
 *
 * Stored format: names of fields are data on disk. Add; never rename.
 */
import { randomUUID } from 'node:crypto'
import { binaryEvent, jsonEvent } from '@kurrent/kurrentdb-client'
import type { EventData } from '@kurrent/kurrentdb-client'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { LogName, Proposal, Revision, Seq, Stored, StoreUnusable } from '../../domain/event-store.ts'
import type { Instant } from '../../domain/instant.ts'
import { SCHEMA_VERSION } from '../../domain/lease.ts'
import { EMPTY_HEAD } from '../chain.ts'
import type { Head } from '../chain.ts'
import type { Names } from './names.ts'
import type { Kept, Read } from './read.ts'

/** The type by which EventStoreDB knows a link; its data are `<revision>@<stream>`. */
const LINK_TYPE = '$>'

/** Type of the event that a process has taken a server name. */
export const OPENED = 'ServerOpened'
/** Type of the event that it has given the name back. `clean`: all that it appended stands in its log. */
export const STOPPED = 'ServerStopped'

/** Metadata of a lease event. */
export interface LeaseMetadata {
  /** Name of the server that proposed it. */
  readonly log: LogName
  /** Which start of that server it was: revision of the event in `server/<log>`. */
  readonly opening: Revision
  readonly recordedAt: Instant
  readonly schemaVersion: number
  /** Where to look for its entry: behind this position of the log when it was sent, */
  readonly after: Seq
  /** and, since those before it in its batch may lose, at most so many entries further. */
  readonly place: number
}

/** Metadata of a link. */
interface LinkMetadata {
  /** The chain's hash, 64 hex digits. */
  readonly hash: string
}

/** Who sends an event, and where its entry may be expected. */
export type Sender = Pick<LeaseMetadata, 'log' | 'opening' | 'after' | 'place'>

/** The event that is sent for a proposal. `id` names this sending, and the same again when it must be sent again. */
export const leaseEvent = (proposal: Proposal, sender: Sender, id: string): EventData => {
  const { type, ...data } = proposal.event
  const metadata: LeaseMetadata = { ...sender, recordedAt: proposal.recordedAt, schemaVersion: SCHEMA_VERSION }
  return jsonEvent({ id, type, data: { ...data }, metadata: { ...metadata } })
}

/** The link of a log to a lease event. */
export const linkEvent = (stored: Stored, names: Names): EventData => {
  const metadata: LinkMetadata = { hash: Buffer.from(stored.hash).toString('hex') }
  const target = `${stored.revision}@${names.lease(stored.stream)}`
  return binaryEvent({ id: randomUUID(), type: LINK_TYPE, data: Buffer.from(target), metadata: { ...metadata } })
}

const unusable = (reason: string): Either<StoreUnusable, never> => E.left({ _tag: 'StoreUnusable', reason })

/** A revision of the database as a number; refuses to round. */
export const safeRevision = (revision: bigint): Either<StoreUnusable, Revision> => {
  const number = Number(revision)
  // One less than the largest, since the position in a log is one more than the revision.
  return number < Number.MAX_SAFE_INTEGER ? E.right(number) : unusable(`revision ${revision} is beyond 2^53 - 1`)
}

/** Reads JSON; undefined when it is none, or not an object. */
export const parseObject = <A extends object>(text: string): Partial<A> | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

/** The metadata of a lease event; undefined when they are not ours. */
export const leaseMetadata = (event: Kept): LeaseMetadata | undefined => {
  const metadata = parseObject<LeaseMetadata>(event.metadata)
  if (typeof metadata?.log !== 'string' || typeof metadata.recordedAt !== 'number') return undefined
  return typeof metadata.schemaVersion === 'number' ? (metadata as LeaseMetadata) : undefined
}

/** A lease event at a place of a log. */
export const placed = (
  event: Kept,
  log: LogName,
  seq: Seq,
  hash: Uint8Array,
  names: Names,
): Either<StoreUnusable, Stored> => {
  const metadata = leaseMetadata(event)
  const stream = names.leaseOf(event.stream)
  if (metadata === undefined) return unusable(`event ${event.revision} of ${stream} lacks its metadata`)
  const revision = safeRevision(event.revision)
  if (E.isLeft(revision)) return revision
  return E.right({
    log,
    seq,
    stream,
    revision: revision.right,
    type: event.type,
    schemaVersion: metadata.schemaVersion,
    recordedAt: metadata.recordedAt,
    data: event.data,
    hash,
  })
}

/** Whether a link leads to an event. */
export const leadsTo = (link: Kept, event: Kept): boolean => link.data === `${event.revision}@${event.stream}`

/** A lease event whose entry in the log is not known: position 0, no hash. */
export const unplaced = (event: Kept, names: Names): Either<StoreUnusable, Stored> =>
  placed(event, leaseMetadata(event)?.log ?? '', EMPTY_HEAD.seq, new Uint8Array(0), names)

/** An entry of a log: a link that was followed. */
export const entryOf = (log: LogName, resolved: Read, names: Names): Either<StoreUnusable, Stored> => {
  const { link, event } = resolved
  const revision = safeRevision((link ?? event)?.revision ?? 0n)
  if (E.isLeft(revision)) return revision
  const seq = revision.right + 1
  if (link === undefined) return unusable(`event ${log}/${seq}: there is something else than a link`)
  if (event === undefined) return unusable(`event ${log}/${seq} is missing: its stream was deleted or truncated`)
  return placed(event, log, seq, hashOf(link), names)
}

/** The chain's hash at a link; empty when it has none. */
export const hashOf = (link: Kept): Uint8Array => {
  const metadata = parseObject<LinkMetadata>(link.metadata)
  return Buffer.from(typeof metadata?.hash === 'string' ? metadata.hash : '', 'hex')
}

/** The head of a log, from its last link. */
export const headOf = (link: Kept | undefined): Either<StoreUnusable, Head> => {
  if (link === undefined) return E.right(EMPTY_HEAD)
  return E.map((revision: Revision): Head => ({ seq: revision + 1, hash: hashOf(link) }))(safeRevision(link.revision))
}
