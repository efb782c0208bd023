/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util'
import { SERVERS } from './servers.ts'
import type { ServerName } from './servers.ts'
import { WORKS } from './works.ts'
import type { WorkName } from './works.ts'

export interface BenchOptions {
  readonly servers: ReadonlyArray<ServerName>
  readonly works: ReadonlyArray<WorkName>
  readonly rounds: number
  readonly seconds: number
  readonly probeSeconds: number
  readonly within: number
  /** Measures at this rate alone, exchanges a second, instead of searching for the highest. */
  readonly rate: number | undefined
  /** Shares of the highest rate for the plot, in the last round. */
  readonly shares: ReadonlyArray<number>
  readonly keaThreads: number | undefined
  readonly ledgerEnv: Readonly<Record<string, string>>
  /** Folder for the results. */
  readonly out: string
}

/** What `--help` prints. */
export const HELP = `npm run bench -- [options]
  --servers LIST      of ${SERVERS.join(',')}
                      or the beginnings of their names (ledger, kea-postgresql); default all
  --work LIST         of ${WORKS.join(',')}; default all
  --rounds N          searches for the highest rate, servers in turn; default 3
  --seconds N         length of a run; default 10
  --rate N            no search: delays and processor time at this rate, exchanges a second
  --quick             one round of short runs, and a coarse search
  --kea-threads N     packet threads of Kea; default Kea's own
  --profile FOLDER    processor profiles of Lease Ledger into FOLDER
  --out FOLDER        default build/bench
`

/** Reads the command line. Throws one sentence. */
export const readOptions = (words: ReadonlyArray<string>): BenchOptions | 'help' => {
  const { values } = parseArgs({
    args: [...words],
    options: {
      servers: { type: 'string', default: SERVERS.join() },
      work: { type: 'string', default: WORKS.join() },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      rate: { type: 'string' },
      quick: { type: 'boolean', default: false },
      'kea-threads': { type: 'string' },
      profile: { type: 'string' },
      out: { type: 'string', default: 'build/bench' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const { quick } = values
  const seconds = positive('seconds', values.seconds ?? (quick ? '4' : '10'))
  return {
    servers: chosen('server', SERVERS, values.servers),
    works: chosen('work', WORKS, values.work),
    rounds: positive('rounds', values.rounds ?? (quick ? '1' : '3')),
    seconds,
    probeSeconds: Math.min(seconds, 3),
    within: quick ? 1.15 : 1.06,
    rate: values.rate === undefined ? undefined : positive('rate', values.rate),
    shares: quick || values.rate !== undefined ? [] : [0.1, 0.25, 0.75, 0.9],
    keaThreads: values['kea-threads'] === undefined ? undefined : positive('kea-threads', values['kea-threads']),
    ledgerEnv: values.profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${values.profile}` },
    out: values.out,
  }
}

/** The positive whole number in the text of an option. Throws one sentence. */
export const positive = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: ${text} is no positive whole number`)
  return value
}

/** The names in a list; a name that is not one stands for all that begin with it. */
export const chosen = <A extends string>(what: string, all: ReadonlyArray<A>, list: string): ReadonlyArray<A> => {
  const found = list.split(',').flatMap((word) => {
    const exact = all.filter((name) => name === word)
    const matching = exact.length > 0 ? exact : all.filter((name) => name.startsWith(word))
    if (matching.length === 0) throw new Error(`there is no ${what} ${word}; there are ${all.join(', ')}`)
    return matching
  })
  return [...new Set(found)]
}
