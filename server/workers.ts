/**
 * Several processes that serve together on one machine (`LeaseLedger.workers`), so that a server has more than one
 * processor. Each is a server on the ledger like any other, with a log and a replica of its own, and decides by the same
 * rules; nothing else holds them together. This process opens the sockets and the embedded database for them, starts them,
 * starts those again that die, and serves nobody itself.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { loadArguments } from './arguments.ts'
import type { Arguments } from './arguments.ts'
import type { Config } from './config/model.ts'
import { listen4 } from './dhcp4/listen.ts'
import { listen6 } from './dhcp6/listen.ts'
import { openLog } from './log.ts'
import type { ServiceLog } from './log.ts'
import { loadNative } from './net/native.ts'
import type { OpenSockets } from './net/open-all.ts'
import { reservedSockets } from './net/socket-maker.ts'
import type { Descriptor } from './net/socket-maker.ts'
import { holdStore } from './stores.ts'
import type { HeldStore } from './stores.ts'
import { workerEnvironment, workerName } from './worker.ts'
import type { WorkerReady } from './worker.ts'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
/** Descriptors 0 to 2 are the standard ones, 3 is the channel to this process. */
const FIRST_DESCRIPTOR = 4
const RESTART_PAUSE_MS = 1_000

/** Starts the workers of the configuration and looks after them until a signal ends the process. */
export const runWorkers = async (args: Arguments, config: Config): Promise<void> => {
  const opened = openLog(config.loggers, process.stdout.isTTY)
  const { log, flush } = opened
  for (const warning of config.warnings) log.warn(warning)
  if (config.dhcp6?.serverId?.persist === false) {
    log.warn('server-id: "persist": false has no effect with workers, which have one DUID through the store')
  }
  const end = (reason: string): void => {
    log.fatal(reason)
    flush()
    process.exit(1)
  }
  const sockets = await reserve(args, config, opened)
  if (E.isLeft(sockets)) return end(sockets.left)
  const store = await holdStore(config, log)
  if (E.isLeft(store)) return end(store.left)
  const workers = new Workers(config, sockets.right, opened)
  onSignals(args, config, { workers, store: store.right }, opened)
  void store.right.failed.then(async (reason) => {
    await workers.stop()
    end(reason)
  })
  const started = await workers.start()
  if (E.isLeft(started)) {
    await workers.stop()
    await store.right.stop()
    return end(started.left)
  }
  for (const place of started.right.listening) log.info(`listening: ${place}`)
  if (store.right.connection !== undefined) log.info(`query leases and events: psql '${store.right.connection}'`)
  const { leases } = started.right
  log.info(
    { server: serverName(config), workers: config.ledger.workers, leases, pid: process.pid },
    'lease-ledger ready',
  )
}

const serverName = (config: Config): string => config.ledger.serverName ?? hostname()

/** Binds all sockets of the configuration. Only the descriptors matter here: nothing is read from them. */
const reserve = async (
  args: Arguments,
  { dhcp4, dhcp6 }: Config,
  { log }: ServiceLog,
): Promise<Either<string, ReadonlyArray<Descriptor>>> => {
  const native = loadNative()
  if (E.isLeft(native)) return E.left(`workers need native socket calls, set workers to 1: ${native.left}`)
  const descriptors: Descriptor[] = []
  const sockets = reservedSockets(native.right, (descriptor) => descriptors.push(descriptor))
  const common = { now: Date.now, log, receive: () => undefined, sockets }
  const ports = (server: number, client: number) => ({ server: args.port ?? server, client: args.clientPort ?? client })
  const opened: OpenSockets[] = []
  for (const open of [
    ...(dhcp4 === undefined ? [] : [() => listen4({ ...common, interfaces: dhcp4.interfaces, ports: ports(67, 68) })]),
    ...(dhcp6 === undefined
      ? []
      : [() => listen6({ ...common, interfaces: dhcp6.interfaces, ports: ports(547, 546) })]),
  ]) {
    const sockets = await open()
    if (E.isRight(sockets)) opened.push(sockets.right)
    else {
      for (const one of opened) await one.close()
      return E.left(sockets.left.message)
    }
  }
  return E.right(descriptors)
}

/** A worker process that was started. */
interface Child {
  readonly process: ChildProcess
  /** Resolves when it serves, with undefined when it ended before. */
  readonly ready: Promise<WorkerReady | undefined>
  readonly ended: Promise<void>
}

