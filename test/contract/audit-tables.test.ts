/**
 * `ledger replay` and what `ledger verify` says of tables, on PostgreSQL and on MariaDB, which is a second projection of
 * the same ledger: one of them alone, as of a time or a checkpoint, after a replay was killed, after rows were forged.
 */
import { createConnection } from 'mysql2/promise'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { postgresMissing } from '../support/postgres.ts'
import { start, until } from '../support/process.ts'
import { BEGIN, macOf } from './audit-events.ts'
import type { Truth } from './audit-events.ts'
import { LEDGER, openAuditSite } from './audit-support.ts'
import type { AuditSite } from './audit-support.ts'

type Rows = ReadonlyArray<Record<string, unknown>>

/** One of the databases, by the word that `--target` takes. */
interface Target {
  readonly target: 'PostgreSQL' | 'MySQL'
  readonly query: (sql: string) => Promise<Rows>
  /** The tables of a rebuild and of the past, as SQL names them. */
  readonly rebuild: (table: string) => string
  readonly past: (name: string, view: string) => string
  /** Keeps everybody from a table until what it gives is called. */
  readonly seal: (table: string) => Promise<() => Promise<unknown>>
  /** The condition for one span of the history. */
  readonly isSpan: (truth: Truth) => string
  /** Makes a second holder, id:ff, who came a second later, of the span in the temporary table `forged`. */
  readonly forge: ReadonlyArray<string>
}

