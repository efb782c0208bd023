/** Opening the sockets that a configuration asks for, and trying again those that cannot be opened yet. */
import { setTimeout as pause } from 'node:timers/promises'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { InterfaceChoice, Interfaces } from '../config/model.ts'
import type { Logger } from '../logger.ts'
import { listInterfaces } from './interfaces.ts'
import type { NetworkInterface } from './interfaces.ts'
import type { SocketError } from './socket-error.ts'

/** What is opened, and what becomes of it. */
export interface Openings<A> {
  /** For log lines. */
  readonly protocol: 'DHCPv4' | 'DHCPv6'
  readonly interfaces: Interfaces
  /** The interfaces that are meant; see {@link chosenInterfaces}. */
  readonly choices: ReadonlyArray<InterfaceChoice>
  readonly openOn: (choice: InterfaceChoice) => Promise<Either<SocketError, A>>
  /** Opens a socket on one of `interfaces.listen`: an address of text, and a port. */
  readonly openAt: (address: string, port: number) => Promise<Either<SocketError, A>>
  /** Puts an open socket into service. */
  readonly connect: (socket: A) => void
  readonly close: (socket: A) => Promise<void>
  /** For people. */
  readonly where: (socket: A) => string
  readonly log: Logger
}

/** One socket that is wanted; tried until it succeeds or the retries are used up. */
type Attempt<A> = () => Promise<Either<SocketError, A>>

/** The open sockets. */
export interface OpenSockets {
  readonly where: ReadonlyArray<string>
  readonly close: () => Promise<void>
}

/**
 * Opens a socket for each chosen interface and each listening address. What cannot be opened is tried again as often as
 * `service-sockets-max-retries` says: before the start if all are required or nothing is open yet, otherwise beside the
 * service, so that an interface that comes up late does not hold up the others. On `Left` nothing stays open.
 */
export const openAll = async <A>(openings: Openings<A>): Promise<Either<SocketError, OpenSockets>> => {
  const { protocol, choices, connect, log } = openings
  const { requireAll, retriesMax, retryWaitMs, listen } = openings.interfaces
  const wanted: ReadonlyArray<Attempt<A>> = [
    ...choices.map((choice) => () => openings.openOn(choice)),
    ...listen.map((at) => () => openings.openAt(at.address, at.port)),
  ]
  const opened: A[] = []
  const closing = new AbortController()
  let failure: SocketError | undefined
  const open = async (attempts: ReadonlyArray<Attempt<A>>): Promise<ReadonlyArray<Attempt<A>>> => {
    const failed: Attempt<A>[] = []
    for (const attempt of attempts) {
      const socket = await attempt()
      if (E.isRight(socket)) opened.push(socket.right)
      else {
        failure = socket.left
        failed.push(attempt)
        log.warn({ reason: socket.left.message }, `a ${protocol} socket could not be opened`)
      }
    }
    return failed
  }
  const close = async (): Promise<void> => {
    closing.abort()
    for (const socket of opened) await openings.close(socket)
  }
  let missing = await open(wanted)
  let retries = 0
  const unready = (): boolean => missing.length > 0 && (requireAll || opened.length === 0)
  for (; unready() && retries < retriesMax; retries++) {
    await pause(retryWaitMs)
    missing = await open(missing)
  }
  if (failure !== undefined && unready()) {
    await close()
    return E.left(failure)
  }
  opened.forEach(connect)
  const later = async (): Promise<void> => {
    for (; missing.length > 0 && retries < retriesMax; retries++) {
      await pause(retryWaitMs, undefined, { signal: closing.signal, ref: false }).catch(() => undefined)
      if (closing.signal.aborted) return
      const before = opened.length
      missing = await open(missing)
      for (const socket of opened.slice(before)) {
        // Closed while it was being opened.
        if (closing.signal.aborted) {
          await openings.close(socket)
          continue
        }
        connect(socket)
        log.info({ where: openings.where(socket) }, `a ${protocol} socket was opened late`)
      }
    }
  }
  void later()
  return E.right({ where: opened.map(openings.where), close })
}

/** The interfaces meant by the configuration; `*` is every one that is up, no loopback, and `usable`. */
export const chosenInterfaces = (
  choices: readonly InterfaceChoice[],
  usable: (found: NetworkInterface) => boolean,
): readonly InterfaceChoice[] => {
  if (!choices.some(({ name }) => name === '*')) return choices
  const named = choices.filter(({ name }) => name !== '*')
  const others = listInterfaces()
    .filter((found) => found.up && !found.loopback && usable(found))
    .filter(({ name }) => !named.some((choice) => choice.name === name))
  return [...named, ...others.map(({ name }) => ({ name, address: undefined }))]
}

/**
 * The interface to bind a listening address to, or undefined. The kernel takes sockets that are bound to interfaces for
 * rivals of a socket on the same port with an address alone, so beside them that one is bound to its interface as well;
 * otherwise it is not, which needs no privilege.
 */
export const besideInterfaces = (
  address: string,
  choices: readonly InterfaceChoice[],
  loopback: (address: string) => boolean,
): string | undefined => {
  const found = listInterfaces()
  if (!choices.some(({ name }) => found.some((each) => each.name === name && !each.loopback))) return undefined
  const owner = found.find(({ ipv4, ipv6 }) => [...ipv4, ...ipv6].some((each) => each.address === address))
  return (owner ?? (loopback(address) ? found.find((each) => each.loopback) : undefined))?.name
}
