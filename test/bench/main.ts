/**
 * `npm run bench`: Lease Ledger and Kea on the same machine, in the same run, at the same work. See README.md beside
 * this file for what is measured and how.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { keaMissing } from '../support/kea.ts'
import { mariadbMissing } from '../support/mariadb.ts'
import { Lab, labMissing, makeLinkNetwork } from '../support/namespaces.ts'
import { postgresMissing } from '../support/postgres.ts'
import { openBenchMariadb, openBenchPostgres } from './databases.ts'
import { describeMachine, loadAverage } from './machine.ts'
import type { Machine } from './machine.ts'
import { measureRound } from './measure.ts'
import type { Round, Stage } from './measure.ts'
import { HELP, readOptions } from './options.ts'
import type { BenchOptions } from './options.ts'
import { plot } from './plot.ts'
import { figuresOf, tables } from './report.ts'
import { median } from './search.ts'
import type { ServerName } from './servers.ts'
import type { WorkName } from './works.ts'

/** Where the first search for a server begins; each later one begins near what the earlier ones found. */
const FIRST_RATE = 800

const missingFor = (servers: ReadonlyArray<ServerName>): string | undefined => {
  const needs = (text: string): boolean => servers.some((server) => server.includes(text))
  return (
    labMissing('perfdhcp', 'nice') ??
    (needs('kea') ? keaMissing() : undefined) ??
    (needs('postgresql') ? postgresMissing() : undefined) ??
    (needs('mariadb') ? mariadbMissing() : undefined)
  )
}

const openStage = async (lab: Lab, servers: ReadonlyArray<ServerName>, say: Stage['say']) => {
  const network = await makeLinkNetwork(lab, 1)
  await network.clients[0]?.ip('addr add 198.18.0.2/24 dev eth0')
  const needs = (store: string): boolean => servers.some((server) => server.includes(store))
  const postgresql = needs('postgresql') ? (await openBenchPostgres(lab, network.server)).database : undefined
  const mariadb = needs('mariadb') ? (await openBenchMariadb(lab, network.server)).database : undefined
  const databases = {
    ...(postgresql === undefined ? {} : { postgresql }),
    ...(mariadb === undefined ? {} : { mariadb }),
  }
  const described = [await postgresql?.describe(), await mariadb?.describe()].filter((one) => one !== undefined)
  return { stage: { lab, network, databases, say }, described }
}

/** Every server in turn, round after round, so that what disturbs the machine for a while disturbs all alike. */
const measureAll = async (stage: Stage, options: BenchOptions): Promise<ReadonlyArray<Round>> => {
  const rounds: Round[] = []
  for (const work of options.works) {
    for (let turn = 1; turn <= options.rounds; turn++) {
      for (const server of options.servers) {
        // DHCPv6 has no setting for offers: those that are not claimed are always recorded.
        if (work.startsWith('sarr') && server.endsWith('+offers')) continue
        const known = rounds.filter((round) => round.work === work && round.server === server)
        rounds.push(
          await measureRound(stage, {
            ...options,
            server,
            work,
            from: known.length === 0 ? FIRST_RATE : Math.max(20, 0.8 * median(known.map(({ peak }) => peak ?? 100))),
            shares: turn === options.rounds ? options.shares : [],
            loadAverage: loadAverage(),
          }),
        )
      }
    }
  }
  return rounds
}

const writeResults = async (
  { out, works, seconds }: BenchOptions,
  rounds: ReadonlyArray<Round>,
  about: { readonly machine: Machine; readonly databases: ReadonlyArray<string> },
): Promise<string> => {
  const folder = join(out, about.machine.date.replaceAll(':', '-').slice(0, 19))
  await mkdir(folder, { recursive: true })
  const figures = figuresOf(rounds)
  const { machine, databases } = about
  await writeFile(join(folder, 'bench.json'), JSON.stringify({ ...about, figures, rounds }, null, 2))
  const loads = rounds.map((round) => round.loadAverage)
  const conditions = [
    `${machine.date}, ${machine.processor}, ${machine.memoryGib} GiB, Linux ${machine.kernel}, ` +
      `Node ${machine.node}, Kea ${machine.kea}, commit ${machine.commit}`,
    ...databases,
    `runs of ${seconds} s; load average at their beginning ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}`,
  ]
  const text = `${conditions.join('\n')}\n\n${tables(figures)}\n`
  await writeFile(join(folder, 'bench.md'), text)
  for (const work of works as ReadonlyArray<WorkName>) {
    const picture = plot(work, rounds, `${machine.date.slice(0, 10)}, ${machine.processor}, commit ${machine.commit}`)
    if (picture !== undefined) await writeFile(join(folder, `delay-${work}.svg`), picture)
  }
  return `${text}\nwritten to ${folder}\n`
}

const main = async (): Promise<void> => {
  const options = readOptions(process.argv.slice(2))
  if (options === 'help') return void process.stdout.write(HELP)
  const missing = missingFor(options.servers)
  if (missing !== undefined) throw new Error(missing)
  const machine = await describeMachine()
  const lab = await Lab.open()
  // A run that is interrupted takes its namespaces and servers down first.
  process.once('SIGINT', () => void lab.close().finally(() => process.exit(130)))
  try {
    const say = (text: string): void => void process.stderr.write(`${text}\n`)
    const { stage, described } = await openStage(lab, options.servers, say)
    const rounds = await measureAll(stage, options)
    process.stdout.write(await writeResults(options, rounds, { machine, databases: described }))
  } finally {
    await lab.close()
  }
}

await main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
