/**
 * The lease of one address or delegated prefix: what can happen to it, and which commands may make it happen. IPv4
 * addresses, IPv6 addresses and delegated prefixes obey the same rules, so there is one aggregate; only the facts about
 * the client differ, and no rule reads them.
 *
 * Order: what a lease is, events, state and `evolve`, commands and refusals, `decide`.
 */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { absurd } from 'fp-ts/lib/function.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Option } from 'fp-ts/lib/Option.js'
import { after } from './instant.ts'
import type { Instant } from './instant.ts'
import type { StreamName } from './stream.ts'

/**
 * Who holds a lease, as one comparable text: `id:<hex>` (client identifier, RFC 2131 §4.2), `hw:<htype>:<hex>`
 * (hardware type and address, where there is none), `duid:<hex>/<iaid>` (RFC 8415 §12). Equal keys are one client.
 */
export type ClientKey = string

/** What a relay agent said about the way to the client. Octet strings are lower-case hex. */
export interface Relay {
  /** giaddr, or the link-address of the relay nearest to the client. Text. */
  readonly address?: string
  /** Relay-forward peer-address of the relay nearest to the client (RFC 8415 §9.1). Text. */
  readonly peer?: string
  /** Agent circuit ID, RFC 3046 §3.1. */
  readonly circuitId?: string
  /** Interface-Id, RFC 8415 §21.18. */
  readonly interfaceId?: string
  /** Relay-ID, RFC 6925 and RFC 5460 §5.4.1. */
  readonly relayId?: string
  /** Agent remote ID, RFC 3046 §3.2 and RFC 4649. */
  readonly remoteId?: string
  /** Subscriber-ID, RFC 3993 and RFC 4580. */
  readonly subscriberId?: string
}

/**
 * What a client asks for and the server is willing to give: who, where, how long. Fields that a protocol does not
 * have are `undefined`; all are always present, so that every lease in memory has one shape.
 */
export interface Terms {
  /** Option 61 of DHCPv4, hex. */
  readonly clientId: string | undefined
  /** DHCP Unique Identifier, hex (RFC 8415 §11). */
  readonly duid: string | undefined
  readonly fqdnForward: boolean | undefined
  readonly fqdnReverse: boolean | undefined
  readonly holder: ClientKey
  readonly hostname: string | undefined
  /** Hardware address, hex. */
  readonly hwAddress: string | undefined
  /** Where the hardware address of a DHCPv6 client was learnt, by Kea's numbers (`lease_hwaddr_source`). */
  readonly hwSource: number | undefined
  /** ARP hardware type, e.g. 1 for Ethernet. */
  readonly hwType: number | undefined
  /** Identity association identifier, uint32 (RFC 8415 §4.2). */
  readonly iaid: number | undefined
  readonly poolId: number
  /** Preferred lifetime in seconds, uint32 (DHCPv6). */
  readonly preferredLifetimeSec: number | undefined
  readonly relay: Relay | undefined
  readonly subnetId: number
  /** xid or transaction-id of the exchange that led here: tells a retransmission from a new request. */
  readonly transactionId: number
  /** What an operator attached to the reservation, canonical JSON text. */
  readonly userContext: string | undefined
  /** Valid lifetime in seconds, uint32; 0xffffffff is forever. */
  readonly validLifetimeSec: number
}

/** A lease as it stands after an event. Instants are milliseconds since 1970. */
export interface Lease extends Terms {
  /** When it ends, ended or (declined) may be used again. */
  readonly expiresAt: Instant
  /** Renewals since `startsAt`, those that were answered without an event included. */
  readonly renewals: number
  /** Since when this client holds it without a gap. */
  readonly startsAt: Instant
}

// ---------------------------------------------------------------- Events
// Stored format: tags and field names are data on disk. Add; never rename. Each event carries the whole lease after it.

/** A client was offered the address until `lease.expiresAt`. Promises nothing. */
export interface LeaseOffered {
  readonly type: 'LeaseOffered'
  readonly lease: Lease
}

/** A client got the address. `offered` says when, if the offer before it was not recorded by itself. */
export interface LeaseClaimed {
  readonly type: 'LeaseClaimed'
  readonly lease: Lease
  readonly offered?: { readonly at: Instant }
}

/**
 * The holder got it for longer. `unrecorded` counts the renewals before this one that were answered from the lease as it
 * stood (see `Renew.reuseSec`), by the server that writes this; absent when there were none.
 */
