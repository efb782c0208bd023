/**
 * Leases granted a second, and SQL statements for each, by one server and by several on one Galera cluster: 64 clients of
 * each family begin at one moment, wave after wave, and a relay sends every message to all servers.
 *
 * `node test/ha/throughput.ts [clients of each family]` prints a table. Needs root, MariaDB and galera-4.
 */
import { galeraMissing } from '../support/mariadb.ts'
import { labMissing } from '../support/namespaces.ts'
import { nodeOf, openStage, LINKS } from './stage.ts'
import type { Stage, Topology } from './stage.ts'

const TOGETHER = 64
const NODES = [0, 1, 2]

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

interface Line {
  readonly name: string
  readonly granted: number
  readonly failed: number
  readonly perSecond: number
  readonly perLease: number
}

const measure = async (stage: Stage, name: string, clients: number): Promise<Line> => {
  const { crowd } = stage
  await crowd.claim(4 * TOGETHER, TOGETHER, LINKS.wide)
  await crowd.take()
  const before = await statements(stage)
  const from = performance.now()
  await crowd.claim(clients, TOGETHER, LINKS.wide)
  const seconds = (performance.now() - from) / 1_000
  const executed = (await statements(stage)) - before
  const { deeds, duplicates } = await crowd.take()
  if (duplicates.length > 0) throw new Error(duplicates.join('\n'))
  const claims = deeds.filter(({ claimed }) => claimed)
  const granted = claims.filter(({ end }) => end === 'granted').length
  const failed = claims.length - granted
  return { name, granted, failed, perSecond: granted / seconds, perLease: executed / granted }
}

const missing = labMissing() ?? galeraMissing()
if (missing !== undefined) {
  console.error(missing)
  process.exit(2)
}
const stage = await openStage('galera')
const lines: Line[] = []
try {
  for (const [name, topology, own] of TOPOLOGIES) {
    await stage.serve(topology, own)
    lines.push(await measure(stage, name, Number(process.argv[2] ?? 3_200)))
    console.error(lines.at(-1))
  }
} finally {
  await stage.close()
}
const [alone] = lines
console.log('| servers | leases granted | failed claims | leases a second | of one server’s | SQL statements a lease |')
console.log('| --- | ---: | ---: | ---: | ---: | ---: |')
for (const { name, granted, failed, perSecond, perLease } of lines) {
  const share = (perSecond / (alone?.perSecond ?? NaN)).toFixed(2)
  console.log(`| ${name} | ${granted} | ${failed} | ${perSecond.toFixed(0)} | ${share} | ${perLease.toFixed(2)} |`)
}
