/**
 * `npm run bench:replay`: how quickly a ledger is read into a replica and into lease tables, what a lease takes in
 * memory, and how long a server with that many leases needs to start; beside it Kea on a lease file of as many leases.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { openPostgres } from '../../adapters/postgres/open.ts'
import type { PostgresOptions } from '../../adapters/postgres/options.ts'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { START } from '../../domain/event-store.ts'
import type { EventStore } from '../../domain/event-store.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { replay } from '../../projections/replay.ts'
import { realTimer } from '../../projections/timer.ts'
import { Follower } from '../../server/follower.ts'
import { Replica } from '../../server/replica.ts'
import { keaMissing, makeKea } from '../support/kea.ts'
import { Lab, labMissing, makeLinkNetwork } from '../support/namespaces.ts'
import type { Network } from '../support/namespaces.ts'
import { must } from '../support/process.ts'
import type { Running } from '../support/process.ts'
import { makeLeaseLedger } from '../support/server-under-test.ts'
import type { ServerConfig } from '../support/server-under-test.ts'
import { residentBytes } from './cpu.ts'
import { openBenchPostgres } from './databases.ts'
import type { BenchDatabase } from './databases.ts'
import { appendSample, writeLeaseFile } from './ledger-sample.ts'
import { describeMachine, loadAverage } from './machine.ts'
import { table } from './report.ts'

/** What was measured with one number of leases. Seconds and octets. */
interface Measured {
  readonly leases: number
  readonly events: number
  readonly toReplicaSec: number
  /** Processor microseconds an event of that: of the reader, all its threads counted, and of the database. */
  readonly readerMicros: number
  readonly databaseMicros: number
  readonly toTablesSec: number
  readonly bytesPerLease: number
  readonly fromSnapshotSec: number
  readonly fromBeginningSec: number
  readonly residentBytes: number
  readonly keaSec: number | undefined
  readonly keaResidentBytes: number | undefined
}

const right = <A>(result: Either<{ readonly reason: string }, A>): A => {
  if (E.isLeft(result)) throw new Error(result.left.reason)
  return result.right
}

