/** Sets up and updates a MySQL or MariaDB database, and checks that it fits before it is used. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { ReadError } from '../../domain/event-store.ts'
import { loadMigrations, pendingMigrations, runMigrations, Unmigratable } from '../migrate.ts'
import type { Applied, MigrationSession, MigrationTarget } from '../migrate.ts'
import { ERROR, toReadError } from './failure.ts'
import { makeLink } from './link.ts'
import { whereText } from './options.ts'
import type { MysqlOptions, TableEngine } from './options.ts'
import { integerOf, textOf } from './reader.ts'
import type { Failure, Parameter, RawRows, Session } from './session.ts'

/** The oldest servers that have everything the statements use, JSON_TABLE above all: major and minor. */
const MARIADB_MIN = [10, 6] as const
const MYSQL_MIN = [8, 0] as const

/** How long to wait for another process that is migrating the same database. The client waits a bit longer. */
const LOCK_TIMEOUT_SEC = 60

const SERVER = `
SELECT version(), (
  SELECT count(*)
  FROM information_schema.tables
  WHERE table_schema = database() AND table_name = 'lease_ledger_migrations'
)`

const CREATE = `
CREATE TABLE IF NOT EXISTS lease_ledger_migrations (
  target     VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  number     INT UNSIGNED NOT NULL,
  name       VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  checksum   CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  applied_at DATETIME(3) NOT NULL,
  PRIMARY KEY (target, number)
) ENGINE = InnoDB`

const APPLIED = `
SELECT number, name, checksum
FROM lease_ledger_migrations
WHERE target = ?
ORDER BY number`

const RECORD = `
INSERT INTO lease_ledger_migrations (target, number, name, checksum, applied_at)
VALUES (?, ?, ?, ?, utc_timestamp(3))`

// Names of locks are the server's, not the database's, and at most 64 characters long.
const LOCK = `
SELECT get_lock(concat('lease ledger ', left(sha1(database()), 32)), ${LOCK_TIMEOUT_SEC})`

const UNLOCK = `
SELECT release_lock(concat('lease ledger ', left(sha1(database()), 32)))`

/** Nodes of a cluster do not see each other's locks; whoever meets there runs the same harmless file again. */
const MEETINGS_MAX = 5

/** Carries a failed statement out of the runner. */
class Failed extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.reason)
    this.failure = failure
  }
}

const orThrow = <A>(result: Either<Failure, A>): A => {
  if (E.isLeft(result)) throw new Failed(result.left)
  return result.right
}

/** The text of a migration with its tables made by `engine`. The files say InnoDB, and their checksums are of that. */
export const forEngine = (sql: string, engine: TableEngine): string =>
  sql.replaceAll(/\bENGINE = InnoDB\b/g, `ENGINE = ${engine}`)

/**
 * Brings the ledger's tables or the lease tables of a database up to date; gives the names of the files that were
 * applied. Processes that start at once take turns. `StoreUnusable` when the database is newer than this program, too
 * old, or when the account may not change it.
 */
export const migrateMysql =
  (options: MysqlOptions, target: MigrationTarget): TaskEither<ReadError, ReadonlyArray<string>> =>
  () =>
    withSession(options, true, async (session) => {
      await mustFit(session, options)
      return runMigrations(migrationSession(session, options), 'mysql', target, whereText(options))
    })

/** Checks that the tables of `target` are there and are those of this version. */
export const checkMysql =
  (options: MysqlOptions, target: MigrationTarget): TaskEither<ReadError, void> =>
  () =>
    withSession(options, false, async (session) => {
      const isSetUp = await mustFit(session, options)
      if (!isSetUp) throw new Unmigratable(`${whereText(options)} holds no lease ledger`)
      const known = await loadMigrations('mysql', target)
      const pending = pendingMigrations(known, await applied(session, target), whereText(options))
      if (pending.length > 0) {
        throw new Unmigratable(
          `${whereText(options)} was set up by an older version of this program and lacks ${pending[0]?.name}`,
        )
      }
    })

