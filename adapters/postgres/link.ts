/**
 * A connection that is made when it is needed, to the first host of the list that serves, and made anew after it was
 * lost. Each statement is sent at most once.
 *
 * While it stands with another host than the first, the ones before it are tried again now and then beside it, and the
 * next statement goes to the first that is well: one that accepts writes, is no old primary, and holds what was
 * committed, as it is then.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { isReadOnly } from './failure.ts'
import { PREFER_AGAIN_MS } from './options.ts'
import type { PostgresHost, PostgresOptions } from './options.ts'
import { openSession } from './session.ts'
import type { Failure, Parameter, RawRows, Rows, Session, SessionEvents } from './session.ts'
import type { Timelines } from './timeline.ts'

export interface Link {
  readonly query: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<Either<Failure, Rows>>
  readonly queryRaw: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<Either<Failure, RawRows>>
  /** The session that stands, or a new one. */
  readonly session: () => Promise<Either<Failure, Session>>
  /** Makes the connection anew, at once and in the background, if there was one: it may be dead without having said so. */
  readonly renew: () => void
  readonly close: () => Promise<void>
}

export interface LinkOptions {
  /** Only a host that accepts writes will do. */
  readonly writable: boolean
  /** Looks at a new session before it is used; a failure closes it. */
  readonly accept?: (session: Session) => Promise<Either<Failure, void>>
  readonly events?: SessionEvents
  /** Shared by the links of one ledger, so that none stays with a primary that another has seen replaced. */
  readonly timelines?: Timelines
}

const CLOSED: Failure = { _tag: 'NotSent', reason: 'the store was closed' }

export const makeLink = (options: PostgresOptions, linkOptions: LinkOptions): Link => {
  const { writable, accept, events, timelines } = linkOptions
  const preferAgainMs = options.preferAgainMs ?? PREFER_AGAIN_MS
  let current: Session | undefined
  let connecting: Promise<Either<Failure, Session>> | undefined
  let closed = false
  /** When the hosts before the one in use were last tried, and the session that came of it. */
  let preferredAt = 0
  let preferring: Promise<void> | undefined
  let preferred: Session | undefined

  const acceptable = async (session: Session): Promise<Either<Failure, void>> => {
    const current = (await timelines?.accept(session)) ?? E.right(undefined)
    return E.isLeft(current) ? current : ((await accept?.(session)) ?? current)
  }

  const tryHosts = async (hosts: ReadonlyArray<PostgresHost>): Promise<Either<Failure, Session>> => {
    const failures: Failure[] = []
    for (const host of hosts) {
      if (closed) break
      const opened = await openSession(options, host, writable, events)
      if (E.isLeft(opened)) {
        failures.push(opened.left)
        continue
      }
      const accepted = await acceptable(opened.right)
      if (E.isRight(accepted) && !closed) return opened
      await opened.right.close()
      if (E.isLeft(accepted)) failures.push(accepted.left)
    }
    return E.left(closed ? CLOSED : allFailed(failures))
  }

  const tryPreferred = async (hosts: ReadonlyArray<PostgresHost>): Promise<void> => {
    const opened = await tryHosts(hosts)
    if (E.isRight(opened)) preferred = opened.right
    preferredAt = performance.now()
  }

  /** Goes to a better host that was found, and looks for one if it is time. */
  const prefer = async (standing: Session): Promise<Session> => {
    if (preferred !== undefined) {
      const better = preferred
      preferred = undefined
      // Looked at once more: what was committed since on the host that we leave must be there too.
      if (E.isLeft(await acceptable(better)) || closed) {
        await better.close()
        return standing
      }
      const left = current
      current = better
      setImmediate(() => void left?.close()) // after the statements that were just handed that session
      return better
    }
    const place = options.hosts.indexOf(standing.host)
    if (place > 0 && preferring === undefined && performance.now() - preferredAt >= preferAgainMs) {
      preferring = tryPreferred(options.hosts.slice(0, place)).finally(() => (preferring = undefined))
    }
    return standing
  }

  const session = async (): Promise<Either<Failure, Session>> => {
    if (closed) return E.left(CLOSED)
    if (current !== undefined && timelines?.isOutdated(current) === true) current.drop()
    if (current?.isOpen()) return E.right(current.host === options.hosts[0] ? current : await prefer(current))
    connecting ??= tryHosts(options.hosts).finally(() => (connecting = undefined))
    const opened = await connecting
    if (E.isRight(opened) && current !== opened.right) {
      current = opened.right
      preferredAt = performance.now()
    }
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
    renew: () => {
      if (current === undefined || closed) return
      current.drop()
      void session()
    },
    close: async () => {
      closed = true
      await connecting
      await preferring
      await preferred?.close()
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
