/** What the commands share: the configuration, the stores behind it, and the ways their arguments are written. */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { Option } from 'commander'
import type { Command } from 'commander'
import { fileURLToPath } from 'node:url'
import type { Instant } from '../../domain/instant.ts'
import { streamFromText } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { formatErrors, loadConfig } from '../config/load.ts'
import type { Config } from '../config/model.ts'
import { openForReading } from '../stores.ts'
import type { ReadStores } from '../stores.ts'
import { fail } from './fail.ts'

/** The configuration that is served, and asked, when none is named. */
export const QUICK_START = fileURLToPath(new URL('../config/quick-start.json', import.meta.url))

/** Options that say which ledger is meant. */
export interface LedgerArguments {
  readonly config: string[]
  readonly data?: string
}

/** Adds `-c` and `--data` to a command. */
export const withLedgerOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('-c, --config <file>', 'configuration of the service; may be given more than once')
        .argParser(collect)
        .default([]),
    )
    .option('--data <folder>', 'data folder of the embedded store')

const collect = (file: string, files: string[]): string[] => [...files, file]

/** Reads the configuration; ends the process with what is wrong with it. */
export const configOf = (args: LedgerArguments): Config => {
  const files = args.config.length > 0 ? args.config : [QUICK_START]
  const loaded = loadConfig(files, args.data === undefined ? {} : { dataFolder: args.data })
  return E.isRight(loaded) ? loaded.right : fail(formatErrors(loaded.left))
}

/** Opens the ledger for reading, runs `act`, and closes it whatever happens. */
export const withReader = async (
  args: LedgerArguments,
  act: (stores: ReadStores, config: Config) => Promise<void>,
): Promise<void> => {
  const config = configOf(args)
  const stores = await openForReading(config)
  if (E.isLeft(stores)) return fail(stores.left)
  try {
    await act(stores.right, config)
  } finally {
    await stores.right.close()
  }
}

/** The value of an answer from a store; ends the process with the reason when there is none. */
export const orFail = <A>(answer: E.Either<{ readonly reason: string }, A>): A =>
  E.isRight(answer) ? answer.right : fail(answer.left.reason)

/** The stream that an address or prefix names. */
export const streamArgument = (text: string): StreamName => {
  const stream = streamFromText(text)
  return O.isSome(stream) ? stream.value : fail(`${text} is neither an address nor a prefix such as 2001:db8::/56`)
}

/** A moment in any ISO 8601 form with a zone, or local time without one; seconds since 1970 as `@1780000000`. */
export const instantArgument = (text: string): Instant => {
  const at = /^@\d+$/.test(text) ? Number(text.slice(1)) * 1000 : Date.parse(text)
  return Number.isNaN(at) ? fail(`${text} is not a time such as 2026-03-03T14:05:00+01:00`) : at
}
