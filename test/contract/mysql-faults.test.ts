/** Faults of a real MariaDB: lost connections, killed sessions, a server that freezes, dies at commit, refuses writes. */
import { createConnection } from 'mysql2/promise'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import * as E from 'fp-ts/lib/Either.js'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openMysql, openMysqlReader } from '../../adapters/mysql/open.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import { checkMysqlSettings } from '../../adapters/mysql/settings.ts'
import { START } from '../../domain/event-store.ts'
import type { EventStore } from '../../domain/event-store.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { freePort } from '../support/postgres.ts'
import { until } from '../support/process.ts'
import { eventStoreFaults, settled } from './event-store-faults.ts'
import { batchOf, claim, claims, must, streamAt } from './proposals.ts'
import { startProxy } from './proxy.ts'

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(`on MariaDB${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestMariadb
  let databases = 0
  beforeAll(async () => {
    // What a killed process has written is in the page cache; a busy disk need not be waited for here.
    server = await startMariadb({ settings: { 'innodb-flush-log-at-trx-commit': '2' } })
  })
  afterAll(() => server?.stop())

  const optionsFor = (database: string, port = server.port): MysqlOptions => ({
    hosts: [{ host: server.host, port }],
    database,
    user: server.user,
    password: server.password,
    connectTimeoutMs: 500,
    statementTimeoutMs: 500,
  })

  eventStoreFaults('mariadb', async () => {
    const database = `faults_${++databases}`
    await server.createDatabase(database)
    return {
      upstream: { host: server.host, port: server.port },
      open: (log, port) => openMysql(optionsFor(database, port), log),
      dispose: async () => undefined,
    }
  })

  describe('the server itself', () => {
    let database: string
    let store: EventStore
    let other: EventStore
    let admin: Connection
    beforeEach(async () => {
      database = `server_${++databases}`
      const url = await server.createDatabase(database)
      admin = await createConnection(url)
      admin.on('error', () => undefined) // some of these tests kill the server under it
      store = await must(openMysql(optionsFor(database), 'alpha'))
      other = await must(openMysql(optionsFor(database), 'beta'))
      await must(store.append(batchOf(claim(streamAt(0)))))
    })
    afterEach(async () => {
      await store.close()
      await other.close()
      admin.destroy()
    })
    const appendedOrSettled = async (appended: Awaited<ReturnType<ReturnType<EventStore['append']>>>) => {
      if (E.isRight(appended)) return appended.right
      expect(appended.left._tag).toBe('OutcomeUnknown')
      return settled(store)
    }
    const allAppended = (outcomes: ReadonlyArray<{ readonly _tag: string }>) =>
      expect(new Set(outcomes.map(({ _tag }) => _tag))).toEqual(new Set(['Appended']))
    const count = async (): Promise<number> => (await must(other.readAfter(START, 10_000))).events.length
    const blockStream = async (host: number): Promise<void> => {
      await admin.query('BEGIN')
      await admin.query(
        `INSERT INTO events (writer, seq, stream, revision, type, schema_version, recorded_at, data, hash)
         VALUES (99, 900, ?, 0, 'LeaseClaimed', 1, now(), '{}', unhex(sha2('', 256)))`,
        [streamAt(host)],
      )
    }
    const waitingThread = (): Promise<number> =>
      until('the batch waits', async () => {
        // innodb_trx would show it too, but is not brought up to date while it is asked often.
        const [waits] = await server.query("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        if (waits?.Value === '0') return undefined
        const [thread] = await server.query(
          `SELECT id FROM information_schema.processlist WHERE db = '${database}' AND command = 'Execute'`,
        )
        return thread?.id as number | undefined
      })

    it.each(['KILL', 'KILL QUERY'])('ends the batch with %s while it waits for another transaction', async (how) => {
      await blockStream(5)
      const appending = store.append(batchOf(claim(streamAt(4)), claim(streamAt(5))))()
      await server.query(`${how} ${await waitingThread()}`)
      const appended = await appending
      expect(appended).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
      await admin.query('ROLLBACK')
      allAppended(await settled(store))
      expect(await count()).toBe(3)
    })

    it('lets a batch wait no longer than its time, and writes it once', async () => {
      await blockStream(5)
      const appended = await store.append(batchOf(claim(streamAt(4)), claim(streamAt(5))))()
      expect(appended).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
      await admin.query('ROLLBACK')
      allAppended(await settled(store))
      expect(await count()).toBe(3)
    })

    it('says that a lock was waited for in vain (1205), after which nothing was written', async () => {
      const patient = await must(openMysql({ ...optionsFor(database), statementTimeoutMs: 1_900 }, 'gamma'))
      await blockStream(5)
      const appended = await patient.append(batchOf(claim(streamAt(4)), claim(streamAt(5))))()
      expect(appended).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(JSON.stringify(appended)).toContain('1205')
      await admin.query('ROLLBACK')
      expect(await count()).toBe(1)
      allAppended(await must(patient.append(batchOf(claim(streamAt(4)), claim(streamAt(5))))))
      await patient.close()
    })

    it('breaks a deadlock (1213) and carries the batch out', async () => {
      // The other transaction is the heavier one, so the batch is chosen to be rolled back.
      await blockStream(5)
      for (let place = 0; place < 40; place++) {
        await admin.query(
          `INSERT INTO events (writer, seq, stream, revision, type, schema_version, recorded_at, data, hash)
           VALUES (98, ?, ?, 0, 'LeaseClaimed', 1, now(), '{}', unhex(sha2('', 256)))`,
          [1 + place, streamAt(600 + place)],
        )
      }
      const appending = store.append(batchOf(claim(streamAt(4)), claim(streamAt(5))))()
      await waitingThread()
      await admin.query(
        `INSERT INTO events (writer, seq, stream, revision, type, schema_version, recorded_at, data, hash)
         VALUES (98, 90, ?, 0, 'LeaseClaimed', 1, now(), '{}', unhex(sha2('', 256)))`,
        [streamAt(4)],
      )
      await admin.query('ROLLBACK')
      allAppended(await appendedOrSettled(await appending))
      expect(await count()).toBe(3)
    })

    it('is frozen in the middle, and carries the batch out when it thaws', async () => {
      const appending = store.append(claims(20, 50))()
      server.pause()
      const appended = await appending
      const whileFrozen = await store.readLatest([streamAt(20)])()
      expect(whileFrozen).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      server.resume()
      allAppended(await appendedOrSettled(appended))
      expect(await count()).toBe(51)
      await must(store.append(claims(200, 1)))
    })

    it('is killed over and over while batches are under way, and keeps each event once', async () => {
      let expected = 1
      for (let round = 0; round < 3; round++) {
        const appending = store.append(claims(1_000 + round * 100, 40))()
        await server.kill()
        const appended = await appending
        expect(await store.heartbeat('')()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
        await server.restart()
        allAppended(await appendedOrSettled(appended))
        expected += 40
        await until('the other server is back', async () => E.isRight(await other.heartbeat('')()))
        expect(await count()).toBe(expected)
      }
    })

    it('becomes read-only: nothing is written, and writing goes on when it is over', async () => {
      // ledger has the privilege to write all the same, so the servers go by an account that has not.
      const account = `plain_${databases}`
      await server.query(`CREATE USER '${account}'@'%' IDENTIFIED BY 'plain'`)
      await server.query(`GRANT SELECT, INSERT, UPDATE ON ${database}.* TO '${account}'@'%'`)
      const plain = await must(openMysql({ ...optionsFor(database), user: account, password: 'plain' }, 'plain'))
      await must(plain.append(claims(40, 1)))
      await server.query('SET GLOBAL read_only = 1')
      const refused = await plain.append(claims(30, 2))()
      expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(JSON.stringify(refused)).toContain('read-only')
      const again = await plain.append(claims(30, 2))()
      expect(again).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      await server.query('SET GLOBAL read_only = 0')
      allAppended(await must(plain.append(claims(30, 2))))
      expect(await count()).toBe(4)
      await plain.close()
    })

    it('lets the account that a server runs under neither empty, change nor drop the events', async () => {
      const account = `least_${databases}`
      await server.query(`CREATE USER '${account}'@'%' IDENTIFIED BY 'least'`)
      await server.query(`GRANT SELECT, INSERT ON ${database}.events TO '${account}'@'%'`)
      for (const table of ['writers', 'properties', 'projection_checkpoints', 'lease_ledger_migrations']) {
        await server.query(`GRANT SELECT, INSERT, UPDATE ON ${database}.${table} TO '${account}'@'%'`)
      }
      const least = await must(openMysql({ ...optionsFor(database), user: account, password: 'least' }, 'least'))
      allAppended(await must(least.append(claims(50, 2))))
      expect(await must(least.remember('duid', '01'))).toBe('01')
      await least.close()
      const hand = await createConnection({
        host: server.host,
        port: server.port,
        user: account,
        password: 'least',
        database,
      })
      for (const attempt of [
        'TRUNCATE TABLE events',
        'DROP TABLE events',
        'DELETE FROM events',
        'UPDATE events SET seq = 1',
      ]) {
        await expect(hand.query(attempt), attempt).rejects.toThrow(/denied/)
      }
      await hand.end()
    })

    it('has lost confirmed events: the server stops instead of going on behind them', async () => {
      await must(store.append(claims(40, 3)))
      await server.query(`DROP TRIGGER ${database}.events_are_not_removed`)
      await server.query(`DELETE FROM ${database}.events WHERE seq = 4`)
      const threads = await server.query(`SELECT id FROM information_schema.processlist WHERE db = '${database}'`)
      const own = (await admin.query<RowDataPacket[]>('SELECT connection_id() AS id'))[0][0]?.id as number
      for (const { id } of threads) if (id !== own) await server.query(`KILL ${id as number}`)
      const results = [await store.append(claims(50, 1))()]
      if (E.isLeft(results[0]!) && results[0].left._tag === 'OutcomeUnknown') results.push(await store.settle()())
      expect(results.at(-1)).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
    })
  })

  describe('the hosts', () => {
    it('are tried in order, and the preferred one is returned to when it is well', async () => {
      const database = `hosts_${++databases}`
      await server.createDatabase(database)
      const proxy = await startProxy({ host: server.host, port: server.port })
      const options: MysqlOptions = {
        ...optionsFor(database),
        hosts: [
          { host: '127.0.0.1', port: proxy.port },
          { host: server.socketPath, port: 0 },
        ],
        preferAgainMs: 50,
      }
      const store = await must(openMysql(options, 'alpha'))
      await must(store.append(claims(0, 2)))
      await proxy.refuse()
      const lost = await store.append(claims(10, 1))()
      if (E.isLeft(lost)) await settled(store)
      await must(store.append(claims(20, 1))) // over the socket
      await proxy.admit()
      // What the proxy swallows was sent to the preferred host.
      let host = 30
      await until('appends go to the preferred host', async () => {
        const seen = { way: false }
        void proxy.cutBefore(`preferred-${host}`).then(() => (seen.way = true))
        const sent = await store.append(batchOf(claim(streamAt(host), -1, `preferred-${host++}`)))()
        if (E.isLeft(sent)) await settled(store)
        return seen.way
      })
      await store.close()
      await proxy.close()
    })

    it('come last for a while when they let us wait in vain', async () => {
      const database = `hosts_${++databases}`
      await server.createDatabase(database)
      const knocks: Socket[] = []
      const mute = createServer((socket) => knocks.push(socket.on('error', () => undefined)))
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
      const { port } = mute.address() as AddressInfo
      const hosts = [{ host: '127.0.0.1', port }, ...optionsFor(database).hosts]
      const options = { ...optionsFor(database), hosts, connectTimeoutMs: 300, preferAgainMs: 60_000 }
      const store = await must(openMysql(options, 'alpha'))
      await must(store.append(claims(0, 1)))
      const knocksBefore = knocks.length
      expect(knocksBefore).toBeGreaterThan(0)
      const threads = await server.query(`SELECT id FROM information_schema.processlist WHERE db = '${database}'`)
      for (const { id } of threads) await server.query(`KILL ${id as number}`)
      const lost = await store.append(claims(10, 1))()
      if (E.isLeft(lost)) await settled(store)
      expect(knocks.length).toBe(knocksBefore)
      await store.close()
      for (const socket of knocks) socket.destroy()
      await new Promise((resolve) => mute.close(resolve))
    })

    it('are named in the reason, and the password is not', async () => {
      const port = await freePort()
      const options: MysqlOptions = { ...optionsFor('nowhere', port), password: 'correct horse battery staple' }
      const away = await openMysql(options, 'alpha')()
      expect(away).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(JSON.stringify(away)).toContain(`127.0.0.1:${port}`)
      expect(JSON.stringify(away)).not.toContain('horse')
      const denied = await openMysql({ ...options, hosts: optionsFor('x').hosts }, 'alpha')()
      expect(denied).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
      expect(JSON.stringify(denied)).not.toContain('horse')
    })
  })

  describe('the tables', () => {
    it('are set up once by several that start at the same moment', async () => {
      const database = `setup_${++databases}`
      await server.createDatabase(database)
      const options = { ...optionsFor(database), statementTimeoutMs: 2_000 }
      const stores = await Promise.all(['alpha', 'beta', 'gamma', 'delta'].map((log) => must(openMysql(options, log))))
      for (const store of stores) await store.close()
    })

    it('of a newer version stop the start with a sentence', async () => {
      const database = `newer_${++databases}`
      await server.createDatabase(database)
      await (await must(openMysql(optionsFor(database), 'alpha'))).close()
      await server.query(
        `INSERT INTO ${database}.lease_ledger_migrations VALUES ('ledger', 9999, '9999-later.sql', 'ff', now())`,
      )
      for (const opened of [
        await openMysql(optionsFor(database), 'alpha')(),
        await openMysqlReader(optionsFor(database))(),
      ]) {
        expect(opened).toMatchObject({
          _tag: 'Left',
          left: { _tag: 'StoreUnusable', reason: expect.stringContaining('newer version') },
        })
      }
    })

    it('that are not protected, and commits that do not reach the disk, are warned of', async () => {
      const database = `settings_${++databases}`
      await server.createDatabase(database)
      await (await must(openMysql(optionsFor(database), 'alpha'))).close()
      expect(await must(checkMysqlSettings(optionsFor(database)))).toEqual([
        expect.stringContaining('innodb_flush_log_at_trx_commit is 2'), // as this server was started
      ])
      await server.query(`DROP TRIGGER ${database}.events_are_not_changed`)
      expect(await must(checkMysqlSettings(optionsFor(database)))).toContainEqual(expect.stringContaining('triggers'))
    })

    it('are missed by a reader of an empty database with a sentence', async () => {
      const database = `empty_${++databases}`
      await server.createDatabase(database)
      expect(await openMysqlReader(optionsFor(database))()).toMatchObject({
        _tag: 'Left',
        left: { _tag: 'StoreUnusable', reason: expect.stringContaining('holds no lease ledger') },
      })
    })
  })
})
