/**
 * Forward-only migrations: numbered SQL files, each applied once and recorded with its checksum. One runner for every
 * SQL database; what a database needs to run them is four functions.
 */
import { hash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** One file: `0001-events.sql` has number 1. `checksum` is the SHA-256 of its text, hex. */
export interface Migration {
  readonly number: number
  readonly name: string
  readonly checksum: string
  readonly sql: string
}

/** A migration as the database remembers it. */
export type Applied = Pick<Migration, 'number' | 'name' | 'checksum'>

/** What the runner needs of a database; all within one exclusive session that the adapter makes. May reject. */
export interface MigrationSession {
  /** Makes the table of applied migrations if need be and reads those of `target`, in order of their numbers. */
  readonly applied: (target: MigrationTarget) => Promise<ReadonlyArray<Applied>>
  /** Runs the file and records it, in one transaction where the database can. */
  readonly apply: (target: MigrationTarget, migration: Migration) => Promise<void>
}

/** Which migrations: the ledger itself, or the lease tables, which may live in another database. */
export type MigrationTarget = 'ledger' | 'tables'

/** Thrown when the database and this version do not fit; the message is one sentence. Adapters make it a value. */
export class Unmigratable extends Error {}

/** The migrations of a dialect, such as `postgres`, for a target, in order. Rejects when the files are not numbered 1… */
export const loadMigrations = async (dialect: string, target: MigrationTarget): Promise<ReadonlyArray<Migration>> => {
  const folder = fileURLToPath(new URL(`../migrations/${dialect}/${target}/`, import.meta.url))
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()
  return Promise.all(
    names.map(async (name, index) => {
      const number = Number(/^(\d{4})-/.exec(name)?.[1])
      if (number !== index + 1) throw new Error(`migrations/${dialect}/${target}: ${name} is not number ${index + 1}`)
      const sql = await readFile(join(folder, name), 'utf8')
      return { number, name, checksum: hash('sha256', sql, 'hex'), sql }
    }),
  )
}

/**
 * The migrations that have yet to be applied. Throws {@link Unmigratable} when the database was written by a newer
 * version, or holds a migration that is not the one of this version.
 */
export const pendingMigrations = (
  known: ReadonlyArray<Migration>,
  applied: ReadonlyArray<Applied>,
  where: string,
): ReadonlyArray<Migration> => {
  const last = applied.at(-1)
  if (last !== undefined && last.number > known.length) {
    throw new Unmigratable(
      `${where} has schema version ${last.number} (${last.name}), this version of the program knows ` +
        `${known.length}; start a newer version of it`,
    )
  }
  for (const [index, { name, checksum }] of applied.entries()) {
    if (known[index]?.checksum !== checksum) {
      throw new Unmigratable(`${where} was set up with another ${name} than this version has; it was not changed`)
    }
  }
  return known.slice(applied.length)
}

/** Brings `target` up to date; gives the names of what was applied. Rejects with {@link Unmigratable} or what the session rejects with. */
export const runMigrations = async (
  session: MigrationSession,
  dialect: string,
  target: MigrationTarget,
  where: string,
): Promise<ReadonlyArray<string>> => {
  const known = await loadMigrations(dialect, target)
  const pending = pendingMigrations(known, await session.applied(target), where)
  for (const migration of pending) await session.apply(target, migration)
  return pending.map(({ name }) => name)
}