export interface LeaseRenewed {
  readonly type: 'LeaseRenewed'
  readonly lease: Lease
  readonly unrecorded?: number
}

/** The holder gave it back, or took another address of the subnet (`superseded`) which frees this one. */
export interface LeaseReleased {
  readonly type: 'LeaseReleased'
  readonly lease: Lease
  readonly cause: 'client' | 'superseded'
  /** Stream of the lease that took this one's place. */
  readonly supersededBy?: StreamName
}

/** The holder found the address in use by a stranger; nobody gets it until `lease.expiresAt`. */
export interface LeaseDeclined {
  readonly type: 'LeaseDeclined'
  readonly lease: Lease
}

/** Its time was over, or the probation of a declined address. */
export interface LeaseExpired {
  readonly type: 'LeaseExpired'
  readonly lease: Lease
}

/** An operator took it away. */
export interface LeaseRevoked {
  readonly type: 'LeaseRevoked'
  readonly lease: Lease
  readonly reason: string
}

/** It was held before this ledger began, and was taken over from `source`. */
export interface LeaseImported {
  readonly type: 'LeaseImported'
  readonly lease: Lease
  readonly source: string
  /** What it was there. */
  readonly status: 'bound' | 'declined' | 'released' | 'expired'
}

/** Everything that can happen to a lease. */
export type LeaseEvent =
  | LeaseOffered
  | LeaseClaimed
  | LeaseRenewed
  | LeaseReleased
  | LeaseDeclined
  | LeaseExpired
  | LeaseRevoked
  | LeaseImported

/** The schema version in which events are written today. Older ones are upcast when read; see lease-codec.ts. */
export const SCHEMA_VERSION = 1

// ---------------------------------------------------------------- State

/** What became of a lease with the last event of its stream. */
export type Status = 'offered' | 'bound' | 'released' | 'declined' | 'expired' | 'revoked'

/** The state of one address: nothing ever happened, or the lease as the last event left it. */
export type LeaseState = Vacant | Used

/** Nothing ever happened to the address. */
export interface Vacant {
  readonly status: 'vacant'
}

/** The last event's lease and what it made of it. */
export interface Used {
  readonly status: Status
  readonly lease: Lease
}

/** The state before the first event. */
export const vacant: LeaseState = { status: 'vacant' }

/** The status that an event leaves behind. */
export const statusAfter = (event: LeaseEvent): Status => {
  switch (event.type) {
    case 'LeaseOffered':
      return 'offered'
    case 'LeaseClaimed':
    case 'LeaseRenewed':
      return 'bound'
    case 'LeaseReleased':
      return 'released'
    case 'LeaseDeclined':
      return 'declined'
    case 'LeaseExpired':
      return 'expired'
    case 'LeaseRevoked':
      return 'revoked'
    case 'LeaseImported':
      return event.status
    default:
      return absurd(event)
  }
}

/** The state after an event. Total, and independent of the state before: every event carries the whole lease. */
export const evolve = (_state: LeaseState, event: LeaseEvent): LeaseState => ({
  status: statusAfter(event),
  lease: event.lease,
})

// ---------------------------------------------------------------- Commands and refusals

/** DISCOVER, Solicit: hold the address for a client that may come back. Lifetime in seconds. */
export interface Offer {
  readonly type: 'Offer'
  readonly terms: Terms
  readonly offerLifetimeSec: number
}

/**
 * REQUEST in SELECTING or INIT-REBOOT, DHCPv6 Request and rapid commit: give it. With `ownOnly` only to the client that
 * had it last and did not give it back (INIT-REBOOT, RFC 2131 §4.3.2).
 */
export interface Claim {
  readonly type: 'Claim'
  readonly terms: Terms
  readonly ownOnly: boolean
  /** Renewals that this server answered without an event and that no event counts yet; absent is none. */
  readonly unrecorded?: number
}

/**
 * RENEWING and REBINDING, DHCPv6 Renew and Rebind: give it to its holder for longer. A grant younger than
 * `reuseSec` is not written again (Kea's lease caching) unless something about it has changed; 0 writes every renewal.
 */
export interface Renew {
  readonly type: 'Renew'
  readonly terms: Terms
  readonly reuseSec: number
  /** As for `Claim`. */
  readonly unrecorded?: number
}

/**
 * RELEASE, or the holder took another address (`superseded`). With `ofGrant` it is meant for the grant that ends then, and
 * nothing happens to a lease that has been granted or extended since: its holder uses it.
 */
