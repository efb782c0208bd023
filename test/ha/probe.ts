/**
 * How long the database itself commits nothing: a writer beside the servers inserts a row now and then on one node, and
 * the longest time between two commits is what no server on top of it can undercut.
 */
import { createConnection } from 'mysql2/promise'
import type { Connection } from 'mysql2/promise'
import type { TestMariadb } from '../support/mariadb.ts'

/** A running probe. */
export interface Probe {
  /** Ends it and gives the moments of the commits, ms of Unix time. */
  readonly stop: () => Promise<ReadonlyArray<number>>
}

/** Between two inserts, ms. */
const STEP_MS = 25

/** Makes the table that probes write to. */
export const prepareProbes = async (node: TestMariadb): Promise<void> => {
  await node.query('CREATE DATABASE IF NOT EXISTS probe')
  await node.query('CREATE TABLE IF NOT EXISTS probe.beats (id BIGINT AUTO_INCREMENT PRIMARY KEY, at BIGINT)')
}

/** Begins to insert on a node over its Unix socket, which no cut of the network reaches. */
export const startProbe = (node: TestMariadb): Probe => {
  const commits: number[] = []
  let running = true
  let connection: Connection | undefined
  const beat = async (): Promise<void> => {
    connection ??= await connected(node)
    await connection.query(`INSERT INTO probe.beats (at) VALUES (${Date.now()})`)
    commits.push(Date.now())
  }
  const loop = (async () => {
    while (running) {
      await beat().catch(() => {
        connection?.destroy()
        connection = undefined
      })
      await new Promise((resolve) => setTimeout(resolve, STEP_MS))
    }
  })()
  return {
    stop: async () => {
      running = false
      const late = setTimeout(() => connection?.destroy(), 3_000)
      await loop
      clearTimeout(late)
      connection?.destroy()
      return commits
    },
  }
}

const connected = async ({ socketPath, user, password }: TestMariadb): Promise<Connection> => {
  const connection = await createConnection({ socketPath, user, password })
  connection.on('error', () => undefined)
  return connection
}

/** The longest time without a moment of the list between `from` and `to`, ms. */
export const longestGap = (moments: ReadonlyArray<number>, from: number, to: number): number => {
  const inside = moments.filter((at) => at >= from && at <= to).sort((a, b) => a - b)
  const ends = [from, ...inside, to]
  return Math.max(...ends.slice(1).map((at, index) => at - (ends[index] ?? at)))
}
