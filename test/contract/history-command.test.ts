/** `ledger history` over a ledger on PostgreSQL, its answers checked against the generator's own book. */
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresMissing } from '../support/postgres.ts'
import { BEGIN, macOf, makeRandom, openAuditSite } from './audit-support.ts'
import type { AuditSite, Truth } from './audit-support.ts'

const missing = postgresMissing()
const iso = (at: number): string => new Date(at).toISOString()
const addressOf = ({ stream }: Truth): string => stream.slice(stream.indexOf('/') + 1)

/** What an answer says that the truth knows. */
const said = (out: string): ReadonlyArray<object> =>
  (JSON.parse(out) as { spans: ReadonlyArray<Record<string, unknown>> }).spans.map(
    ({ address, from, until, endedBy, renewals, mac }) => ({ address, from, until, endedBy, renewals, mac }),
  )

const expected = (truth: ReadonlyArray<Truth>): ReadonlyArray<object> =>
  [...truth]
    .sort((one, other) => one.from - other.from || (one.stream < other.stream ? -1 : 1))
    .map((one) => ({
      address: addressOf(one),
      from: iso(one.from),
      until: iso(one.until),
      endedBy: one.endedBy,
      renewals: one.renewals,
      mac: macOf(one.client).replace(/..(?=.)/g, '$&:'),
    }))

