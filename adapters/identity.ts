/**
 * Which process it is that writes under a server name: written into the store when a log is opened, and read by a
 * process that finds the name in use.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import type { LogName, LogTaken } from '../domain/event-store.ts'

/** A process, so that it can be told from any other, at any time, on any machine. */
export interface Identity {
  readonly host: string
  readonly pid: number
  /** When the process started, in clock ticks after the boot: tells it from a later one with its id. */
  readonly started: string
  /** Boot id and pid namespace: within one of these a pid means one process. Empty where /proc is not Linux's. */
  readonly scope: string
  /** Tells two stores opened by one process apart. */
  readonly nonce: string
}

/** The identity of this process, with a nonce of its own. */
export const thisProcess = (): Identity => ({
  host: hostname(),
  pid: process.pid,
  started: startOf(process.pid) ?? '',
  scope: scope(),
  nonce: randomUUID(),
})

/** The identity as it is stored. */
export const identityText = (identity: Identity): string => JSON.stringify(identity)

/** The identity in a stored text; undefined when it is none. */
export const parseIdentity = (text: string): Identity | undefined => {
  try {
    const parsed = JSON.parse(text) as Partial<Identity>
    return typeof parsed.pid === 'number' && typeof parsed.host === 'string' ? (parsed as Identity) : undefined
  } catch {
    return undefined
  }
}

/** `pid 4711 on host dhcp1`, for messages. */
export const describeIdentity = (text: string): string => {
  const identity = parseIdentity(text)
  return identity === undefined ? 'another process' : `pid ${identity.pid} on host ${identity.host}`
}

/** The sentence for an operator who gave two servers one name. */
export const takenBy = (log: LogName, identity: string): LogTaken => ({
  _tag: 'LogTaken',
  reason:
    `server name "${log}" is in use by ${describeIdentity(identity)}; ` +
    'give this server another one with --server-name',
})

/**
 * Whether the process of a stored identity lives. `unknown` when it is of another machine, boot or container, and for
 * this very process, which cannot say whether what it opened before is still in use.
 */
export const fateOf = (text: string): 'alive' | 'dead' | 'unknown' => {
  const identity = parseIdentity(text)
  if (identity === undefined || identity.scope === '' || identity.scope !== scope()) return 'unknown'
  if (identity.pid === process.pid && identity.started === startOf(process.pid)) return 'unknown'
  return startOf(identity.pid) === identity.started ? 'alive' : 'dead'
}

/** Start time of a live process in clock ticks after the boot (field 22 of /proc/PID/stat); a zombie is not alive. */
export const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command name, in parentheses, may hold anything; the fields start after the last parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

const scope = (): string => {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return ''
  }
}