const seconds = async (act: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await act()
  return (performance.now() - began) / 1000
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/**
 * Memory that is in use, octets: heap, and what typed arrays and long texts hold beside it. What a collection frees of
 * the latter is given back by another thread, and counted out only by the next collection.
 */
const usedBytes = async (): Promise<number> => {
  collectGarbage()
  await setTimeout(500)
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** Reads the whole ledger into a new replica. */
const fillReplica = async (store: EventStore): Promise<Replica> => {
  const replica = new Replica()
  const follower = new Follower({
    store,
    replica,
    own: 'nobody',
    from: START,
    log: { ...quiet, fatal: () => undefined } as unknown as ConstructorParameters<typeof Follower>[0]['log'],
    timer: realTimer,
    pageMax: 5_000,
    restMs: 10,
    restBusyMs: 10,
    pollMinMs: 20,
    pollMaxMs: 500,
    onFatal: (reason) => {
      throw new Error(reason)
    },
  })
  if (!(await follower.catchUp())) throw new Error('the ledger could not be read to its end')
  return replica
}

const configOf = (database: object): ServerConfig => ({
  Dhcp4: {
    'interfaces-config': { interfaces: ['lan0'] },
    'lease-database': database,
    'valid-lifetime': 4000,
    subnet4: [{ id: 1, subnet: '100.64.0.0/10', pools: [{ pool: '100.64.0.1 - 100.127.255.254' }] }],
  },
})

interface Site {
  readonly lab: Lab
  readonly network: Network
  readonly database: BenchDatabase
  readonly options: (name: string) => PostgresOptions
}

/** Starts a server and gives the seconds until it was ready, and its memory then. */
const timedStart = async (
  site: Site,
  make: (place: { readonly folder: string; readonly start: Network['server']['start'] }) => {
    readonly start: (config: ServerConfig) => Promise<void>
    readonly stop: () => Promise<void>
  },
  config: ServerConfig,
  prepare: (folder: string) => Promise<void> = async () => undefined,
): Promise<{ readonly sec: number; readonly bytes: number }> => {
  const folder = await site.lab.folder('start')
  await prepare(folder)
  const processes: Running[] = []
  const server = make({
    folder,
    start: async (command, options) => {
      const running = await site.network.server.start(command, options)
      processes.push(running)
      return running
    },
  })
  const sec = await seconds(() => server.start(config))
  const bytes = processes.reduce((sum, { pid }) => sum + residentBytes(pid), 0)
  await server.stop()
  return { sec, bytes }
}

const measure = async (site: Site, leases: number, events: number): Promise<Measured> => {
  const name = `replay_${leases}`
  const connection = await site.database.fresh(name, false)
  const options = site.options(name)
  const store = right(await openPostgres(options, 'sample')())
  right(await migratePostgres(options, 'tables')())
  const from = Date.now() - events
  await appendSample(store, { leases, events, from, stepMs: 1 }, progress(`appending ${name}`, events))
  await site.database.query(name, 'VACUUM ANALYZE')

  const before = await usedBytes()
  let replica: Replica | undefined
  const [readerFrom, databaseFrom] = [process.cpuUsage(), site.database.cpuSeconds()]
  const toReplicaSec = await seconds(async () => (replica = await fillReplica(store)))
  const { user, system } = process.cpuUsage(readerFrom)
  const databaseSec = site.database.cpuSeconds() - databaseFrom
  const bytesPerLease = ((await usedBytes()) - before) / (replica?.size ?? NaN)
  replica = undefined

  const tables = right(await openPostgresTables(options)())
  const toTablesSec = await seconds(async () => right(await replay({ store, tables, resume: false })()))
  await tables.close()
  await store.close()

  const snapshot = await timedStart(site, makeLeaseLedger, configOf(connection))
  await site.database.query(name, 'TRUNCATE lease4, lease6, lease_checkpoints')
  const beginning = await timedStart(site, makeLeaseLedger, configOf(connection))
  const kea =
    keaMissing() !== undefined
      ? undefined
      : await timedStart(
          site,
          makeKea,
          configOf({ type: 'memfile' }),
          async (folder) => void (await writeLeaseFile(folder, leases)),
        )
  await site.database.drop(name)
  return {
    leases,
    events,
    toReplicaSec,
    readerMicros: (user + system) / events,
    databaseMicros: (databaseSec * 1e6) / events,
    toTablesSec,
    bytesPerLease,
    fromSnapshotSec: snapshot.sec,
    fromBeginningSec: beginning.sec,
    residentBytes: snapshot.bytes,
    keaSec: kea?.sec,
    keaResidentBytes: kea?.bytes,
  }
}

const progress = (what: string, total: number): ((done: number) => void) => {
  let said = performance.now()
  return (done) => {
    if (performance.now() - said < 5_000) return
    said = performance.now()
    process.stderr.write(`${what}: ${done} of ${total}\n`)
  }
}

const HEADINGS = [
  'leases',
  'events',
  'events/s into a replica',
  'processor us an event, reader',
  'database',
  'events/s into tables',
  'octets a lease in the replica',
  'start from snapshot, s',
  'start from the beginning, s',
  'resident, MiB',
  'Kea memfile start, s',
  'resident, MiB',
]

const cells = (one: Measured): string[] => {
  const mebibytes = (bytes: number | undefined): string => (bytes === undefined ? '' : (bytes / 2 ** 20).toFixed(0))
  return [
    one.leases.toLocaleString('en'),
    one.events.toLocaleString('en'),
    Math.round(one.events / one.toReplicaSec).toLocaleString('en'),
    one.readerMicros.toFixed(2),
    one.databaseMicros.toFixed(2),
    Math.round(one.events / one.toTablesSec).toLocaleString('en'),
    one.bytesPerLease.toFixed(0),
    one.fromSnapshotSec.toFixed(2),
    one.fromBeginningSec.toFixed(2),
    mebibytes(one.residentBytes),
    one.keaSec?.toFixed(2) ?? '',
    mebibytes(one.keaResidentBytes),
  ]
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      leases: { type: 'string', default: '10000,100000' },
      'events-per-lease': { type: 'string', default: '2' },
      out: { type: 'string', default: 'build/bench' },
    },
  })
  const sizes = values.leases.split(',').map(Number)
  if (sizes.some((size) => !Number.isInteger(size) || size < 1)) throw new Error(`--leases: ${values.leases}`)
  const missing = labMissing()
  if (missing !== undefined) throw new Error(missing)
  const machine = await describeMachine()
  const lab = await Lab.open()
  let log = (): string => ''
  try {
    const network = await makeLinkNetwork(lab, 1)
    const { database, server } = await openBenchPostgres(lab, network.server)
    log = server.log
    const options = (name: string): PostgresOptions => ({
      hosts: [{ host: server.socketFolder, port: server.port }],
      database: name,
      user: server.user,
      statementTimeoutMs: 60_000,
    })
    const site: Site = { lab, network, database, options }
    const measured: Measured[] = []
    for (const leases of sizes) {
      measured.push(await measure(site, leases, leases * Number(values['events-per-lease'])))
      process.stderr.write(`${JSON.stringify(measured.at(-1))}\n`)
    }
    const about = `${machine.date}, ${machine.processor}, ${await database.describe()}, load ${loadAverage().toFixed(1)}`
    process.stdout.write(`${about}\n\n${table([HEADINGS, ...measured.map(cells)])}\n`)
    await must(['mkdir', '-p', values.out])
    await writeFile(join(values.out, 'replay.json'), JSON.stringify({ machine, measured }, null, 2))
  } catch (error) {
    process.stderr.write(log())
    throw error
  } finally {
    await lab.close()
  }
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench:replay: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
