/**
 * A ledger that some thousand clients wrote, and the truth about it: the generator keeps its own book of who holds what,
 * by arithmetic and not from the events.
 */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import type { LogName, Proposal } from '../../domain/event-store.ts'
import { decide, evolve, vacant } from '../../domain/lease.ts'
import type { Command, LeaseState, Terms } from '../../domain/lease.ts'
import { prefix6Stream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'

/** Who held what, from when to when, by the generator's own book. */
export interface Truth {
  readonly stream: StreamName
  readonly client: number
  readonly from: number
  readonly until: number
  readonly endedBy: string
  readonly renewals: number
  /** Whether the client was behind its other port, and called by its other name, when it came and at the end. */
  readonly moved: readonly [first: boolean, last: boolean]
  /** Whether it was at both within the span. */
  readonly wandered: boolean
}

/** The first claim of the generated ledger. */
export const BEGIN = Date.UTC(2026, 2, 1)

/** A small generator of numbers by a seed (mulberry32); 0 to below 1. */
export const makeRandom = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

/** The MAC of a client, hex. */
export const macOf = (client: number): string => `02${client.toString(16).padStart(10, '0')}`

/** What a client calls itself: it has two names. */
export const nameOf = (client: number, moved: boolean): string => `${moved ? 'Laptop' : 'Host'}-${client}`

/** The port of a client, as a switch writes it into circuit-id: it has two. */
export const portOf = (client: number, moved: boolean): string => `Gi${moved ? 2 : 1}/0/${client % 48}`

const LIFETIME_SEC = 3_600

const termsOf = (stream: StreamName, client: number, transactionId: number, moved: boolean): Terms => {
  const isV4 = stream.startsWith('lease4/')
  const mac = macOf(client)
  return {
    clientId: isV4 ? `01${mac}` : undefined,
    duid: isV4 ? undefined : `00030001${mac}`,
    fqdnForward: undefined,
    fqdnReverse: undefined,
    holder: isV4 ? `id:01${mac}` : `duid:00030001${mac}/7`,
    hostname: nameOf(client, moved),
    hwAddress: mac,
    hwSource: undefined,
    hwType: 1,
    iaid: isV4 ? undefined : 7,
    poolId: 0,
    preferredLifetimeSec: isV4 ? undefined : 3_000,
    relay: {
      address: isV4 ? '198.18.0.1' : '2001:db8::1',
      circuitId: Buffer.from(portOf(client, moved)).toString('hex'),
      remoteId: `000602${mac}`,
    },
    subnetId: isV4 ? 1 : 2,
    transactionId,
    userContext: undefined,
    validLifetimeSec: LIFETIME_SEC,
  }
}

/** How much is generated: `addresses` IPv4 addresses, a tenth as many IPv6 ones and prefixes, `rounds` holders each. */
export interface SiteSize {
  readonly seed: number
  readonly addresses: number
  readonly rounds: number
  /** Of one holder; default 5. */
  readonly renewalsMax?: number
}

/** What was appended, each to a log, and what it means. */
export interface Written {
  readonly proposals: ReadonlyArray<readonly [LogName, Proposal]>
  readonly truth: ReadonlyArray<Truth>
}

const ENDS = ['released', 'expired', 'silent', 'declined', 'revoked', 'superseded'] as const

/** What happens to one address: clients come one after another, renew, and end each in a way of their own. */
const lifeOf = (
  stream: StreamName,
  random: () => number,
  { addresses, rounds, renewalsMax = 5 }: SiteSize,
): Written => {
  const clients = addresses / 2
  const proposals: (readonly [LogName, Proposal])[] = []
  const truth: Truth[] = []
  let [state, revision, now]: [LeaseState, number, number] = [vacant, -1, BEGIN + Math.floor(random() * 3_600_000)]
  const act = (command: Command): void => {
    const decided = decide({ maxClockSkewMs: 5_000 })(state, command, now)
    if (E.isLeft(decided) || O.isNone(decided.right)) throw new Error(`nothing happened: ${JSON.stringify(command)}`)
    const event = decided.right.value
    state = evolve(state, event)
    proposals.push([random() < 0.5 ? 'alpha' : 'beta', { stream, expected: revision++, event, recordedAt: now }])
  }
  for (let round = 0; round < rounds; round++) {
    const client = Math.floor(random() * clients)
    const from = now
    let xid = round * 100
    let moved = random() < 0.1
    const movedFirst = moved
    let wandered = false
    if (random() < 0.2) act({ type: 'Offer', terms: termsOf(stream, client, xid, moved), offerLifetimeSec: 10 })
    act({ type: 'Claim', terms: termsOf(stream, client, xid, moved), ownOnly: false })
    const renewals = Math.floor(random() * (renewalsMax + 1))
    let granted = now
    for (let i = 0; i < renewals; i++) {
      now += 1_200_000 + Math.floor(random() * 1_200_000)
      if (random() < 0.05) [moved, wandered] = [!moved, true]
      act({ type: 'Renew', terms: termsOf(stream, client, ++xid, moved), reuseSec: 0 })
      granted = now
    }
    const how = ENDS[Math.floor(random() * ENDS.length)] as (typeof ENDS)[number]
    const runsOut = granted + LIFETIME_SEC * 1000
    const early = now + 60_000 + Math.floor(random() * 600_000)
    const holder = termsOf(stream, client, 0, moved).holder
    const note = (until: number, endedBy: string): void =>
      void truth.push({ stream, client, from, until, endedBy, renewals, moved: [movedFirst, moved], wandered })
    if (how === 'released' || how === 'superseded') {
      now = early
      act({ type: 'Release', holder, cause: how === 'released' ? 'client' : 'superseded' })
      note(early, how)
    } else if (how === 'revoked') {
      now = early
      act({ type: 'Revoke', reason: 'abuse' })
      note(early, how)
    } else if (how === 'declined') {
      now = early
      act({ type: 'Decline', holder, probationSec: 600 })
      note(early, how)
      now += 700_000
    } else {
      now = runsOut + 6_000
      if (how === 'expired') act({ type: 'Expire' })
      note(runsOut, 'expired')
    }
    now += 10_000 + Math.floor(random() * 1_000_000)
  }
  return { proposals, truth }
}

/** 2001:db8:100::, 2001:db8:200:: and so on, from the 256th on those between. */
const prefixAt = (index: number): bigint =>
  (0x2001_0db8n << 96n) | (BigInt((index * 256) & 0xffff) << 80n) | (BigInt((index >> 8) * 256) << 64n)

/** A ledger to ask. */
export const makeSite = (size: SiteSize): Written => {
  const { addresses } = size
  const random = makeRandom(size.seed)
  const streams: StreamName[] = []
  for (let i = 0; i < addresses; i++) streams.push(`lease4/198.18.${i >> 8}.${i & 255}` as StreamName)
  for (let i = 1; i <= addresses / 10; i++) streams.push(`lease6/2001:db8::${i.toString(16)}` as StreamName)
  for (let i = 1; i <= addresses / 10; i++) streams.push(prefix6Stream(prefixAt(i), 56))
  const lives = streams.map((stream) => lifeOf(stream, random, size))
  return { proposals: lives.flatMap((life) => life.proposals), truth: lives.flatMap((life) => life.truth) }
}
