/** `ledger tail`, `ledger export` and `ledger import` on PostgreSQL. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresMissing } from '../support/postgres.ts'
import { openAuditSite } from './audit-support.ts'
import type { AuditSite } from './audit-support.ts'

const missing = postgresMissing()

interface Line {
  readonly log: string
  readonly seq: number
  readonly stream: string
  readonly revision: number
  readonly hash: string
  readonly checkpoint: string
}

const linesOf = (text: string): ReadonlyArray<Line> =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)

describe.skipIf(missing !== undefined)(
  `coming and going${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let site: AuditSite
    beforeAll(async () => {
      site = await openAuditSite({ seed: 99, addresses: 100, rounds: 5 })
    })
    afterAll(() => site?.stop())

    const emptyLedger = async (name: string): Promise<string> => {
      await site.server.createDatabase(name)
      return site.configFor(name)
    }

    // The tests only read the site and write each to ledgers of its own, so their commands run beside each other.
    it.concurrent(
      'tails every event once, each stream in order, and goes on from any line',
      async () => {
        const all = linesOf((await site.ledger(['tail', '--once'])).out)
        expect(all.length).toBe(site.events)
        const revisions = new Map<string, number>()
        for (const { stream, revision } of all) {
          expect(revision).toBe((revisions.get(stream) ?? -1) + 1)
          revisions.set(stream, revision)
        }
        const middle = Math.floor(all.length / 3)
        const rest = linesOf((await site.ledger(['tail', '--once', '--from', all[middle]?.checkpoint as string])).out)
        const place = ({ log, seq }: Line): string => `${log}/${seq}`
        expect(new Set([...all.slice(0, middle + 1), ...rest].map(place)).size).toBe(site.events)
        expect(rest.length).toBe(site.events - middle - 1)
        for (const [index, { stream, revision }] of rest.entries()) {
          const before = rest.slice(0, index).findLast((line) => line.stream === stream)
          if (before !== undefined) expect(revision).toBe(before.revision + 1)
        }
        expect((await site.ledger(['tail', '--from', 'nonsense'])).err).toContain('is no checkpoint')
      },
      120_000,
    )

    it.concurrent(
      'imports an export to an equal ledger, chains included, and once only',
      async () => {
        const file = join(site.folder, 'export.ndjson')
        expect((await site.ledger(['export', '--out', file])).out).toContain(`${site.events} events`)
        const copy = await emptyLedger('copy')
        const cut = join(site.folder, 'cut.ndjson')
        await writeFile(cut, (await readFile(file, 'utf8')).split('\n').slice(0, 701).join('\n'))
        const early = await site.ledger(['import', cut], copy)
        expect(early).toMatchObject({ code: 1, err: expect.stringContaining('ends early') })
        const rest = await site.ledger(['import', file], copy)
        expect(rest).toMatchObject({ code: 0, out: `imported ${site.events - 700} events, 700 known already\n` })
        const same = async (url: string) => {
          const sql = postgres(url, { max: 1 })
          const rows = await sql`SELECT w.name, e.seq, e.stream, e.revision, e.recorded_at, e.data::text, e.hash
                             FROM events e JOIN writers w USING (writer) ORDER BY w.name, e.seq`
          await sql.end({ timeout: 1 })
          return rows.map((row) => JSON.stringify(row))
        }
        expect(await same(site.server.url.replace(/[^/]+$/, 'copy'))).toEqual(await same(site.server.url))
        const forged = join(site.folder, 'forged.ndjson')
        await writeFile(forged, (await readFile(file, 'utf8')).replace('"hostname":"Host-', '"hostname":"host-'))
        const refused = await site.ledger(['import', forged], await emptyLedger('forged'))
        expect(refused).toMatchObject({
          code: 1,
          err: expect.stringContaining('is not the event that was recorded there'),
        })
      },
      120_000,
    )

    it.concurrent(
      'takes the leases of a lease file over, once, and finds them in the history',
      async () => {
        const target = await emptyLedger('kea')
        const files = ['kea4', 'kea6'].map((format) => [format, join(site.folder, `${format}.csv`)] as const)
        let leases = 0
        for (const [format, file] of files) {
          await site.ledger(['export', '--format', format, '--out', file])
          const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
          await writeFile(file, `${lines.join('\n')}\n198.18.0.300,,,1,1,1,0,0,,0,,0\n`)
          const dry = await site.ledger(['import', file, '--dry-run'], target)
          expect(dry.out).toContain('would import')
          const { code, out, err } = await site.ledger(['import', file], target)
          expect(code).toBe(1)
          expect(err).toMatch(new RegExp(`${file}:${lines.length + 1}: `))
          expect(dry.out.replace('would import', 'imported')).toBe(out)
          const imported = Number(/imported (\d+) leases, 0 known already, 1 bad/.exec(out)?.[1])
          const again = await site.ledger(['import', file], target)
          expect(again.out).toContain(`imported 0 leases, ${imported} known already`)
          leases += imported
        }
        const sql = postgres(site.server.url.replace(/[^/]+$/, 'kea'), { max: 1 })
        const [counted] = await sql`SELECT count(*)::int AS events, count(DISTINCT stream)::int AS streams FROM events
                                WHERE type = 'LeaseImported'`
        await sql.end({ timeout: 1 })
        expect(counted).toEqual({ events: leases, streams: leases })
        const released = site.truth.findLast(
          (one, index, all) =>
            one.endedBy === 'expired' && all[index + 1]?.stream !== one.stream && one.stream.startsWith('lease4'),
        )
        const answer = await site.ledger(
          ['history', String(released?.stream.slice('lease4/'.length)), '--json'],
          target,
        )
        const until = new Date(Math.floor((released?.until ?? 0) / 1000) * 1000).toISOString()
        expect(JSON.parse(answer.out)).toMatchObject({ spans: [{ until, endedBy: 'expired' }] })
      },
      120_000,
    )

    it.concurrent(
      'takes the leases of a Kea database over',
      async () => {
        const target = await emptyLedger('fromkea')
        // Our own tables have the columns that Kea's have.
        const { out } = await site.ledger(['import', site.server.url], target)
        expect(out).toMatch(/^imported \d+ leases, 0 known already, 0 bad/)
        const sql = postgres(site.server.url.replace(/[^/]+$/, 'fromkea'), { max: 1 })
        const [one] = await sql`SELECT count(*)::int AS n FROM ledger_events WHERE category = 'prefix6'`
        await sql.end({ timeout: 1 })
        expect(one?.n).toBeGreaterThan(0)
      },
      120_000,
    )
  },
)