class Workers {
  readonly #config: Config
  readonly #sockets: ReadonlyArray<Descriptor>
  readonly #log: ServiceLog['log']
  /** By the worker's number less one. */
  readonly #children: Child[] = []
  /** Workers that are being replaced, whose end is no failure. */
  readonly #replaced = new WeakSet<Child>()
  #stopping = false

  constructor(config: Config, sockets: ReadonlyArray<Descriptor>, { log }: ServiceLog) {
    this.#config = config
    this.#sockets = sockets
    this.#log = log
  }

  /** Starts all; the first one alone, since it may have to make the tables. `Left` is one sentence. */
  async start(): Promise<Either<string, WorkerReady>> {
    const first = await this.#launch(1).ready
    if (first === undefined) return E.left('worker 1 does not start: the line above says why')
    const numbers = Array.from({ length: this.#config.ledger.workers - 1 }, (_, index) => index + 2)
    await Promise.all(numbers.map((number) => this.#launch(number).ready))
    return E.right(first)
  }

  /** Replaces the workers one after the other, so that somebody always serves. They read the configuration anew. */
  async replace(): Promise<void> {
    for (let number = 1; number <= this.#children.length && !this.#stopping; number++) {
      const child = this.#children[number - 1]
      if (child === undefined) continue
      this.#replaced.add(child)
      child.process.kill('SIGTERM')
      await child.ended
      if (!this.#stopping) await this.#launch(number).ready
    }
  }

  /** Ends all in order and waits for it. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const { process: child } of this.#children) child.kill('SIGTERM')
    await Promise.all(this.#children.map(({ ended }) => ended))
  }

  #launch(number: number): Child {
    const sockets = this.#sockets.map(({ key }, index) => ({ key, fd: FIRST_DESCRIPTOR + index }))
    const child = spawn(process.execPath, [...process.execArgv, MAIN, ...process.argv.slice(2)], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...this.#sockets.map(({ fd }) => fd)],
      env: { ...process.env, ...workerEnvironment({ number, sockets }) },
    })
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.once('error', () => resolve())
    })
    const ready = new Promise<WorkerReady | undefined>((resolve) => {
      child.once('message', (message) => resolve(message as WorkerReady))
      void ended.then(() => resolve(undefined))
    })
    const launched: Child = { process: child, ready, ended }
    this.#children[number - 1] = launched
    void this.#watch(number, launched)
    return launched
  }

  /** Starts a worker again that ended by itself after it had served. */
  async #watch(number: number, child: Child): Promise<void> {
    const served = (await child.ready) !== undefined
    await child.ended
    if (this.#stopping || this.#replaced.has(child)) return
    const { exitCode, signalCode } = child.process
    const worker = workerName(serverName(this.#config), number)
    this.#log.error({ worker, exitCode, signalCode }, 'a worker has ended: it is started again')
    // The first start of the first worker decides whether the service starts at all.
    if (!served && number === 1 && this.#children.length === 1) return
    setTimeout(() => void (this.#stopping || this.#launch(number)), RESTART_PAUSE_MS)
  }
}

const onSignals = (
  args: Arguments,
  first: Config,
  { workers, store }: { readonly workers: Workers; readonly store: HeldStore },
  { log, flush }: ServiceLog,
): void => {
  let stopping = false
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return
    stopping = true
    log.info(`${signal}: stopping`)
    await workers.stop()
    await store.stop()
    log.info('stopped')
    flush()
    process.exit(0)
  }
  process.on('SIGTERM', () => void stop('SIGTERM'))
  process.on('SIGINT', () => void stop('SIGINT'))
  let inForce = first
  process.on('SIGHUP', () => {
    const next = loadArguments(args)
    if (E.isLeft(next)) return log.error(`the configuration stays as it was: ${next.left}`)
    for (const warning of next.right.warnings) log.warn(warning)
    const fixed = ({ store, ledger, dhcp4, dhcp6 }: Config) => [store, ledger, dhcp4?.interfaces, dhcp6?.interfaces]
    if (!isDeepStrictEqual(fixed(inForce), fixed(next.right))) {
      return log.error(
        'the configuration stays as it was: with workers, a change of lease-database, LeaseLedger or interfaces-config ' +
          'needs a restart of the service',
      )
    }
    inForce = next.right
    void workers.replace().then(() => log.info('configuration reloaded'))
  })
}
