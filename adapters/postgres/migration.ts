/** Sets up and updates a PostgreSQL database, and checks that it fits before it is used. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { ReadError } from '../../domain/event-store.ts'
import { loadMigrations, pendingMigrations, runMigrations, Unmigratable } from '../migrate.ts'
import type { Applied, MigrationSession, MigrationTarget } from '../migrate.ts'
import { toReadError } from './failure.ts'
import { makeLink } from './link.ts'
import { whereText } from './options.ts'
import type { PostgresOptions } from './options.ts'
import type { Failure, Parameter, Rows, Session } from './session.ts'

/** The oldest PostgreSQL that the statements are written for, as `server_version_num` counts. */
const VERSION_MIN = 130_000

/** How long to wait for another process that is migrating the same database. */
const LOCK_TIMEOUT_MS = 60_000

/** Of all the advisory locks of a database, the one that whoever migrates it holds. */
const MIGRATION_LOCK = '7310593118826430062'

const SERVER = `
SELECT current_setting('server_version_num'),
       current_setting('server_encoding'),
       (to_regclass('lease_ledger_migrations') IS NOT NULL)::text`

const CREATE = `
CREATE TABLE IF NOT EXISTS lease_ledger_migrations (
  target     text NOT NULL,
  number     int NOT NULL,
  name       text NOT NULL,
  checksum   text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (target, number)
)`

const APPLIED = `
SELECT m.number::text, m.name, m.checksum
FROM lease_ledger_migrations m
WHERE m.target = $1::text
ORDER BY m.number`

const RECORD = `
INSERT INTO lease_ledger_migrations (target, number, name, checksum)
VALUES ($1::text, $2::int, $3::text, $4::text)`

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

/**
 * Brings the ledger's tables or the lease tables of a database up to date; gives the names of the files that were
 * applied. Processes that start at once take turns. `StoreUnusable` when the database is newer than this program, too
 * old, not UTF-8, or when the account may not change it.
 */
export const migratePostgres =
  (options: PostgresOptions, target: MigrationTarget): TaskEither<ReadError, ReadonlyArray<string>> =>
  () =>
    withSession(options, true, async (session) => {
      await mustFit(session, options)
      return runMigrations(migrationSession(session), 'postgres', target, whereText(options))
    })

/** Checks that the tables of `target` are there and are those of this version. */
export const checkPostgres =
  (options: PostgresOptions, target: MigrationTarget): TaskEither<ReadError, void> =>
  () =>
    withSession(options, false, async (session) => {
      const isSetUp = await mustFit(session, options)
      if (!isSetUp) throw new Unmigratable(`${whereText(options)} holds no lease ledger`)
      const known = await loadMigrations('postgres', target)
      const pending = pendingMigrations(known, await applied(session, target), whereText(options))
      if (pending.length > 0) {
        throw new Unmigratable(
          `${whereText(options)} was set up by an older version of this program and lacks ${pending[0]?.name}`,
        )
      }
    })

const withSession = async <A>(
  options: PostgresOptions,
  writable: boolean,
  act: (session: Session) => Promise<A>,
): Promise<Either<ReadError, A>> => {
  const link = makeLink(options, { writable })
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
const mustFit = async (session: Session, options: PostgresOptions): Promise<boolean> => {
  const [version, encoding, isSetUp] = orThrow(await session.query(SERVER))[0] as readonly [string, string, string]
  if (Number(version) < VERSION_MIN) {
    const found = Math.floor(Number(version) / 10_000)
    throw new Unmigratable(`${whereText(options)} runs PostgreSQL ${found}; ${VERSION_MIN / 10_000} or later is needed`)
  }
  if (encoding !== 'UTF8') {
    throw new Unmigratable(`${whereText(options)} has the encoding ${encoding}; UTF8 is needed`)
  }
  return isSetUp === 'true'
}

const applied = async (session: Session, target: MigrationTarget): Promise<ReadonlyArray<Applied>> =>
  orThrow(await session.query(APPLIED, [target])).map(([number, name, checksum]) => ({
    number: Number(number),
    name: name ?? '',
    checksum: checksum ?? '',
  }))

const migrationSession = (session: Session): MigrationSession => {
  const query = async (text: string, parameters?: ReadonlyArray<Parameter>): Promise<Rows> =>
    orThrow(await session.query(text, parameters))
  const script = async (text: string): Promise<void> => orThrow(await session.script(text))
  /** An open transaction that fails goes with its connection. */
  const exclusively = async (act: () => Promise<void>): Promise<void> => {
    await script(
      `BEGIN; SET LOCAL statement_timeout = ${LOCK_TIMEOUT_MS}; SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`,
    )
    await script('SET LOCAL statement_timeout = 0')
    await act()
    await script('COMMIT')
  }
  const isSetUp = async (): Promise<boolean> => (await query(SERVER))[0]?.[2] === 'true'
  return {
    applied: async (target) => {
      // Looked at before anything is made, so that an account that may only read and append can start.
      if (!(await isSetUp())) await exclusively(() => script(CREATE))
      return applied(session, target)
    },
    apply: (target, { number, name, checksum, sql }) =>
      exclusively(async () => {
        const there = (await applied(session, target)).find((other) => other.number === number)
        if (there !== undefined) return // another process was quicker
        await script(sql)
        await query(RECORD, [target, number, name, checksum])
      }),
  }
}
