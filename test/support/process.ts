/**
 * Processes of the tests: programs that run once, programs that keep running, and waiting for conditions.
 *
 * Every long-running program is started with a parent-death signal, so that a test run that is killed leaves none of
 * them behind, and is ended by process id together with all of its descendants.
 */
import { spawn } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/**
 * How long a test waits for something that must come, milliseconds. Much longer than it takes: on a busy machine anything
 * may take seconds, and only a test that fails waits for so long.
 */
export const PATIENCE_MS = 30_000

/** How long the end of a program waits for its last output while something keeps its pipes open, milliseconds. */
const LAST_WORDS_MS = 1_000

/** How a finished program ended. `code` is null when a signal ended it. */
export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Milliseconds after which the program is killed and the run rejected; default {@link PATIENCE_MS}. */
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string
  /** Told the process id as soon as the program runs. */
  readonly onStart?: (pid: number) => void
}

/** Runs a program to its end, whatever its exit code. Rejects when it cannot be started or overstays `timeoutMs`. */
export const run = (command: readonly string[], options: RunOptions = {}): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const [program, ...args] = command
    if (program === undefined) throw new Error('an empty command cannot be run')
    const child = spawn(program, args, { env: { ...process.env, ...options.env }, cwd: options.cwd })
    let stdout = ''
    let stderr = ''
    const timeoutMs = options.timeoutMs ?? PATIENCE_MS
    const timer = setTimeout(() => {
      if (child.pid !== undefined) signalTree(child.pid, 'SIGKILL')
      reject(new Error(`${command.join(' ')}: no end after ${timeoutMs} ms\n${stdout}${stderr}`))
    }, timeoutMs)
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.stdin.on('error', () => undefined) // a program that reads nothing may close its input first
    child.stdin.end(options.input ?? '')
    if (child.pid !== undefined) options.onStart?.(child.pid)
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, stdout, stderr })
    })
  })

/** Runs a program and gives its standard output; rejects with all of its output unless it exits with 0. */
export const must = async (command: readonly string[], options: RunOptions = {}): Promise<string> => {
  const finished = await run(command, options)
  if (finished.code === 0) return finished.stdout
  const how = finished.code === null ? `ended by ${finished.signal}` : `exit code ${finished.code}`
  throw new Error(`${command.join(' ')}: ${how}\n${finished.stdout}${finished.stderr}`)
}

/**
 * Waits until `probe` gives something other than false, null or undefined, asking every 20 ms, and returns that.
 * Rejects after `deadlineMs`, naming `what` was awaited and what `explain` adds.
 */
export const until = async <T>(
  what: string,
  probe: () => T | Promise<T>,
  deadlineMs = PATIENCE_MS,
  explain: () => string = () => '',
): Promise<Exclude<T, false | null | undefined>> => {
  const end = performance.now() + deadlineMs
  for (;;) {
    const found = await probe()
    if (found !== false && found !== null && found !== undefined) {
      return found as Exclude<T, false | null | undefined>
    }
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}\n${explain()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** The process ids of all descendants of `pid`, children before grandchildren; without `pid` itself. */
export const descendants = (pid: number): readonly number[] => {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    const child = Number(entry)
    if (!Number.isInteger(child)) continue
    const parent = parentOf(child)
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), child])
  }
  const found: number[] = []
  const queue = [pid]
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const born = children.get(next) ?? []
    found.push(...born)
    queue.push(...born)
  }
  return found
}

const parentOf = (pid: number): number | undefined => {
  try {
    // The command name, in parentheses, may itself hold spaces and parentheses; the fields start after the last one.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined // gone meanwhile
  }
}

/** Whether a process with this id exists and is more than a zombie. */
export const isAlive = (pid: number): boolean => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z'
  } catch {
    return false
  }
}

/** Sends a signal to one process; a process that is gone is no error. */
export const signalOne = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Sends a signal to a process and then to all of its descendants, as they were just before it. */
export const signalTree = (pid: number, signal: NodeJS.Signals): void => {
  const tree = [pid, ...descendants(pid)]
  for (const member of tree) signalOne(member, signal)
}

