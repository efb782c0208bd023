/** Faults of a real MariaDB: lost connections, killed sessions, a server that freezes, dies at commit, refuses writes. */
import { createConnection } from 'mysql2/promise'
import type { Connection } from 'mysql2/promise'
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
import { until } from '../support/process.ts'
import { databaseFaults, optionsOf } from './database-faults.ts'
import type { DatabaseServer } from './database-faults.ts'
import { PATIENT, QUICK } from './limits.ts'
import { batchOf, claim, claims, must, streamAt } from './proposals.ts'
import { carriedOut, settled } from './settling.ts'

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(`on MariaDB${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestMariadb
  let databases = 0
  beforeAll(async () => {
    // What a killed process has written is in the page cache; a busy disk need not be waited for here.
    server = await startMariadb({ settings: { 'innodb-flush-log-at-trx-commit': '2' } })
  })
  afterAll(() => server?.stop())

  const optionsFor = (database: string, limits: Partial<MysqlOptions> = PATIENT): MysqlOptions => ({
    ...optionsOf(found(), database),
    ...limits,
  })
  const found = (): DatabaseServer => ({
    ...server,
    socket: { host: server.socketPath, port: 0 },
    open: openMysql,
    openReader: openMysqlReader,
    run: async (database, statement) => {
      const { host, port, user, password } = server
      const admin = await createConnection({ host, port, user, password, database })
      await admin.query(statement)
      await admin.end()
    },
    removeFourth: ['DROP TRIGGER events_are_not_removed', 'DELETE FROM events WHERE seq = 4'],
    disconnect: async (database) => {
      const threads = await server.query(`SELECT id FROM information_schema.processlist WHERE db = '${database}'`)
      // One may have gone by itself meanwhile.
      for (const { id } of threads) await server.query(`KILL ${id as number}`).catch(() => undefined)
    },
    refusal: /Access denied/,
  })

  databaseFaults('mariadb', found)

  describe('the server', () => {
    let database: string
    let store: EventStore
    let other: EventStore
    let admin: Connection
    beforeEach(async () => {
      database = `server_${++databases}`
      const url = await server.createDatabase(database)
      admin = await createConnection(url)
      store = await must(openMysql(optionsFor(database), 'alpha'))
      other = await must(openMysql(optionsFor(database), 'beta'))
      await must(store.append(batchOf(claim(streamAt(0)))))
    })
    afterEach(async () => {
      await store.close()
      await other.close()
      admin.destroy()
    })
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
      const quick = await must(openMysql(optionsFor(database, QUICK), 'gamma'))
      await blockStream(5)
      const batch = batchOf(claim(streamAt(4)), claim(streamAt(5)))
      const appended = await quick.append(batch)()
      // The server may say that it waited in vain (1205) just before its silence is taken for a loss.
      expect(appended).toMatchObject({ left: { _tag: expect.stringMatching(/^(OutcomeUnknown|StoreUnavailable)$/) } })
      await admin.query('ROLLBACK')
      allAppended(await carriedOut(quick, batch, appended))
      expect(await count()).toBe(3)
      await quick.close()
    })

    it('says that a lock was waited for in vain (1205), after which nothing was written', async () => {
      const patient = await must(openMysql({ ...optionsFor(database), statementTimeoutMs: 1_999 }, 'gamma'))
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
      const batch = batchOf(claim(streamAt(4)), claim(streamAt(5)))
      const appending = store.append(batch)()
      await waitingThread()
      await admin.query(
        `INSERT INTO events (writer, seq, stream, revision, type, schema_version, recorded_at, data, hash)
         VALUES (98, 90, ?, 0, 'LeaseClaimed', 1, now(), '{}', unhex(sha2('', 256)))`,
        [streamAt(4)],
      )
      await admin.query('ROLLBACK')
      allAppended(await carriedOut(store, batch, await appending))
      expect(await count()).toBe(3)
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
  })

  describe('the hosts', () => {
    it('come last for a while when they let us wait in vain', async () => {
      const database = `hosts_${++databases}`
      await server.createDatabase(database)
      const knocks: Socket[] = []
      const mute = createServer((socket) => knocks.push(socket.on('error', () => undefined)))
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
      const { port } = mute.address() as AddressInfo
      const hosts = [{ host: '127.0.0.1', port }, ...optionsFor(database).hosts]
      const options = { ...optionsFor(database), hosts, connectTimeoutMs: 1_000, preferAgainMs: 60_000 }
      const store = await must(openMysql(options, 'alpha'))
      await must(store.append(claims(0, 1)))
      const knocksBefore = knocks.length
      expect(knocksBefore).toBeGreaterThan(0)
      await found().disconnect(database)
      await carriedOut(store, claims(10, 1), await store.append(claims(10, 1))())
      expect(knocks.length).toBe(knocksBefore)
      await store.close()
      for (const socket of knocks) socket.destroy()
      await new Promise((resolve) => mute.close(resolve))
    })
  })

  describe('the tables', () => {
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
  })
})
