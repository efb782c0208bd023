/** What a worker process and the one above it tell each other: see workers.ts. */
import type { Descriptor } from './net/socket-maker.ts'

/** What a worker is told when it is started. */
export interface WorkerTask {
  /** From 1. */
  readonly number: number
  /** Sockets that are handed down; the descriptors are those in the worker. */
  readonly sockets: ReadonlyArray<Descriptor>
}

/** What a worker tells when it serves. */
export interface WorkerReady {
  readonly listening: ReadonlyArray<string>
  readonly leases: number
}

const VARIABLE = 'LEASE_LEDGER_WORKER'

/** The environment of a worker. */
export const workerEnvironment = (task: WorkerTask): Readonly<Record<string, string>> => ({
  [VARIABLE]: JSON.stringify(task),
})

/** The task of this process if it is a worker. */
export const workerFromEnvironment = (): WorkerTask | undefined => {
  const text = process.env[VARIABLE]
  return text === undefined ? undefined : (JSON.parse(text) as WorkerTask)
}

/** The name under which a worker keeps its log: `dhcp1#2`. */
export const workerName = (server: string, number: number): string => `${server}#${number}`

/** The server that a log belongs to, whichever of its workers keeps it. */
export const serverOf = (log: string): string => log.replace(/#\d+$/, '')

/** Whether the process that keeps this log does what a server does once: it has no workers, or is the first of them. */
export const isFirstWorker = (log: string): boolean => log === serverOf(log) || log === workerName(serverOf(log), 1)
