/**
 * The hash chain that makes a log tamper-evident: hash = SHA-256(hash before it || position || digest of the event).
 * The chain holds the digest of an event and not the event, so that personal data can be erased one day, its digest
 * left in its place, and everything else still be proven.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '../domain/canonical-json.ts'
import type { LogName, Proposal, Revision, Seq, Stored, Unsealed } from '../domain/event-store.ts'
import type { Instant } from '../domain/instant.ts'
import { encodeData } from '../domain/lease-codec.ts'
import { SCHEMA_VERSION } from '../domain/lease.ts'

/** What stands before the first event of a log: 32 zero octets. */
export const GENESIS: Uint8Array = new Uint8Array(32)

/** The last event of a log: its position and its hash of 32 octets. */
export interface Head {
  readonly seq: Seq
  readonly hash: Uint8Array
}

/** The head of a log that has no event yet. */
export const EMPTY_HEAD: Head = { seq: 0, hash: GENESIS }

/**
 * The digest of an event, 32 octets: SHA-256 of the canonical JSON (RFC 8785) of data, recordedAt, revision,
 * schemaVersion, stream and type. `data` must be canonical already; it is not parsed again.
 */
const digest = (
  data: string,
  recordedAt: Instant,
  revision: Revision,
  schemaVersion: number,
  stream: string,
  type: string,
): Buffer =>
  hash(
    'sha256',
    `{"data":${data},"recordedAt":${recordedAt},"revision":${revision},"schemaVersion":${schemaVersion},` +
      `"stream":${JSON.stringify(stream)},"type":${JSON.stringify(type)}}`,
    'buffer',
  )

/** The position stands between two parts of fixed length, so no two inputs of the hash read alike. */
const link = (previous: Uint8Array, log: LogName, seq: Seq, digestOfEvent: Uint8Array): Buffer => {
  const position = `${log}/${seq}`
  const digestAt = previous.length + Buffer.byteLength(position)
  const end = digestAt + digestOfEvent.length
  if (end > linked.length) linked = Buffer.alloc(2 * end)
  linked.set(previous)
  linked.write(position, previous.length)
  linked.set(digestOfEvent, digestAt)
  return hash('sha256', linked.subarray(0, end), 'buffer')
}

/** What is hashed is laid out here each time: it happens for every event that is written or verified. */
let linked = Buffer.alloc(256)

/** The event that a proposal becomes at position `seq` of `log`, chained to `previous` (32 octets). */
export const seal = (previous: Uint8Array, log: LogName, seq: Seq, proposal: Proposal): Stored => {
  const { stream, event, recordedAt } = proposal
  const revision = proposal.expected + 1
  const data = encodeData(event)
  const own = digest(data, recordedAt, revision, SCHEMA_VERSION, stream, event.type)
  return {
    log,
    seq,
    stream,
    revision,
    type: event.type,
    schemaVersion: SCHEMA_VERSION,
    recordedAt,
    data,
    hash: link(previous, log, seq, own),
  }
}

/** The events that proposals become after `head`, in order, each chained to the one before it. */
export const sealAll = (head: Head, log: LogName, proposals: ReadonlyArray<Proposal>): ReadonlyArray<Stored> => {
  let previous = head.hash
  return proposals.map((proposal, index) => {
    const sealed = seal(previous, log, head.seq + 1 + index, proposal)
    previous = sealed.hash
    return sealed
  })
}

/** What is left of an event whose data was erased: `{"erased":"<digest, 64 hex digits>"}`. */
const erasedDigest = (data: unknown): Buffer | undefined => {
  if (typeof data !== 'object' || data === null) return undefined
  const { erased } = data as { readonly erased?: unknown }
  const alone = Object.keys(data).length === 1
  return alone && typeof erased === 'string' && /^[0-9a-f]{64}$/.test(erased) ? Buffer.from(erased, 'hex') : undefined
}

/** The data that takes the place of an event's data when it is erased. The chain goes on to verify. */
export const erasedData = (stored: Stored): string => `{"erased":"${digestOf(stored)?.toString('hex') ?? ''}"}`

/** The digest of a stored event; undefined when its data is not JSON. The text is made canonical first. */
const digestOf = (stored: Stored): Buffer | undefined => {
  let data: unknown
  try {
    data = JSON.parse(stored.data)
  } catch {
    return undefined
  }
  const { recordedAt, revision, schemaVersion, stream, type } = stored
  return erasedDigest(data) ?? digest(canonicalJson(data), recordedAt, revision, schemaVersion, stream, type)
}

/**
 * The hash, 32 octets, by which an event that a store gave back without a place is chained to `previous` at its log
 * and position; undefined when its data is not JSON.
 */
export const hashAfter = (previous: Uint8Array, stored: Unsealed): Uint8Array | undefined => {
  const own = digestOf({ ...stored, hash: GENESIS })
  return own === undefined ? undefined : link(previous, stored.log, stored.seq, own)
}

/**
 * Whether an event, as a store gave it back, is the one that was chained to `previous` (32 octets) at its position.
 * The event itself is judged, whatever the store did to white space or key order.
 */
export const checkLink = (previous: Uint8Array, stored: Stored): boolean => {
  const own = digestOf(stored)
  return own !== undefined && link(previous, stored.log, stored.seq, own).equals(stored.hash)
}