export interface Release {
  readonly type: 'Release'
  readonly holder: ClientKey
  readonly cause: 'client' | 'superseded'
  readonly supersededBy?: StreamName
  readonly ofGrant?: Instant
}

/** DECLINE: the address is in use by a stranger; keep it back for `probationSec`. `ofGrant` as for `Release`. */
export interface Decline {
  readonly type: 'Decline'
  readonly holder: ClientKey
  readonly probationSec: number
  readonly ofGrant?: Instant
}

/** Time has passed. */
export interface Expire {
  readonly type: 'Expire'
}

/** An operator takes it away. */
export interface Revoke {
  readonly type: 'Revoke'
  readonly reason: string
}

/** Takes over a lease from another server's tables, once: a stream that has events already refuses. */
export interface Import {
  readonly type: 'Import'
  readonly lease: Lease
  readonly status: LeaseImported['status']
  readonly source: string
}

/** What can be asked of a lease. */
export type Command = Offer | Claim | Renew | Release | Decline | Expire | Revoke | Import

/** A rule's no. */
export type Refusal =
  /** Another client has it, or was offered it a moment ago. */
  | { readonly _tag: 'HeldByAnother'; readonly until: Instant }
  /** The client that asks does not hold it. */
  | { readonly _tag: 'NotHolder' }
  /** It is on probation after a DECLINE. */
  | { readonly _tag: 'Declined'; readonly until: Instant }
  /** There is nothing to expire yet. */
  | { readonly _tag: 'NotDue'; readonly due: Instant }
  /** An import met a stream that already has events. */
  | { readonly _tag: 'AlreadyKnown' }

/** What `decide` needs to know of the service it runs in. */
export interface Policy {
  /** How far servers' clocks may be apart. Somebody else's lease counts as over only this long after its end. ms. */
  readonly maxClockSkewMs: number
}

/** A claim with the transaction id of the grant, this young, is a retransmission (RFC 2131 §4.1: up to 64 s apart). */
export const RETRANSMISSION_MS = 64_000

/**
 * A renewal with the transaction id of the grant is a copy of the request only this soon after it, as two relays make
 * them. Longer would be wrong: dhclient and udhcpc keep one transaction id from the claim through all renewals, and a
 * short lease whose renewals are taken for retransmissions runs out under its client.
 */
export const RENEWAL_COPY_MS = 1_000

// ---------------------------------------------------------------- Decisions

/**
 * What a command does to a lease. `none` means that it is already so and there is nothing to record. The same command
 * decided again on the state after its event gives `none`, so a retry never writes twice.
 */
export const decide =
  (policy: Policy) =>
  (state: LeaseState, command: Command, now: Instant): Either<Refusal, Option<LeaseEvent>> => {
    switch (command.type) {
      case 'Offer':
        return offer(policy, state, command, now)
      case 'Claim':
        return claim(policy, state, command, now)
      case 'Renew':
        return renew(policy, state, command, now)
      case 'Release':
        return release(state, command, now)
      case 'Decline':
        return decline(state, command, now)
      case 'Expire':
        return expire(policy, state, now)
      case 'Revoke':
        return revoke(state, command, now)
      case 'Import':
        return state.status === 'vacant' ? recorded(imported(command)) : E.left({ _tag: 'AlreadyKnown' })
      default:
        return absurd(command)
    }
  }

/**
 * Until when nobody but `holder` may have the address; `undefined` when it is free for them now. A bound lease of
 * another client and a probation count for `maxClockSkewMs` longer than they say, because the clock that set their end
 * may have been that far behind this one. An offer promises nothing and gets no such grace.
 */
export const heldAgainst = (
  policy: Policy,
  state: LeaseState,
  holder: ClientKey,
  now: Instant,
): Instant | undefined => {
  let until: Instant
  switch (state.status) {
    case 'vacant':
    case 'released':
    case 'expired':
    case 'revoked':
      return undefined
    case 'offered':
      until = state.lease.expiresAt
      return state.lease.holder !== holder && now < until ? until : undefined
    case 'bound':
      until = state.lease.expiresAt + policy.maxClockSkewMs
      return state.lease.holder !== holder && now < until ? until : undefined
    case 'declined':
      until = state.lease.expiresAt + policy.maxClockSkewMs
      return now < until ? until : undefined
    default:
      return absurd(state)
  }
}

const recorded = (event: LeaseEvent): Either<Refusal, Option<LeaseEvent>> => E.right(O.some(event))

