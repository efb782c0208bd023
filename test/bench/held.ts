/**
 * `npm run bench:held`: whether a lease costs the same however many are held. A ledger is filled by `ledger import` with
 * the leases of a Kea lease file, the service starts on it, and new clients come at one rate.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { mariadbMissing } from '../support/mariadb.ts'
import { Lab, labMissing, makeLinkNetwork } from '../support/namespaces.ts'
import type { Network } from '../support/namespaces.ts'
import { postgresMissing } from '../support/postgres.ts'
import { until } from '../support/process.ts'
import type { Running } from '../support/process.ts'
import { makeLeaseLedger } from '../support/server-under-test.ts'
import { treeSeconds } from './cpu.ts'
import { openBenchMariadb, openBenchPostgres } from './databases.ts'
import type { BenchDatabase } from './databases.ts'
import { writeLeaseFile } from './ledger-sample.ts'
import { describeMachine, loadAverage } from './machine.ts'
import { withCost } from './measure.ts'
import type { Cost } from './measure.ts'
import { chosen, positive } from './options.ts'
import { table } from './report.ts'
import { median } from './search.ts'
import { dhcpConfig } from './servers.ts'
import { load } from './works.ts'
import type { Run } from './works.ts'

const STORES = ['postgresql', 'mariadb'] as const
type Store = (typeof STORES)[number]

/** Before what counts: a program that has just started is slower. */
const WARM_UP_RATE = 1_000
const WARM_UP_SEC = 4

/** A ledger that a run makes larger by more than this share is filled anew for the next. */
const GROWTH_MAX = 0.1

const CLI = join(import.meta.dirname, '../../server/ledger-cli.ts')

/** What was measured with one number of leases, in one round. */
interface Measured {
  readonly store: Store
  readonly leases: number
  readonly run: Run
  readonly cost: Cost
}

interface Site {
  readonly lab: Lab
  readonly network: Network
  readonly databases: Readonly<Record<Store, BenchDatabase>>
}

interface Load {
  readonly rate: number
  readonly seconds: number
}

/** A ledger with a number of leases, in a database of its own. */
interface Filled {
  readonly title: string
  readonly folder: string
  readonly config: object
}

let made = 0

/** Runs a command of `ledger` on a configuration, in the place where the databases can be reached. */
const ledger = async ({ network }: Site, folder: string, command: string, ...words: string[]): Promise<void> => {
  const whole = [process.execPath, CLI, command, '-c', join(folder, 'fill.json'), ...words]
  await network.server.must(whole, { timeoutMs: 600_000 })
}

const fill = async (site: Site, store: Store, leases: number): Promise<Filled> => {
  const title = `held_${process.pid}_${++made}`
  const folder = await site.lab.folder('held')
  const database = site.databases[store]
  const config = dhcpConfig(4, await database.fresh(title, false), { 'offer-lifetime': 0 })
  await writeFile(join(folder, 'fill.json'), JSON.stringify({ ...config, LeaseLedger: { 'server-name': 'filler' } }))
  await ledger(site, folder, 'import', await writeLeaseFile(folder, leases))
  await ledger(site, folder, 'replay')
  return { title, folder, config }
}

/** One run of new clients on a service that has just started, after a shorter one that does not count. */
const measure = async (site: Site, store: Store, leases: number, filled: Filled, task: Load): Promise<Measured> => {
  const database = site.databases[store]
  const processes: Running[] = []
  const server = makeLeaseLedger({
    folder: filled.folder,
    start: async (command, options) => {
      const running = await site.network.server.start(command, options)
      processes.push(running)
      return running
    },
  })
  const cpuSeconds = (): number => processes.reduce((sum, { pid }) => sum + treeSeconds(pid), 0)
  await server.start(filled.config)
  try {
    let expected = await rowsOf(database, filled.title)
    const offer = async (rate: number, seconds: number): Promise<Run> => {
      const run = await load(site.network, 'dora', rate, seconds)
      if (run.doubles > 0) throw new Error(`${run.doubles} addresses were given twice\n${server.logs()}`)
      expected += run.claims
      return run
    }
    await offer(WARM_UP_RATE, WARM_UP_SEC)
    const measured = await withCost({ cpuSeconds, databaseSeconds: database.cpuSeconds }, 'dora', () =>
      offer(task.rate, task.seconds),
    )
    await until('the lease tables', async () => (await rowsOf(database, filled.title)) >= expected || undefined, 60_000)
    return { store, leases, ...measured }
  } finally {
    await server.stop()
  }
}