/** A program that keeps running: its output so far, its end, and the ways to end it. */
export interface Running {
  readonly pid: number
  /** Standard output and standard error as they came, together. */
  readonly output: () => string
  /** Resolves at the end of the program, when all that it said is in `output`; never rejects. */
  readonly exited: Promise<Finished>
  readonly isRunning: () => boolean
  /** Resolves with the first match in the output; rejects at the deadline or when the program ends without it. */
  readonly printed: (pattern: RegExp, deadlineMs?: number) => Promise<RegExpMatchArray>
  readonly signal: (signal: NodeJS.Signals) => void
  /** Ends the program with `signal`, after `graceMs` with SIGKILL, its descendants included. */
  readonly stop: (signal?: NodeJS.Signals, graceMs?: number) => Promise<Finished>
  /** Kills the program and its descendants at once and waits for their end. */
  readonly kill: () => Promise<Finished>
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** What the kernel sends the program when the test process dies; default SIGKILL. */
  readonly deathSignal?: 'KILL' | 'QUIT' | 'TERM'
  /** Words before the program, such as `ip netns exec NAME`; default none. */
  readonly prefix?: readonly string[]
}

/** Starts a program that keeps running. Rejects only when it cannot be started at all. */
export const start = async (command: readonly string[], options: StartOptions = {}): Promise<Running> => {
  const dying = ['setpriv', '--pdeathsig', options.deathSignal ?? 'KILL', '--']
  const [program, ...args] = [...dying, ...(options.prefix ?? []), ...command]
  const child = spawn(program as string, args, {
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
    detached: true, // a group of its own: a terminal's Ctrl-C reaches the tests first, which then clean up in order
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let ended: Finished | undefined
  const waiting = new Set<() => void>()
  const wake = () => [...waiting].forEach((check) => check())
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      wake()
    })
  }
  const exited = new Promise<Finished>((resolve) => {
    child.on('exit', (code, signal) => {
      // What it said last may still be on its way; and one that it leaves behind may keep the pipes open.
      const finish = (): void => {
        clearTimeout(late)
        if (ended !== undefined) return
        ended = { code, signal, stdout: output, stderr: '' }
        wake()
        resolve(ended)
      }
      const late = setTimeout(finish, LAST_WORDS_MS)
      child.once('close', finish)
    })
  })
  await new Promise<void>((resolve, reject) => child.on('spawn', resolve).on('error', reject))
  const pid = child.pid as number
  const printed = (pattern: RegExp, deadlineMs = PATIENCE_MS): Promise<RegExpMatchArray> =>
    new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer)
        waiting.delete(check)
        act()
      }
      const fail = (why: string) =>
        settle(() => reject(new Error(`${command.join(' ')}: ${why} ${pattern}\n${output}`)))
      const check = () => {
        const match = output.match(pattern)
        if (match !== null) settle(() => resolve(match))
        else if (ended !== undefined) fail(`ended (${ended.code ?? ended.signal}) before it printed`)
      }
      const timer = setTimeout(() => fail(`did not within ${deadlineMs} ms print`), deadlineMs)
      waiting.add(check)
      check()
    })
  const kill = async () => {
    const tree = [pid, ...descendants(pid)]
    if (ended === undefined) tree.forEach((member) => signalOne(member, 'SIGKILL'))
    else tree.slice(1).forEach((member) => signalOne(member, 'SIGKILL'))
    const finished = await exited
    await until(`end of the processes ${tree.join(', ')}`, () => tree.every((member) => !isAlive(member)))
    return finished
  }
  const stop = async (signal: NodeJS.Signals = 'SIGTERM', graceMs = PATIENCE_MS) => {
    if (ended !== undefined) return ended
    const rest = descendants(pid)
    signalOne(pid, signal)
    const timer = setTimeout(() => signalTree(pid, 'SIGKILL'), graceMs)
    const finished = await exited
    clearTimeout(timer)
    for (const member of rest) if (isAlive(member)) signalOne(member, 'SIGKILL')
    return finished
  }
  return {
    pid,
    output: () => output,
    exited,
    isRunning: () => ended === undefined,
    printed,
    signal: (signal) => signalOne(pid, signal),
    stop,
    kill,
  }
}

/** The path of a program on PATH or in the folders of administrators' programs; undefined when it is not installed. */
export const which = (program: string): string | undefined => {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return folders.map((folder) => join(folder, program)).find(isExecutable)
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whether the tests run as root, which network namespaces need. */
export const isRoot = (): boolean => process.getuid?.() === 0
