/** The last event of a stream after some things happened to it, for tests of projections. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import type { Recorded } from '../../domain/event-store.ts'
import { decide, evolve, vacant } from '../../domain/lease.ts'
import type { Command, LeaseEvent, LeaseState, Terms } from '../../domain/lease.ts'
import type { StreamName } from '../../domain/stream.ts'
import { at as secondsAfter, policy, terms } from '../support/lease-spec.ts'

/** What happens `at` milliseconds after the start of time in tests. */
export type Happening = { readonly at: number } & (
  | { readonly claim: Partial<Terms> }
  | { readonly offer: Partial<Terms> }
  | { readonly decline: number }
  | { readonly release: true }
  | { readonly expire: true }
  | { readonly revoke: string }
)

const HOLDER = 'hw:1:020304050607'

const commandOf = (happening: Happening): Command => {
  if ('claim' in happening) return { type: 'Claim', terms: terms(HOLDER, happening.claim), ownOnly: false }
  if ('offer' in happening) return { type: 'Offer', terms: terms(HOLDER, happening.offer), offerLifetimeSec: 10 }
  if ('decline' in happening) return { type: 'Decline', holder: HOLDER, probationSec: happening.decline }
  if ('release' in happening) return { type: 'Release', holder: HOLDER, cause: 'client' }
  if ('revoke' in happening) return { type: 'Revoke', reason: happening.revoke }
  return { type: 'Expire' }
}

/** Decides one command after the other; all must be recorded. Gives the last event, from a log of their own. */
export const decideAll = (stream: string, happenings: ReadonlyArray<Happening>): Recorded => {
  let state: LeaseState = vacant
  let event: LeaseEvent | undefined
  let recordedAt = 0
  for (const happening of happenings) {
    recordedAt = secondsAfter(happening.at / 1000)
    const decided = decide(policy)(state, commandOf(happening), recordedAt)
    if (E.isLeft(decided) || O.isNone(decided.right)) throw new Error(`nothing happened: ${JSON.stringify(happening)}`)
    event = decided.right.value
    state = evolve(state, event)
  }
  if (event === undefined) throw new Error('nothing was to happen')
  const revision = happenings.length - 1
  return { log: 'alpha', seq: revision + 1, stream: stream as StreamName, revision, recordedAt, event }
}
