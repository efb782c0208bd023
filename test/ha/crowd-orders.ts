/** What can be asked of a crowd in another network namespace, and the asking. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Task } from '../../server/simulator/client.ts'
import type { Lab, Namespace } from '../support/namespaces.ts'
import type { CrowdPlace, Link, Manner, Rates, Record } from './crowd.ts'

/** One order; see the methods of `Crowd`. */
export type CrowdOrder =
  | { readonly do: 'open'; readonly place: CrowdPlace }
  | { readonly do: 'steady'; readonly rates: Rates; readonly link: Link; readonly staggerMs: number }
  | { readonly do: 'settle' }
  | { readonly do: 'take' }
  | {
      readonly do: 'claim'
      readonly count: number
      readonly together: number
      readonly link: Link
      readonly manner: Partial<Manner>
    }
  | {
      readonly do: 'each'
      readonly task: Task
      readonly from: number | undefined
      readonly countMax: number
      readonly manner: Partial<Manner>
    }
  | { readonly do: 'disband' }
  | { readonly do: 'forget' }
  | { readonly do: 'close' }

/** What came of an order. */
export type CrowdReport =
  { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string }

/** A crowd in a namespace. */
export interface RemoteCrowd {
  readonly steady: (rates: Rates, link: Link, staggerMs?: number) => Promise<void>
  readonly settle: () => Promise<Record>
  readonly take: () => Promise<Record>
  /** New clients of each family claim, so many at one moment. */
  readonly claim: (count: number, together: number, link: Link, manner?: Partial<Manner>) => Promise<void>
  /** Clients with a lease from the server `from` (undefined: from any) do one thing each; gives how many. */
  readonly each: (task: Task, from: number | undefined, countMax: number, manner: Partial<Manner>) => Promise<number>
  readonly disband: () => Promise<void>
  readonly forget: () => Promise<void>
}

const PROCESS = fileURLToPath(new URL('./crowd-process.ts', import.meta.url))

/** Starts a crowd in a namespace; the lab ends it. */
export const startCrowd = async (lab: Lab, namespace: Namespace, place: CrowdPlace): Promise<RemoteCrowd> => {
  const words = ['--pdeathsig', 'KILL', '--', ...namespace.inside, process.execPath, PROCESS]
  const child = spawn('setpriv', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' })
  const waiting = new Map<
    number,
    { readonly resolve: (result: unknown) => void; readonly reject: (e: Error) => void }
  >()
  let orders = 0
  child.on('message', (report: CrowdReport) => {
    const asked = waiting.get(report.id)
    waiting.delete(report.id)
    if ('error' in report) asked?.reject(new Error(report.error))
    else asked?.resolve(report.result)
  })
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  void ended.then(() => waiting.forEach(({ reject }) => reject(new Error('the crowd has ended'))))
  const ask = <A>(order: CrowdOrder): Promise<A> =>
    new Promise<A>((resolve, reject) => {
      const id = orders++
      waiting.set(id, { resolve: resolve as (result: unknown) => void, reject })
      child.send({ id, order }, (error) => (error === null ? undefined : reject(error)))
    })
  lab.defer('end the crowd', async () => {
    child.kill('SIGKILL')
    await ended
  })
  await ask({ do: 'open', place })
  return {
    steady: (rates, link, staggerMs = 0) => ask({ do: 'steady', rates, link, staggerMs }),
    settle: () => ask({ do: 'settle' }),
    take: () => ask({ do: 'take' }),
    claim: (count, together, link, manner = {}) => ask({ do: 'claim', count, together, link, manner }),
    each: (task, from, countMax, manner) => ask({ do: 'each', task, from, countMax, manner }),
    disband: () => ask({ do: 'disband' }),
    forget: () => ask({ do: 'forget' }),
  }
}
