/**
 * The DHCP server that the tests with real clients talk to: Lease Ledger, or Kea where the variable SERVER_UNDER_TEST
 * is `kea`, which shows whether an expectation comes from the protocol or from us.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeKea } from './kea.ts'
import { signalOne, start } from './process.ts'
import type { Running, StartOptions } from './process.ts'

/** A configuration in Kea's dialect, as an object: `Dhcp4`, `Dhcp6` or both, and `LeaseLedger`. */
export type ServerConfig = { readonly Dhcp4?: object; readonly Dhcp6?: object; readonly LeaseLedger?: object }

/** A server that can be started, crashed and started again on what it had stored. */
export interface ServerUnderTest {
  readonly kind: 'lease-ledger' | 'kea'
  /** Starts with this configuration; resolves when the server answers clients. */
  readonly start: (config: ServerConfig) => Promise<void>
  /** Starts again with the configuration and the stored leases of the last start. */
  readonly restart: () => Promise<void>
  /** SIGKILL to the server's own processes. */
  readonly sigkill: () => Promise<void>
  /** SIGTERM, and waits for the end. */
  readonly stop: () => Promise<void>
  /** All that every run has printed. */
  readonly logs: () => string
}

/** Where a server runs. */
export interface Place {
  /** Starts a program in the server's place, such as `Namespace.start`; default in the machine's own network. */
  readonly start?: (command: readonly string[], options?: StartOptions) => Promise<Running>
  /** Folder for configuration and data, which outlives restarts. */
  readonly folder: string
  /** UDP ports of server and clients when they are not the standard ones. */
  readonly serverPort?: number
  readonly clientPort?: number
}

/** The server that SERVER_UNDER_TEST names: `lease-ledger` (the default) or `kea`. */
export const serverKind = (): 'lease-ledger' | 'kea' => {
  const named = process.env.SERVER_UNDER_TEST ?? 'lease-ledger'
  if (named !== 'lease-ledger' && named !== 'kea') throw new Error(`SERVER_UNDER_TEST=${named} is not known`)
  return named
}

/** Makes the server under test; nothing runs before its `start`. */
export const makeServerUnderTest = (place: Place): ServerUnderTest =>
  serverKind() === 'kea' ? makeKea(place) : makeLeaseLedger(place)

const mainFile = fileURLToPath(new URL('../../server/main.ts', import.meta.url))

/** Lease Ledger from this source tree, on the data folder `data` in its place unless the configuration says another. */
export const makeLeaseLedger = (place: Place): ServerUnderTest => {
  let running: Running | undefined
  const ended: string[] = []
  const file = join(place.folder, 'lease-ledger.json')
  const ports = [
    ...(place.serverPort === undefined ? [] : ['-p', String(place.serverPort)]),
    ...(place.clientPort === undefined ? [] : ['-P', String(place.clientPort)]),
  ]
  const restart = async () => {
    running = await (place.start ?? start)([process.execPath, mainFile, '-c', file, ...ports])
    await running.printed(/lease-ledger ready/)
  }
  const ending = async (how: (server: Running) => Promise<unknown>) => {
    if (running === undefined) return
    const server = running
    running = undefined
    await how(server)
    ended.push(server.output())
  }
  return {
    kind: 'lease-ledger',
    start: async (config) => {
      await mkdir(place.folder, { recursive: true })
      const own = { 'server-name': 'test', 'data-folder': join(place.folder, 'data'), ...config.LeaseLedger }
      await writeFile(file, JSON.stringify({ ...config, LeaseLedger: own }, null, 2))
      await restart()
    },
    restart,
    // The service's process alone: what its store's processes do when it is gone is part of what is tested.
    sigkill: () => ending(async (server) => (signalOne(server.pid, 'SIGKILL'), server.exited)),
    stop: () => ending((server) => server.stop('SIGTERM')),
    logs: () => [...ended, running?.output() ?? ''].join(''),
  }
}
