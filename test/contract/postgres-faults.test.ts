/** Faults of a real PostgreSQL: lost connections, killed backends, a frozen server, a server that dies at commit. */
import { spawn } from 'node:child_process'
import * as E from 'fp-ts/lib/Either.js'
import postgres from 'postgres'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { startOf, thisProcess } from '../../adapters/identity.ts'
import type { Identity } from '../../adapters/identity.ts'
import { openPostgres, openPostgresReader } from '../../adapters/postgres/open.ts'
import type { PostgresOptions } from '../../adapters/postgres/options.ts'
import { checkPostgresSettings } from '../../adapters/postgres/settings.ts'
import { START } from '../../domain/event-store.ts'
import type { EventStore } from '../../domain/event-store.ts'
import { freePort, postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { signalOne, until } from '../support/process.ts'
import { eventStoreFaults, settled } from './event-store-faults.ts'
import { batchOf, claim, claims, must, right, streamAt } from './proposals.ts'
import { startProxy } from './proxy.ts'

const missing = postgresMissing()
describe.skipIf(missing !== undefined)(`on PostgreSQL${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestPostgres
  let databases = 0
  beforeAll(async () => {
    // What a killed process has written is in the page cache; a busy disk need not be waited for here.
    server = await startPostgres({ settings: { fsync: 'off' } })
  })
  afterAll(() => server?.stop())

  const quick = { connectTimeoutMs: 500, statementTimeoutMs: 500 }
  const optionsFor = (database: string, port = server.port): PostgresOptions => ({
    hosts: [{ host: server.host, port }],
    database,
    user: server.user,
    ...quick,
  })

  eventStoreFaults('postgres', async () => {
    const database = `faults_${++databases}`
    await server.createDatabase(database)
    return {
      upstream: { host: server.host, port: server.port },
      open: (log, port) => openPostgres(optionsFor(database, port), log),
      dispose: async () => undefined,
    }
  })

  describe('the server itself', () => {
    let store: EventStore
    let other: EventStore
    let admin: postgres.Sql
    let database: string
    beforeEach(async () => {
      database = `server_${++databases}`
      const url = await server.createDatabase(database)
      admin = postgres(url, { max: 2, onnotice: () => undefined })
      store = await must(openPostgres(optionsFor(database), 'alpha'))
      other = await must(openPostgres(optionsFor(database), 'beta'))
      await must(store.append(batchOf(claim(streamAt(0)))))
    })
    afterEach(async () => {
      await store.close()
      await other.close()
      await admin.end({ timeout: 1 })
    })
    const settledIfUnknown = async (appended: Awaited<ReturnType<ReturnType<EventStore['append']>>>) => {
      if (E.isRight(appended)) return appended.right
      expect(appended.left._tag).toBe('OutcomeUnknown')
      return settled(store)
    }
    const count = async (): Promise<number> => (await must(other.readAfter(START, 10_000))).events.length

    it('terminates the backend while the batch waits for another transaction', async () => {
      // An uncommitted insert of the same key makes the batch wait inside the server.
      const blocker = await admin.reserve()
      await blocker`BEGIN`
      await blocker`
        INSERT INTO events (seq, revision, recorded_at, writer, schema_version, stream, type, data, hash)
        VALUES (900, 0, now(), 99, 1, ${streamAt(5)}, 'LeaseClaimed', '{}', sha256(''))`
      const appending = store.append(batchOf(claim(streamAt(4)), claim(streamAt(5))))()
      const [waiting] = await until('the batch waits', async () => {
        const rows = await admin`
          SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`
        return rows.length > 0 && rows
      })
      await admin`SELECT pg_terminate_backend(${waiting?.pid})`
      const appended = await appending
      expect(appended).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
      await blocker`ROLLBACK`
      blocker.release()
      expect((await settled(store)).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
      expect(await count()).toBe(3)
    })

    it('runs into the time limit of a statement and writes nothing', async () => {
      const blocker = await admin.reserve()
      await blocker`BEGIN`
      await blocker`LOCK TABLE events IN EXCLUSIVE MODE`
      const appended = await store.append(claims(10, 3))()
      expect(E.isLeft(appended) && appended.left._tag).toMatch(/StoreUnavailable|OutcomeUnknown/)
      await blocker`ROLLBACK`
      blocker.release()
      if (E.isLeft(appended) && appended.left._tag === 'OutcomeUnknown') await settled(store)
      else await must(store.append(claims(10, 3)))
      expect(await count()).toBe(4)
    })

    it('is frozen in the middle, and carries the batch out when it thaws', async () => {
      const appending = store.append(claims(20, 50))()
      server.pause()
      const appended = await appending.finally(() => undefined)
      const whileFrozen = await store.readLatest([streamAt(20)])()
      expect(whileFrozen).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      server.resume()
      const outcomes = await settledIfUnknown(appended)
      expect(new Set(outcomes.map(({ _tag }) => _tag))).toEqual(new Set(['Appended']))
      expect(await count()).toBe(51)
      await must(store.append(claims(200, 1)))
    })

    it('is killed over and over while batches are under way, and keeps each event once', async () => {
      let expected = 1
      for (let round = 0; round < 3; round++) {
        const appending = store.append(claims(1_000 + round * 100, 40))()
        await server.kill()
        const appended = await appending
        const away = await store.heartbeat('')()
        expect(away).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
        await server.restart()
        const outcomes = await settledIfUnknown(appended)
        expect(new Set(outcomes.map(({ _tag }) => _tag))).toEqual(new Set(['Appended']))
        expected += 40
        await until('the other server is back', async () => E.isRight(await other.heartbeat('')()))
        expect(await count()).toBe(expected)
      }
    }, 90_000)

    it('shuts down around a batch, and starts again: 57P01, 57P03', async () => {
      const patient = await must(openPostgres({ ...optionsFor(database), statementTimeoutMs: 5_000 }, 'gamma'))
      const waiting = await admin.reserve()
      await waiting`BEGIN`
      await waiting`LOCK TABLE events IN EXCLUSIVE MODE`
      const appending = patient.append(claims(60, 5))()
      await until('the batch waits', async () => {
        const rows = await admin`
          SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`
        return rows.length === 1
      })
      signalOne(server.pid(), 'SIGTERM') // smart: who is in may stay, whoever knocks gets 57P03
      const refused = await until('nobody is let in', async () => {
        const opened = await openPostgresReader(optionsFor(database))()
        if (E.isLeft(opened)) return opened.left
        await opened.right.close()
        return false
      })
      expect(refused).toMatchObject({ _tag: 'StoreUnavailable', reason: expect.stringContaining('shutting down') })
      await server.shutDown() // fast: ends every backend with 57P01
      expect(await appending).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
      waiting.release()
      const restarting = server.restart()
      // While it is away or starting up, and no sooner than it is there again.
      expect(await patient.settle()()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      await restarting
      expect((await settled(patient)).map(({ _tag }) => _tag)).toEqual(new Array(5).fill('Appended'))
      await until('the other server is back', async () => E.isRight(await other.heartbeat('')()))
      expect(await count()).toBe(6)
      await patient.close()
    })

    it.each([
      ['40001', 'could not serialize access'],
      ['40P01', 'deadlock detected'],
      ['57014', 'canceling statement'],
    ])('refuses a batch with %s once, and has it once in the end', async (code, message) => {
      // A sequence keeps its count when the transaction that it refuses is rolled back.
      await admin.unsafe(`
        CREATE SEQUENCE refusals;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF nextval('refusals') = 1 THEN RAISE EXCEPTION '${message}' USING ERRCODE = '${code}'; END IF;
          RETURN NULL;
        END $$;
        CREATE TRIGGER refuse AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse()`)
      const appended = await store.append(claims(70, 5))()
      if (code === '57014') {
        expect(appended).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
        await must(store.append(claims(70, 5)))
      } else {
        expect(right(appended).map(({ _tag }) => _tag)).toEqual(new Array(5).fill('Appended'))
      }
      expect((await admin`SELECT last_value::int AS tries FROM refusals`)[0]?.tries).toBe(2)
      expect(await count()).toBe(6)
    })

    it('ends in a real deadlock with another transaction: 40P01', async () => {
      // The batch holds the key of its first event and waits for the second; the other way round outside.
      const [first, second] = [streamAt(80), streamAt(81)]
      const insert = (by: postgres.ReservedSql, seq: number, stream: string) => by`
        INSERT INTO events (seq, revision, recorded_at, writer, schema_version, stream, type, data, hash)
        VALUES (${seq}, 0, now(), 99, 1, ${stream}, 'LeaseClaimed', '{}', sha256(''))`
      const patient = await must(openPostgres({ ...optionsFor(database), statementTimeoutMs: 5_000 }, 'gamma'))
      const rival = await admin.reserve()
      await rival`BEGIN`
      await rival`SET LOCAL deadlock_timeout = '30s'` // so that the server ends the batch and not the rival
      await insert(rival, 900, second)
      const appending = patient.append(batchOf(claim(first), claim(second)))()
      await until('the batch waits', async () => {
        const rows = await admin`
          SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`
        return rows.length === 1
      })
      const rivalry = insert(rival, 901, first).then(
        () => 'inserted',
        () => 'refused',
      )
      await rivalry
      await rival`ROLLBACK`
      rival.release()
      expect(right(await appending).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
      expect(await count()).toBe(3)
      await patient.close()
    })

    it('has become read-only: nothing is written, and writing goes on when it is over', async () => {
      await admin.unsafe(`ALTER DATABASE ${database} SET default_transaction_read_only = on`)
      await admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
      const lost = await store.append(claims(30, 2))()
      expect(E.isLeft(lost) && lost.left._tag).toMatch(/StoreUnavailable|OutcomeUnknown/)
      const refused = await (
        E.isLeft(lost) && lost.left._tag === 'OutcomeUnknown' ? store.settle() : store.append(claims(30, 2))
      )()
      expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(E.isLeft(refused) && refused.left.reason).toContain('read-only')
      const again = postgres(server.url, { max: 1 })
      await again.unsafe(`ALTER DATABASE ${database} RESET default_transaction_read_only`)
      await again.end()
      if (E.isLeft(lost) && lost.left._tag === 'OutcomeUnknown') await settled(store)
      else await must(store.append(claims(30, 2)))
      expect(await count()).toBe(3)
    })

    it('has lost confirmed events: the server stops instead of going on behind them', async () => {
      await must(store.append(claims(40, 3)))
      await admin.unsafe(`
        ALTER TABLE events DISABLE TRIGGER events_are_immutable;
        DELETE FROM events WHERE seq = 4;
        ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_immutable`)
      await admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
      const results = [await store.append(claims(50, 1))()]
      if (E.isLeft(results[0]!) && results[0].left._tag === 'OutcomeUnknown') results.push(await store.settle()())
      expect(results.at(-1)).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
    })
  })

  describe('the hosts', () => {
    it('are tried in order, and the first that serves is used', async () => {
      const database = `hosts_${++databases}`
      await server.createDatabase(database)
      const options: PostgresOptions = {
        ...optionsFor(database),
        hosts: [
          { host: '127.0.0.1', port: await freePort() },
          { host: server.socketFolder, port: server.port },
        ],
      }
      const store = await must(openPostgres(options, 'alpha'))
      expect(await must(store.append(claims(0, 2)))).toHaveLength(2)
      await store.close()
    })

    it('are returned to in their order when they are well again', async () => {
      const database = `hosts_${++databases}`
      await server.createDatabase(database)
      const proxy = await startProxy({ host: server.host, port: server.port })
      const hosts = [
        { host: '127.0.0.1', port: proxy.port },
        { host: server.socketFolder, port: server.port },
      ]
      const store = await must(openPostgres({ ...optionsFor(database), hosts, preferAgainMs: 50 }, 'alpha'))
      await must(store.append(claims(0, 2)))
      await proxy.refuse()
      if (E.isLeft(await store.append(claims(10, 1))())) await settled(store)
      await must(store.append(claims(20, 1))) // over the socket
      await proxy.admit()
      // What the proxy swallows was sent to the preferred host.
      let host = 30
      await until('appends go to the preferred host', async () => {
        let swallowed = false
        void proxy.cutBefore(`preferred-${host}`).then(() => (swallowed = true))
        const sent = await store.append(batchOf(claim(streamAt(host), -1, `preferred-${host++}`)))()
        if (E.isLeft(sent)) await settled(store)
        return swallowed
      })
      expect((await must(store.readAfter(START, 1_000))).events).toHaveLength(4 + host - 30)
      await store.close()
      await proxy.close()
    })

    it('are named in the reason, and the password is not', async () => {
      const port = await freePort()
      const options: PostgresOptions = {
        ...optionsFor('nowhere', port),
        password: 'correct horse battery staple',
      }
      const away = await openPostgres(options, 'alpha')()
      expect(away).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(JSON.stringify(away)).toContain(`127.0.0.1:${port}`)
      expect(JSON.stringify(away)).not.toContain('horse')
      const unknown = await openPostgres({ ...options, hosts: optionsFor('x').hosts }, 'alpha')()
      expect(unknown).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
      expect(JSON.stringify(unknown)).toContain('nowhere')
      expect(JSON.stringify(unknown)).not.toContain('horse')
    })
  })

  describe('the name of a server', () => {
    let database: string
    let admin: postgres.Sql
    let opened: EventStore[]
    beforeEach(async () => {
      database = `name_${++databases}`
      admin = postgres(await server.createDatabase(database), { max: 1, onnotice: () => undefined })
      opened = []
    })
    afterEach(async () => {
      for (const store of opened) await store.close()
      await admin.end({ timeout: 1 })
    })
    const open = () => openPostgres(optionsFor(database), 'alpha')()
    const first = async (): Promise<EventStore> => {
      const store = await must(openPostgres(optionsFor(database), 'alpha'))
      opened.push(store)
      return store
    }
    /** Rewrites whose name it is, as if that process had beaten its heart just now. */
    const ownedBy = (identity: Partial<Identity>) =>
      admin`UPDATE writers SET identity = ${JSON.stringify({ ...thisProcess(), ...identity })}, heartbeat = clock_timestamp()`
    const beat = () => admin`UPDATE writers SET heartbeat = clock_timestamp()`.execute()

    it('is taken over at once from a process of this machine that is dead', async () => {
      const store = await first()
      const child = spawn('true')
      const pid = child.pid as number
      await new Promise((resolve) => child.on('exit', resolve))
      await ownedBy({ pid, started: '1' })
      const before = performance.now()
      opened.push(right(await open()))
      expect(performance.now() - before).toBeLessThan(2_000)
      expect(await store.heartbeat('')()).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
    })

    it('is refused at once when it belongs to a process of this machine that lives', async () => {
      await first()
      const child = spawn('sleep', ['60'])
      const pid = child.pid as number
      await ownedBy({ pid, started: startOf(pid) as string, host: 'dhcp1' })
      expect(await open()).toMatchObject({
        _tag: 'Left',
        left: {
          _tag: 'LogTaken',
          reason: `server name "alpha" is in use by pid ${pid} on host dhcp1; give this server another one with --server-name`,
        },
      })
      child.kill('SIGKILL')
    })

    it('is taken over from another machine whose heart does not beat for 3 s', async () => {
      await first()
      await ownedBy({ scope: 'another machine' })
      opened.push(right(await open()))
    })

    it('is refused as long as the heart of another machine beats', async () => {
      await first()
      await ownedBy({ scope: 'another machine', host: 'dhcp2', pid: 815 })
      const beating = setInterval(() => void beat(), 500)
      const refused = await open()
      clearInterval(beating)
      expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
      expect(JSON.stringify(refused)).toContain('pid 815 on host dhcp2')
    })

    it('is free again when its server has said goodbye', async () => {
      await (await first()).close()
      const before = performance.now()
      opened.push(right(await open()))
      expect(performance.now() - before).toBeLessThan(2_000)
    })

    it('keeps its log sound when the server before had a commit on its way, and stops that server', async () => {
      const before = await first()
      await must(before.append(claims(0, 2)))
      await ownedBy({ scope: 'long ago' })
      await admin`UPDATE writers SET heartbeat = clock_timestamp() - interval '1 minute'`
      const after = right(await open())
      opened.push(after)
      await must(before.append(claims(10, 3))) // the late commit: it was sent before the name was lost
      expect((await must(after.append(claims(20, 2)))).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
      expect(await before.append(claims(30, 1))()).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
      const { events } = await must(after.readAfter(START, 100))
      expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7])
      let previous = GENESIS
      for (const event of events) {
        expect(checkLink(previous, event)).toBe(true)
        previous = event.hash
      }
    })
  })

  describe('the tables', () => {
    it('are set up once by several that start at the same moment', async () => {
      const database = `setup_${++databases}`
      await server.createDatabase(database)
      const names = ['alpha', 'beta', 'gamma', 'delta']
      const stores = await Promise.all(names.map((log) => must(openPostgres(optionsFor(database), log))))
      for (const store of stores) await store.close()
    })

    it('of a newer version stop the start with a sentence', async () => {
      const database = `newer_${++databases}`
      const url = await server.createDatabase(database)
      await (await must(openPostgres(optionsFor(database), 'alpha'))).close()
      const admin = postgres(url, { max: 1 })
      await admin`
        INSERT INTO lease_ledger_migrations (target, number, name, checksum)
        VALUES ('ledger', 9999, '9999-later.sql', 'ff')`
      for (const opened of [
        await openPostgres(optionsFor(database), 'alpha')(),
        await openPostgresReader(optionsFor(database))(),
      ]) {
        expect(opened).toMatchObject({
          _tag: 'Left',
          left: { _tag: 'StoreUnusable', reason: expect.stringContaining('newer version') },
        })
      }
      await admin.end()
    })

    it('with settings that lose what was confirmed are warned of, whichever of them it is', async () => {
      const database = `settings_${++databases}`
      await server.createDatabase(database)
      const warnings = () => must(checkPostgresSettings(optionsFor(database)))
      expect(await warnings()).toEqual([expect.stringMatching(/^PostgreSQL 127\.0\.0\.1:\d+: fsync is off/)]) // see above
      const admin = postgres({ ...optionsFor(database).hosts[0], user: server.user, database, max: 1 })
      for (const [setting, sentence] of [
        ['full_page_writes = off', /full_page_writes is off/],
        ['synchronous_commit = off', /synchronous_commit is off/],
        ['synchronous_commit = local', /synchronous_commit is local/],
        ['synchronous_commit = remote_write', /synchronous_commit is remote_write/],
      ] as const) {
        if (/local|remote/.test(setting)) await admin.unsafe("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await admin.unsafe(`ALTER SYSTEM SET ${setting}`)
        await admin`SELECT pg_reload_conf()`
        await until(setting, async () => (await warnings()).some((warning) => sentence.test(warning)))
        expect(await warnings()).toHaveLength(2)
        await admin.unsafe(`ALTER SYSTEM RESET ${setting.split(' ')[0]}`)
      }
      await admin.unsafe('ALTER SYSTEM RESET synchronous_standby_names')
      await admin`SELECT pg_reload_conf()`
      await until('all is as it was', async () => (await warnings()).length === 1)
      await admin.end({ timeout: 1 })
    })

    it('are missed by a reader of an empty database with a sentence', async () => {
      const database = `empty_${++databases}`
      await server.createDatabase(database)
      expect(await openPostgresReader(optionsFor(database))()).toMatchObject({
        _tag: 'Left',
        left: { _tag: 'StoreUnusable', reason: expect.stringContaining('holds no lease ledger') },
      })
    })

    it('can be read by the reader role and by nobody changed', async () => {
      const database = `role_${++databases}`
      const url = await server.createDatabase(database)
      const store = await must(openPostgres(optionsFor(database), 'alpha'))
      await must(store.append(claims(0, 2)))
      const admin = postgres(url, { max: 1 })
      await admin.unsafe(`CREATE ROLE auditor_${databases} LOGIN IN ROLE lease_ledger_reader`)
      const reader = await must(openPostgresReader({ ...optionsFor(database), user: `auditor_${databases}` }))
      expect((await must(reader.readAfter(START, 10))).events).toHaveLength(2)
      const auditor = postgres(url, { max: 1, user: `auditor_${databases}` })
      await expect(auditor`INSERT INTO properties VALUES ('a', 'b')`.execute()).rejects.toThrow(/permission denied/)
      await auditor.end()
      await reader.close()
      await store.close()
      await admin.end()
    })
  })
})
