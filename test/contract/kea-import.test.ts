/** `ledger import` of what a real Kea wrote: its lease file, and its tables in PostgreSQL and MariaDB. */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keaMissing, keaTablesMissing, makeKea, makeKeaMariadb, makeKeaPostgres } from '../support/kea.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { must, run, until, which } from '../support/process.ts'
import type { Finished } from '../support/process.ts'
import { makeLeaseLedger } from '../support/server-under-test.ts'
import { everybodyKeepsTheirs, freeUdpPort, keaConfig, ledgerConfig, playStory, Relay } from './kea-support.ts'
import type { Book, Story } from './kea-support.ts'

const missing = keaMissing() ?? postgresMissing()
const PROGRAM = resolve(import.meta.dirname, '../../server/ledger-cli.ts')

interface Span {
  readonly address: string
  readonly from: string
  readonly until: string
  readonly endedBy: string
}

/** What Kea does with its lease file now and then: the file is put aside and cleaned, and a new one begun. */
const cleanUp = async (file: string, family: '4' | '6'): Promise<void> => {
  const [header = ''] = (await readFile(file, 'utf8')).split('\n')
  await rename(file, `${file}.1`)
  await writeFile(file, `${header}\n`)
  const words = ['-x', `${file}.2`, '-i', `${file}.1`, '-o', `${file}.output`, '-f', `${file}.completed`]
  await must([which('kea-lfc') ?? 'kea-lfc', `-${family}`, ...words, '-p', `${file}.pid`, '-c', 'unused'])
}

