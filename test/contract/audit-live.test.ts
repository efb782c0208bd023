/**
 * The commands beside two running servers, on PostgreSQL and on MariaDB: `ledger tail` follows what they append, and
 * `ledger replay` and `ledger verify` do not mind them. Clients get leases from one server and renew and release them
 * with the other, so streams go from log to log.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openMysqlReader } from '../../adapters/mysql/open.ts'
import { openPostgresReader } from '../../adapters/postgres/open.ts'
import type { EventReader } from '../../domain/event-store.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { parseCheckpoint } from '../../server/import/order.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import { freeUdpPort } from '../support/ports.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import { must as run, start, until } from '../support/process.ts'
import type { Running } from '../support/process.ts'
import { LEDGER } from './audit-support.ts'
import { must } from './proposals.ts'

const MAIN = resolve(import.meta.dirname, '../../server/main.ts')
const CLIENTS = 150

interface Line {
  readonly log: string
  readonly seq: number
  readonly stream: string
  readonly revision: number
  readonly checkpoint: string
}

const linesOf = (output: string): ReadonlyArray<Line> =>
  output
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)

const placeOf = ({ log, seq }: Line): string => `${log}/${seq}`

/** Every event up to the end of the logs once, each log and each stream in its order; `from` leaves out a beginning. */
const expectWhole = (
  lines: ReadonlyArray<Line>,
  heads: Readonly<Record<string, number>>,
  from: Readonly<Record<string, number>> = {},
): void => {
  const revisions = new Map<string, number>()
  const at = { ...from }
  for (const line of lines) {
    expect([placeOf(line), line.seq]).toEqual([placeOf(line), (at[line.log] ?? 0) + 1])
    at[line.log] = line.seq
    const before = revisions.get(line.stream)
    if (before !== undefined || Object.keys(from).length === 0) expect(line.revision).toBe((before ?? -1) + 1)
    revisions.set(line.stream, line.revision)
  }
  expect(at).toEqual(heads)
}

/** A database to follow. */
interface Ground {
  readonly store: object
  readonly openReader: () => Promise<EventReader>
  readonly openTables: () => Promise<LeaseTables>
  readonly stop: () => Promise<void>
}

const onPostgres = async (): Promise<Ground> => {
  const server = await startPostgres()
  const { host, port, user, database } = server
  return {
    store: { type: 'postgresql', name: database, host, port, user },
    openReader: () => must(openPostgresReader({ hosts: [{ host, port }], database, user })),
    openTables: () => must(openPostgresTables({ hosts: [{ host, port }], database, user })),
    stop: server.stop,
  }
}

const onMariadb = async (): Promise<Ground> => {
  const server = await startMariadb()
  const { host, port, user, password, database } = server
  return {
    store: { type: 'mysql', name: database, host, port, user, password },
    openReader: () => must(openMysqlReader({ hosts: [{ host, port }], database, user, password })),
    openTables: () => must(openMysqlTables({ hosts: [{ host, port }], database, user, password })),
    stop: server.stop,
  }
}

