/**
 * Under which account the embedded PostgreSQL runs, and how a program is started under it.
 *
 * PostgreSQL refuses to run as root, so a service that is root starts it under an account without privileges: that of
 * the data folder if it has an owner already, else `lease-ledger` if the administrator made one, else `nobody`. No
 * account is made.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'

/** An account of the system. */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** By its numbers alone. */
export type Owner = Omit<Account, 'name'>

/** Who runs the child, and the words before its command that make it so. */
export interface Runner {
  /** The account of the child; undefined when it is the one of this process. */
  readonly account: Account | undefined
  /** Name of the account of this process. */
  readonly self: string
  /** Before the command of a child that is to be told of our death with SIGINT, its fast shutdown. */
  readonly command: (program: string, args: ReadonlyArray<string>) => readonly [string, ...string[]]
}

const ACCOUNTS = ['lease-ledger', 'nobody']

/**
 * What lets the account enter folders that it has no rights to, such as a working copy below /root. The first of these
 * that this process has will do; containers often have only the second. Without `no_setuid_fixup` access(2), by which
 * PostgreSQL looks at its own files, would not honour it. Local users gain nothing: the socket is closed to them, and
 * PostgreSQL itself lets in nobody but the account of the service.
 */
const CAPABILITIES = [
  { name: 'dac_read_search', bit: 2n },
  { name: 'dac_override', bit: 1n },
]

const accounts = (): ReadonlyArray<Account> => {
  try {
    return readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map(([name, , uid, gid]) => ({ name: name ?? '', uid: Number(uid), gid: Number(gid) }))
  } catch {
    return []
  }
}

/** Chooses the account. `owner` has the files of the database, if there are any. Left: one sentence. */
export const chooseRunner = (
  owner: Owner | undefined,
  programs: ReadonlyArray<string>,
  folder: string,
): Either<string, Runner> => {
  const uid = process.getuid?.() ?? -1
  const self = accounts().find((account) => account.uid === uid)?.name ?? ''
  if (uid !== 0) {
    if (owner !== undefined && owner.uid !== uid) {
      return E.left(`${folder} belongs to another account (uid ${owner.uid}); run the service as root or as its owner`)
    }
    return E.right({ account: undefined, self, command: plainCommand })
  }
  if (owner?.uid === 0) {
    return E.left(
      `the database in ${folder} belongs to root, as which PostgreSQL does not run; give it back with chown`,
    )
  }
  const account = owner === undefined ? newOwner() : { name: `of uid ${owner.uid}`, ...owner }
  if (account === undefined) {
    return E.left(`PostgreSQL does not run as root, and there is no account ${ACCOUNTS.join(' or ')} to run it under`)
  }
  if (!hasSetpriv()) return E.left('to run PostgreSQL under another account the program setpriv (util-linux) is needed')
  for (const extra of [[], ...capable()]) {
    const words = [...asAccount(account), ...extra]
    if (canUse(words, programs, folder)) return E.right({ account, self, command: commandWith(words) })
  }
  return E.left(
    `the account ${account.name}, which runs PostgreSQL, cannot enter ${folder} or the program's own folder`,
  )
}

/** The account for a database that is yet to be made. */
const newOwner = (): Account | undefined => {
  const known = accounts()
  return ACCOUNTS.map((name) => known.find((account) => account.name === name)).find((found) => found !== undefined)
}

const asAccount = ({ uid, gid }: Account): ReadonlyArray<string> => [
  `--reuid=${uid}`,
  `--regid=${gid}`,
  '--clear-groups',
  '--no-new-privs',
]

/** The words for each capability that this process has and may hand on. */
const capable = (): ReadonlyArray<ReadonlyArray<string>> => {
  const bounding = BigInt(
    `0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'}`,
  )
  return CAPABILITIES.filter(({ bit }) => (bounding & (1n << bit)) !== 0n).map(({ name }) => [
    `--inh-caps=+${name}`,
    `--ambient-caps=+${name}`,
    '--securebits=+no_setuid_fixup',
  ])
}

/** Whether the account can run the programs and enter the folder. */
const canUse = (words: ReadonlyArray<string>, programs: ReadonlyArray<string>, folder: string): boolean => {
  const run = (...command: ReadonlyArray<string>): boolean =>
    spawnSync('setpriv', [...words, '--', ...command], { stdio: 'ignore' }).status === 0
  return programs.every((program) => run(program, '--version')) && run('test', '-x', folder)
}

const hasSetpriv = (): boolean => spawnSync('setpriv', ['--version'], { stdio: 'ignore' }).status === 0

const commandWith =
  (words: ReadonlyArray<string>): Runner['command'] =>
  (program, args) => ['setpriv', ...words, '--pdeathsig=INT', '--', program, ...args]

const plainCommand: Runner['command'] = (program, args) =>
  hasSetpriv() ? ['setpriv', '--pdeathsig=INT', '--', program, ...args] : [program, ...args]
