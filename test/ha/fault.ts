/** Experiments of one shape: clients come steadily, something breaks, is mended, and everything is as before. */
import { until } from '../support/process.ts'
import { figuresOf } from './figures.ts'
import { longestGap, startProbe } from './probe.ts'
import { judge } from './row.ts'
import type { Bounds, Row } from './row.ts'
import { LINKS, nodeOf } from './stage.ts'
import type { Stage, Topology } from './stage.ts'

/** What breaks and how it is mended. Times in ms. */
export interface Fault extends Bounds {
  readonly name: string
  readonly topology: Topology
  /** Nodes that stay well, whose own standstill is measured. */
  readonly well: ReadonlyArray<number>
  readonly strike: (stage: Stage) => Promise<unknown>
  readonly mend: (stage: Stage) => Promise<unknown>
  /** How long it stays broken. */
  readonly brokenMs: number
  /** Each server hears every message that much later than the one before it. */
  readonly staggerMs?: number
  /** Exchanges a second that are begun, of each family. */
  readonly rate?: number
}

/** Leases that are there before, so that there is something to renew. */
const HELD_BEFORE = 60
const BEFORE_MS = 3_000
const AFTER_MS = 2_000

/** Servers on a fresh ledger in this topology, unless it is served already. */
export const serveTopology = async (stage: Stage, topology: Topology): Promise<void> => {
  if (stage.topology().join() !== topology.join()) await stage.serve(topology)
}

/** Plays one experiment. */
export const playFault = async (stage: Stage, fault: Fault): Promise<Row> => {
  const { crowd, galera } = stage
  await serveTopology(stage, fault.topology)
  await crowd.claim(HELD_BEFORE, 20, LINKS.wide)
  await crowd.take()
  const probes = galera === undefined ? [] : fault.well.map((node) => startProbe(nodeOf(galera, node)))
  const { rate = 30, staggerMs = 0 } = fault
  await crowd.steady({ fresh: rate, renew: rate / 2, rebind: rate / 4 }, LINKS.wide, staggerMs)
  await passed(BEFORE_MS)
  const from = Date.now() - 500
  await fault.strike(stage)
  await passed(fault.brokenMs)
  await fault.mend(stage)
  const back = await comeBack(stage)
  await passed(AFTER_MS)
  const to = Date.now()
  const record = await crowd.settle()
  const commits = await Promise.all(probes.map((probe) => probe.stop()))
  const verified = await stage.verify()
  const row = {
    name: fault.name,
    figures: ([4, 6] as const).map((family) => figuresOf(family, record, from, to)),
    databaseGapMs: commits.length === 0 ? undefined : Math.max(...commits.map((own) => longestGap(own, from, to))),
    duplicates: record.duplicates.length,
    lateRefusals: record.lateRefusals,
    back: back.words,
  }
  const faults = [...back.faults, ...(verified.ok ? [] : [`verify: ${verified.text}`])]
  return { ...row, faults: [...judge(row, fault), ...record.duplicates, ...faults] }
}

const passed = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** How long a server may need to return to the node that it prefers; it tries every 5 s. */
const BACK_MS_MAX = 20_000

/** Waits until every server grants again and stands with the node that it prefers. */
const comeBack = async (stage: Stage): Promise<{ readonly words: string; readonly faults: ReadonlyArray<string> }> => {
  const { galera } = stage
  const since = Date.now()
  const faults: string[] = []
  if (galera !== undefined) {
    for (const index of galera.nodes.keys()) await galera.settled(index, galera.nodes.length, 60_000)
    const synced = Date.now()
    for (const [index, preferred] of stage.topology().entries()) {
      const { address4 } = stage.servers[index] ?? { address4: '' }
      const connected = async (): Promise<boolean> => {
        const rows = await nodeOf(galera, preferred).query(
          `SELECT count(*) AS count FROM information_schema.processlist WHERE host LIKE '${address4}:%'`,
        )
        return Number(rows[0]?.['count']) >= 3
      }
      await until(`server ${index + 1} with node ${preferred + 1}`, connected, BACK_MS_MAX).catch((error: Error) =>
        faults.push(error.message.trim()),
      )
    }
    const words = `on their nodes ${((Date.now() - synced) / 1_000).toFixed(1)} s after those were synced`
    return { words: faults.length === 0 ? words : 'no', faults }
  }
  return { words: `${((Date.now() - since) / 1_000).toFixed(1)} s`, faults }
}