describe.each([
  ['PostgreSQL', postgresMissing(), onPostgres],
  ['MariaDB', mariadbMissing(), onMariadb],
] as const)('a ledger in use on %s', (_, missing, open) => {
  describe.skipIf(missing !== undefined)(
    missing === undefined ? 'and those who read it' : `(skipped: ${missing})`,
    () => {
      let folder: string
      let ground: Ground
      let reader: EventReader
      let tables: LeaseTables
      const files: string[] = []
      const ports: number[] = []
      const running: Running[] = []
      beforeAll(async () => {
        folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-tail-`))
        ground = await open()
        for (const name of ['alpha', 'beta']) {
          const port = await freeUdpPort()
          const file = join(folder, `${name}.json`)
          const subnet = { id: 1, subnet: '198.51.100.0/22', pools: [{ pool: '198.51.100.10 - 198.51.103.250' }] }
          const subnet4 = [{ ...subnet, relay: { 'ip-addresses': ['127.0.0.1'] } }]
          const LeaseLedger = {
            'server-name': name,
            'data-folder': join(folder, name),
            listen: { dhcp4: [{ address: '127.0.0.1', port }] },
          }
          const Dhcp4 = { 'interfaces-config': { interfaces: [] }, 'lease-database': ground.store, subnet4 }
          await writeFile(file, JSON.stringify({ Dhcp4, LeaseLedger }))
          const server = await start([process.execPath, MAIN, '-c', file])
          running.push(server)
          await server.printed(/lease-ledger ready/, 60_000)
          files.push(file)
          ports.push(port)
        }
        reader = await ground.openReader()
        tables = await ground.openTables()
      })
      afterAll(async () => {
        for (const program of running) await program.stop()
        await tables?.close()
        await reader?.close()
        await ground?.stop()
        await rm(folder, { recursive: true, force: true })
      })

      const tail = async (...args: string[]): Promise<Running> => {
        const program = await start([...LEDGER, 'tail', '-c', files[0] as string, ...args])
        running.push(program)
        return program
      }
      const play = (server: 0 | 1, ...args: string[]): Promise<string> =>
        run([...LEDGER, 'client', '--port', String(ports[server]), '--clients', String(CLIENTS), ...args], {
          timeoutMs: 60_000,
        })
      const heads = () => must(reader.heads())
      /** Events that the tables do not show yet. */
      const lag = async (): Promise<number> => sum(await heads()) - sum(await must(tables.checkpoint(LEASES)))
      const sum = (checkpoint: Readonly<Record<string, number>>): number =>
        Object.values(checkpoint).reduce((total, seq) => total + seq, 0)
      const caughtUp = (program: Running, already = 0): Promise<true> =>
        until(
          'the feed reaches the end of the ledger',
          async () => linesOf(program.output()).length + already >= sum(await heads()),
        )

      it('gives `ledger tail` what servers append once, in order, and goes on from any line', async () => {
        const following = await tail()
        await play(0)
        await caughtUp(following)
        const middle = await heads()
        const news = await tail('--from', 'now')
        await until('a line of what is new', async () => {
          await play(1, '--clients', '1', '--renew')
          return news.output().includes('\n')
        })
        await play(1, '--renew', '--release')
        await play(0, '--base', '02:00:00:01:00:00')
        await caughtUp(following)
        const [first] = linesOf(news.output()) as [Line]
        const begun = { ...parseCheckpoint(first.checkpoint), [first.log]: first.seq - 1 }
        expect(sum(begun)).toBeGreaterThanOrEqual(sum(middle))
        await caughtUp(news, sum(begun))
        const [lines, end] = [linesOf(following.output()), await heads()]
        expect(lines.length).toBeGreaterThan(4 * CLIENTS)
        expect(Object.keys(end).sort()).toEqual(['alpha', 'beta'])
        expectWhole(lines, end)
        expectWhole(linesOf(news.output()), end, begun)
        for (const program of [following, news]) program.signal('SIGINT')
        expect((await following.exited).code).toBe(0)
        expect((await news.exited).code).toBe(0)
        for (const share of [0.2, 0.5, 0.999]) {
          const stood = lines[Math.floor(lines.length * share)] as Line
          const rest = linesOf(
            await run([...LEDGER, 'tail', '-c', files[0] as string, '--once', '--from', stood.checkpoint]),
          )
          const given = lines.slice(0, lines.indexOf(stood) + 1)
          expectWhole([...given, ...rest], end)
        }
      }, 300_000)

      it('is replayed and verified while servers append', async () => {
        const ledger = (command: string): Promise<string> =>
          run([...LEDGER, command, '-c', files[0] as string], { timeoutMs: 60_000 })
        const playing = { now: true }
        const clients = (async () => {
          for (let round = 2; playing.now; round++) {
            const base = ['--base', `02:00:00:${round.toString(16).padStart(2, '0')}:00:00`]
            await Promise.all([play(0, ...base, '--clients', '40', '--renew'), play(1, '--clients', '40', '--release')])
          }
        })()
        for (let i = 0; i < 2; i++) {
          expect(await ledger('replay')).toMatch(/: rebuilt from \d+ events/)
          expect(await ledger('verify')).toContain('everything fits')
        }
        playing.now = false
        await clients
        // The servers' projectors go on where the rebuilt tables stand.
        await until('tables at the end of the ledger', async () => (await lag()) === 0)
        expect(await ledger('verify')).toContain('everything fits')
      }, 300_000)

      it('ends `ledger tail` with 0 when whoever reads has gone, or says that it should end', async () => {
        const piped = `"$@" | head -n 3; echo "ended with \${PIPESTATUS[0]}"`
        const words = ['bash', '-c', piped, 'tail', ...LEDGER, 'tail', '-c', files[0] as string]
        const said = (await run(words)).trimEnd().split('\n')
        expect(said.length).toBe(4)
        expect(said[3]).toBe('ended with 0')
        const [program = '', ...rest] = [...LEDGER, 'tail', '-c', files[0] as string]
        const unread = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
        await once(unread.stdout, 'readable') // and no more is taken of it: the pipe fills up
        unread.kill('SIGINT')
        expect(await once(unread, 'exit')).toEqual([0, null])
        unread.stdout.destroy()
        const idle = await tail()
        await idle.printed(/\n/)
        idle.signal('SIGTERM')
        expect((await idle.exited).code).toBe(0)
      })
    },
  )
})
