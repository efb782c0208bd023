/**
 * What every store on a database server of SQL must do when that server is frozen, killed, damaged, one of several hosts,
 * or not set up for us. See event-store-faults.ts for connections that are lost.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NO_STREAM, START } from '../../domain/event-store.ts'
import type { EventReader, EventStore, LogName, LogTaken, ReadError } from '../../domain/event-store.ts'
import { freePort } from '../support/ports.ts'
import { until } from '../support/process.ts'
import { batchOf, claim, claims, must, streamAt } from './proposals.ts'
import { eventStoreFaults } from './event-store-faults.ts'
import { PATIENT, QUICK } from './limits.ts'
import { carriedOut, endOf } from './settling.ts'
import { startProxy } from './proxy.ts'

/** Where a database is and who uses it, as far as all databases have the same words for it. */
export interface DatabaseOptions {
  readonly hosts: ReadonlyArray<{ readonly host: string; readonly port: number }>
  readonly database: string
  readonly user: string
  readonly password?: string
  readonly connectTimeoutMs?: number
  readonly statementTimeoutMs?: number
  readonly preferAgainMs?: number
}

/** A database server, and the store that is made for it. */
export interface DatabaseServer {
  readonly host: string
  readonly port: number
  /** The other way to the same server. */
  readonly socket: { readonly host: string; readonly port: number }
  readonly user: string
  readonly password?: string
  readonly kill: () => Promise<void>
  readonly restart: () => Promise<void>
  readonly pause: () => void
  readonly resume: () => void
  readonly createDatabase: (name: string) => Promise<unknown>
  readonly open: (options: DatabaseOptions, log: LogName) => TaskEither<ReadError | LogTaken, EventStore>
  readonly openReader: (options: DatabaseOptions) => TaskEither<ReadError, EventReader>
  /** Runs a statement as the one who may do everything. */
  readonly run: (database: string, statement: string) => Promise<unknown>
  /** Statements that remove the event at position 4 of every log, past all that forbids it. */
  readonly removeFourth: ReadonlyArray<string>
  /** Ends all connections to a database. */
  readonly disconnect: (database: string) => Promise<unknown>
  /** How the server refuses a client that names a database that is not there and has a password that is wrong. */
  readonly refusal: RegExp
}

/** A host that is `server` over TCP, or whatever stands before it at `port`. */
export const optionsOf = (server: DatabaseServer, database: string, port = server.port): DatabaseOptions => ({
  hosts: [{ host: server.host, port }],
  database,
  user: server.user,
  ...(server.password === undefined ? {} : { password: server.password }),
})