const missing = postgresMissing() ?? mariadbMissing()
describe.skipIf(missing !== undefined)(
  `tables of a ledger${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let site: AuditSite
    let mariadb: TestMariadb
    let config: string
    const targets = new Map<string, Target>()
    const closings: (() => Promise<unknown>)[] = []
    beforeAll(async () => {
      ;[site, mariadb] = await Promise.all([
        openAuditSite({ seed: 77, addresses: 200, rounds: 6 }),
        startMariadb({ database: 'second' }),
      ])
      const { host, port, user, password } = mariadb
      const second = { type: 'mysql', name: 'second', host, port, user, password }
      config = await site.configFor(site.server.database, { projections: [{ name: 'second', database: second }] })
      const sql = postgres(site.server.url, { max: 1, onnotice: () => undefined })
      const my = await createConnection({ uri: mariadb.url, timezone: 'Z' })
      const lock = await createConnection({ uri: mariadb.url })
      closings.push(
        () => sql.end({ timeout: 1 }),
        () => my.end(),
        () => lock.end(),
      )
      targets.set('PostgreSQL', {
        target: 'PostgreSQL',
        query: (text) => sql.unsafe(text),
        rebuild: (table) => `public_rebuild.${table}`,
        past: (name, view) => `${name}.${view}`,
        seal: async (table) => {
          await sql.unsafe(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
          return () => sql.unsafe('COMMIT')
        },
        isSpan: ({ stream, from }) =>
          `address = '${stream.slice('lease4/'.length)}' AND starts_at = '${new Date(from).toISOString()}'`,
        forge: [`UPDATE forged SET holder = 'id:ff', starts_at = starts_at + interval '1 s', disputed = true`],
      })
      targets.set('MySQL', {
        target: 'MySQL',
        query: async (text) => (await my.query(text))[0] as Rows,
        rebuild: (table) => `${table}_rebuild`,
        past: (name, view) => `${view}_${name}`,
        seal: async (table) => {
          await lock.query(`LOCK TABLES ${table} WRITE`)
          return () => lock.query('UNLOCK TABLES')
        },
        isSpan: ({ stream, from }) =>
          `address = inet6_aton('${stream.slice('lease4/'.length)}') AND ` +
          `starts_at = '${new Date(from).toISOString().replace('T', ' ').replace('Z', '')}'`,
        forge: [
          `UPDATE forged SET holder = 'id:ff', starts_at = starts_at + interval 1 second,
         span_key = concat(left(span_key, 16), unhex(md5('forged')))`,
        ],
      })
    }, 600_000)
    afterAll(async () => {
      for (const close of closings) await close()
      await mariadb?.stop()
      await site?.stop()
    })

    const on = (name: string): Target => targets.get(name) as Target
    const replay = (...args: string[]) => site.ask(['replay', ...args])
    const verify = async (...args: string[]): Promise<string> => (await site.ask(['verify', ...args])).out

    it('builds the tables of one database alone, and says which there are', async () => {
      expect(await replay('--target', 'MySQL')).toMatchObject({
        code: 0,
        out: expect.stringMatching(new RegExp(`^MySQL .*/second: rebuilt from ${site.events} events\n$`)),
      })
      expect((await verify()).match(/everything fits/g)?.length).toBe(2)
      expect(await replay('--target', 'Oracle')).toMatchObject({
        code: 1,
        err: expect.stringContaining('no lease tables at Oracle'),
      })
      expect((await replay('--into', 'as_of_x')).err).toContain('--into is for --until')
    })

    describe.each(['PostgreSQL', 'MySQL'])('on %s', (name) => {
      it('goes on after it was killed in the middle', async () => {
        const { target, query, rebuild, seal } = on(name)
        const checkpoints = rebuild('lease_checkpoints')
        const program = await start([...LEDGER, 'replay', '-c', config, '--target', target])
        const reached = async (): Promise<number> =>
          Number(
            (await query(`SELECT coalesce(sum(seq), 0) AS n FROM ${checkpoints}`).catch(() => [{ n: 0 }]))[0]?.['n'],
          )
        await until('a first batch', async () => (await reached()) > 0, undefined, program.output)
        const unseal = await seal(checkpoints)
        await program.kill()
        await unseal()
        const resumed = await site.ledger(['replay', '--resume', '--target', target], config)
        expect(resumed).toMatchObject({ code: 0, err: '' })
        const events = Number(/rebuilt from (\d+) events/.exec(resumed.out)?.[1])
        expect(events).toBeGreaterThan(0)
        expect(events).toBeLessThan(site.events)
        expect((await verify()).match(/everything fits/g)?.length).toBe(2)
        await expect(query(`SELECT 1 FROM ${checkpoints}`)).rejects.toThrow() // nothing is left beside the live tables
      })

      it('is told which spans of the history are not what the ledger tells', async () => {
        const { target, query, isSpan, forge } = on(name)
        const [changed, gone, doubled] = ['198.18.0.5', '198.18.0.6', '198.18.0.7'].map((address) =>
          site.truth.findLast(({ stream, endedBy }) => stream === `lease4/${address}` && endedBy === 'expired'),
        ) as [Truth, Truth, Truth]
        const spanOf = ({ stream, client, from }: Truth, holder = `id:01${macOf(client)}`): string =>
          `${stream.slice('lease4/'.length)}: the span of ${holder} from ${new Date(from).toISOString()}`
        const differences = async (): Promise<ReadonlyArray<string>> => {
          const { code, out } = await site.ask(['verify', '--target', target])
          expect(code).toBe(1)
          return out.split('\n').filter((line) => /^(span|disputed|row|holder):/.test(line))
        }
        await query(`UPDATE lease_spans SET renewals = 99 WHERE ${isSpan(changed)}`)
        expect(await differences()).toEqual([
          `span: 1 wrong; first: ${spanOf(changed)}: renewals is 99 in the tables and ${changed.renewals} by the ledger`,
        ])
        await query(`DELETE FROM lease_spans WHERE ${isSpan(changed)} OR (${isSpan(gone)})`)
        expect(await differences()).toEqual([`span: 2 wrong; first: ${spanOf(changed)} is not in the tables`])
        await query(`CREATE TEMPORARY TABLE forged AS SELECT * FROM lease_spans WHERE ${isSpan(doubled)}`)
        for (const statement of forge) await query(statement)
        await query('INSERT INTO lease_spans SELECT * FROM forged')
        await query('DROP TABLE forged')
        expect(await differences()).toEqual([
          expect.stringMatching(
            /^disputed: 1 wrong; first: 198\.18\.0\.7: id:01\w+ had it from \S+ to \S+, and id:ff from /,
          ),
          expect.stringMatching(/^span: 3 wrong/),
        ])
        expect((await replay('--target', target)).code).toBe(0)
        expect((await verify()).match(/everything fits/g)?.length).toBe(2)
      })

      it('builds the tables as they were at a time, beside those of today', async () => {
        const { target, query, past } = on(name)
        const at = BEGIN + 5 * 3_600_000
        const args = ['--target', target, '--into', 'as_of_test', '--until']
        const built = await replay(...args, new Date(at).toISOString())
        const views = `${past('as_of_test', 'leases')} and ${past('as_of_test', 'lease_history')}`
        expect(built).toMatchObject({
          code: 0,
          out: expect.stringContaining(`${views} show 2026-03-01T05:00:00.000Z, ${site.events} events read`),
        })
        const colons = (hex: string): string => hex.replace(/..(?=.)/g, '$&:')
        const held = site.truth.filter(({ from, until: end }) => from <= at && at < end)
        const expected = held
          .map(({ stream, client }) => `${stream.replace(/^\w+\//, '')} ${colons(macOf(client))}`)
          .sort()
        const holders = async (view: string, bound: string): Promise<ReadonlyArray<string>> => {
          const rows = await query(`SELECT address, mac FROM ${past('as_of_test', view)} WHERE ${bound}`)
          return rows.map(({ address, mac }) => `${String(address).replace(/\/(32|128)$/, '')} ${String(mac)}`).sort()
        }
        expect(await holders('lease_history', `ended_by = 'held'`)).toEqual(expected)
        expect((await holders('leases', `status = 'bound'`)).length).toBe(held.length)
        const [today] = await query('SELECT count(*) AS spans FROM lease_history')
        expect(Number(today?.['spans'])).toBe(site.truth.length)
        // Of another time nothing can be gone on with, of the same time nothing is left to do.
        const again = await replay(...args, new Date(at).toISOString(), '--resume')
        expect(again.out).toContain(', 0 events read')
        const other = await replay(...args, new Date(at + 1).toISOString(), '--resume')
        expect(other.out).toContain(`, ${site.events} events read`)
        expect((await replay('--target', target, '--until', '@1', '--into', 'public')).err).toContain('named as_of_')
      })

      it('builds the tables as of a line of the feed, under a name of their own', async () => {
        const { target, query } = on(name)
        const lines = (await site.ledger(['tail', '--once'])).out.trimEnd().split('\n')
        const given = lines.slice(0, Math.floor(lines.length / 3)).map((line) => JSON.parse(line) as any)
        const built = await replay('--target', target, '--until', given.at(-1).checkpoint)
        expect(built.code).toBe(0)
        const leases = /: (\S+) and/.exec(built.out)?.[1] as string
        const last = new Map(given.map(({ stream, revision }) => [stream.replace(/^\w+\//, ''), revision as number]))
        const rows = await query(`SELECT address, revision FROM ${leases}`)
        const shown = rows.map(({ address, revision }) => [
          String(address).replace(/\/(32|128)$/, ''),
          Number(revision),
        ])
        expect(new Map(shown as [string, number][])).toEqual(last)
        const elsewhere = Buffer.from('{"gamma":1}').toString('base64url')
        expect((await replay('--until', elsewhere)).err).toContain('the log of gamma up to 1')
      })
    })
  },
)
