/**
 * Leases granted a second, and SQL statements for each, by one server and by several on one Galera cluster: 64 clients of
 * each family begin at one moment, wave after wave, and a relay sends every message to all servers.
 *
 * `npm run ha:throughput -- [--clients N] [--only PATTERN] [--rounds N]` prints a table: N clients of each family in each round,
 * the servers whose line fits the pattern, medians of the rounds. They take turns, because the machine may be quicker at one
 * time than at another. The run ends with an error when an address was granted twice, or when the ledger and its tables are not in
 * order afterwards. Needs root, MariaDB and galera-4.
 */
import { parseArgs } from 'node:util'
import { commandOf, secondsOf } from '../bench/cpu.ts'
import { table } from '../bench/report.ts'
import { median } from '../bench/search.ts'
import { galeraMissing } from '../support/mariadb.ts'
import { labMissing } from '../support/namespaces.ts'
import { descendants } from '../support/process.ts'
import { nodeOf, openStage, LINKS } from './stage.ts'
import type { Stage, Topology } from './stage.ts'

const TOGETHER = 64
/** Clients of each family that are served before the clock runs: a program that has just started is still being compiled. */
const WARM_UP = 400 * TOGETHER
const NODES = [0, 1, 2]

/** The nodes hold all data in memory: with less, what is measured is how soon they write pages out and read them again. */
const ROOMY = { settings: { 'innodb-buffer-pool-size': '2G' } }

const SHARED = { 'load-balancing': true }

const TOPOLOGIES: ReadonlyArray<readonly [string, Topology, object]> = [
  ['1 server', [0], {}],
  ['2 servers on 2 nodes', [0, 1], {}],
  ['4 servers on 2 nodes', [0, 1, 0, 1], {}],
  ['4 servers on 1 node', [0, 0, 0, 0], {}],
  ['2 servers on 2 nodes, load-balancing', [0, 1], SHARED],
  ['4 servers on 2 nodes, load-balancing', [0, 1, 0, 1], SHARED],
]

/** Statements that the nodes have executed for clients since they started. */
const statements = async ({ galera }: Stage): Promise<number> => {
  const rows = await Promise.all(NODES.map((node) => nodeOf(galera, node).query(`SHOW GLOBAL STATUS LIKE 'Questions'`)))
  return rows.reduce((sum, [row]) => sum + Number(row?.['Value']), 0)
}

/** Who spends processor time, and by what their command lines are known. */
const SPENDERS = { servers: 'server/main.ts', nodes: 'mariadbd', clients: 'crowd-process.ts' } as const
type Spender = keyof typeof SPENDERS
const spenders = Object.keys(SPENDERS) as ReadonlyArray<Spender>

/** Processor seconds of each so far, of the processes that run now. */
const spent = (): Readonly<Record<Spender, number>> => {
  const sums = { servers: 0, nodes: 0, clients: 0 }
  for (const pid of descendants(process.pid)) {
    const command = commandOf(pid)
    const spender = spenders.find((each) => command.includes(SPENDERS[each]))
    if (spender !== undefined) sums[spender] += secondsOf(pid)
  }
  return sums
}

interface Line {
  readonly name: string
  readonly granted: number
  readonly failed: number
  readonly perSecond: number
  readonly perLease: number
  /** Processor ms a lease. */
  readonly cpuMs: Readonly<Record<Spender, number>>
}

const measure = async (stage: Stage, name: string, clients: number): Promise<Line> => {
  const { crowd } = stage
  await crowd.claim(WARM_UP, TOGETHER, LINKS.wide)
  await crowd.take()
  const before = await statements(stage)
  const spentBefore = spent()
  const from = performance.now()
  await crowd.claim(clients, TOGETHER, LINKS.wide)
  const seconds = (performance.now() - from) / 1_000
  const spentAfter = spent()
  const executed = (await statements(stage)) - before
  const { deeds, duplicates } = await crowd.take()
  if (duplicates.length > 0) throw new Error(duplicates.join('\n'))
  const verified = await stage.verify()
  if (!verified.ok) throw new Error(`verify: ${verified.text}`)
  const claims = deeds.filter(({ claimed }) => claimed)
  const granted = claims.filter(({ end }) => end === 'granted').length
  const failed = claims.length - granted
  const cpuOf = (spender: Spender): number => ((spentAfter[spender] - spentBefore[spender]) * 1_000) / granted
  const cpuMs = { servers: cpuOf('servers'), nodes: cpuOf('nodes'), clients: cpuOf('clients') }
  return { name, granted, failed, perSecond: granted / seconds, perLease: executed / granted, cpuMs }
}

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '12800' },
    only: { type: 'string', default: '' },
    rounds: { type: 'string', default: '3' },
  },
})
const missing = labMissing() ?? galeraMissing()
if (missing !== undefined) {
  console.error(missing)
  process.exit(2)
}
const stage = await openStage('galera', ROOMY)
const lines: Line[] = []
try {
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const [name, topology, own] of TOPOLOGIES.filter(([each]) => new RegExp(values.only).test(each))) {
      await stage.serve(topology, own)
      lines.push(await measure(stage, name, Number(values.clients)))
      console.error(lines.at(-1))
    }
  }
} finally {
  await stage.close()
}
const headings = [
  'servers',
  'leases granted',
  'failed claims',
  'leases a second',
  'spread',
  'of one server’s',
  'SQL statements a lease',
]
const ofAll = (name: string, value: (line: Line) => number): ReadonlyArray<number> =>
  lines.filter((line) => line.name === name).map(value)
const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((one, other) => one + other, 0)
const rates = (name: string): ReadonlyArray<number> => ofAll(name, ({ perSecond }) => perSecond)
const [alone] = lines
const rows = [...new Set(lines.map(({ name }) => name))].map((name) => [
  name,
  String(sum(ofAll(name, ({ granted }) => granted))),
  String(sum(ofAll(name, ({ failed }) => failed))),
  median(rates(name)).toFixed(0),
  `${Math.min(...rates(name)).toFixed(0)}–${Math.max(...rates(name)).toFixed(0)}`,
  (median(rates(name)) / median(rates(alone?.name ?? ''))).toFixed(2),
  median(ofAll(name, ({ perLease }) => perLease)).toFixed(2),
  ...spenders.map((spender) => median(ofAll(name, ({ cpuMs }) => cpuMs[spender])).toFixed(2)),
])
console.log(table([[...headings, ...spenders.map((spender) => `CPU ms a lease, ${spender}`)], ...rows]))