describe.skipIf(missing !== undefined)(`ledger history${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let site: AuditSite
  beforeAll(async () => {
    site = await openAuditSite(20_260, 400, 6)
  }, 120_000)
  afterAll(() => site?.stop())

  const ask = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await site.ledger(['history', ...args])
    if (code !== 0) throw new Error(`${args.join(' ')}: exit ${code}: ${out}${err}`)
    return out
  }

  it('tells the whole story of addresses and prefixes', async () => {
    expect(site.events).toBeGreaterThan(10_000)
    const random = makeRandom(7)
    const anyOne = site.truth[Math.floor(random() * site.truth.length)]?.stream as string
    const streams = [anyOne, 'prefix6/2001:db8:500::/56']
    for (const stream of streams) {
      const own = site.truth.filter((one) => one.stream === stream)
      expect(own.length).toBe(6)
      expect(said(await ask(addressOf(own[0] as Truth), '--json'))).toEqual(expected(own))
    }
  }, 60_000)

  it('says who held it at a moment, in any zone, and who did within the grace time', async () => {
    const own = site.truth.filter(({ stream }) => stream === 'lease4/198.18.0.33')
    const [one] = own as [Truth]
    expect(said(await ask('198.18.0.33', '--at', iso(one.from), '--json'))).toEqual(expected([one]))
    expect(said(await ask('198.18.0.33', '--at', iso(one.until - 1), '--format', 'json'))).toEqual(expected([one]))
    const text = await ask('198.18.0.33', '--at', iso(one.from + 3_600_000).replace('Z', '+01:00'))
    expect(text).toContain(`${iso(one.from)} to ${iso(one.until)}`)
    expect(text).toContain('+01:00')
    expect(text).toMatch(/circuit-id [0-9a-f]+ "Gi1\/0\/\d+".*remote-id/)
    expect(text).toMatch(/renewed \d+ times.*server (alpha|beta), events (alpha|beta)\/\d+ to (alpha|beta)\/\d+/)
    const grace = await ask('198.18.0.33', '--at', iso(one.until), '--grace', '1', '--zone', 'Europe/Berlin')
    expect(grace).toContain('over, but within the grace time')
    expect(grace).toContain('(Europe/Berlin)')
  }, 60_000)

  it.each([
    ['--mac', (client: number) => macOf(client).replace(/..(?=.)/g, '$&-'), ['lease4', 'lease6', 'prefix6']],
    ['--client-id', (client: number) => `01${macOf(client)}`, ['lease4']],
    ['--duid', (client: number) => `00030001${macOf(client)}`, ['lease6', 'prefix6']],
    ['--hostname', (client: number) => `HOST-${client}`, ['lease4', 'lease6', 'prefix6']],
    ['--remote-id', (client: number) => `000602${macOf(client)}`, ['lease4', 'lease6', 'prefix6']],
  ] as const)('finds all that a client held by %s', async (option, value, categories) => {
    const client = site.truth.find(({ stream }) => stream.startsWith('prefix6/'))?.client as number
    const own = site.truth.filter((one) => one.client === client && categories.some((c) => one.stream.startsWith(c)))
    expect(own.length).toBeGreaterThan(0)
    expect(said(await ask(option, value(client), '--json'))).toEqual(expected(own))
  })

  it('finds who was behind a port, over a time, as CSV', async () => {
    const [from, to] = [BEGIN + 5 * 3_600_000, BEGIN + 6 * 3_600_000]
    const own = site.truth.filter((one) => one.client % 48 === 7 && one.from <= to && one.until > from)
    const csv = await ask('--circuit-id', 'Gi1/0/7', '--from', iso(from), '--to', iso(to), '--format', 'csv')
    const [header, ...lines] = csv.trimEnd().split('\n')
    expect(header).toMatch(/^address,kind,from,until,endedBy,/)
    expect(lines.map((line) => line.split(',').slice(0, 4))).toEqual(
      expected(own).map((one) => {
        const { address, from, until } = one as { address: string; from: string; until: string }
        return [address, address.includes('/') ? 'prefix' : 'address', from, until]
      }),
    )
    const inSubnet = await ask('198.18.0.0/30', '--from', iso(from), '--to', iso(to), '--format', 'ndjson')
    const held = site.truth.filter(({ stream }) => /^lease4\/198\.18\.0\.[0-3]$/.test(stream))
    expect(inSubnet.trimEnd().split('\n').length).toBe(held.filter((one) => one.from <= to && one.until > from).length)
  }, 60_000)

  it('proves that nobody held an address, and says what is missing when it cannot', async () => {
    const nobody = await ask('198.18.200.1', '--at', iso(BEGIN + 7 * 3_600_000))
    expect(nobody).toMatch(/^nobody held 198\.18\.200\.1 at .*; the ledger is complete for that window \(\d+ events/)
    const before = await site.ledger(['history', '198.18.0.1', '--at', iso(BEGIN - 86_400_000)])
    expect(before.code).toBe(1)
    expect(before.out).toContain('the ledger is not complete for that window')
    expect(before.out).toContain('the ledger begins at')
    const gap = site.truth.filter(({ stream }) => stream === 'lease4/198.18.0.2')
    const between = iso((gap[0] as Truth).until + 5)
    const database = 'tampered'
    const admin = postgres(site.server.url, { max: 1, onnotice: () => undefined })
    await admin.unsafe(`CREATE DATABASE ${database} TEMPLATE ${site.server.database}`)
    await admin.end({ timeout: 1 })
    const sql = postgres(site.server.url.replace(/[^/]+$/, database), { max: 1, onnotice: () => undefined })
    await sql.unsafe(`ALTER TABLE events DISABLE TRIGGER ALL`)
    await sql.unsafe(
      `DELETE FROM events WHERE stream = 'lease4/198.18.0.2' AND type <> 'LeaseOffered' AND revision > 1`,
    )
    await sql.end({ timeout: 1 })
    const whole = await site.ledger(['history', '198.18.0.2', '--at', between])
    expect(whole.out).toMatch(/^nobody held 198\.18\.0\.2 at/)
    const damaged = await site.ledger(['history', '198.18.0.2', '--at', between], await site.configFor(database))
    expect(damaged.code).toBe(1)
    expect(damaged.out).toMatch(/(alpha|beta): position \d+ is missing/)
    expect(damaged.out).not.toContain('nobody held')
  }, 60_000)

  it('shows every event of a span', async () => {
    const [one] = site.truth.filter(({ stream }) => stream === 'lease4/198.18.0.40') as [Truth]
    const text = await ask('198.18.0.40', '--from', iso(one.from), '--to', iso(one.until), '--events')
    expect(text.match(/LeaseClaimed|LeaseRenewed/g)?.length).toBe(one.renewals + 1)
    expect((await site.ledger(['history', '198.18.0.40', '--mac', '020000000001'])).err).toContain('give an address')
  }, 60_000)

  it('answers the same by SQL', async () => {
    const sql = postgres(site.server.url, { max: 1, onnotice: () => undefined })
    const one = site.truth.find(({ stream }) => stream === 'lease4/198.18.1.7') as Truth
    const at = iso(Math.floor((one.from + one.until) / 2))
    const held = await sql`SELECT host(address) AS address, mac, valid_from, valid_to, ended_by, renewals::int, server
                           FROM lease_history
                           WHERE address = ${'198.18.1.7'}::inet AND valid_from <= ${at} AND valid_to > ${at}`
    expect(
      held.map(({ valid_from, valid_to, ended_by, renewals }) => [+valid_from, +valid_to, ended_by, renewals]),
    ).toEqual([[one.from, one.until, one.endedBy, one.renewals]])
    const events = await sql`SELECT type, mac, host(address) AS address FROM ledger_events
                             WHERE stream = 'lease4/198.18.1.7' ORDER BY revision`
    expect(events.length).toBeGreaterThan(6)
    expect(events.every(({ address }) => address === '198.18.1.7')).toBe(true)
    const plan = await sql.unsafe(`SET enable_seqscan = off; EXPLAIN SELECT * FROM lease_history
                             WHERE mac = '02:00:00:00:00:01' ORDER BY valid_from`)
    expect(JSON.stringify(plan)).toContain('lease_spans_mac_starts_at_idx')
    await sql.end({ timeout: 1 })
  })
})
