/** One process that serves: its log, its signals, and what it says when it is ready. */
import * as E from 'fp-ts/lib/Either.js'
import { hostname } from 'node:os'
import { realTimer } from '../projections/timer.ts'
import { loadArguments } from './arguments.ts'
import type { Arguments } from './arguments.ts'
import type { Config } from './config/model.ts'
import { openLog } from './log.ts'
import type { ServiceLog } from './log.ts'
import { loadNative } from './net/native.ts'
import { inheritedSockets, ownSockets } from './net/socket-maker.ts'
import type { SocketMaker } from './net/socket-maker.ts'
import { start } from './start.ts'
import type { Running } from './start.ts'
import { workerName } from './worker.ts'
import type { WorkerReady, WorkerTask } from './worker.ts'

/** Serves until a signal ends the process; as one of several workers where there is a task. */
export const runService = async (args: Arguments, config: Config, worker: WorkerTask | undefined): Promise<void> => {
  const serverName = nameOf(config, worker)
  const opened = openLog(config.loggers, process.stdout.isTTY, worker === undefined ? {} : { server: serverName })
  const { log, flush } = opened
  if (worker === undefined) for (const warning of config.warnings) log.warn(warning)
  const fatal = (reason: string): void => {
    log.fatal(reason)
    flush()
    process.exit(1)
  }
  // Nobody is left to hold the sockets and the store: what is under way is settled by the client asking again.
  if (worker !== undefined) process.once('disconnect', () => fatal('the process above this worker is gone'))
  const running = await start(worker === undefined ? config : shareOf(config, worker), {
    serverName,
    serverPort4: args.port ?? 67,
    clientPort4: args.clientPort ?? 68,
    serverPort6: args.port ?? 547,
    clientPort6: args.clientPort ?? 546,
    log,
    now: Date.now,
    timer: realTimer,
    random: Math.random,
    sockets: socketsOf(worker, fatal),
    lane: worker === undefined ? undefined : { own: worker.number - 1, count: config.ledger.workers },
    storeMode: worker === undefined ? 'own' : 'share',
    onFatal: fatal,
  })
  if (E.isLeft(running)) return fatal(running.left)
  onSignals(running.right, opened, worker === undefined ? () => reload(args, running.right, opened) : undefined)
  if (worker === undefined) announce(args, running.right, opened, serverName)
  else tellAbove({ listening: running.right.listening, leases: running.right.replica.size })
}

const nameOf = (config: Config, worker: WorkerTask | undefined): string => {
  const server = config.ledger.serverName ?? hostname()
  return worker === undefined ? server : workerName(server, worker.number)
}

/** What a worker has for itself: its HTTP endpoint is on a port of its own. */
const shareOf = (config: Config, { number }: WorkerTask): Config => {
  const { http } = config.ledger
  if (http === undefined || http.port === 0) return config
  return { ...config, ledger: { ...config.ledger, http: { ...http, port: http.port + number - 1 } } }
}

const socketsOf = (worker: WorkerTask | undefined, fatal: (reason: string) => void): SocketMaker => {
  if (worker === undefined) return ownSockets
  const native = loadNative()
  if (E.isRight(native)) return inheritedSockets(native.right, worker.sockets)
  fatal(`workers need native socket calls: ${native.left}`)
  return ownSockets
}

const tellAbove = (ready: WorkerReady): void => void process.send?.(ready)

const announce = (args: Arguments, running: Running, { log }: ServiceLog, serverName: string): void => {
  for (const place of running.listening) log.info(`listening: ${place}`)
  if (running.stores.connection !== undefined) log.info(`query leases and events: psql '${running.stores.connection}'`)
  if (args.config.length === 0) {
    log.info('try: npm run -s ledger -- client --server 127.0.0.1 --port 6767 --clients 20')
    log.info('then: npm run -s ledger -- history 198.51.100.10')
  }
  log.info({ server: serverName, leases: running.replica.size, pid: process.pid }, 'lease-ledger ready')
}

const onSignals = (running: Running, { log, flush }: ServiceLog, reloads: (() => Promise<void>) | undefined): void => {
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
  // The process above a worker reads the configuration anew, and starts its workers again.
  process.on('SIGHUP', () => void reloads?.())
}

const reload = async (args: Arguments, running: Running, { log }: ServiceLog): Promise<void> => {
  const config = loadArguments(args)
  if (E.isLeft(config)) {
    log.error(`the configuration stays as it was: ${config.left}`)
    return
  }
  for (const warning of config.right.warnings) log.warn(warning)
  const reloaded = await running.reload(config.right)
  if (E.isLeft(reloaded)) log.error(`the configuration stays as it was: ${reloaded.left}`)
  else log.info({ listening: running.listening }, 'configuration reloaded')
}
