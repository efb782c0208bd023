/**
 * A connection that is made when it is needed, to the first host of the list that serves, and made anew after it was
 * lost. A statement is sent once, and to another host only when the first has answered that it does not do it.
 *
 * While it stands with another host than the first, the ones before it are tried again now and then beside it, and the
 * next statement goes to the first that is well. A host that has just let us wait for a connection in vain comes last
 * for that long: while a cluster sorts itself out, it would cost each new attempt a second. A Galera node that is out of
 * step is taken when no other will do: with one that gives its state by rsync, writes wait until that is done.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { isToBeLeft } from './failure.ts'
import { CONNECT_TIMEOUT_MS, PREFER_AGAIN_MS } from './options.ts'
import type { MysqlHost, MysqlOptions } from './options.ts'
import { openSession } from './session.ts'
import type { Failure, Parameter, RawRows, Session, SessionKind } from './session.ts'

export interface Link {
  readonly query: Session['query']
  readonly write: Session['write']
  readonly writePrepared: Session['writePrepared']
  /** The session that stands, or a new one. */
  readonly session: () => Promise<Either<Failure, Session>>
  /** Drops the connection; the next statement makes a new one. */
  readonly drop: () => void
  /** Makes the connection anew, at once and in the background, if there was one: it may be dead without having said so. */
  readonly renew: () => void
  readonly close: () => Promise<void>
}

export interface LinkOptions extends SessionKind {
  /** Looks at a new session before it is used; a failure closes it. */
  readonly accept?: (session: Session) => Promise<Either<Failure, void>>
}

const CLOSED: Failure = { _tag: 'NotSent', reason: 'the store was closed' }

export const makeLink = (options: MysqlOptions, { accept, ...kind }: LinkOptions): Link => {
  const preferAgainMs = options.preferAgainMs ?? PREFER_AGAIN_MS
  let current: Session | undefined
  let connecting: Promise<Either<Failure, Session>> | undefined
  let closed = false
  /** When the hosts before the one in use were last tried, and the session that came of it. */
  let preferredAt = 0
  let preferring: Promise<void> | undefined
  let preferred: Session | undefined
  /** Hosts that let us wait in vain, and when. */
  const silentAt = new Map<MysqlHost, number>()

  const isSilent = (host: MysqlHost): boolean => performance.now() - (silentAt.get(host) ?? -Infinity) < preferAgainMs

  /** All hosts in the order in which to try them: those of preference, then those that were silent a moment ago. */
  const inTurn = (): ReadonlyArray<MysqlHost> => [
    ...options.hosts.filter((host) => !isSilent(host)),
    ...options.hosts.filter(isSilent),
  ]

  /** Connects to one host and remembers whether it was silent. */
  const dial = async (host: MysqlHost): Promise<Either<Failure, Session>> => {
    const begunAt = performance.now()
    const opened = await openSession(options, host, kind)
    const waitedMs = performance.now() - begunAt
    if (E.isRight(opened)) silentAt.delete(host)
    // A timer may go off a moment before its time.
    else if (waitedMs >= 0.9 * (options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS)) silentAt.set(host, performance.now())
    return opened
  }

  const tryHosts = async (
    hosts: ReadonlyArray<MysqlHost>,
    outOfStepWillDo: boolean,
  ): Promise<Either<Failure, Session>> => {
    const failures: Failure[] = []
    let spare: Session | undefined
    for (const host of hosts) {
      if (closed) break
      const opened = await dial(host)
      if (E.isLeft(opened)) {
        failures.push(opened.left)
        continue
      }
      const accepted = (await accept?.(opened.right)) ?? E.right(undefined)
      const isGood = E.isRight(accepted) && !closed
      if (isGood && !opened.right.isOutOfStep) {
        await spare?.close()
        return opened
      }
      if (isGood && spare === undefined && outOfStepWillDo) spare = opened.right
      else await opened.right.close()
      if (E.isLeft(accepted)) failures.push(accepted.left)
    }
    if (spare !== undefined && !closed) return E.right(spare)
    await spare?.close()
    return E.left(closed ? CLOSED : allFailed(failures))
  }

  const tryPreferred = async (hosts: ReadonlyArray<MysqlHost>): Promise<void> => {
    const opened = await tryHosts(hosts, false)
    if (E.isRight(opened)) preferred = opened.right
    preferredAt = performance.now()
  }

  /** Goes to a better host that was found, and looks for one if it is time. */
  const prefer = (standing: Session): Session => {
    if (preferred !== undefined) {
      const better = preferred
      preferred = undefined
      if (better.isOpen()) {
        current = better
        void standing.close()
        return better
      }
    }
    const place = options.hosts.indexOf(standing.host)
    if (place > 0 && preferring === undefined && performance.now() - preferredAt >= preferAgainMs) {
      preferring = tryPreferred(options.hosts.slice(0, place)).finally(() => (preferring = undefined))
    }
    return standing
  }

  const session = async (): Promise<Either<Failure, Session>> => {
    if (closed) return E.left(CLOSED)
    if (current?.isOpen()) return E.right(prefer(current))
    connecting ??= tryHosts(inTurn(), true).finally(() => (connecting = undefined))
    const opened = await connecting
    if (E.isRight(opened) && current !== opened.right) {
      current = opened.right
      preferredAt = performance.now()
    }
    return opened
  }

  const over =
    <A>(send: (session: Session, text: string, parameters: ReadonlyArray<Parameter>) => Promise<Either<Failure, A>>) =>
    async (text: string, parameters: ReadonlyArray<Parameter> = []): Promise<Either<Failure, A>> => {
      const opened = await session()
      if (E.isLeft(opened)) return opened
      const result = await send(opened.right, text, parameters)
      if (E.isRight(result) || !isToBeLeft(result.left)) return result
      // A host that turns out to be read-only, or cut off from its cluster, has not carried it out: another may.
      opened.right.drop()
      const other = await session()
      return E.isLeft(other) ? other : send(other.right, text, parameters)
    }

  return {
    session,
    query: over<RawRows>((standing, text, parameters) => standing.query(text, parameters)),
    write: over<number>((standing, text, parameters) => standing.write(text, parameters)),
    writePrepared: over<number>((standing, text, parameters) => standing.writePrepared(text, parameters)),
    drop: () => current?.drop(),
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
  if (first === undefined) return { _tag: 'NotSent', reason: 'no MySQL host is configured' }
  if (failures.length === 1 || failures.every(({ _tag }) => _tag === 'Refused')) return first
  return { _tag: 'NotSent', reason: failures.map(({ reason }) => reason).join('; ') }
}
