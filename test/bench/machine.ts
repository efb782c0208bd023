/** The machine that figures come from, in words for tables. */
import { cpus, loadavg, release, totalmem } from 'node:os'
import { run } from '../support/process.ts'

/** One-line descriptions of the machine and of the programs that were measured. */
export interface Machine {
  readonly processor: string
  readonly memoryGib: number
  readonly kernel: string
  readonly node: string
  readonly kea: string
  readonly commit: string
  /** Beginning of the run. */
  readonly date: string
}

export const describeMachine = async (): Promise<Machine> => {
  const all = cpus()
  const words = async (...command: readonly string[]): Promise<string> =>
    run(command).then(
      ({ stdout }) => stdout.trim().split('\n')[0] ?? '',
      () => 'not installed',
    )
  return {
    processor: `${all.length} x ${all[0]?.model.trim() ?? 'unknown'}`,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    kea: await words('kea-dhcp4', '-v'),
    commit: await words('git', 'describe', '--always', '--dirty'),
    date: new Date().toISOString(),
  }
}

/** Processes that ran or waited to run, averaged over a minute. */
export const loadAverage = (): number => loadavg()[0] ?? 0
