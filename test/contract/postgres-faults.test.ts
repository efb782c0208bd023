/** Faults of a real PostgreSQL: lost connections, killed backends, a frozen server, a server that dies at commit. */
import { spawn } from 'node:child_process'
import * as E from 'fp-ts/lib/Either.js'
import postgres from 'postgres'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startOf, thisProcess } from '../../adapters/identity.ts'
import type { Identity } from '../../adapters/identity.ts'
import { openPostgres, openPostgresReader } from '../../adapters/postgres/open.ts'
import type { PostgresOptions } from '../../adapters/postgres/options.ts'
import { checkPostgresSettings } from '../../adapters/postgres/settings.ts'
import { START } from '../../domain/event-store.ts'
import type { EventStore } from '../../domain/event-store.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { signalOne, until } from '../support/process.ts'
import { databaseFaults, optionsOf } from './database-faults.ts'
import type { DatabaseServer } from './database-faults.ts'
import { PATIENT, QUICK } from './limits.ts'
import { batchOf, claim, claims, must, right, streamAt } from './proposals.ts'
import { carriedOut, settled } from './settling.ts'
import { expectSoundLogs } from './sound-logs.ts'

const missing = postgresMissing()
describe.skipIf(missing !== undefined)(`on PostgreSQL${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestPostgres
  let databases = 0
  beforeAll(async () => {
    // What a killed process has written is in the page cache; a busy disk need not be waited for here.
    server = await startPostgres({ settings: { fsync: 'off' } })
  })
  afterAll(() => server?.stop())

  const optionsFor = (database: string, limits: Partial<PostgresOptions> = PATIENT): PostgresOptions => ({
    ...optionsOf(found(), database),
    ...limits,
  })
  const found = (): DatabaseServer => ({
    ...server,
    socket: { host: server.socketFolder, port: server.port },
    open: openPostgres,
    openReader: openPostgresReader,
    run: async (database, statement) => {
      const admin = postgres(server.url, { database, max: 1, onnotice: () => undefined })
      await admin.unsafe(statement)
      await admin.end()
    },
    removeFourth: [
      'ALTER TABLE events DISABLE TRIGGER events_are_immutable',
      'DELETE FROM events WHERE seq = 4',
      'ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_immutable',
    ],
    disconnect: (database) =>
      found().run('postgres', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`),
    refusal: /nowhere/,
  })

  databaseFaults('postgres', found)

  describe('the server', () => {
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
    const count = async (): Promise<number> => (await must(other.readAfter(START, 10_000))).events.length
    const waitingBackend = (): Promise<number> =>
      until('the batch waits', async () => {
        const [row] = await admin`
          SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`
        return row?.['pid'] as number | undefined
      })

    it('terminates the backend while the batch waits for another transaction', async () => {
      // An uncommitted insert of the same key makes the batch wait inside the server.
      const blocker = await admin.reserve()
      await blocker`BEGIN`
      await blocker`
        INSERT INTO events (seq, revision, recorded_at, writer, schema_version, stream, type, data, hash)
        VALUES (900, 0, now(), 99, 1, ${streamAt(5)}, 'LeaseClaimed', '{}', sha256(''))`
      const appending = store.append(batchOf(claim(streamAt(4)), claim(streamAt(5))))()
      await admin`SELECT pg_terminate_backend(${await waitingBackend()})`
      const appended = await appending
      expect(appended).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
      await blocker`ROLLBACK`
      blocker.release()
      expect((await settled(store)).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
      expect(await count()).toBe(3)
    })

    it('runs into the time limit of a statement and writes nothing', async () => {
      const quick = await must(openPostgres(optionsFor(database, QUICK), 'gamma'))
      const blocker = await admin.reserve()
      await blocker`BEGIN`
      await blocker`LOCK TABLE events IN EXCLUSIVE MODE`
      const appended = await quick.append(claims(10, 3))()
      expect(E.isLeft(appended) && appended.left._tag).toMatch(/StoreUnavailable|OutcomeUnknown/)
      await blocker`ROLLBACK`
      blocker.release()
      await carriedOut(quick, claims(10, 3), appended)
      expect(await count()).toBe(4)
      await quick.close()
    })

    it('shuts down around a batch, and starts again: 57P01, 57P03', async () => {
      const waiting = await admin.reserve()
      await waiting`BEGIN`
      await waiting`LOCK TABLE events IN EXCLUSIVE MODE`
      const appending = store.append(claims(60, 5))()
      await waitingBackend()
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
      expect(await store.settle()()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      // Not while it is starting up, and no sooner than it is there again.
      const restarting = server.restart()
      expect((await settled(store)).map(({ _tag }) => _tag)).toEqual(new Array(5).fill('Appended'))
      await restarting
      await until('events can be read', async () => E.isRight(await other.readAfter(START, 1)()))
      expect(await count()).toBe(6)
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
      const rival = await admin.reserve()
      await rival`BEGIN`
      await rival`SET LOCAL deadlock_timeout = '30s'` // so that the server ends the batch and not the rival
      await insert(rival, 900, second)
      const appending = store.append(batchOf(claim(first), claim(second)))()
      await waitingBackend()
      await insert(rival, 901, first).catch(() => undefined) // whether it is refused in its turn is not our affair
      await rival`ROLLBACK`
      rival.release()
      expect(right(await appending).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
      expect(await count()).toBe(3)
    })

    it('has become read-only: nothing is written, and writing goes on when it is over', async () => {
      await admin.unsafe(`ALTER DATABASE ${database} SET default_transaction_read_only = on`)
      await admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
      const lost = await store.append(claims(30, 2))()
      expect(E.isLeft(lost) && lost.left._tag).toMatch(/StoreUnavailable|OutcomeUnknown/)
      const unknown = E.isLeft(lost) && lost.left._tag === 'OutcomeUnknown'
      const refused = await (unknown ? store.settle() : store.append(claims(30, 2)))()
      expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(E.isLeft(refused) && refused.left.reason).toContain('read-only')
      const again = postgres(server.url, { max: 1 })
      await again.unsafe(`ALTER DATABASE ${database} RESET default_transaction_read_only`)
      await again.end()
      await carriedOut(store, claims(30, 2), lost)
      expect(await count()).toBe(3)
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
    /** Does something while the heart of whoever has the name beats: its silence is not what is waited for. */
    const beating = async <A>(act: () => Promise<A>): Promise<A> => {
      const beat = setInterval(() => void admin`UPDATE writers SET heartbeat = clock_timestamp()`.execute(), 200)
      return act().finally(() => clearInterval(beat))
    }

    it('is taken over at once from a process of this machine that is dead', async () => {
      const store = await first()
      const child = spawn('true')
      const pid = child.pid as number
      await new Promise((resolve) => child.on('exit', resolve))
      await ownedBy({ pid, started: '1' })
      opened.push(right(await beating(open)))
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
      const refused = await beating(open)
      expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
      expect(JSON.stringify(refused)).toContain('pid 815 on host dhcp2')
    })

    it('is free again when its server has said goodbye', async () => {
      await (await first()).close()
      opened.push(right(await beating(open)))
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
      expect(events).toHaveLength(7)
      await expectSoundLogs(after, events)
    })
  })

  describe('the tables', () => {
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
