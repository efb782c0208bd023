/**
 * A PostgreSQL of our own, run as a child process in a data folder: the store of those who have no database. It
 * listens on a Unix socket in that folder and nowhere else, and writes nothing outside it.
 *
 * The child ends with us: cleanly by `stop`, and when this process is killed the kernel tells it to shut down.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, realpath, rm, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import { describeIdentity, fateOf, thisProcess } from '../identity.ts'
import type { PostgresOptions } from '../postgres/options.ts'
import { chooseRunner } from './account.ts'
import type { Runner } from './account.ts'
import {
  answers,
  checkCluster,
  childEnvironment,
  DATABASE,
  findPrograms,
  layoutOf,
  OWNER,
  ownerOf,
  PORT,
  prepareCluster,
  READER,
  readPostmaster,
  worksIn,
} from './cluster.ts'
import type { Layout, Programs } from './cluster.ts'

/** Why there is no embedded database. `reason` is one sentence. */
export interface EmbeddedError {
  readonly _tag: 'EmbeddedError'
  readonly reason: string
}

export interface EmbeddedOptions {
  /** Made if it is missing. */
  readonly dataFolder: string
  /**
   * `own`: this process is the service and must be the only one. `share`: use the database of the service if one
   * runs, or start it for as long as this process needs it.
   */
  readonly mode: 'own' | 'share'
}

/** The embedded database, running. */
export interface Embedded {
  /** For `openPostgres`, with the right to change everything. */
  readonly options: PostgresOptions
  /** For `psql` and reports, read-only: `postgresql:///lease_ledger?host=/…/socket&user=reader`. */
  readonly url: string
  /** Process id of the postmaster that runs now. */
  readonly pid: () => number
  /** Resolves with one sentence when the database ended for good although nobody stopped it. */
  readonly failed: Promise<string>
  /** Shuts down and waits for it; leaves a database of another process alone. */
  readonly stop: () => Promise<void>
}

/** Longest path of a Unix socket, octets (sun_path of unix(7) less its terminating NUL). */
const SOCKET_PATH_MAX = 107
/** Crash recovery of all the WAL that `max_wal_size` allows is done well within this. */
const START_MS = 120_000
const STOP_MS = 60_000
/** How long an orphan may take for its clean shutdown before it is made to end at once. */
const ORPHAN_MS = 30_000
const POLL_MS = 25
/** How long a service that starts waits for a command that has the database. */
const COMMAND_MS = 10_000
/** A database that dies is started again so many times in a row. */
const RESTARTS_MAX = 10
const RESTART_PAUSE_MS = 500
/** A larger log is set aside, once, at the next start. Octets. */
const LOG_MAX = 10_000_000

/** Durable, small, and without replication; given as arguments so that a new version of ours can change them. */
const SETTINGS = {
  listen_addresses: '',
  port: String(PORT),
  unix_socket_permissions: '0700',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_connections: '40',
  shared_buffers: '128MB',
  max_wal_size: '1GB',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  cluster_name: 'lease-ledger',
}

const failure = (reason: string): Either<EmbeddedError, never> => E.left({ _tag: 'EmbeddedError', reason })

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

/** Opens the embedded database of a data folder. The first start makes it and takes some seconds. */
export const openEmbedded =
  ({ dataFolder, mode }: EmbeddedOptions): TaskEither<EmbeddedError, Embedded> =>
  async () => {
    const asked = layoutOf(resolve(dataFolder))
    const length = Buffer.byteLength(asked.socket)
    if (length > SOCKET_PATH_MAX) {
      return failure(
        `the path of the socket ${asked.socket} has ${length} octets and a Unix socket can have ${SOCKET_PATH_MAX}; ` +
          'choose a shorter folder with --data',
      )
    }
    try {
      await mkdir(asked.dataFolder, { recursive: true })
      const layout = layoutOf(await realpath(asked.dataFolder))
      const inUse = await enter(layout, mode)
      if (inUse !== undefined && mode === 'share') return E.right(shared(asked))
      if (inUse !== undefined) return failure(`the data folder ${layout.dataFolder} is in use by ${inUse}`)
      const owned = await own(asked, layout).catch((error: unknown) => failure(notStarting(asked, error)))
      if (E.isLeft(owned)) rmSync(layout.owner, { force: true })
      return owned
    } catch (error) {
      return failure(notStarting(asked, error))
    }
  }

