/**
 * A ledger on a real PostgreSQL that some thousand clients wrote, the commands over it, and the truth about it: the
 * generator keeps its own book of who holds what, by arithmetic and not from the events.
 */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { openPostgres } from '../../adapters/postgres/open.ts'
import type { EventStore, LogName, Proposal } from '../../domain/event-store.ts'
import { decide, evolve, vacant } from '../../domain/lease.ts'
import type { Command, LeaseState, Terms } from '../../domain/lease.ts'
import type { StreamName } from '../../domain/stream.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { replay } from '../../projections/replay.ts'
import { startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { run } from '../support/process.ts'
import { batchOf, must } from './proposals.ts'

/** Who held what, from when to when, by the generator's own book. */
export interface Truth {
  readonly stream: StreamName
  readonly client: number
  readonly from: number
  readonly until: number
  readonly endedBy: string
  readonly renewals: number
}

/** The first claim of the generated ledger. */
export const BEGIN = Date.UTC(2026, 2, 1)

/** A small generator of numbers by a seed (mulberry32); 0 to below 1. */
export const makeRandom = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

/** The MAC of a client, hex. */
export const macOf = (client: number): string => `02${client.toString(16).padStart(10, '0')}`

const LIFETIME_SEC = 3_600

const termsOf = (stream: StreamName, client: number, transactionId: number): Terms => {
  const isV4 = stream.startsWith('lease4/')
  const mac = macOf(client)
  return {
    clientId: isV4 ? `01${mac}` : undefined,
    duid: isV4 ? undefined : `00030001${mac}`,
    fqdnForward: undefined,
    fqdnReverse: undefined,
    holder: isV4 ? `id:01${mac}` : `duid:00030001${mac}/7`,
    hostname: `Host-${client}`,
    hwAddress: mac,
    hwSource: undefined,
    hwType: 1,
    iaid: isV4 ? undefined : 7,
    poolId: 0,
    preferredLifetimeSec: isV4 ? undefined : 3_000,
    relay: {
      address: isV4 ? '198.18.0.1' : '2001:db8::1',
      circuitId: Buffer.from(`Gi1/0/${client % 48}`).toString('hex'),
      remoteId: `000602${mac}`,
    },
    subnetId: isV4 ? 1 : 2,
    transactionId,
    userContext: undefined,
    validLifetimeSec: LIFETIME_SEC,
  }
}

interface Written {
  readonly proposals: ReadonlyArray<readonly [LogName, Proposal]>
  readonly truth: ReadonlyArray<Truth>
}

const ENDS = ['released', 'expired', 'silent', 'declined', 'revoked'] as const

/** What happens to one address: clients come one after another, renew, and end each in a way of their own. */
const lifeOf = (stream: StreamName, random: () => number, clients: number, rounds: number): Written => {
  const proposals: (readonly [LogName, Proposal])[] = []
  const truth: Truth[] = []
  let [state, revision, now]: [LeaseState, number, number] = [vacant, -1, BEGIN + Math.floor(random() * 3_600_000)]
  const act = (command: Command): void => {
    const decided = decide({ maxClockSkewMs: 5_000 })(state, command, now)
    if (E.isLeft(decided) || O.isNone(decided.right)) throw new Error(`nothing happened: ${JSON.stringify(command)}`)
    const event = decided.right.value
    state = evolve(state, event)
    proposals.push([random() < 0.5 ? 'alpha' : 'beta', { stream, expected: revision++, event, recordedAt: now }])
  }
  for (let round = 0; round < rounds; round++) {
    const client = Math.floor(random() * clients)
    const from = now
    let xid = round * 100
    if (random() < 0.2) act({ type: 'Offer', terms: termsOf(stream, client, xid), offerLifetimeSec: 10 })
    act({ type: 'Claim', terms: termsOf(stream, client, xid), ownOnly: false })
    const renewals = Math.floor(random() * 6)
    let granted = now
    for (let i = 0; i < renewals; i++) {
      now += 1_200_000 + Math.floor(random() * 1_200_000)
      act({ type: 'Renew', terms: termsOf(stream, client, ++xid), reuseSec: 0 })
      granted = now
    }
    const how = ENDS[Math.floor(random() * ENDS.length)] as (typeof ENDS)[number]
    const runsOut = granted + LIFETIME_SEC * 1000
    const early = now + 60_000 + Math.floor(random() * 600_000)
    const holder = termsOf(stream, client, 0).holder
    const note = (until: number, endedBy: string): void =>
      void truth.push({ stream, client, from, until, endedBy, renewals })
    if (how === 'released') {
      now = early
      act({ type: 'Release', holder, cause: 'client' })
      note(early, how)
    } else if (how === 'revoked') {
      now = early
      act({ type: 'Revoke', reason: 'abuse' })
      note(early, how)
    } else if (how === 'declined') {
      now = early
      act({ type: 'Decline', holder, probationSec: 600 })
      note(early, how)
      now += 700_000
    } else {
      now = runsOut + 6_000
      if (how === 'expired') act({ type: 'Expire' })
      note(runsOut, 'expired')
    }
    now += 10_000 + Math.floor(random() * 1_000_000)
  }
  return { proposals, truth }
}

/** A ledger to ask: `addresses` IPv4 addresses, a tenth as many IPv6 ones and prefixes, `rounds` holders each. */
export const makeSite = (seed: number, addresses: number, rounds: number): Written => {
  const random = makeRandom(seed)
  const streams: StreamName[] = []
  for (let i = 0; i < addresses; i++) streams.push(`lease4/198.18.${i >> 8}.${i & 255}` as StreamName)
  for (let i = 1; i <= addresses / 10; i++) streams.push(`lease6/2001:db8::${i.toString(16)}` as StreamName)
  for (let i = 1; i <= addresses / 10; i++)
    streams.push(`prefix6/2001:db8:${(256 * i).toString(16)}::/56` as StreamName)
  const lives = streams.map((stream) => lifeOf(stream, random, addresses / 2, rounds))
  return { proposals: lives.flatMap((life) => life.proposals), truth: lives.flatMap((life) => life.truth) }
}

/** A ledger on PostgreSQL with its configuration file, and the command line over it. */
export interface AuditSite {
  readonly server: TestPostgres
  readonly truth: ReadonlyArray<Truth>
  readonly events: number
  readonly folder: string
  readonly config: string
  /** Writes a configuration for another database of the same server; gives the file. */
  readonly configFor: (database: string) => Promise<string>
  /** Runs `ledger` with arguments, on `config` unless another file is named. */
  readonly ledger: (args: ReadonlyArray<string>, config?: string) => Promise<Answered>
  /** Runs `ledger` without any configuration. */
  readonly ledgerAlone: (args: ReadonlyArray<string>) => Promise<Answered>
  readonly stop: () => Promise<void>
}

/** What a command said. */
export interface Answered {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const PROGRAM = resolve(import.meta.dirname, '../../server/ledger-cli.ts')

/** Starts PostgreSQL, writes the ledger in the order in which it happened, and projects it. */
export const openAuditSite = async (seed: number, addresses: number, rounds: number): Promise<AuditSite> => {
  const server = await startPostgres()
  const folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-audit-`))
  await chmod(folder, 0o755)
  const site = makeSite(seed, addresses, rounds)
  const options = { hosts: [{ host: server.host, port: server.port }], database: server.database, user: server.user }
  const stores = new Map<LogName, EventStore>()
  for (const log of ['alpha', 'beta']) stores.set(log, await must(openPostgres(options, log)))
  await writeAll(stores, site.proposals)
  await must(migratePostgres(options, 'tables'))
  const tables = await must(openPostgresTables(options))
  await must(replay({ store: stores.get('alpha') as EventStore, tables, resume: false }))
  await tables.close()
  for (const store of stores.values()) await store.close()
  const configFor = async (database: string): Promise<string> => {
    const file = join(folder, `${database}.json`)
    const store = { type: 'postgresql', name: database, host: server.host, port: server.port, user: server.user }
    await writeFile(file, JSON.stringify({ Dhcp4: { 'lease-database': store, subnet4: [] } }))
    return file
  }
  const config = await configFor(server.database)
  const ledgerAlone = async (args: ReadonlyArray<string>): Promise<Answered> => {
    const command = [process.execPath, PROGRAM, ...args]
    const { code, stdout, stderr } = await run(command, { timeoutMs: 60_000, env: { TZ: 'UTC' } })
    return { code, out: stdout, err: stderr }
  }
  return {
    server,
    truth: site.truth,
    events: site.proposals.length,
    folder,
    config,
    configFor,
    ledger: ([name = '', ...rest], file = config) => ledgerAlone([name, '-c', file, ...rest]),
    ledgerAlone,
    stop: async () => {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** In order of time; a batch ends where the log changes or a stream comes again. */
const writeAll = async (stores: ReadonlyMap<LogName, EventStore>, written: Written['proposals']): Promise<void> => {
  const ordered = [...written].sort(([, one], [, other]) => one.recordedAt - other.recordedAt)
  const pending = new Map<LogName, Proposal[]>([...stores.keys()].map((log) => [log, []]))
  const flush = async (): Promise<void> => {
    for (const [log, batch] of pending) {
      const [first, ...rest] = batch.splice(0)
      if (first === undefined) continue
      const outcomes = await must((stores.get(log) as EventStore).append(batchOf(first, ...rest)))
      if (outcomes.some(({ _tag }) => _tag !== 'Appended')) throw new Error('not as it happened')
    }
  }
  const inBatch = new Set<StreamName>()
  for (const [log, proposal] of ordered) {
    if (inBatch.has(proposal.stream) || inBatch.size >= 500) {
      await flush()
      inBatch.clear()
    }
    inBatch.add(proposal.stream)
    pending.get(log)?.push(proposal)
  }
  await flush()
}
