/** What a failed statement means to the domain. */
import type { StoreUnavailable, StoreUnusable } from '../../domain/event-store.ts'
import type { Failure } from './session.ts'

/** A statement that lost a race or was chosen to end a deadlock: the same again will do. SQLSTATE 40001, 40P01. */
export const isTransient = (failure: Failure): boolean =>
  failure._tag === 'Refused' && (failure.code === '40001' || failure.code === '40P01')

/** The host has become read-only: another one must be found. SQLSTATE 25006. */
export const isReadOnly = (failure: Failure): boolean => failure._tag === 'Refused' && failure.code === '25006'

/** Ours, in the place of an SQLSTATE: the host lacks events that were committed. */
export const EVENTS_LOST = 'LLOST'

/**
 * SQLSTATE classes after which the same statement may succeed later, unchanged: connection, transaction state and
 * roll-back, resources, object in use, operator intervention, system.
 */
const PASSING_CLASSES = ['08', '25', '40', '53', '55', '57', '58']

/** What a reader is told. Everything that may pass by itself is `StoreUnavailable`. */
export const toReadError = (failure: Failure): StoreUnavailable | StoreUnusable => {
  if (failure._tag !== 'Refused' || PASSING_CLASSES.includes(failure.code.slice(0, 2))) {
    return { _tag: 'StoreUnavailable', reason: failure.reason }
  }
  const code = failure.code === EVENTS_LOST ? '' : ` (SQLSTATE ${failure.code})`
  return { _tag: 'StoreUnusable', reason: failure.reason + code }
}
