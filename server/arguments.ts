/** The service's command line, and the configuration it names. */
import { Command, InvalidArgumentError } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import packageJson from '../package.json' with { type: 'json' }
import { formatErrors, loadConfig } from './config/load.ts'
import type { Config } from './config/model.ts'
import { QUICK_START } from './cli/open.ts'

/** What the command line says. Ports are UDP ports, uint16. */
export interface Arguments {
  readonly config: string[]
  readonly test: boolean
  readonly port?: number
  readonly clientPort?: number
  readonly serverName?: string
  readonly data?: string
}

/** Reads the command line of this process; ends it with a message where that is wrong. */
export const parseArguments = (): Arguments =>
  new Command('lease-ledger')
    .description('DHCPv4 and DHCPv6 from an event-sourced ledger of leases')
    .version(packageJson.version, '-v, --version')
    .option('-c, --config <file>', 'configuration in Kea’s format; may be given more than once', collect, [])
    .option('-t, --test', 'check the configuration and stop', false)
    .option('-p, --port <port>', 'UDP port of the server (67; DHCPv6: 547)', port)
    .option('-P, --client-port <port>', 'UDP port of the clients (68; DHCPv6: 546)', port)
    .option('--server-name <name>', 'name under which this server keeps its log (default: the host name)')
    .option('--data <folder>', 'data folder of the embedded store')
    .parse()
    .opts<Arguments>()

const port = (text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 65535) throw new InvalidArgumentError('a UDP port is 1 to 65535')
  return value
}

const collect = (file: string, files: string[]): string[] => [...files, file]

/** Reads and checks the configuration; `Left` says all that is wrong with it, a line each. */
export const loadArguments = (args: Arguments): E.Either<string, Config> => {
  const files = args.config.length > 0 ? args.config : [QUICK_START]
  const overrides = {
    ...(args.serverName === undefined ? {} : { serverName: args.serverName }),
    ...(args.data === undefined ? {} : { dataFolder: args.data }),
  }
  return E.mapLeft(formatErrors)(loadConfig(files, overrides))
}
