/** The embedded PostgreSQL: it keeps the event store contract, and its life and death do not lose what was confirmed. */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { findPrograms } from '../../adapters/embedded/cluster.ts'
import { openEmbedded } from '../../adapters/embedded/open.ts'
import type { Embedded } from '../../adapters/embedded/open.ts'
import { openPostgres, openPostgresReader } from '../../adapters/postgres/open.ts'
import { START } from '../../domain/event-store.ts'
import { isAlive, isRoot, must as mustRun, signalOne, start, until, which } from '../support/process.ts'
import { eventStoreContract } from './event-store-contract.ts'
import { PATIENT } from './limits.ts'
import { claims, must } from './proposals.ts'
import { carriedOut } from './settling.ts'

const programs = await findPrograms()
const missing = programs._tag === 'Left' ? programs.left : undefined
const service = fileURLToPath(new URL('./embedded-service.ts', import.meta.url))

describe.skipIf(missing !== undefined)(`embedded${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  describe('as a store', () => {
    let folder: string
    let database: Embedded
    let databases = 0
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-emb-`))
      database = await must(openEmbedded({ dataFolder: folder, mode: 'own' }))
    })
    afterAll(async () => {
      await database?.stop()
      await rm(folder, { recursive: true, force: true })
    })

    eventStoreContract('embedded', async () => {
      const name = `contract_${++databases}`
      const options = { ...database.options, ...PATIENT }
      const [host] = options.hosts
      const connection = { host: host?.host as string, user: options.user, max: 1, onnotice: () => undefined }
      const owner = postgres({ ...connection, database: options.database })
      await owner`CREATE DATABASE ${owner(name)}`
      await owner.end()
      const admin = postgres({ ...connection, database: name })
      return {
        open: (log) => openPostgres({ ...options, database: name }, log),
        openReader: () => openPostgresReader({ ...options, database: name, user: 'reader' }),
        vandalise: [
          { what: 'UPDATE', how: () => admin`UPDATE events SET stream = 'lease4/198.18.9.9'`.execute() },
          { what: 'DELETE', how: () => admin`DELETE FROM events`.execute() },
          { what: 'TRUNCATE', how: () => admin`TRUNCATE events`.execute() },
        ],
        dispose: () => admin.end({ timeout: 1 }),
      }
    })
  })

  describe('as a process', () => {
    let parent: string
    let folder: string
    const ending: (() => Promise<unknown>)[] = []
    beforeEach(async () => {
      parent = await mkdtemp(join(tmpdir(), `ll-${process.pid}-emb-`)) // mode 0700: no other account may enter it
      folder = join(parent, 'data')
    })
    afterEach(async () => {
      for (const end of ending.splice(0).reverse()) await end()
      await rm(parent, { recursive: true, force: true })
    })
    const open = async (dataFolder = folder, mode: 'own' | 'share' = 'own'): Promise<Embedded> => {
      const opened = await must(openEmbedded({ dataFolder, mode }))
      ending.push(opened.stop)
      return opened
    }
    const run = async (name: string, count: number) => {
      const running = await start([process.execPath, service, folder, name, String(count)], { deathSignal: 'TERM' })
      ending.push(() => running.stop())
      return running
    }
    const countEvents = async ({ options }: Embedded): Promise<number> => {
      const reader = await must(openPostgresReader(options))
      const { events } = await must(reader.readAfter(START, 100_000))
      await reader.close()
      return events.length
    }

    it('works in a folder that its account cannot enter, keeps to it, and lets nobody else in', async () => {
      const database = await open()
      const store = await must(openPostgres(database.options, 'alpha'))
      await must(store.append(claims(0, 3)))
      await store.close()
      expect(readdirSync(parent)).toEqual(['data'])
      expect(readdirSync(folder).sort()).toEqual(['owner.json', 'postgres', 'postgres.log', 'socket'])
      expect(statSync(join(folder, 'socket')).mode & 0o777).toBe(0o700)
      expect(statSync(join(folder, 'postgres')).mode & 0o777).toBe(0o700)
      if (isRoot()) expect(statSync(join(folder, 'postgres')).uid).not.toBe(0)
      const reader = await must(openPostgresReader({ ...database.options, user: 'reader' }))
      expect((await must(reader.readAfter(START, 10))).events).toHaveLength(3)
      await reader.close()
      const owner = postgres({ host: join(folder, 'socket'), user: 'ledger', database: 'lease_ledger', max: 1 })
      const [settings] = await owner`
        SELECT current_setting('listen_addresses') AS addresses, current_setting('fsync') AS fsync,
               current_setting('synchronous_commit') AS commits, current_setting('full_page_writes') AS pages`
      await owner.end()
      expect(settings).toEqual({ addresses: '', fsync: 'on', commits: 'on', pages: 'on' })
    })

    it.skipIf(which('psql') === undefined)('gives psql a connection that reads and cannot write', async () => {
      const database = await open()
      const store = await must(openPostgres(database.options, 'alpha'))
      await must(store.append(claims(0, 3)))
      await store.close()
      const ask = (sql: string, env = {}): Promise<string> => mustRun(['psql', database.url, '-Atc', sql], { env })
      expect((await ask('SELECT count(*) FROM events')).trim()).toBe('3')
      await expect(ask("INSERT INTO properties VALUES ('a', 'b')")).rejects.toThrow(/read-only|permission denied/)
      const disarmed = { PGOPTIONS: '-c default_transaction_read_only=off' }
      await expect(ask('DELETE FROM writers', disarmed)).rejects.toThrow(/permission denied/)
      if (!isRoot()) return
      // The account that runs the database may be shared with other programs; it is not let in.
      const { uid, gid } = statSync(join(folder, 'postgres'))
      chmodSync(parent, 0o711)
      const words = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--']
      await expect(mustRun([...words, 'psql', database.url, '-Atc', 'SELECT 1'])).rejects.toThrow(/[Pp]eer auth/)
    })

    it('loses nothing that was confirmed, and no postmaster stays, when its service is killed', async () => {
      const first = await run('alpha', 20)
      const [, pid] = await first.printed(/postmaster (\d+)/)
      await first.printed(/confirmed 7\n/)
      signalOne(first.pid, 'SIGKILL')
      await first.exited
      const confirmed = Number([...first.output().matchAll(/confirmed (\d+)/g)].at(-1)?.[1])
      await until('the postmaster is gone', () => !isAlive(Number(pid)))
      const second = await run('alpha', 5)
      await second.printed(/ready/)
      const last = Number([...second.output().matchAll(/confirmed (\d+)/g)].at(-1)?.[1])
      expect(last).toBeGreaterThanOrEqual(confirmed + 5)
      expect(last).toBeLessThanOrEqual(confirmed + 6) // one may have been written and not heard of
      await second.stop()
      expect(second.output()).not.toContain('Error')
    })

    it('serves one service, refuses a second, and is shared with the command line', async () => {
      const running = await run('alpha', 4)
      await running.printed(/ready/)
      const refused = await openEmbedded({ dataFolder: folder, mode: 'own' })()
      expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'EmbeddedError' } })
      expect(JSON.stringify(refused)).toMatch(/is in use by pid \d+ on host/)
      const shared = await open(folder, 'share')
      expect(await countEvents(shared)).toBe(4)
      await shared.stop()
      expect(running.isRunning()).toBe(true)
      await running.stop()
      const alone = await open(folder, 'share')
      expect(await countEvents(alone)).toBe(4)
      const pid = alone.pid()
      await alone.stop()
      expect(isAlive(pid)).toBe(false)
    })

    it('lets a service that starts wait for a command that is at work', async () => {
      const command = await open(folder, 'share')
      const begunAt = performance.now()
      const starting = openEmbedded({ dataFolder: folder, mode: 'own' })()
      await countEvents(command).catch(() => 0)
      await command.stop()
      const started = await starting
      if (started._tag === 'Right') ending.push(started.right.stop)
      else {
        // On a machine that takes longer than this for the command, it has waited for the ten seconds that it has.
        expect(started.left.reason).toMatch(/is in use by/)
        expect(performance.now() - begunAt).toBeGreaterThan(9_000)
      }
      const database = started._tag === 'Right' ? started.right : await open()
      expect(isAlive(database.pid())).toBe(true)
    })

    it('starts when whoever was there leaves at the moment at which it is looked at', async () => {
      // The file that names the user of the folder is a pipe here: it goes while it is being read.
      mkdirSync(folder)
      const owner = join(folder, 'owner.json')
      await mustRun(['mkfifo', owner])
      const leaving = mustRun(['sh', '-c', 'exec 3>"$0"; rm "$0"; echo {} >&3', owner])
      const database = await open()
      await leaving
      expect(isAlive(database.pid())).toBe(true)
    })

    it('starts again by itself when it dies, and the service goes on', async () => {
      const database = await open()
      const options = { ...database.options, connectTimeoutMs: 1_000 }
      const store = await must(openPostgres(options, 'alpha'))
      await must(store.append(claims(0, 2)))
      const pid = database.pid()
      const batch = claims(10, 50)
      const appending = store.append(batch)()
      signalOne(pid, 'SIGKILL')
      const appended = await appending
      await until('it runs again', async () => database.pid() !== pid && (await store.clock()())._tag === 'Right')
      await carriedOut(store, batch, appended)
      expect(await countEvents(database)).toBe(52)
      await store.close()
    })

    it('replaces a postmaster that outlived its service', async () => {
      const before = await open()
      const { uid, gid } = statSync(join(folder, 'postgres'))
      await before.stop()
      if (programs._tag === 'Left') throw new Error(programs.left)
      const caps = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search', '--securebits=+no_setuid_fixup']
      const asOwner = isRoot() ? [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...caps] : []
      const words = ['-D', join(folder, 'postgres'), '-c', 'listen_addresses=']
      const sockets = ['-c', `unix_socket_directories=${join(folder, 'socket')}`]
      const orphan = spawn('setpriv', [...asOwner, '--', programs.right.postgres, ...words, ...sockets], {
        stdio: 'ignore',
        detached: true,
      })
      const pid = orphan.pid as number
      ending.push(async () => isAlive(pid) && signalOne(pid, 'SIGQUIT'))
      const status = () => readFileSync(join(folder, 'postgres', 'postmaster.pid'), 'utf8')
      await until(
        'the orphan is ready',
        () => existsSync(join(folder, 'postgres', 'postmaster.pid')) && /ready/.test(status()),
      )
      const after = await open()
      expect(after.pid()).not.toBe(pid)
      expect(isAlive(pid)).toBe(false)
      expect(isAlive(after.pid())).toBe(true)
    })

    it('is not held up by a postmaster.pid whose number another process has now', async () => {
      const before = await open()
      await before.stop()
      const { uid, gid } = statSync(join(folder, 'postgres'))
      const stranger = spawn('sleep', ['60'], isRoot() ? { uid, gid } : {})
      ending.push(async () => stranger.kill('SIGKILL'))
      const pidFile = join(folder, 'postgres', 'postmaster.pid')
      const lines = [stranger.pid, join(folder, 'postgres'), 1, 5432, join(folder, 'socket'), '', '', 'ready', '']
      writeFileSync(pidFile, lines.join('\n'), { mode: 0o600 })
      await chown(pidFile, uid, gid)
      const after = await open()
      expect(isAlive(after.pid())).toBe(true)
      expect(isAlive(stranger.pid as number)).toBe(true)
    })

    it('refuses what it cannot work with in one sentence', async () => {
      const refusal = async (dataFolder: string): Promise<string> => {
        const opened = await openEmbedded({ dataFolder, mode: 'own' })()
        return opened._tag === 'Left' ? opened.left.reason : 'it started'
      }
      const older = join(parent, 'older')
      mkdirSync(join(older, 'postgres'), { recursive: true })
      writeFileSync(join(older, 'postgres', 'PG_VERSION'), '12\n')
      expect(await refusal(older)).toMatch(
        /was made by PostgreSQL 12, which PostgreSQL \d+ of this version cannot read/,
      )
      const foreign = join(parent, 'foreign')
      mkdirSync(join(foreign, 'postgres'), { recursive: true })
      writeFileSync(join(foreign, 'postgres', 'thesis.txt'), 'precious')
      expect(await refusal(foreign)).toMatch(/is not the data folder of a PostgreSQL/)
      expect(readFileSync(join(foreign, 'postgres', 'thesis.txt'), 'utf8')).toBe('precious')
      const long = join(parent, 'x'.repeat(100))
      expect(await refusal(long)).toMatch(/choose a shorter folder with --data/)
      expect(existsSync(long)).toBe(false)
      const file = join(parent, 'file')
      writeFileSync(file, '')
      expect(await refusal(file)).toMatch(/file/)
    })
  })
})
