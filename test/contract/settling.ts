/** Appends that had no answer, or none that was good, followed to their end as a server does it. */
import * as E from 'fp-ts/lib/Either.js'
import type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
import type { AppendError, EventStore, Outcome, Proposal } from '../../domain/event-store.ts'
import { until } from '../support/process.ts'

/** Settles as a server would: again and again until there is an answer. */
export const settled = async (store: EventStore): Promise<ReadonlyNonEmptyArray<Outcome>> => {
  let why = ''
  const settling = async (): Promise<ReadonlyNonEmptyArray<Outcome> | undefined> => {
    const result = await store.settle()()
    if (E.isRight(result)) return result.right
    why = JSON.stringify(result.left)
    if (result.left._tag !== 'StoreUnavailable' && result.left._tag !== 'OutcomeUnknown') throw new Error(why)
    return undefined
  }
  return until('the batch is settled', settling, undefined, () => why)
}

type Appended = E.Either<AppendError, ReadonlyNonEmptyArray<Outcome>>

/** Follows a batch whose append was answered with `first` until it is written: sends it again only if nothing was. */
export const carriedOut = async (
  store: EventStore,
  batch: ReadonlyNonEmptyArray<Proposal>,
  first: Appended,
): Promise<ReadonlyNonEmptyArray<Outcome>> => {
  let answer = first
  await until('the batch is sent', async () => {
    if (E.isRight(answer) || answer.left._tag === 'OutcomeUnknown') return true
    if (answer.left._tag !== 'StoreUnavailable') throw new Error(JSON.stringify(answer.left))
    answer = await store.append(batch)()
    return false
  })
  return E.isRight(answer) ? answer.right : settled(store)
}

/** Appends as a server would that has to find out that it can not go on: why it can not. */
export const endOf = async (store: EventStore, batch: ReadonlyNonEmptyArray<Proposal>): Promise<AppendError> => {
  let answer = await store.append(batch)()
  let unknown = false
  return until('an answer that is final', async () => {
    if (E.isRight(answer)) throw new Error('the batch was appended')
    const { left } = answer
    if (left._tag !== 'StoreUnavailable' && left._tag !== 'OutcomeUnknown') return left
    unknown ||= left._tag === 'OutcomeUnknown'
    answer = await (unknown ? store.settle() : store.append(batch))()
    return undefined
  })
}
