/**
 * Events as they are stored: the canonical JSON text of an event's data, and the way back. Older schema versions are
 * upcast here, one step a version, when they are read; what is stored is never rewritten.
 */
import * as E from 'fp-ts/lib/Either.js'
import * as t from 'io-ts'
import { PathReporter } from 'io-ts/lib/PathReporter.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { canonicalJson } from './canonical-json.ts'
import type { Recorded, Unsealed } from './event-store.ts'
import { makeLease, SCHEMA_VERSION } from './lease.ts'
import type { Lease, LeaseEvent } from './lease.ts'

const text = t.union([t.string, t.undefined])
const number = t.union([t.number, t.undefined])
const flag = t.union([t.boolean, t.undefined])

const RelayCodec = t.exact(
  t.partial({
    address: t.string,
    peer: t.string,
    circuitId: t.string,
    interfaceId: t.string,
    relayId: t.string,
    remoteId: t.string,
    subscriberId: t.string,
  }),
)

const LeaseCodec = t.strict({
  clientId: text,
  duid: text,
  expiresAt: t.number,
  fqdnForward: flag,
  fqdnReverse: flag,
  holder: t.string,
  hostname: text,
  hwAddress: text,
  hwSource: number,
  hwType: number,
  iaid: number,
  poolId: t.number,
  preferredLifetimeSec: number,
  relay: t.union([RelayCodec, t.undefined]),
  renewals: t.number,
  startsAt: t.number,
  subnetId: t.number,
  transactionId: t.number,
  userContext: text,
  validLifetimeSec: t.number,
})

const withLease = { lease: LeaseCodec }

/** One codec an event type, for the schema version of today. Keys are stored data. */
const codecs = {
  LeaseOffered: t.strict(withLease),
  LeaseClaimed: t.exact(t.intersection([t.type(withLease), t.partial({ offered: t.strict({ at: t.number }) })])),
  LeaseRenewed: t.exact(t.intersection([t.type(withLease), t.partial({ unrecorded: t.number })])),
  LeaseReleased: t.exact(
    t.intersection([
      t.type({ ...withLease, cause: t.union([t.literal('client'), t.literal('superseded')]) }),
      t.partial({ supersededBy: t.string }),
    ]),
  ),
  LeaseDeclined: t.strict(withLease),
  LeaseExpired: t.strict(withLease),
  LeaseRevoked: t.strict({ ...withLease, reason: t.string }),
  LeaseImported: t.strict({
    ...withLease,
    source: t.string,
    status: t.union([t.literal('bound'), t.literal('declined'), t.literal('released'), t.literal('expired')]),
  }),
} satisfies Record<LeaseEvent['type'], t.Mixed>

/** All event types, as they are stored. */
export const eventTypes = Object.keys(codecs) as ReadonlyArray<LeaseEvent['type']>

/** An event that this version cannot read. `reason` is one sentence that names the event. */
export interface Undecodable {
  readonly _tag: 'Undecodable'
  readonly reason: string
}

/**
 * The upcasts: entry `n` turns the data of schema version n into that of n + 1. Empty as long as there is one version.
 * To change a shape: raise SCHEMA_VERSION, add the step here, and keep a ledger written by the version before in
 * test/unit/fixtures for good.
 */
const upcasts: Readonly<Record<number, (type: string, data: unknown) => unknown>> = {}

/**
 * The canonical JSON text (RFC 8785) of an event's data. `makeLease` lays the fields of a lease out in order, and the
 * fields beside it sort around it, so the plain text of JSON is the canonical one; only relays are sorted here.
 */
export const encodeData = (event: LeaseEvent): string => {
  const { type: _, ...data } = event
  return canonicalJson(data)
}

/** Decodes and checks an event completely. For imports, verification and everything that is not on the packet path. */
export const decodeEvent = (type: string, schemaVersion: number, data: string): Either<Undecodable, LeaseEvent> => {
  const parsed = parse(type, schemaVersion, data)
  if (E.isLeft(parsed)) return parsed
  const codec: t.Mixed = codecs[type as LeaseEvent['type']]
  const decoded = codec.decode(parsed.right)
  if (E.isLeft(decoded)) return undecodable(`${type}: ${PathReporter.report(decoded)[0] ?? 'wrong shape'}`)
  return E.right(assemble(type, parsed.right as { lease: Lease }))
}

/** A stored event, decoded for replay: the chain's hash vouches for its content, so only its outline is looked at. */
export const decodeStored = (stored: Unsealed): Either<Undecodable, Recorded> => {
  const parsed = parse(stored.type, stored.schemaVersion, stored.data)
  if (E.isLeft(parsed)) return undecodable(`event ${stored.log}/${stored.seq}: ${parsed.left.reason}`)
  const data = parsed.right as { lease: Lease }
  const { lease } = data as { lease?: Lease }
  if (typeof lease !== 'object' || typeof lease.holder !== 'string' || typeof lease.expiresAt !== 'number') {
    return undecodable(`event ${stored.log}/${stored.seq} (${stored.type}) carries no lease`)
  }
  return E.right({
    log: stored.log,
    seq: stored.seq,
    stream: stored.stream,
    revision: stored.revision,
    recordedAt: stored.recordedAt,
    event: assemble(stored.type, data),
  })
}

const undecodable = (reason: string): Either<Undecodable, never> => E.left({ _tag: 'Undecodable', reason })

const parse = (type: string, schemaVersion: number, data: string): Either<Undecodable, unknown> => {
  if (!Object.hasOwn(codecs, type)) return undecodable(`${type} is no event type that this version knows; upgrade`)
  if (schemaVersion > SCHEMA_VERSION) {
    return undecodable(
      `${type} has schema version ${schemaVersion}, this version reads up to ${SCHEMA_VERSION}; upgrade`,
    )
  }
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return undecodable(`${type}: the data is not JSON`)
  }
  for (let version = schemaVersion; version < SCHEMA_VERSION; version++) value = upcasts[version]?.(type, value)
  return E.right(value)
}

const assemble = (type: string, data: { lease: Lease }): LeaseEvent => {
  const { lease } = data
  return { ...data, type, lease: makeLease(lease, lease.expiresAt, lease.renewals, lease.startsAt) } as LeaseEvent
}
