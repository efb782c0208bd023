/** What all drivers of DHCP clients have in common: a program in a namespace, and a script that records what it was told. */
import type { Hook, HookEvent } from './hooks.ts'
import type { Namespace } from './namespaces.ts'
import { PATIENCE_MS, until } from './process.ts'
import type { Running } from './process.ts'

/** A DHCP client. What it waits for, it waits for with a deadline, and rejects with the client's output. */
export interface Client<Lease> {
  readonly namespace: Namespace
  /** Starts the client without memory of any lease; resolves with all that it wants. */
  readonly acquire: () => Promise<Lease>
  /** Number of script calls so far: a mark for `lease` to wait beyond. */
  readonly mark: () => number
  /** The first lease, of all that the client wants, that it reports after `mark`. */
  readonly lease: (mark: number) => Promise<Lease>
  /** Makes the client release what it has and ends it. */
  readonly release: () => Promise<void>
  /** Ends the client as a power failure would: nothing is sent, its lease file stays. */
  readonly crash: () => Promise<void>
  /** Starts again with the lease file there is, as after a power failure. */
  readonly again: () => Promise<Lease>
  readonly events: () => readonly HookEvent[]
  readonly output: () => string
  /** The program, while it runs. */
  readonly running: () => Running | undefined
}

/** What differs between programs. */
export interface Driver<Report> {
  readonly hook: Hook
  readonly command: () => readonly string[]
  /** Sends a release, and ends the client. */
  readonly release: (running: Running) => Promise<unknown>
  /** What a call of the script says of a lease, if anything. */
  readonly read: (event: HookEvent) => Report | undefined
}

export interface ClientOptions<Report, Lease> {
  /** For messages. */
  readonly name: string
  readonly namespace: Namespace
  readonly driver: Driver<Report>
  /** What the reports since a mark amount to; undefined while something is missing. */
  readonly gather: (reports: readonly Report[]) => Lease | undefined
  /** What takes the addresses from the interface when the client has ended. */
  readonly flush: readonly string[]
}

/** Makes a client; nothing runs before its `acquire`. */
export const makeClient = <Report, Lease>(options: ClientOptions<Report, Lease>): Client<Lease> => {
  const { name, namespace, driver, gather, flush } = options
  let running: Running | undefined
  const ended: string[] = []
  const { events } = driver.hook
  const output = () => [...ended, running?.output() ?? ''].join('')
  const mark = () => events().length
  const lease = async (from: number): Promise<Lease> => {
    const find = () =>
      gather(
        events()
          .slice(from)
          .flatMap((event) => driver.read(event) ?? []),
      )
    const reasons = () => events().map(({ reason }) => reason)
    return until(`a lease for ${name}`, find, PATIENCE_MS, () => `${output()}\n${reasons().join(' ')}`)
  }
  const begin = async () => {
    const before = mark()
    running = await namespace.start(driver.command())
    return lease(before)
  }
  const ending = async (how: (client: Running) => Promise<unknown>) => {
    if (running === undefined) throw new Error(`${name} does not run`)
    await how(running)
    ended.push(running.output())
    running = undefined
    await namespace.must(flush)
  }
  return {
    namespace,
    acquire: begin,
    mark,
    lease,
    release: () => ending(driver.release),
    crash: () => ending((client) => client.kill()),
    again: begin,
    events,
    output,
    running: () => running,
  }
}

/** The words of a list in a variable of a script. */
export const words = (text: string | undefined): readonly string[] => (text ?? '').split(' ').filter(Boolean)
