/**
 * `node test/bench/project.ts [--events N] [--batch N] [--on postgres,mariadb,embedded]`: what it costs to project an
 * event into lease tables: processor time of this process and of the database, for claims of addresses that nobody had,
 * for renewals and for releases, in batches as the projector makes them. On a machine that is busy with other things
 * processor time says more than rates do.
 */
import { parseArgs } from 'node:util'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { makeLease } from '../../domain/lease.ts'
import type { Lease, LeaseEvent } from '../../domain/lease.ts'
import { lease4Stream, lease6Stream } from '../../domain/stream.ts'
import { spanRowsOf } from '../../projections/history.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { rowsOf } from '../../projections/log-page.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { ALONE, startAlone } from './alone.ts'
import type { AloneName } from './alone.ts'
import { treeSeconds } from './cpu.ts'
import { hardwareOf } from './ledger-sample.ts'
import { chosen } from './options.ts'

/** A database with empty lease tables. */
interface Subject {
  readonly tables: LeaseTables
  readonly pid: number
  readonly stop: () => Promise<void>
}

const must = <A>(result: Either<{ readonly reason: string }, A>): A => {
  if (E.isLeft(result)) throw new Error(result.left.reason)
  return result.right
}

const openSubject = async (name: AloneName): Promise<Subject> => {
  const { kind, options, pid, stop } = await startAlone(name)
  const isPostgres = kind === 'postgres'
  must(await (isPostgres ? migratePostgres(options, 'tables') : migrateMysql(options, 'tables'))())
  const tables = must(await (isPostgres ? openPostgresTables(options) : openMysqlTables(options))())
  return { tables, pid, stop: () => tables.close().then(stop) }
}

/** 100.64.0.0/10 for IPv4, 2001:db8::/32 for IPv6. */
const FIRST_ADDRESS = ((100 << 24) | (64 << 16)) >>> 0
const FIRST_ADDRESS6 = 0x20010db8n << 96n

const VALID_SEC = 4_000
const START_MS = 1_790_000_000_000

/** A permutation of the numbers below 2^22: clients find their places by a hash, all over the pool. */
const placeOf = (index: number): number => Math.imul(index, 0x9e3779b1 | 1) & 0x3fffff

const leaseOf = (family: 4 | 6, index: number, renewals: number, at: number): Lease => {
  const hardware = hardwareOf(index)
  const duid = `00030001${hardware}`
  const isV4 = family === 4
  return makeLease(
    {
      clientId: undefined,
      duid: isV4 ? undefined : duid,
      fqdnForward: undefined,
      fqdnReverse: undefined,
      holder: isV4 ? `hw:1:${hardware}` : `duid:${duid}:1`,
      hostname: undefined,
      hwAddress: isV4 ? hardware : undefined,
      hwSource: undefined,
      hwType: isV4 ? 1 : undefined,
      iaid: isV4 ? undefined : 1,
      poolId: 0,
      preferredLifetimeSec: isV4 ? undefined : 3_000,
      relay: { address: isV4 ? '198.18.0.2' : '2001:db8:1::1' },
      subnetId: 1,
      transactionId: Math.imul(index + renewals, 2654435761) >>> 8,
      userContext: undefined,
      validLifetimeSec: VALID_SEC,
    },
    at + VALID_SEC * 1_000,
    renewals,
    START_MS + index,
  )
}

const PHASES = ['claims', 'renewals', 'releases'] as const

/** The event of one client in a phase. */
const eventOf = (phase: number, lease: Lease, at: number): LeaseEvent => {
  if (phase === 0) return { type: 'LeaseClaimed', lease }
  if (phase === 1) return { type: 'LeaseRenewed', lease }
  return { type: 'LeaseReleased', lease: { ...lease, expiresAt: at }, cause: 'client' } as LeaseEvent
}

/** The events of `from` to `to` of the log: clients in turn, one phase after the other. */
const eventsOf = (family: 4 | 6, clients: number, from: number, to: number): ReadonlyArray<Recorded> =>
  Array.from({ length: to - from }, (_, offset): Recorded => {
    const index = (from + offset) % clients
    const phase = Math.floor((from + offset) / clients)
    const at = START_MS + (from + offset + phase) * 1
    const place = placeOf(index)
    return {
      stream: family === 4 ? lease4Stream(FIRST_ADDRESS + place) : lease6Stream(FIRST_ADDRESS6 + BigInt(place)),
      revision: phase,
      log: 'bench',
      seq: from + offset + 1,
      recordedAt: at,
      event: eventOf(phase, leaseOf(family, index, Math.min(phase, 1), at), at),
    }
  })

interface Spent {
  readonly wallSec: number
  readonly ownSec: number
  readonly databaseSec: number
}

/** Projects the events of one phase; what making them costs is not counted. */
const project = async (
  subject: Subject,
  family: 4 | 6,
  clients: number,
  phase: number,
  batch: number,
): Promise<Spent> => {
  const spent = { wallSec: 0, ownSec: 0, databaseSec: 0 }
  const databaseBefore = treeSeconds(subject.pid)
  const end = (phase + 1) * clients
  for (let from = phase * clients; from < end; from += batch) {
    const to = Math.min(end, from + batch)
    const events = eventsOf(family, clients, from, to)
    const before = { wall: performance.now(), own: process.cpuUsage() }
    const applied = must(
      await subject.tables.apply(LEASES, 'bench', from, to, must(rowsOf(events)), spanRowsOf(events))(),
    )
    const own = process.cpuUsage(before.own)
    spent.ownSec += (own.user + own.system) / 1e6
    spent.wallSec += (performance.now() - before.wall) / 1e3
    if (applied._tag !== 'Applied') throw new Error('the tables stand elsewhere')
  }
  return { ...spent, databaseSec: treeSeconds(subject.pid) - databaseBefore }
}

const cell = (text: string | number): string => String(text).padStart(14)

const measure = async (name: AloneName, family: 4 | 6, clients: number, batch: number): Promise<void> => {
  const subject = await openSubject(name)
  try {
    for (const [phase, what] of PHASES.entries()) {
      const { wallSec, ownSec, databaseSec } = await project(subject, family, clients, phase, batch)
      const perEvent = (seconds: number): string => ((seconds / clients) * 1e6).toFixed(1)
      const rate = Math.round(clients / wallSec)
      console.log(
        [name, `v${family} x ${batch}`, what, rate, perEvent(ownSec), perEvent(databaseSec)].map(cell).join(''),
      )
    }
  } finally {
    await subject.stop()
  }
}

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '40000' },
    batch: { type: 'string', default: '1000' },
    family: { type: 'string', default: '4' },
    on: { type: 'string', default: 'postgres,mariadb' },
  },
})
console.log(['tables in', 'batches', 'events', 'events/s', 'us here', 'us database'].map(cell).join(''))
for (const name of chosen('database', ALONE, values.on)) {
  for (const batch of values.batch.split(',')) {
    await measure(name, values.family === '6' ? 6 : 4, Number(values.events), Number(batch))
  }
}
