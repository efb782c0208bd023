/**
 * A connection that is made when it is needed, to the first host of the list that serves, and made anew after it was
 * lost. Each statement is sent at most once.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { isReadOnly } from './failure.ts'
import type { PostgresOptions } from './options.ts'
import { openSession } from './session.ts'
import type { Failure, Parameter, RawRows, Rows, Session, SessionEvents } from './session.ts'

export interface Link {
  readonly query: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<Either<Failure, Rows>>
  readonly queryRaw: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<Either<Failure, RawRows>>
  /** The session that stands, or a new one. */
  readonly session: () => Promise<Either<Failure, Session>>
  readonly close: () => Promise<void>
}

export interface LinkOptions {
  /** Only a host that accepts writes will do. */
  readonly writable: boolean
  /** Looks at a new session before it is used; a failure closes it. */
  readonly accept?: (session: Session) => Promise<Either<Failure, void>>
  readonly events?: SessionEvents
}

export const makeLink = (options: PostgresOptions, { writable, accept, events }: LinkOptions): Link => {
  let current: Session | undefined
  let connecting: Promise<Either<Failure, Session>> | undefined
  let closed = false

  const tryHosts = async (): Promise<Either<Failure, Session>> => {
    const failures: Failure[] = []
    for (const host of options.hosts) {
      if (closed) break
      const opened = await openSession(options, host, writable, events)
      if (E.isLeft(opened)) {
        failures.push(opened.left)
        continue
      }
      const accepted = (await accept?.(opened.right)) ?? E.right(undefined)
      if (E.isRight(accepted) && !closed) return opened
      await opened.right.close()
      if (E.isLeft(accepted)) failures.push(accepted.left)
    }
    return E.left(closed ? { _tag: 'NotSent', reason: 'the store was closed' } : allFailed(failures))
  }

  const session = async (): Promise<Either<Failure, Session>> => {
    if (current?.isOpen()) return E.right(current)
    if (closed) return E.left({ _tag: 'NotSent', reason: 'the store was closed' })
    connecting ??= tryHosts().finally(() => (connecting = undefined))
    const opened = await connecting
    if (E.isRight(opened)) current = opened.right
    return opened
  }

  /** Runs a statement on the session that stands; one that turns out to be read-only is left for another host. */
  const on = async <A>(run: (session: Session) => Promise<Either<Failure, A>>): Promise<Either<Failure, A>> => {
    const opened = await session()
    if (E.isLeft(opened)) return opened
    const result = await run(opened.right)
    if (E.isLeft(result) && isReadOnly(result.left)) opened.right.drop()
    return result
  }

  return {
    session,
    query: (text, parameters) => on((opened) => opened.query(text, parameters)),
    queryRaw: (text, parameters) => on((opened) => opened.queryRaw(text, parameters)),
    close: async () => {
      closed = true
      await connecting
      await current?.close()
    },
  }
}

/** A refusal by every host is a refusal; a host that is merely away may be well later. */
const allFailed = (failures: ReadonlyArray<Failure>): Failure => {
  const [first] = failures
  if (first === undefined) return { _tag: 'NotSent', reason: 'no PostgreSQL host is configured' }
  if (failures.length === 1 || failures.every(({ _tag }) => _tag === 'Refused')) return first
  return { _tag: 'NotSent', reason: failures.map(({ reason }) => reason).join('; ') }
}
