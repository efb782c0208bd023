/** One round with one server at one kind of work: its highest rate, delays up to it, processor time, what it left. */
import type { Lab, Network } from '../support/namespaces.ts'
import { until } from '../support/process.ts'
import { findPeak } from './search.ts'
import { startBenchServer } from './servers.ts'
import type { BenchServer, Databases, Found, ServerName } from './servers.ts'
import { LEASES_PER_EXCHANGE, load } from './works.ts'
import type { Run, WorkName } from './works.ts'

/** Processor seconds for 1,000 leases granted or renewed. */
export interface Cost {
  readonly server: number
  readonly database: number
}

/** What a round found. */
export interface Round {
  readonly server: ServerName
  readonly work: WorkName
  /** Exchanges a second completed at the highest rate that was carried; undefined when not even the lowest was. */
  readonly peak: number | undefined
  readonly limitedByLoad: boolean
  /** At half of the highest rate, or at the one rate that was asked for. */
  readonly half: Run | undefined
  readonly cost: Cost | undefined
  /** Every run: those of the search, and those at shares of the highest rate for the plot. */
  readonly runs: ReadonlyArray<Run>
  /** Exchanges that perfdhcp saw completed in all runs of the round, renewals apart. */
  readonly claims: number
  readonly renewals: number
  readonly found: Found
  /** Load average of the machine over one minute when the round began. */
  readonly loadAverage: number
}

export interface RoundOptions {
  readonly server: ServerName
  readonly work: WorkName
  /** Measured alone instead of a search. */
  readonly rate: number | undefined
  /** Where the search begins. */
  readonly from: number
  readonly within: number
  readonly seconds: number
  readonly probeSeconds: number
  /** Shares of the highest rate at which delays are measured for the plot, beside the half. */
  readonly shares: ReadonlyArray<number>
  readonly keaThreads: number | undefined
  readonly ledgerEnv: Readonly<Record<string, string>>
  readonly loadAverage: number
}

/** Where rounds happen. */
export interface Stage {
  readonly lab: Lab
  readonly network: Network
  readonly databases: Databases
  readonly say: (text: string) => void
}

/**
 * What comes before a measurement at one rate alone. Node compiles what has run often, which takes it some ten thousand
 * exchanges; Kea comes compiled.
 */
const warmUpOf = (server: ServerName, rate: number): readonly [ratePerSec: number, seconds: number] =>
  server.startsWith('ledger') ? [2_000, 10] : [Math.min(rate, 1_000), 2]

/** Measures a server on an empty database. Rejects with the server's log when it gave an address to two clients. */
export const measureRound = async (stage: Stage, options: RoundOptions): Promise<Round> => {
  const { work, seconds, probeSeconds, keaThreads, ledgerEnv } = options
  const family = work === 'dora' || work === 'dora-renew' ? 4 : 6
  const server = await startBenchServer(options.server, stage, { family, keaThreads, ledgerEnv })
  try {
    const runs: Run[] = []
    const run = async (ratePerSec: number, forSeconds: number): Promise<Run> => {
      const done = await load(stage.network, work, ratePerSec, forSeconds)
      if (done.doubles > 0) throw new Error(`${server.name} gave ${done.doubles} addresses twice\n${server.logs()}`)
      stage.say(describeRun(server.name, work, done))
      runs.push(done)
      return done
    }
    const { rate } = options
    if (rate !== undefined) await run(...warmUpOf(server.name, rate))
    const peak =
      rate !== undefined
        ? undefined
        : await findPeak({
            from: options.from,
            within: options.within,
            run: (ratePerSec, isProbe) => run(ratePerSec, isProbe ? probeSeconds : seconds),
          })
    // Lease Ledger writes its tables for some time after that, most after a search, which asks more than a server can do.
    await settled(server, runs, work)
    const best = peak?.best
    const half = rate ?? (best === undefined ? undefined : best.completed / 2)
    const halved = half === undefined ? undefined : await withCost(server, work, () => run(half, seconds))
    if (best !== undefined) for (const share of options.shares) await run(best.completed * share, seconds)
    const found = await settled(server, runs, work)
    return {
      server: server.name,
      work,
      peak: rate === undefined ? best?.completed : halved?.run.completed,
      limitedByLoad: peak?.limitedByLoad ?? false,
      half: halved?.run,
      cost: halved?.cost,
      runs,
      claims: sumOf(runs, (one) => one.claims),
      renewals: sumOf(runs, (one) => one.renewals),
      found,
      loadAverage: options.loadAverage,
    }
  } finally {
    await server.stop()
  }
}

const sumOf = (runs: ReadonlyArray<Run>, value: (run: Run) => number): number =>
  runs.reduce((sum, run) => sum + value(run), 0)

/** A run with the processor time that it cost, up to when the database and the lease tables have come to rest. */
export const withCost = async (
  server: Pick<BenchServer, 'cpuSeconds' | 'databaseSeconds'>,
  work: WorkName,
  run: () => Promise<Run>,
): Promise<{ readonly run: Run; readonly cost: Cost }> => {
  const before = { server: server.cpuSeconds(), database: server.databaseSeconds() }
  const done = await run()
  const thousands = (done.claims * LEASES_PER_EXCHANGE[work] + done.renewals) / 1000
  const cost = {
    server: (server.cpuSeconds() - before.server) / thousands,
    database: (server.databaseSeconds() - before.database) / thousands,
  }
  return { run: done, cost }
}

/** What is in the tables when they stand still: Lease Ledger's follow the ledger by some ten milliseconds. */
const settled = async (server: BenchServer, runs: ReadonlyArray<Run>, work: WorkName): Promise<Found> => {
  let last: Found | undefined
  const leases = sumOf(runs, (run) => run.claims) * LEASES_PER_EXCHANGE[work]
  return until(
    'lease tables that stand still',
    async () => {
      const found = await server.found()
      const still = last?.rows === found.rows && found.rows >= leases
      last = found
      return still ? found : undefined
    },
    60_000,
    () => `${JSON.stringify(last)}, ${leases} leases were granted\n${server.logs()}`,
  )
}

const describeRun = (server: ServerName, work: WorkName, { asked, completed, lost, grantDelay }: Run): string =>
  `${server.padEnd(24)} ${work.padEnd(10)} ${String(asked).padStart(6)}/s asked, ${completed.toFixed(0).padStart(6)}/s done, ` +
  `${(lost * 100).toFixed(1).padStart(5)} % lost, ${grantDelay?.p50.toFixed(2) ?? '-'} ms`