describe.skipIf(missing !== undefined)(
  `leases that Kea wrote${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let server: TestPostgres
    let folder: string
    let port: number
    let relays: readonly [Relay, Relay]
    beforeAll(async () => {
      server = await startPostgres()
      folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-kea-`))
      port = await freeUdpPort()
      relays = [await Relay.open(4, port), await Relay.open(6, port)]
    })
    afterAll(async () => {
      for (const relay of relays ?? []) await relay.close()
      await server?.stop()
      await rm(folder, { recursive: true, force: true })
    })

    const ledger = (config: string, [name = '', ...rest]: ReadonlyArray<string>): Promise<Finished> =>
      run([process.execPath, PROGRAM, name, '-c', config, ...rest], { env: { TZ: 'UTC' } })

    /** Lets clients play at a Kea until it has found that those who went away are over. */
    const playAtKea = async (place: string, database: object, isOver: () => Promise<number>): Promise<Story> => {
      const kea = makeKea({ folder: place, serverPort: port })
      try {
        await kea.start(keaConfig(database))
        const story = await playStory(relays)
        await until('Kea reclaims what is over', async () => (await isOver()) === 2, undefined, kea.logs)
        return story
      } finally {
        await kea.stop()
      }
    }

    /**
     * Imports `sources` into a ledger in `store`, and again, and finds in the history what the clients were told; then
     * they go on at Lease Ledger.
     */
    const takeOver = async (
      name: string,
      store: object,
      sources: ReadonlyArray<string>,
      story: Story,
    ): Promise<void> => {
      const service = makeLeaseLedger({ folder: join(folder, name) })
      await mkdir(join(folder, name), { recursive: true })
      const config = join(folder, name, 'import.json')
      await writeFile(config, JSON.stringify({ Dhcp4: { 'lease-database': store, subnet4: [] } }))
      const counts = { first: 0, again: 0 }
      for (const source of sources) {
        const first = await ledger(config, ['import', source])
        expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/ 0 known already, 0 bad/) })
        counts.first += Number(/imported (\d+)/.exec(first.stdout)?.[1])
        const again = await ledger(config, ['import', source])
        expect(again.stdout).toContain('imported 0 leases')
        counts.again += Number(/, (\d+) known already/.exec(again.stdout)?.[1])
      }
      // A released lease is not there any more; a declined one, of each protocol, is a lease of nobody.
      const there = story.books.filter(({ end }) => end !== 'gone')
      expect(counts).toEqual({ first: there.length + 2, again: there.length + 2 })
      const spans = [...(await spansOf(config, '0.0.0.0/0')), ...(await spansOf(config, '::/0'))]
      expect(spans.map(({ address }) => address).sort()).toEqual(there.map(({ address }) => address).sort())
      for (const book of there) isAsTold(spans.find(({ address }) => address === book.address) as Span, book)
      try {
        await service.start(ledgerConfig(store, port))
        await everybodyKeepsTheirs(relays, story)
      } catch (error) {
        throw new Error(service.logs(), { cause: error })
      } finally {
        await service.stop()
      }
      expect(await ledger(config, ['verify'])).toMatchObject({ code: 0 })
    }

    const spansOf = async (config: string, prefix: string): Promise<ReadonlyArray<Span>> => {
      const { stdout } = await ledger(config, ['history', prefix, '--json'])
      return (JSON.parse(stdout) as { readonly spans: ReadonlyArray<Span> }).spans
    }

    const isAsTold = (span: Span, book: Book): void => {
      expect(span).toMatchObject(book.client)
      expect(span.endedBy).toBe(book.end === 'over' ? 'expired' : 'held')
      const from = Date.parse(span.from) / 1_000
      expect(from).toBeGreaterThanOrEqual(book.granted[0])
      expect(from).toBeLessThanOrEqual(book.granted[1])
      const granted = book.end === 'endless' ? 'for ever' : new Date((from + book.lifetimeSec) * 1_000).toISOString()
      expect(span.until).toBe(granted)
    }

    const inPostgres = async (name: string): Promise<object> => {
      await server.createDatabase(name)
      const { host, port: postgresPort, user } = server
      return { type: 'postgresql', host, port: postgresPort, user, name }
    }

    it('are taken over from its lease files', async () => {
      const place = join(folder, 'memfile')
      const files = [join(place, 'leases4.csv'), join(place, 'leases6.csv')]
      const story = await playAtKea(place, { type: 'memfile' }, async () => {
        const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
        // The state stands before the user context.
        return texts.filter((text) => text.includes(',2,{')).length
      })
      await cleanUp(files[0] as string, '4')
      await takeOver('from_memfile', await inPostgres('from_memfile'), files, story)
    }, 300_000)

    const noTables4 = keaTablesMissing('pgsql')
    it.skipIf(noTables4 !== undefined)(
      'are taken over from its tables in PostgreSQL',
      async () => {
        const database = await makeKeaPostgres(server, 'kea')
        const url = server.url.replace(/[^/]+$/, 'kea')
        const sql = postgres(url, { max: 1 })
        try {
          const story = await playAtKea(join(folder, 'pgsql'), database, async () => {
            const [row] = await sql`SELECT (SELECT count(*) FROM lease4 WHERE state = 2)
                                     + (SELECT count(*) FROM lease6 WHERE state = 2) AS over`
            return Number(row?.['over'])
          })
          await takeOver('from_postgres', await inPostgres('from_postgres'), [url], story)
        } finally {
          await sql.end({ timeout: 1 })
        }
      },
      120_000,
    )

    const noMaria = mariadbMissing() ?? keaTablesMissing('mysql')
    const reason = noMaria === undefined ? '' : ` (skipped: ${noMaria})`
    it.skipIf(noMaria !== undefined)(
      `are taken over from its tables in MariaDB, into MariaDB${reason}`,
      async () => {
        const maria = await startMariadb()
        try {
          const database = await makeKeaMariadb(maria, 'kea')
          const story = await playAtKea(join(folder, 'mysql'), database, async () => {
            const [row] = await maria.query(`SELECT (SELECT count(*) FROM kea.lease4 WHERE state = 2)
                                              + (SELECT count(*) FROM kea.lease6 WHERE state = 2) AS over_`)
            return Number(row?.['over_'])
          })
          const { host, user, password, database: name } = maria
          const store = { type: 'mysql', host, port: maria.port, user, password, name }
          await takeOver('from_mariadb', store, [maria.url.replace(/[^/]+$/, 'kea')], story)
        } finally {
          await maria.stop()
        }
      },
      120_000,
    )
  },
)