const alreadySo: Either<Refusal, Option<LeaseEvent>> = E.right(O.none)

const refuseHeld = (state: LeaseState, until: Instant): Either<Refusal, never> =>
  E.left({ _tag: state.status === 'declined' ? 'Declined' : 'HeldByAnother', until })

const boundTo = (state: LeaseState, holder: ClientKey, now: Instant): Lease | undefined =>
  state.status === 'bound' && state.lease.holder === holder && now < state.lease.expiresAt ? state.lease : undefined

/** Whether a message was about an earlier grant than the one in force: it waited while the client got the lease anew. */
const isOutdated = (ofGrant: Instant | undefined, lease: Lease): boolean =>
  ofGrant !== undefined && ofGrant !== lease.expiresAt

/** When the lease was granted for the time it has now. */
export const grantedAt = (lease: Lease): Instant => lease.expiresAt - lease.validLifetimeSec * 1000

/** Whether a renewal is a copy of the request that led to the grant in force; see {@link RENEWAL_COPY_MS}. */
export const isRenewalCopy = (lease: Lease, terms: Terms, now: Instant): boolean =>
  isRepeated(lease, terms, now, RENEWAL_COPY_MS)

const isRepeated = (lease: Lease, terms: Terms, now: Instant, withinMs: number): boolean =>
  lease.transactionId === terms.transactionId && now - grantedAt(lease) < withinMs

const begun = (terms: Terms, expiresAt: Instant, now: Instant): Lease => makeLease(terms, expiresAt, 0, now)

const renewed = (before: Lease, command: Claim | Renew, now: Instant): Either<Refusal, Option<LeaseEvent>> => {
  const { terms, unrecorded = 0 } = command
  const renewals = before.renewals + unrecorded + 1
  const lease = makeLease(terms, after(now, terms.validLifetimeSec), renewals, before.startsAt)
  return recorded(unrecorded === 0 ? { type: 'LeaseRenewed', lease } : { type: 'LeaseRenewed', lease, unrecorded })
}

const ended = (lease: Lease, expiresAt: Instant): Lease => makeLease(lease, expiresAt, lease.renewals, lease.startsAt)

/** A lease with these terms. Every lease is made here: the fields stand in the order of their names (RFC 8785). */
export const makeLease = (terms: Terms, expiresAt: Instant, renewals: number, startsAt: Instant): Lease => ({
  clientId: terms.clientId,
  duid: terms.duid,
  expiresAt,
  fqdnForward: terms.fqdnForward,
  fqdnReverse: terms.fqdnReverse,
  holder: terms.holder,
  hostname: terms.hostname,
  hwAddress: terms.hwAddress,
  hwSource: terms.hwSource,
  hwType: terms.hwType,
  iaid: terms.iaid,
  poolId: terms.poolId,
  preferredLifetimeSec: terms.preferredLifetimeSec,
  relay: terms.relay,
  renewals,
  startsAt,
  subnetId: terms.subnetId,
  transactionId: terms.transactionId,
  userContext: terms.userContext,
  validLifetimeSec: terms.validLifetimeSec,
})

const offer = (
  policy: Policy,
  state: LeaseState,
  command: Offer,
  now: Instant,
): Either<Refusal, Option<LeaseEvent>> => {
  const { terms } = command
  const until = heldAgainst(policy, state, terms.holder, now)
  if (until !== undefined) return refuseHeld(state, until)
  if (boundTo(state, terms.holder, now)) return alreadySo
  const offered = state.status === 'offered' && state.lease.holder === terms.holder && now < state.lease.expiresAt
  if (offered) return alreadySo
  return recorded({ type: 'LeaseOffered', lease: begun(terms, after(now, command.offerLifetimeSec), now) })
}

const claim = (
  policy: Policy,
  state: LeaseState,
  command: Claim,
  now: Instant,
): Either<Refusal, Option<LeaseEvent>> => {
  const { terms } = command
  const until = heldAgainst(policy, state, terms.holder, now)
  if (until !== undefined) return refuseHeld(state, until)
  const bound = boundTo(state, terms.holder, now)
  if (bound) {
    if (isRepeated(bound, terms, now, RETRANSMISSION_MS)) return alreadySo
    return renewed(bound, command, now)
  }
  if (command.ownOnly && !wasLastHeldBy(state, terms.holder)) return E.left({ _tag: 'NotHolder' })
  return claimed(state, terms, now)
}