const withSession = async <A>(
  options: MysqlOptions,
  writable: boolean,
  act: (session: Session) => Promise<A>,
): Promise<Either<ReadError, A>> => {
  const patient = { ...options, statementTimeoutMs: (LOCK_TIMEOUT_SEC + 5) * 1_000 }
  const link = makeLink(patient, { writable, causal: true, scripts: true })
  try {
    return E.right(await act(orThrow(await link.session())))
  } catch (error) {
    if (error instanceof Failed) return E.left(toReadError(error.failure))
    if (error instanceof Unmigratable) return E.left({ _tag: 'StoreUnusable', reason: error.message })
    throw error
  } finally {
    await link.close()
  }
}

/** Whether there is a table of migrations; throws when the server is none that we can work with. */
const mustFit = async (session: Session, options: MysqlOptions): Promise<boolean> => {
  const [row] = orThrow(await session.query(SERVER))
  const version = textOf(row?.[0])
  const [major, minor] = version.split('.').map(Number) as [number, number]
  const isMariadb = version.includes('MariaDB')
  const [majorMin, minorMin] = isMariadb ? MARIADB_MIN : MYSQL_MIN
  if (major < majorMin || (major === majorMin && minor < minorMin)) {
    const [kind, least] = isMariadb ? ['MariaDB', MARIADB_MIN] : ['MySQL', MYSQL_MIN]
    throw new Unmigratable(`${whereText(options)} runs ${kind} ${version}; ${least.join('.')} or later is needed`)
  }
  return integerOf(row?.[1]) > 0
}

const applied = async (session: Session, target: MigrationTarget): Promise<ReadonlyArray<Applied>> =>
  orThrow(await session.query(APPLIED, [target])).map(([number, name, checksum]) => ({
    number: integerOf(number),
    name: textOf(name),
    checksum: textOf(checksum),
  }))

const migrationSession = (session: Session, options: MysqlOptions): MigrationSession => {
  const engine = options.tableEngine ?? 'InnoDB'
  const query = async (text: string, parameters?: ReadonlyArray<Parameter>): Promise<RawRows> =>
    orThrow(await session.query(text, parameters))
  const script = async (text: string): Promise<void> => orThrow(await session.script(forEngine(text, engine)))
  const exclusively = async (act: () => Promise<void>): Promise<void> => {
    const [row] = await query(LOCK)
    if (textOf(row?.[0]) !== '1') {
      throw new Failed({ _tag: 'NotSent', reason: `${whereText(options)} is being set up by another process` })
    }
    await act()
    await query(UNLOCK)
  }
  const isSetUp = async (): Promise<boolean> => integerOf((await query(SERVER))[0]?.[1]) > 0
  return {
    applied: async (target) => {
      // Looked at before anything is made, so that an account that may only read and append can start.
      if (!(await isSetUp())) await exclusively(() => script(CREATE))
      return applied(session, target)
    },
    apply: (target, { number, name, checksum, sql }) =>
      exclusively(async () => {
        for (let meeting = 1; ; meeting++) {
          const there = (await applied(session, target)).find((other) => other.number === number)
          if (there !== undefined) return // another process was quicker
          try {
            await script(sql)
            orThrow(await session.write(RECORD, [target, number, name, checksum]))
            return
          } catch (error) {
            if (!(error instanceof Failed) || !isMeeting(error.failure) || meeting === MEETINGS_MAX)
              throw explained(error)
          }
        }
      }),
  }
}

/** Another process set up the same database on another node at the same moment. */
const isMeeting = (failure: Failure): boolean => failure._tag === 'Refused' && MEETING.includes(failure.errno)

const MEETING: ReadonlyArray<number> = [
  ERROR.DUP_ENTRY,
  ERROR.TABLE_EXISTS,
  ERROR.TRIGGER_EXISTS,
  ERROR.LOCK_DEADLOCK,
  ERROR.LOCK_WAIT_TIMEOUT,
]

/** With binary logging, MySQL lets only a privileged account make triggers: say what an administrator can do. */
const explained = (error: unknown): unknown => {
  if (!(error instanceof Failed) || error.failure._tag !== 'Refused') return error
  if (error.failure.errno !== ERROR.BINLOG_CREATE_ROUTINE) return error
  const advice = 'set log_bin_trust_function_creators = 1 while the ledger is set up, so that it may make its triggers'
  return new Failed({ ...error.failure, reason: `${error.failure.reason}; ${advice}` })
}