const rowsOf = async (database: BenchDatabase, title: string): Promise<number> => {
  const [row] = await database.query(title, 'SELECT count(*) AS n FROM {}.lease4 WHERE state = 0')
  return Number(row?.n)
}

const HEADINGS = [
  'ledger in',
  'leases held',
  'grant p50 ms',
  'p99 ms',
  'offer p50 ms',
  'CPU s server',
  'database',
  'lost',
]

const cells = (rounds: ReadonlyArray<Measured>): string[] => {
  const [{ store, leases } = { store: '', leases: 0 }] = rounds
  const middle = (value: (one: Measured) => number | undefined, digits: number): string =>
    median(rounds.map(value).filter((one) => one !== undefined)).toFixed(digits)
  return [
    store,
    leases.toLocaleString('en'),
    middle(({ run }) => run.grantDelay?.p50, 2),
    middle(({ run }) => run.grantDelay?.p99, 2),
    middle(({ run }) => run.offerDelay?.p50, 2),
    middle(({ cost }) => cost.server, 3),
    middle(({ cost }) => cost.database, 3),
    `${middle(({ run }) => run.lost * 100, 1)} %`,
  ]
}

const readOptions = () => {
  const { values } = parseArgs({
    options: {
      leases: { type: 'string', default: '1000,10000,100000,1000000' },
      stores: { type: 'string', default: STORES.join() },
      rate: { type: 'string', default: '2000' },
      seconds: { type: 'string', default: '10' },
      rounds: { type: 'string', default: '3' },
      out: { type: 'string', default: 'build/bench' },
    },
  })
  return {
    sizes: values.leases.split(',').map((text) => positive('leases', text)),
    stores: chosen('store', STORES, values.stores),
    rate: positive('rate', values.rate),
    seconds: positive('seconds', values.seconds),
    rounds: positive('rounds', values.rounds),
    out: values.out,
  }
}

const main = async (): Promise<void> => {
  const { sizes, stores, rounds, out, ...task } = readOptions()
  const missing = labMissing('perfdhcp', 'nice') ?? postgresMissing() ?? mariadbMissing()
  if (missing !== undefined) throw new Error(missing)
  const machine = await describeMachine()
  const lab = await Lab.open()
  process.once('SIGINT', () => void lab.close().finally(() => process.exit(130)))
  try {
    const network = await makeLinkNetwork(lab, 1)
    await network.clients[0]?.ip('addr add 198.18.0.2/24 dev eth0')
    const postgresql = (await openBenchPostgres(lab, network.server)).database
    const mariadb = (await openBenchMariadb(lab, network.server)).database
    const site: Site = { lab, network, databases: { postgresql, mariadb } }
    const grown = WARM_UP_RATE * WARM_UP_SEC + task.rate * task.seconds
    const kept = new Map<string, Filled>()
    const measured: Measured[] = []
    // In turns, because the machine may be quicker at one time than at another.
    for (let round = 1; round <= rounds; round++) {
      for (const store of stores) {
        for (const leases of sizes) {
          const key = `${store} ${leases}`
          const filled = kept.get(key) ?? (await fill(site, store, leases))
          measured.push(await measure(site, store, leases, filled, task))
          process.stderr.write(`${JSON.stringify(measured.at(-1))}\n`)
          if (grown <= leases * GROWTH_MAX) kept.set(key, filled)
          else await site.databases[store].drop(filled.title)
        }
      }
    }
    const about = [
      `${machine.date}, ${machine.processor}, commit ${machine.commit}, load ${loadAverage().toFixed(1)}`,
      `${task.rate} DORA a second for ${task.seconds} s, ${rounds} rounds, medians`,
    ]
    const groups = Map.groupBy(measured, ({ store, leases }) => `${store} ${leases}`)
    process.stdout.write(`${about.join('\n')}\n\n${table([HEADINGS, ...[...groups.values()].map(cells)])}\n`)
    await mkdir(out, { recursive: true })
    await writeFile(join(out, 'held.json'), JSON.stringify({ machine, measured }, null, 2))
  } finally {
    await lab.close()
  }
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench:held: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
