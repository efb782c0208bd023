/** Histories for tests of the lease tables: random commands of several servers, decided by the real aggregate. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import * as fc from 'fast-check'
import { NO_STREAM } from '../../domain/event-store.ts'
import type { LogName, Recorded } from '../../domain/event-store.ts'
import { decide, evolve, makeLease, vacant } from '../../domain/lease.ts'
import type { Command, LeaseState, Relay, Terms } from '../../domain/lease.ts'
import { categoryOf, streamFromText } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'

const T0 = 1_790_000_000_000

const streamOfText = (text: string): StreamName => {
  const stream = streamFromText(text)
  if (O.isNone(stream)) throw new Error(`${text} is no address`)
  return stream.value
}

/** Few addresses, so that events meet: two prefixes of different lengths begin at one address. */
export const STREAMS: ReadonlyArray<StreamName> = [
  '198.18.0.1',
  '198.18.0.2',
  '255.255.255.254',
  '2001:db8::5',
  '2001:db8:8000::',
  '2001:db8:8000::/56',
  '2001:db8:8000::/60',
].map(streamOfText)

const hex = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes).toString('hex'))

const maybe = <A>(arbitrary: fc.Arbitrary<A>) => fc.option(arbitrary, { nil: undefined })

/** Any text that JavaScript has, NUL and lone surrogates included. */
const anyText = fc.oneof(fc.string({ maxLength: 12 }), fc.string({ unit: 'binary', maxLength: 12 }))

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })

const relay: fc.Arbitrary<Relay> = fc.record(
  {
    address: fc.constantFrom('198.18.0.1', '2001:db8::1'),
    circuitId: hex(0, 6),
    remoteId: fc.oneof(hex(0, 6), hex(256, 257)),
    relayId: hex(0, 6),
    interfaceId: hex(0, 6),
    subscriberId: fc.oneof(hex(0, 6), anyText),
  },
  { requiredKeys: [], noNullPrototype: true },
)

/** Terms in every shape that an event may carry, sensible and not. */
export const anyTerms = (holder: fc.Arbitrary<string>): fc.Arbitrary<Terms> =>
  fc.record({
    clientId: maybe(fc.oneof(hex(0, 8), hex(256, 260), anyText)),
    duid: maybe(fc.oneof(hex(3, 18), hex(131, 133))),
    fqdnForward: maybe(fc.boolean()),
    fqdnReverse: maybe(fc.boolean()),
    holder,
    hostname: maybe(fc.oneof(anyText, fc.constant('x'.repeat(300)))),
    hwAddress: maybe(fc.oneof(hex(6, 6), hex(21, 22))),
    hwSource: maybe(fc.constantFrom(0, 1, 128, 70_000)),
    hwType: maybe(fc.constantFrom(1, 32, 32_767, 65_535)),
    iaid: maybe(uint32),
    poolId: fc.constantFrom(0, 1, 2),
    preferredLifetimeSec: maybe(uint32),
    relay: maybe(relay),
    subnetId: fc.constantFrom(1, 2),
    transactionId: uint32,
    userContext: maybe(fc.oneof(anyText, fc.constant('{"building":"B \\"2\\" \\\\ {x}"}'))),
    validLifetimeSec: fc.oneof(fc.constantFrom(60, 3_600, 2 ** 32 - 1), uint32),
  })

const holders = fc.constantFrom('hw:1:020000000001', 'id:0102', 'duid:00010203/7')

const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ type: fc.constant('Offer' as const), terms: anyTerms(holders), offerLifetimeSec: fc.constant(10) }),
  fc.record({ type: fc.constant('Claim' as const), terms: anyTerms(holders), ownOnly: fc.boolean() }),
  fc.record({ type: fc.constant('Claim' as const), terms: anyTerms(holders), ownOnly: fc.constant(false) }),
  fc.record({ type: fc.constant('Renew' as const), terms: anyTerms(holders), reuseSec: fc.constant(0) }),
  fc.record({ type: fc.constant('Release' as const), holder: holders, cause: fc.constant('client' as const) }),
  fc.record({ type: fc.constant('Decline' as const), holder: holders, probationSec: fc.constantFrom(60, 86_400) }),
  fc.constant({ type: 'Expire' } as const),
  fc.constant({ type: 'Revoke', reason: 'abuse' } as const),
  fc.record({
    type: fc.constant('Import' as const),
    lease: anyTerms(holders).map((terms) => makeLease(terms, T0 + 99_000, 3, T0 - 1_000)),
    status: fc.constantFrom('bound' as const, 'declined' as const, 'released' as const, 'expired' as const),
    source: fc.constant('kea'),
  }),
)

