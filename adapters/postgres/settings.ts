/**
 * Settings of a PostgreSQL that break the invariants of the ledger: what was committed must be on disk before a client
 * hears of it, and on the standby too where one may be promoted.
 *
 * `fsync`, `full_page_writes` and `synchronous_commit` on keep a confirmed event over a loss of power. With
 * `synchronous_standby_names` and `synchronous_commit` at least `on` it is on the standby's disk as well, and promoting
 * that one loses nothing; `remote_write` trusts the standby's memory, `local` and `off` do not wait for it.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { ReadError } from '../../domain/event-store.ts'
import { toReadError } from './failure.ts'
import { makeLink } from './link.ts'
import { hostText } from './options.ts'
import type { PostgresOptions } from './options.ts'

/** The settings that are looked at. */
export const CHECKED_SETTINGS = [
  'fsync',
  'full_page_writes',
  'synchronous_commit',
  'synchronous_standby_names',
] as const

const SETTINGS = `
SELECT name, setting
FROM pg_settings
WHERE name IN (${CHECKED_SETTINGS.map((name) => `'${name}'`).join(', ')})`

const STANDBYS = `
SELECT count(*)::text
FROM pg_stat_replication`

/** What is set on the host in use that breaks the invariants: one sentence each, none when all is well. */
export const checkPostgresSettings =
  (options: PostgresOptions): TaskEither<ReadError, ReadonlyArray<string>> =>
  async () => {
    const link = makeLink(options, { writable: true })
    try {
      const session = await link.session()
      if (E.isLeft(session)) return E.left(toReadError(session.left))
      const rows = await link.query(SETTINGS)
      if (E.isLeft(rows)) return E.left(toReadError(rows.left))
      const standbys = await link.query(STANDBYS)
      if (E.isLeft(standbys)) return E.left(toReadError(standbys.left))
      const settings = new Map(rows.right.map(([name, setting]) => [name ?? '', setting ?? '']))
      const where = `PostgreSQL ${hostText(session.right.host)}`
      return E.right(warningsOf(settings, Number(standbys.right[0]?.[0])).map((warning) => `${where}: ${warning}`))
    } finally {
      await link.close()
    }
  }

/** The sentences for the settings by name, of a server with so many standbys connected. */
export const warningsOf = (settings: ReadonlyMap<string, string>, standbys: number): ReadonlyArray<string> => {
  const warnings: string[] = []
  for (const name of ['fsync', 'full_page_writes']) {
    if (settings.get(name) === 'off') {
      warnings.push(`${name} is off: a loss of power can damage the ledger and lose confirmed leases; set it to on`)
    }
  }
  const commit = settings.get('synchronous_commit')
  const isSynchronous = (settings.get('synchronous_standby_names') ?? '') !== ''
  if (commit === 'off') {
    warnings.push('synchronous_commit is off: confirmed leases are lost with the power; set it to on')
  } else if (isSynchronous && (commit === 'local' || commit === 'remote_write')) {
    warnings.push(`synchronous_commit is ${commit}: a standby that is promoted may lack confirmed leases; set it to on`)
  }
  if (standbys > 0 && !isSynchronous) {
    warnings.push(
      'there are standbys and synchronous_standby_names is empty: one that is promoted may lack confirmed leases',
    )
  }
  return warnings
}