const notStarting = ({ dataFolder }: Layout, error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const complaint = lines.findLast((line) => /error:|FATAL|PANIC/.test(line)) ?? lines[0] ?? ''
  return `the embedded PostgreSQL in ${dataFolder} does not start: ${complaint.trim()}`
}

/** Whether the process that wrote `owner` uses the folder. Of an orphan, only the kernel and we know. */
const isUser = async (layout: Layout, owner: string): Promise<boolean> => {
  const fate = owner === '' ? 'dead' : fateOf(owner)
  // Unknown: of another machine or container that shares the folder, or opened twice by this very process.
  return fate === 'alive' || (fate === 'unknown' && (await answers(layout)))
}

/** Enters this process as the user of the folder; gives, for a message, who is it already, or undefined. */
const enter = async (layout: Layout, mode: EmbeddedOptions['mode']): Promise<string | undefined> => {
  for (let waitedMs = 0; ;) {
    try {
      writeFileSync(layout.owner, JSON.stringify({ ...thisProcess(), mode }), { flag: 'wx' })
      return undefined
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const owner = await readFile(layout.owner, 'utf8').catch(() => '')
    if (await isUser(layout, owner)) {
      // A command of the command line leaves soon; a service waits for that.
      if (mode === 'share' || waitedMs >= COMMAND_MS || !owner.includes('"mode":"share"'))
        return describeIdentity(owner)
      waitedMs += POLL_MS
      await pause(POLL_MS)
      continue
    }
    // Set aside and looked at again: somebody else may have done all this in the meantime.
    const aside = `${layout.owner}.${process.pid}`
    try {
      renameSync(layout.owner, aside)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      continue // whoever it was has just left
    }
    const taken = readFileSync(aside, 'utf8')
    if (taken !== owner) {
      renameSync(aside, layout.owner)
      return describeIdentity(taken)
    }
    rmSync(aside)
  }
}

const connection = (layout: Layout): Pick<Embedded, 'options' | 'url'> => ({
  options: { hosts: [{ host: layout.socketFolder, port: PORT }], database: DATABASE, user: OWNER },
  url: `postgresql:///${DATABASE}?host=${encodeURIComponent(layout.socketFolder).replaceAll('%2F', '/')}&user=${READER}`,
})

const shared = (layout: Layout): Embedded => ({
  ...connection(layout),
  pid: () => 0,
  failed: new Promise(() => undefined),
  stop: async () => undefined,
})

const own = async (asked: Layout, layout: Layout): Promise<Either<EmbeddedError, Embedded>> => {
  const programs = await findPrograms()
  if (E.isLeft(programs)) return failure(programs.left)
  const { postgres, initdb } = programs.right
  const checked = await checkCluster(layout, programs.right)
  if (E.isLeft(checked)) return failure(checked.left)
  const runner = chooseRunner(await ownerOf(layout), [postgres, initdb], layout.dataFolder)
  if (E.isLeft(runner)) return failure(runner.left)
  const cleared = await clearOrphan(layout)
  if (E.isLeft(cleared)) return cleared
  await prepareCluster(layout, programs.right, runner.right, checked.right)
  const server = superviseServer(layout, programs.right, runner.right)
  const started = await server.start()
  if (E.isLeft(started)) return started
  return E.right({
    ...connection(asked),
    pid: server.pid,
    failed: server.failed,
    stop: async () => {
      await server.stop()
      rmSync(layout.owner, { force: true })
    },
  })
}

/**
 * Ends a postmaster that outlived its service, and removes a postmaster.pid that names a process which is none: its
 * number may have been given to another process, and PostgreSQL would then refuse to start.
 */
const clearOrphan = async (layout: Layout): Promise<Either<EmbeddedError, void>> => {
  const found = await readPostmaster(layout)
  if (found === undefined) return E.right(undefined)
  const gone = async (withinMs: number): Promise<boolean> => {
    for (let waitedMs = 0; waitedMs < withinMs; waitedMs += POLL_MS) {
      if (!worksIn(layout, found.pid)) return true
      await pause(POLL_MS)
    }
    return false
  }
  if (worksIn(layout, found.pid)) {
    process.kill(found.pid, 'SIGINT')
    if (!(await gone(ORPHAN_MS))) process.kill(found.pid, 'SIGQUIT')
    if (!(await gone(ORPHAN_MS))) return failure(`a PostgreSQL (pid ${found.pid}) in ${layout.cluster} does not stop`)
  } else if (await answers(layout)) {
    return failure(`the data folder ${layout.dataFolder} is in use by another PostgreSQL`)
  }
  await rm(join(layout.cluster, 'postmaster.pid'), { force: true })
  return E.right(undefined)
}

interface Server {
  readonly start: () => Promise<Either<EmbeddedError, void>>
  readonly pid: () => number
  readonly failed: Promise<string>
  readonly stop: () => Promise<void>
}

/** Runs the postmaster, and runs it again when it dies. */
const superviseServer = (layout: Layout, programs: Programs, runner: Runner): Server => {
  let child: ChildProcess | undefined
  let exited: Promise<void> = Promise.resolve()
  let stopping = false
  let giveUp: (reason: string) => void = () => undefined
  const failed = new Promise<string>((done) => (giveUp = done))

  const boot = async (): Promise<Either<EmbeddedError, void>> => {
    const log = openLog(layout)
    const quotedFolder = `"${layout.socketFolder.replaceAll('"', '""')}"`
    const settings = Object.entries({ ...SETTINGS, unix_socket_directories: quotedFolder })
    const args = ['-D', layout.cluster, ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])]
    const [program, ...words] = runner.command(programs.postgres, args)
    // A session of its own: a terminal's Ctrl-C is for the service, which still needs the database to end in order.
    const started = spawn(program, words, {
      cwd: layout.cluster,
      env: childEnvironment(),
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    })
    closeSync(log.fd)
    let isRunning = true
    let spawnError: Error | undefined
    exited = new Promise((done) => {
      started.on('error', (error) => ((spawnError = error), (isRunning = false), done()))
      started.on('exit', () => ((isRunning = false), done()))
    })
    child = started
    for (let waitedMs = 0; isRunning && waitedMs < START_MS; waitedMs += POLL_MS) {
      const postmaster = await readPostmaster(layout)
      if (postmaster?.pid === started.pid && postmaster?.status === 'ready') return E.right(undefined)
      await pause(POLL_MS)
    }
    if (isRunning) started.kill('SIGQUIT')
    await exited
    return failure(`the embedded PostgreSQL does not start: ${spawnError?.message ?? lastComplaint(layout, log.from)}`)
  }

  const watch = async (): Promise<void> => {
    for (;;) {
      await exited
      for (let attempt = 1; ; attempt++) {
        if (stopping) return
        const again = await boot()
        if (E.isRight(again)) break
        if (attempt === RESTARTS_MAX) return giveUp(again.left.reason)
        await pause(RESTART_PAUSE_MS)
      }
    }
  }

  return {
    start: async () => {
      const started = await boot()
      if (E.isRight(started)) void watch()
      return started
    },
    pid: () => child?.pid ?? 0,
    failed,
    stop: async () => {
      stopping = true
      const late = setTimeout(() => child?.kill('SIGQUIT'), STOP_MS)
      child?.kill('SIGINT') // fast shutdown: does not wait for clients to leave, and writes everything
      await exited
      clearTimeout(late)
    },
  }
}

/** The log, opened at its end by us, who may be root, for the child, who may not enter the folder. */
const openLog = (layout: Layout): { readonly fd: number; readonly from: number } => {
  const size = statSync(layout.log, { throwIfNoEntry: false })?.size ?? 0
  if (size > LOG_MAX) renameSync(layout.log, `${layout.log}.1`)
  return { fd: openSync(layout.log, 'a', 0o640), from: size > LOG_MAX ? 0 : size }
}

/** What the server complained of last, for a message. */
const lastComplaint = (layout: Layout, from: number): string => {
  const lines = readFileSync(layout.log).subarray(from).toString('utf8').split('\n')
  const complaint = lines.findLast((line) => /FATAL|PANIC|error/i.test(line)) ?? lines.findLast((line) => line !== '')
  return `${complaint?.replace(/^.*?(FATAL|PANIC): */, '') ?? 'it says nothing'} (see ${layout.log})`
}