/** One thing that a client, an operator or time does at one server. */
export interface Step {
  readonly stream: StreamName
  readonly log: LogName
  readonly command: Command
  readonly waitMs: number
}

/** Any step. */
export const step: fc.Arbitrary<Step> = fc.record({
  stream: fc.constantFrom(...STREAMS),
  log: fc.constantFrom('alpha', 'beta'),
  command,
  waitMs: fc.constantFrom(1, 4_321, 70_000, 4_000_000),
})

/** The events that these steps leave, in the order in which they happened; each log and each stream is gapless. */
export const happened = (steps: ReadonlyArray<Step>): ReadonlyArray<Recorded> => {
  const states = new Map<StreamName, { state: LeaseState; revision: number }>()
  const seqs = new Map<LogName, number>()
  const events: Recorded[] = []
  let now = T0
  for (const { stream, log, command, waitMs } of steps) {
    now += waitMs
    const before = states.get(stream) ?? { state: vacant, revision: NO_STREAM }
    const decided = decide({ maxClockSkewMs: 5_000 })(before.state, command, now)
    if (E.isLeft(decided) || O.isNone(decided.right)) continue
    const event = decided.right.value
    const revision = before.revision + 1
    const seq = (seqs.get(log) ?? 0) + 1
    seqs.set(log, seq)
    states.set(stream, { state: evolve(before.state, event), revision })
    events.push({ log, seq, stream, revision, recordedAt: now, event })
  }
  return events
}

/** Histories of up to `stepsMax` steps. */
export const histories = (stepsMax: number): fc.Arbitrary<ReadonlyArray<Recorded>> =>
  fc.array(step, { maxLength: stepsMax, size: 'max' }).map(happened)

/** The state of every stream as the fold of its events. */
export const folded = (events: ReadonlyArray<Recorded>) => {
  const states = new Map<StreamName, { readonly revision: number; readonly state: LeaseState }>()
  for (const { stream, revision, event } of events) {
    states.set(stream, { revision, state: evolve(states.get(stream)?.state ?? vacant, event) })
  }
  return states
}

/** What a busy site does: `count` claims from 198.18.0.0 or 2001:db8::1 on, then rounds of their renewals. */
export const busySite = (count: number, family: 4 | 6, renewals = 0): ReadonlyArray<Recorded> => {
  const events: Recorded[] = []
  const policy = decide({ maxClockSkewMs: 5_000 })
  const states: LeaseState[] = Array.from({ length: count }, () => vacant)
  for (let round = 0; round <= renewals; round++) {
    for (let i = 0; i < count; i++) {
      const now = T0 + round * 1_800_000 + i
      const terms = siteTerms(i, family, round)
      const asked: Command =
        round === 0 ? { type: 'Claim', terms, ownOnly: false } : { type: 'Renew', terms, reuseSec: 0 }
      const decided = policy(states[i] as LeaseState, asked, now)
      if (E.isLeft(decided) || O.isNone(decided.right)) throw new Error('the site asks for what it cannot have')
      const event = decided.right.value
      states[i] = evolve(states[i] as LeaseState, event)
      const stream = siteStream(i, family)
      events.push({ log: 'alpha', seq: events.length + 1, stream, revision: round, recordedAt: now, event })
    }
  }
  return events
}

const siteStream = (i: number, family: 4 | 6): StreamName =>
  (family === 4
    ? `lease4/198.${18 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`
    : `lease6/2001:db8::${(i + 1).toString(16)}`) as StreamName

const siteTerms = (i: number, family: 4 | 6, round: number): Terms => {
  const mac = `02${i.toString(16).padStart(10, '0')}`
  return {
    clientId: family === 4 ? `01${mac}` : undefined,
    duid: family === 6 ? `00030001${mac}` : undefined,
    fqdnForward: undefined,
    fqdnReverse: undefined,
    holder: family === 4 ? `id:01${mac}` : `duid:00030001${mac}/1`,
    hostname: `host-${i}`,
    hwAddress: mac,
    hwSource: undefined,
    hwType: 1,
    iaid: family === 6 ? 1 : undefined,
    poolId: 0,
    preferredLifetimeSec: family === 6 ? 3_000 : undefined,
    relay: { address: '198.18.0.1', circuitId: '0004000a', remoteId: '0006020304050607' },
    subnetId: 1 + (i >> 10),
    transactionId: i * 8 + round,
    userContext: undefined,
    validLifetimeSec: 3_600,
  }
}

/** Whether a stream's row stands in `lease4`. */
export const isV4 = (stream: StreamName): boolean => categoryOf(stream) === 'lease4'
