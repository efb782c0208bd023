/**
 * `npm run bench:append -- [--sizes 1,5,20,100,400] [--appends N] [--on postgres,embedded,mariadb]`: what a commit costs by the
 * number of its events, one commit after the other while nothing else runs: how long it takes, and the processor time of
 * this process and of the database. A claim that finds a commit under way waits for the rest of it and for its own: on average
 * one and a half of them, whatever else is made quicker.
 */
import { parseArgs } from 'node:util'
import { openMysql } from '../../adapters/mysql/open.ts'
import { openPostgres } from '../../adapters/postgres/open.ts'
import type { EventStore, Proposal } from '../../domain/event-store.ts'
import { batchOf, right } from '../contract/proposals.ts'
import { ALONE, startAlone } from './alone.ts'
import type { AloneName } from './alone.ts'
import { treeSeconds } from './cpu.ts'
import { proposalsOf } from './ledger-sample.ts'
import { chosen, positive } from './options.ts'
import { table } from './report.ts'

/** An empty ledger in a database that runs alone, and the process of that. */
interface Subject {
  readonly store: EventStore
  readonly pid: number
  readonly stop: () => Promise<void>
}

const LOG = 'bench'

const openSubject = async (name: AloneName): Promise<Subject> => {
  const { kind, options, pid, stop } = await startAlone(name)
  const store = right(await (kind === 'postgres' ? openPostgres(options, LOG) : openMysql(options, LOG))())
  return { store, pid, stop: () => store.close().then(stop) }
}

/** Appends before the clock runs: a program that has just started is still being compiled. */
const WARM_UP = 500

/** Appends of `size` events each, and what one of them costs; times in ms, processor time in µs. */
const measure = async ({ store, pid }: Subject, proposals: Iterator<Proposal>, size: number, appends: number) => {
  const appendOne = async (): Promise<number> => {
    const batch = Array.from({ length: size }, () => proposals.next().value as Proposal)
    const from = performance.now()
    right(await store.append(batchOf(...(batch as [Proposal, ...Proposal[]])))())
    return performance.now() - from
  }
  for (let n = 0; n < WARM_UP; n++) await appendOne()
  const before = { own: process.cpuUsage(), database: treeSeconds(pid) }
  const times: number[] = []
  for (let n = 0; n < appends; n++) times.push(await appendOne())
  const own = process.cpuUsage(before.own)
  times.sort((a, b) => a - b)
  return {
    p50: times[Math.floor(appends * 0.5)] as number,
    p99: times[Math.floor(appends * 0.99)] as number,
    here: (own.user + own.system) / appends,
    database: ((treeSeconds(pid) - before.database) * 1e6) / appends,
  }
}

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1,5,20,100,400' },
    appends: { type: 'string', default: '3000' },
    on: { type: 'string', default: 'postgres,embedded,mariadb' },
  },
})
const sizes = values.sizes.split(',').map((size) => positive('sizes', size))
const appends = positive('appends', values.appends)
const names = chosen('database', ALONE, values.on)
const rows: string[][] = []
for (const name of names) {
  const subject = await openSubject(name)
  try {
    const events = sizes.reduce((sum, size) => sum + size, 0) * (appends + WARM_UP)
    const proposals = proposalsOf({ leases: events, events, from: Date.now(), stepMs: 0 })
    for (const size of sizes) {
      const { p50, p99, here, database } = await measure(subject, proposals, size, appends)
      const figures = [p50.toFixed(2), p99.toFixed(2), here.toFixed(0), database.toFixed(0), (here / size).toFixed(1)]
      rows.push([name, String(size), ...figures, (database / size).toFixed(1)])
      console.error(rows.at(-1)?.join('  '))
    }
  } finally {
    await subject.stop()
  }
}
console.log(
  table([
    ['ledger in', 'events a commit', 'p50 ms', 'p99 ms', 'µs here', 'µs database', 'µs an event here', 'database'],
    ...rows,
  ]),
)
