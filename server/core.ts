/** The parts of the service that know no protocol: replica, command execution, following, projecting, expiring. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { START } from '../domain/event-store.ts'
import type { Checkpoint, EventStore } from '../domain/event-store.ts'
import { aheadOfLedger, LEASES } from '../projections/lease-tables.ts'
import { stateOf } from '../projections/lease-row.ts'
import { Projector } from '../projections/projector.ts'
import { every } from '../projections/timer.ts'
import type { Timer } from '../projections/timer.ts'
import type { Config } from './config/model.ts'
import { Cluster } from './cluster.ts'
import { Counters } from './counters.ts'
import { Follower } from './follower.ts'
import { Ledger } from './ledger.ts'
import type { Logger } from './logger.ts'
import { Replica } from './replica.ts'
import type { Stores } from './stores.ts'
import { Sweeper } from './sweeper.ts'
import type { SweeperOptions } from './sweeper.ts'

/**
 * Heartbeats, and the silence after which a server counts as gone. Servers that share the load must notice each other's
 * end within a second, since nobody answers for the one that is gone until then; a false alarm only lets two answer.
 */
const HEARTBEATS = {
  shared: { heartbeatMs: 250, silentMsMax: 900 },
  alone: { heartbeatMs: 1_000, silentMsMax: 3_000 },
} as const
const CLOCK_CHECK_MS = 60_000
const TICK_MS = 100
const REPORT_MS = 60_000
const PAGE_MAX = 5_000

/** What the core needs of the process. */
export interface CoreOptions {
  readonly log: Logger
  readonly now: () => number
  readonly timer: Timer
  /** The process cannot go on. */
  readonly onFatal: (reason: string) => void
}

/** The parts that know no protocol. */
export interface Core {
  readonly store: EventStore
  readonly replica: Replica
  readonly ledger: Ledger
  readonly follower: Follower
  readonly cluster: Cluster
  readonly sweeper: Sweeper
  readonly counters: Counters
  /** One for each target of lease tables. */
  readonly projectors: ReadonlyArray<Projector>
  readonly stop: () => Promise<void>
}

/** Opens the core: when it is there, the replica stands at the end of the ledger. `Left` is one sentence. */
export const openCore = async (config: Config, options: CoreOptions, stores: Stores): Promise<Either<string, Core>> => {
  const { log, now, timer, onFatal } = options
  const { store, tables } = stores
  const { replica, from } = await loadSnapshot(stores, log)
  const follower = new Follower({
    store,
    replica,
    own: store.log,
    from,
    log,
    timer,
    pageMax: PAGE_MAX,
    pollMinMs: 100,
    pollMaxMs: 500,
    restMs: 15,
    restBusyMs: 30,
    onFatal,
    onProgress: progressLog(log, now),
  })
  if (!(await follower.catchUp())) return E.left('the ledger cannot be read to its end: see the log above')
  const maxClockSkewMs = config.ledger.maxClockSkewSec * 1000
  const projectors = tables.map((target) => new Projector({ store, tables: target, log, own: store.log, timer }))
  const { limits } = config.ledger
  const ledger = new Ledger({
    store,
    replica,
    policy: { maxClockSkewMs },
    now,
    timer,
    log,
    batchMax: limits.batchMax,
    offerBatchMax: limits.offerBatchMax,
    attemptsMax: limits.attemptsMax,
    queueMax: limits.queueMax,
    offerDelayMs: 250,
    retryMs: 100,
    hasPeers: () => cluster.servers.length > 1,
    catchUp: () => follower.catchUp(),
    onAppended: (events) => projectors.forEach((projector) => projector.offer(events)),
    onFatal,
  })
  const cluster = new Cluster({
    store,
    now,
    timer,
    log,
    maxClockSkewMs,
    ...(config.ledger.loadBalancing ? HEARTBEATS.shared : HEARTBEATS.alone),
    clockCheckMs: CLOCK_CHECK_MS,
    info: () => JSON.stringify({ leases: replica.size, waiting: ledger.waiting }),
    onFatal,
  })
  const sweeper = makeSweeper(config, { ledger, replica, cluster, now, timer, log, maxClockSkewMs })
  const counters = new Counters()
  await cluster.start()
  await follower.start()
  for (const projector of projectors) projector.start()
  sweeper.start()
  const endTick = every(timer, TICK_MS, () => ledger.lapse())
  const tell = (): void => counters.report(log, { ...ledger.counters, leases: replica.size })
  const endReport = every(timer, REPORT_MS, tell)
  const stop = async (): Promise<void> => {
    endTick()
    endReport()
    await sweeper.stop()
    await ledger.drain()
    ledger.stop()
    cluster.stop()
    await follower.stop()
    for (const projector of projectors) await projector.stop()
    tell()
  }
  return E.right({ store, replica, ledger, follower, cluster, sweeper, counters, projectors, stop })
}

const makeSweeper = (
  config: Config,
  parts: Omit<SweeperOptions, 'intervalMs' | 'leasesMax' | 'roundMsMax' | 'unwarnedRoundsMax'>,
): Sweeper => {
  const expired = (config.dhcp4 ?? config.dhcp6)?.expiredProcessing
  return new Sweeper({
    ...parts,
    intervalMs: (expired?.reclaimTimerWaitSec ?? 10) * 1000,
    leasesMax: expired?.reclaimLeasesMax ?? 100,
    roundMsMax: expired?.reclaimTimeMsMax ?? 250,
    unwarnedRoundsMax: expired?.unwarnedReclaimCycles ?? 5,
  })
}

/** Says how far a catch-up is, once a second; a short one is silent. */
const progressLog = (log: Logger, now: () => number): ((read: number) => void) => {
  let saidAt = now()
  return (read) => {
    if (read < 2 * PAGE_MAX || now() - saidAt < 1000) return
    saidAt = now()
    log.info({ events: read }, 'catching up with the ledger')
  }
}

/** A replica filled from the lease tables, and up to where it stands; an empty one at the beginning without them. */
const loadSnapshot = async (
  { store, tables: [tables] }: Stores,
  log: Logger,
): Promise<{ readonly replica: Replica; readonly from: Checkpoint }> => {
  const empty = { replica: new Replica(), from: START }
  if (tables === undefined) return empty
  const replica = new Replica()
  const snapshot = await tables.snapshot(LEASES, (row) => {
    const { revision, state } = stateOf(row)
    replica.load(row.stream, revision, state)
  })()
  if (E.isLeft(snapshot)) {
    log.warn(
      { reason: snapshot.left.reason },
      'the lease tables cannot be read: replaying the ledger from its beginning',
    )
    return empty
  }
  const { checkpoint } = snapshot.right
  const heads = await store.heads()()
  const ahead = E.isLeft(heads) ? heads.left.reason : aheadOfLedger(tables.where, checkpoint, heads.right)
  if (ahead !== undefined) {
    log.error({ reason: ahead }, 'the lease tables are not used: replaying the ledger from its beginning')
    return empty
  }
  log.info({ leases: replica.size }, 'leases loaded from the tables')
  return { replica, from: checkpoint }
}
