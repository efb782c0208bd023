/** The service's command line: `npm start -- -c kea-dhcp4.conf`. */
import { Command, InvalidArgumentError } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import { hostname } from 'node:os'
import packageJson from '../package.json' with { type: 'json' }
import { realTimer } from '../projections/timer.ts'
import { formatErrors, loadConfig } from './config/load.ts'
import type { Config } from './config/model.ts'
import { QUICK_START } from './cli/open.ts'
import { openLog } from './log.ts'
import type { ServiceLog } from './log.ts'
import { start } from './start.ts'
import type { Running } from './start.ts'

interface Arguments {
  readonly config: string[]
  readonly test: boolean
  readonly port?: number
  readonly clientPort?: number
  readonly serverName?: string
  readonly data?: string
}

const port = (text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 65535) throw new InvalidArgumentError('a UDP port is 1 to 65535')
  return value
}

const parse = (): Arguments =>
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

const collect = (file: string, files: string[]): string[] => [...files, file]

const load = (args: Arguments): E.Either<string, Config> => {
  const files = args.config.length > 0 ? args.config : [QUICK_START]
  const overrides = {
    ...(args.serverName === undefined ? {} : { serverName: args.serverName }),
    ...(args.data === undefined ? {} : { dataFolder: args.data }),
  }
  return E.mapLeft(formatErrors)(loadConfig(files, overrides))
}

const stopWith = (message: string): never => {
  process.stderr.write(`lease-ledger: ${message}\n`)
  process.exit(1)
}

const serve = async (args: Arguments, config: Config): Promise<void> => {
  const { log, flush } = openLog(config.loggers, process.stdout.isTTY)
  for (const warning of config.warnings) log.warn(warning)
  const serverName = config.ledger.serverName ?? hostname()
  const fatal = (reason: string): void => {
    log.fatal(reason)
    flush()
    process.exit(1)
  }
  const running = await start(config, {
    serverName,
    serverPort4: args.port ?? 67,
    clientPort4: args.clientPort ?? 68,
    serverPort6: args.port ?? 547,
    clientPort6: args.clientPort ?? 546,
    log,
    now: Date.now,
    timer: realTimer,
    random: Math.random,
    onFatal: fatal,
  })
  if (E.isLeft(running)) return fatal(running.left)
  onSignals(args, running.right, { log, flush })
  announce(args, running.right, { log, flush }, serverName)
}

const announce = (args: Arguments, running: Running, { log }: ServiceLog, serverName: string): void => {
  for (const place of running.listening) log.info(`listening: ${place}`)
  if (running.stores.connection !== undefined) log.info(`query leases and events: psql '${running.stores.connection}'`)
  if (args.config.length === 0) {
    log.info('try: npm run -s ledger -- client --server 127.0.0.1 --port 6767 --clients 20')
    log.info('then: npm run -s ledger -- history 198.51.100.10')
  }
  log.info({ server: serverName, leases: running.replica.size, pid: process.pid }, 'lease-ledger ready')
}

const onSignals = (args: Arguments, running: Running, { log, flush }: ServiceLog): void => {
  let stopping = false
  const stop = (signal: string): void => {
    if (stopping) return
    stopping = true
    log.info(`${signal}: stopping`)
    running.stop().then(
      () => {
        log.info('stopped')
        flush()
        process.exit(0)
      },
      (error: unknown) => {
        log.fatal({ error: String(error) }, 'could not stop cleanly')
        flush()
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGINT', () => stop('SIGINT'))
  process.on('SIGHUP', () => void reload(args, running, { log, flush }))
}

const reload = async (args: Arguments, running: Running, { log }: ServiceLog): Promise<void> => {
  const config = load(args)
  if (E.isLeft(config)) {
    log.error(`the configuration stays as it was: ${config.left}`)
    return
  }
  for (const warning of config.right.warnings) log.warn(warning)
  const reloaded = await running.reload(config.right)
  if (E.isLeft(reloaded)) log.error(`the configuration stays as it was: ${reloaded.left}`)
  else log.info({ listening: running.listening }, 'configuration reloaded')
}

const main = async (): Promise<void> => {
  const args = parse()
  const config = load(args)
  if (E.isLeft(config)) return stopWith(config.left)
  if (args.test) {
    for (const warning of config.right.warnings) process.stdout.write(`warning: ${warning}\n`)
    process.stdout.write('the configuration is valid\n')
    return
  }
  await serve(args, config.right)
}

await main()
