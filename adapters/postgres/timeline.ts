/**
 * Telling the primary from one that was replaced. Each promotion of a standby begins a new timeline with a higher
 * number, so of two hosts that accept writes the one with the lower number is an old primary that came back: what is
 * written there is lost to everybody else.
 *
 * What was seen is remembered as long as the ledger is open. Keeping an old primary away from a server that starts is
 * up to the operator, as it is for every client of such a cluster.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { hostText } from './options.ts'
import type { Failure, Session } from './session.ts'

// A name of a WAL file begins with the timeline, in eight hexadecimal digits. A standby has no current WAL file.
const TIMELINE = `
SELECT (SELECT s.system_identifier FROM pg_control_system() s)::text,
       CASE
         WHEN pg_is_in_recovery() THEN '0'
         ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint::text
       END`

/** The timelines that the connections of one ledger have seen. */
export interface Timelines {
  /** Looks at a new session. Refuses an old primary with `NotSent`; a standby and a host without timelines will do. */
  readonly accept: (session: Session) => Promise<Either<Failure, void>>
  /** Whether a newer primary was seen since the session was accepted. */
  readonly isOutdated: (session: Session) => boolean
}

interface Seen {
  /** Copies of one cluster share the identifier; timelines of different ones have nothing to do with each other. */
  readonly system: string
  readonly timeline: number
}

export const makeTimelines = (): Timelines => {
  const newest = new Map<string, number>()
  const sessions = new WeakMap<Session, Seen>()
  const isOld = ({ system, timeline }: Seen): boolean => timeline !== 0 && timeline < (newest.get(system) ?? 0)
  return {
    accept: async (session) => {
      const found = await session.query(TIMELINE)
      // Clusters that speak the protocol and are not PostgreSQL need not have these functions.
      if (E.isLeft(found)) return found.left._tag === 'Refused' ? E.right(undefined) : found
      const [system = '', timeline = '0'] = found.right[0] ?? []
      const seen: Seen = { system, timeline: Number(timeline) }
      if (isOld(seen)) {
        const where = `PostgreSQL ${hostText(session.host)}`
        const reason = `${where} is an old primary: its timeline is ${timeline}, and ${newest.get(system)} was seen`
        return E.left({ _tag: 'NotSent', reason })
      }
      newest.set(system, Math.max(seen.timeline, newest.get(system) ?? 0))
      sessions.set(session, seen)
      return E.right(undefined)
    },
    isOutdated: (session) => {
      const seen = sessions.get(session)
      return seen !== undefined && isOld(seen)
    },
  }
}
