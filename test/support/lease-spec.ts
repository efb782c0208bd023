/** Given/when/then for the lease aggregate, and leases to speak of in tests. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { expect } from 'vitest'
import { decide, evolve, vacant } from '../../domain/lease.ts'
import type { Command, LeaseEvent, LeaseState, Refusal, Terms } from '../../domain/lease.ts'

/** The start of time in these tests. */
export const T0 = Date.UTC(2026, 0, 1)

/** Seconds after {@link T0}, in ms. */
export const at = (seconds: number): number => T0 + seconds * 1000

/** The policy in force: clocks may be 5 s apart. */
export const policy = { maxClockSkewMs: 5000 }

/** Terms for a client, one hour unless said otherwise. */
export const terms = (holder: string, more: Partial<Terms> = {}): Terms => ({
  clientId: undefined,
  duid: undefined,
  fqdnForward: undefined,
  fqdnReverse: undefined,
  holder,
  hostname: undefined,
  hwAddress: '020000000001',
  hwSource: undefined,
  hwType: 1,
  iaid: undefined,
  poolId: 0,
  preferredLifetimeSec: undefined,
  relay: undefined,
  subnetId: 1,
  transactionId: 1,
  userContext: undefined,
  validLifetimeSec: 3600,
  ...more,
})

/** The events that these commands lead to, one after another; a refusal on the way fails the test. */
export const history = (...steps: ReadonlyArray<readonly [Command, number]>): LeaseEvent[] => {
  const events: LeaseEvent[] = []
  let state: LeaseState = vacant
  for (const [command, now] of steps) {
    const decided = decide(policy)(state, command, now)
    if (E.isLeft(decided)) throw new Error(`refused on the way: ${JSON.stringify(decided.left)}`)
    if (O.isNone(decided.right)) continue
    events.push(decided.right.value)
    state = evolve(state, decided.right.value)
  }
  return events
}

/** `given(events).when(command, now)` and what then. */
export const given = (events: ReadonlyArray<LeaseEvent>) => ({
  when: (command: Command, now: number) => {
    const state = events.reduce(evolve, vacant)
    const decided = decide(policy)(state, command, now)
    return {
      then: (expected: { readonly type: LeaseEvent['type'] } & Record<string, unknown>) => {
        expect(decided).toMatchObject(E.right(O.some(expected)))
        // Every event can be retried: deciding the command again after it changes nothing more (an import says so).
        if (E.isRight(decided) && O.isSome(decided.right)) {
          const again = decide(policy)(evolve(state, decided.right.value), command, now)
          expect(again).toEqual(command.type === 'Import' ? E.left({ _tag: 'AlreadyKnown' }) : E.right(O.none))
        }
      },
      thenNothing: () => expect(decided).toEqual(E.right(O.none)),
      thenRefused: (tag: Refusal['_tag']) => expect(decided).toMatchObject(E.left({ _tag: tag })),
    }
  },
})
