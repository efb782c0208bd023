/** What a failed call means to the domain. */
import {
  AccessDeniedError,
  InvalidArgumentError,
  MaxAppendSizeExceededError,
  NotLeaderError,
  StreamDeletedError,
  StreamNotFoundError,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client'
import { NO_STREAM } from '../../domain/event-store.ts'
import type { ReadError, Revision } from '../../domain/event-store.ts'
import { unreachableReason } from '../unreachable.ts'

/** Why a call gave nothing. */
export type Failure =
  /** It never reached the database. */
  | { readonly _tag: 'NotSent'; readonly reason: string }
  /** It was sent, and what became of it is not known. */
  | { readonly _tag: 'Lost'; readonly reason: string }
  /** The stream stands elsewhere than expected. */
  | { readonly _tag: 'Conflict'; readonly actual: Revision; readonly reason: string }
  /** There is no such stream. */
  | { readonly _tag: 'Missing'; readonly reason: string }
  /** The database answers, and the same again would not help. */
  | { readonly _tag: 'Refused'; readonly reason: string }

/** gRPC: the call failed before a connection stood; grpc-js and the client's discovery say so in words only. */
const NOT_SENT = /No connection established|Name resolution failed|Failed to discover|max discovery/i

const REFUSALS = [AccessDeniedError, MaxAppendSizeExceededError, StreamDeletedError, InvalidArgumentError]

/** gRPC status codes for which the database has looked at the call and refused it (grpc/doc/statuscodes.md). */
const REFUSED_CODES = [3 /* invalid argument */, 7 /* permission denied */, 12 /* unimplemented */, 16 /* no login */]

/** Reads what the client threw. `where` names the database. */
export const toFailure = (error: unknown, where: string): Failure => {
  const text = error instanceof Error ? error.message || error.name : String(error)
  const reason = NOT_SENT.test(text) ? `${where} cannot be reached: ${whyNotSent(text)}` : `${where}: ${text}`
  if (error instanceof WrongExpectedVersionError) {
    const actual = typeof error.actualState === 'bigint' ? Number(error.actualState) : NO_STREAM
    return { _tag: 'Conflict', actual, reason }
  }
  if (error instanceof StreamNotFoundError) return { _tag: 'Missing', reason }
  // A follower refuses before it does anything; the client goes to the leader next time.
  if (error instanceof NotLeaderError || NOT_SENT.test(text)) return { _tag: 'NotSent', reason }
  const { code } = error as { readonly code?: unknown }
  if (REFUSALS.some((kind) => error instanceof kind) || REFUSED_CODES.includes(code as number)) {
    return { _tag: 'Refused', reason }
  }
  return { _tag: 'Lost', reason }
}

/** What node said, as grpc-js hands it on: `… Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: `. */
const whyNotSent = (text: string): string => {
  if (/discover/.test(text)) return 'no node of the cluster answers; are they running, and is TLS what they expect?'
  if (/Name resolution/.test(text)) return unreachableReason({ code: 'ENOTFOUND' })
  const said = /Last error: (?:Error: )?([^]*?)\s*\.? Resolution note/.exec(text)?.[1] ?? text
  return unreachableReason({ code: /\b(E[A-Z]{5,})\b/.exec(said)?.[1], message: said.replaceAll(/\s+/g, ' ') })
}

/** What a reader is told. Everything that may pass by itself is `StoreUnavailable`. */
export const toReadError = (failure: Failure): ReadError => {
  const { _tag, reason } = failure
  const passing = _tag === 'NotSent' || _tag === 'Lost'
  return { _tag: passing ? 'StoreUnavailable' : 'StoreUnusable', reason }
}