/** Runs the faults, those of connections too, against the server that `find` gives while tests run. */
export const databaseFaults = (name: string, find: () => DatabaseServer): void => {
  let databases = 0
  const newDatabase = async (): Promise<string> => {
    const database = `suite_${++databases}`
    await find().createDatabase(database)
    return database
  }

  eventStoreFaults(name, async () => {
    const server = find()
    const database = await newDatabase()
    return {
      upstream: { host: server.host, port: server.port },
      open: (log, port) =>
        server.open({ ...optionsOf(server, database, port), ...(port === undefined ? PATIENT : QUICK) }, log),
      dispose: async () => undefined,
    }
  })

  describe('the server itself', () => {
    let server: DatabaseServer
    let database: string
    let store: EventStore
    let other: EventStore
    beforeEach(async () => {
      server = find()
      database = await newDatabase()
      store = await must(server.open({ ...optionsOf(server, database), ...QUICK }, 'alpha'))
      other = await must(server.open({ ...optionsOf(server, database), ...PATIENT }, 'beta'))
      await must(store.append(batchOf(claim(streamAt(0)))))
    })
    afterEach(async () => {
      await store.close()
      await other.close()
    })
    const count = async (): Promise<number> => (await must(other.readAfter(START, 10_000))).events.length
    const expectAllAppended = (outcomes: ReadonlyArray<{ readonly _tag: string }>): void =>
      expect(new Set(outcomes.map(({ _tag }) => _tag))).toEqual(new Set(['Appended']))

    it('is frozen in the middle, and carries the batch out when it thaws', async () => {
      const batch = claims(20, 50)
      const appending = store.append(batch)()
      server.pause()
      const appended = await appending
      const whileFrozen = await store.readLatest([streamAt(20)])()
      server.resume()
      expect(whileFrozen).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expectAllAppended(await carriedOut(store, batch, appended))
      expect(await count()).toBe(51)
      await must(store.append(claims(200, 1)))
    })

    it('is killed over and over while batches are under way, and keeps each event once', async () => {
      let expected = 1
      for (let round = 0; round < 3; round++) {
        const batch = claims(1_000 + round * 100, 40)
        const appending = store.append(batch)()
        await server.kill()
        const appended = await appending
        expect(await store.heartbeat('')()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
        await server.restart()
        expectAllAppended(await carriedOut(store, batch, appended))
        expected += 40
        await until('the other server is back', async () => E.isRight(await other.heartbeat('')()))
        await until('events can be read', async () => E.isRight(await other.readAfter(START, 1)()))
        expect(await count()).toBe(expected)
      }
    })

    it('has lost confirmed events: the store ends instead of going on behind them', async () => {
      await must(store.append(claims(40, 3)))
      for (const statement of server.removeFourth) await server.run(database, statement)
      await server.disconnect(database)
      expect(await endOf(store, claims(50, 1))).toMatchObject({ _tag: 'StoreUnusable' })
    })
  })

  describe('the hosts', () => {
    it('are tried in order, and the first that serves is used', async () => {
      const server = find()
      const closed = { host: '127.0.0.1', port: await freePort() }
      const options = { ...optionsOf(server, await newDatabase()), hosts: [closed, server.socket] }
      const store = await must(server.open(options, 'alpha'))
      expect(await must(store.append(claims(0, 2)))).toHaveLength(2)
      await store.close()
    })

    it('are returned to in their order when they are well again', async () => {
      const server = find()
      const proxy = await startProxy({ host: server.host, port: server.port })
      const options = optionsOf(server, await newDatabase(), proxy.port)
      const hosts = [...options.hosts, server.socket]
      const store = await must(server.open({ ...options, hosts, preferAgainMs: 50 }, 'alpha'))
      await must(store.append(claims(0, 2)))
      await proxy.refuse()
      await carriedOut(store, claims(10, 1), await store.append(claims(10, 1))())
      await must(store.append(claims(20, 1))) // over the socket
      await proxy.admit()
      // What the proxy swallows was sent to the preferred host.
      let host = 30
      await until('appends go to the preferred host', async () => {
        let swallowed = false
        void proxy.cutBefore(`preferred-${host}`).then(() => (swallowed = true))
        const batch = batchOf(claim(streamAt(host), NO_STREAM, `preferred-${host++}`))
        await carriedOut(store, batch, await store.append(batch)())
        return swallowed
      })
      expect((await must(store.readAfter(START, 10_000))).events).toHaveLength(4 + host - 30)
      await store.close()
      await proxy.close()
    })

    it('are named in the reason, and the password is not', async () => {
      const server = find()
      const port = await freePort()
      const options = { ...optionsOf(server, 'nowhere', port), password: 'correct horse battery staple' }
      const away = await server.open(options, 'alpha')()
      expect(away).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(JSON.stringify(away)).toContain(`127.0.0.1:${port}`)
      expect(JSON.stringify(away)).not.toContain('horse')
      const refused = await server.open({ ...options, hosts: optionsOf(server, '').hosts }, 'alpha')()
      expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
      expect(JSON.stringify(refused)).toMatch(server.refusal)
      expect(JSON.stringify(refused)).not.toContain('horse')
    })
  })

  describe('the tables', () => {
    it('are set up once by several that start at the same moment', async () => {
      const server = find()
      const options = { ...optionsOf(server, await newDatabase()), ...PATIENT }
      const names = ['alpha', 'beta', 'gamma', 'delta']
      const stores = await Promise.all(names.map((log) => must(server.open(options, log))))
      for (const store of stores) await store.close()
    })

    it('of a newer version stop the start with a sentence', async () => {
      const server = find()
      const database = await newDatabase()
      const options = { ...optionsOf(server, database), ...PATIENT }
      await (await must(server.open(options, 'alpha'))).close()
      await server.run(
        database,
        `INSERT INTO lease_ledger_migrations (target, number, name, checksum, applied_at)
         VALUES ('ledger', 9999, '9999-later.sql', 'ff', now())`,
      )
      for (const opened of [await server.open(options, 'alpha')(), await server.openReader(options)()]) {
        expect(opened).toMatchObject({
          _tag: 'Left',
          left: { _tag: 'StoreUnusable', reason: expect.stringContaining('newer version') },
        })
      }
    })

    it('are missed by a reader of an empty database with a sentence', async () => {
      const server = find()
      expect(await server.openReader(optionsOf(server, await newDatabase()))()).toMatchObject({
        _tag: 'Left',
        left: { _tag: 'StoreUnusable', reason: expect.stringContaining('holds no lease ledger') },
      })
    })
  })
}
