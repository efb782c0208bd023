/** Processor time of processes, from /proc. */
import { readFileSync } from 'node:fs'
import { descendants } from '../support/process.ts'

/** Clock ticks a second in /proc/PID/stat: 100 on every Linux that Node runs on (USER_HZ). */
const TICKS_PER_SEC = 100

/** A file of a process in /proc; empty when it is gone. */
const fileOf = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

/** One process's own time and that of its children that have ended and been waited for. Seconds; 0 when it is gone. */
export const secondsOf = (pid: number): number => {
  const stat = fileOf(pid, 'stat')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // Fields 14 to 17 of proc(5): utime, stime, cutime, cstime.
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / TICKS_PER_SEC
}

const nameOf = (pid: number): string => fileOf(pid, 'comm').trim()

/** The command line of a process, words parted by spaces; empty when it is gone. */
export const commandOf = (pid: number): string => fileOf(pid, 'cmdline').replaceAll('\0', ' ')

/** Processor seconds so far of a process and all of its descendants for which `counts` holds of the name. */
export const treeSeconds = (pid: number, counts: (name: string) => boolean = () => true): number =>
  [pid, ...descendants(pid)].filter((member) => counts(nameOf(member))).reduce((sum, one) => sum + secondsOf(one), 0)

/** Resident memory of a process, octets; 0 when it is gone. */
export const residentBytes = (pid: number): number => {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(fileOf(pid, 'status')) ?? []
  return Number(kibibytes ?? 0) * 1024
}