const claimed = (state: LeaseState, terms: Terms, now: Instant): Either<Refusal, Option<LeaseEvent>> => {
  const lease = begun(terms, after(now, terms.validLifetimeSec), now)
  const wasOffered = state.status === 'offered' && state.lease.holder === terms.holder
  return recorded(
    wasOffered
      ? { type: 'LeaseClaimed', lease, offered: { at: state.lease.startsAt } }
      : { type: 'LeaseClaimed', lease },
  )
}

/** Ran out on this client, or is still its own; not one that it gave back, declined or had taken away. */
const wasLastHeldBy = (state: LeaseState, holder: ClientKey): boolean =>
  (state.status === 'bound' || state.status === 'expired') && state.lease.holder === holder

const renew = (
  policy: Policy,
  state: LeaseState,
  command: Renew,
  now: Instant,
): Either<Refusal, Option<LeaseEvent>> => {
  const { terms } = command
  const until = heldAgainst(policy, state, terms.holder, now)
  if (until !== undefined) return refuseHeld(state, until)
  const bound = boundTo(state, terms.holder, now)
  // A client that comes late finds its address still free more often than not; it keeps it, as a lease that begins anew.
  if (!bound) return wasLastHeldBy(state, terms.holder) ? claimed(state, terms, now) : E.left({ _tag: 'NotHolder' })
  if (isRenewalCopy(bound, terms, now)) return alreadySo
  if (now - grantedAt(bound) < command.reuseSec * 1000 && tellsNothingNew(bound, terms)) return alreadySo
  return renewed(bound, command, now)
}

/** Whether a lease says already what a renewal would record of its client, its place and its lifetimes. */
const tellsNothingNew = (lease: Lease, terms: Terms): boolean => {
  for (const field of Object.keys(terms) as (keyof Terms)[]) {
    if (field === 'transactionId' || field === 'relay') continue
    if (lease[field] !== terms[field]) return false
  }
  return sameRelay(lease.relay ?? {}, terms.relay ?? {})
}

const sameRelay = (one: Relay, other: Relay): boolean => {
  for (const field of Object.keys({ ...one, ...other }) as (keyof Relay)[]) {
    if (one[field] !== other[field]) return false
  }
  return true
}

const release = (state: LeaseState, command: Release, now: Instant): Either<Refusal, Option<LeaseEvent>> => {
  const { holder, cause, supersededBy } = command
  if (state.status === 'released' && state.lease.holder === holder) return alreadySo
  if (state.status !== 'bound' || state.lease.holder !== holder) return E.left({ _tag: 'NotHolder' })
  if (isOutdated(command.ofGrant, state.lease)) return alreadySo
  const lease = ended(state.lease, Math.min(now, state.lease.expiresAt))
  return recorded(
    supersededBy === undefined
      ? { type: 'LeaseReleased', lease, cause }
      : { type: 'LeaseReleased', lease, cause, supersededBy },
  )
}

const decline = (state: LeaseState, command: Decline, now: Instant): Either<Refusal, Option<LeaseEvent>> => {
  if (state.status === 'declined' && state.lease.holder === command.holder) return alreadySo
  const holds = state.status === 'bound' || state.status === 'offered'
  if (!holds || state.lease.holder !== command.holder) return E.left({ _tag: 'NotHolder' })
  if (isOutdated(command.ofGrant, state.lease)) return alreadySo
  return recorded({ type: 'LeaseDeclined', lease: ended(state.lease, after(now, command.probationSec)) })
}

const expire = (policy: Policy, state: LeaseState, now: Instant): Either<Refusal, Option<LeaseEvent>> => {
  if (state.status !== 'bound' && state.status !== 'declined') return alreadySo
  const due = state.lease.expiresAt + policy.maxClockSkewMs
  if (now < due) return E.left({ _tag: 'NotDue', due })
  return recorded({ type: 'LeaseExpired', lease: state.lease })
}

const revoke = (state: LeaseState, command: Revoke, now: Instant): Either<Refusal, Option<LeaseEvent>> => {
  if (state.status !== 'bound' && state.status !== 'offered' && state.status !== 'declined') return alreadySo
  const lease = ended(state.lease, Math.min(now, state.lease.expiresAt))
  return recorded({ type: 'LeaseRevoked', lease, reason: command.reason })
}

const imported = (command: Import): LeaseEvent => ({
  type: 'LeaseImported',
  lease: makeLease(command.lease, command.lease.expiresAt, command.lease.renewals, command.lease.startsAt),
  source: command.source,
  status: command.status,
})
