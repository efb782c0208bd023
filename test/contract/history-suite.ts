/**
 * `ledger history` over more than 100,000 events of some thousand clients, whichever database they are in: every answer
 * is compared with the generator's own book, and what is said of events with what was appended.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Proposal } from '../../domain/event-store.ts'
import { isoText as iso } from '../../domain/instant.ts'
import { BEGIN, macOf, makeRandom, nameOf, portOf } from './audit-events.ts'
import type { SiteSize, Truth } from './audit-events.ts'
import type { AuditSite } from './audit-support.ts'

/** The site that this suite is about: some 100,000 events. */
export const LARGE: SiteSize = { seed: 20_260, addresses: 1_350, rounds: 5, renewalsMax: 23 }

const HOUR_MS = 3_600_000
const [FROM, TO] = [BEGIN + 5 * HOUR_MS, BEGIN + 6 * HOUR_MS]

export const addressOf = ({ stream }: Pick<Truth, 'stream'>): string => stream.slice(stream.indexOf('/') + 1)

const colons = (hex: string): string => hex.replace(/..(?=.)/g, '$&:')

/** What an answer says that the truth knows. */
const essence = ({ address, from, until, endedBy, renewals, mac, hostname, formerly }: Record<string, unknown>) => ({
  address,
  from,
  until,
  endedBy,
  renewals: Number(renewals),
  mac,
  hostname,
  formerly: formerly === '' ? undefined : formerly,
})

const said = (out: string): ReadonlyArray<object> =>
  (JSON.parse(out) as { spans: ReadonlyArray<Record<string, unknown>> }).spans.map(essence)

/** By what a client was known earlier in a span and is not any more, as `formerly` has it. */
const formerly = ({ client, moved, wandered }: Truth): string | undefined => {
  const other = !moved[1]
  const port = Buffer.from(portOf(client, other)).toString('hex')
  return wandered ? `circuit-id=${port} hostname=${nameOf(client, other).toLowerCase()}` : undefined
}

const inOrder = (truth: ReadonlyArray<Truth>): ReadonlyArray<Truth> =>
  truth.toSorted((one, other) => one.from - other.from || (one.stream < other.stream ? -1 : 1))

/** What answers about these spans say. */
export const expected = (truth: ReadonlyArray<Truth>): ReadonlyArray<object> =>
  inOrder(truth).map((one) => ({
    address: addressOf(one),
    from: iso(one.from),
    until: iso(one.until),
    endedBy: one.endedBy,
    renewals: one.renewals,
    mac: colons(macOf(one.client)),
    hostname: nameOf(one.client, one.moved[1]),
    formerly: formerly(one),
  }))

/** Was held at some time from `from` to `to`, both inclusive. */
const during = ({ from, until }: Truth, start: number, end: number): boolean => from <= end && until > start

/** The fields of each line of CSV by their names. No field of ours has a comma in it. */
const fieldsOf = (csv: string): ReadonlyArray<Record<string, string>> => {
  const [header = '', ...lines] = csv.trimEnd().split('\n')
  const names = header.split(',')
  return lines.map((line) => Object.fromEntries(line.split(',').map((value, index) => [names[index], value])))
}

/** Opens the site before the tests and asks it within this process; `ledger history` as a program is one of them. */
export const historySuite = (open: () => Promise<AuditSite<unknown>>): (() => AuditSite<unknown>) => {
  vi.setConfig({ testTimeout: 180_000, hookTimeout: 600_000 }) // there is much to read through
  let site: AuditSite<unknown>
  beforeAll(async () => {
    site = await open()
  })
  afterAll(() => site?.stop())

  const ask = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await site.ask(['history', ...args])
    if (code !== 0) throw new Error(`${args.join(' ')}: exit ${code}: ${out}${err}`)
    return out
  }
  const ofStream = (stream: string): ReadonlyArray<Truth> => site.truth.filter((one) => one.stream === stream)

  it('tells the whole story of addresses and prefixes', async () => {
    expect(site.events).toBeGreaterThan(100_000)
    const random = makeRandom(7)
    const any = Array.from({ length: 8 }, () => site.truth[Math.floor(random() * site.truth.length)]?.stream as string)
    for (const stream of [...any, 'prefix6/2001:db8:500::/56', 'lease6/2001:db8::7']) {
      const own = ofStream(stream)
      expect(own.length).toBe(LARGE.rounds)
      expect(said(await ask(addressOf(own[0] as Truth), '--json'))).toEqual(expected(own))
    }
  })

  it('says who held an address at any moment', async () => {
    const random = makeRandom(8)
    for (let i = 0; i < 24; i++) {
      const one = site.truth[Math.floor(random() * site.truth.length)] as Truth
      const at = [one.from, one.until - 1, one.until, Math.floor((one.from + one.until) / 2)][i % 4] as number
      const held = ofStream(one.stream).filter((span) => during(span, at, at))
      const { out } = await site.ask(['history', addressOf(one), '--at', iso(at), '--json', '--no-proof'])
      expect(said(out)).toEqual(expected(held))
    }
  })

  it('is a program that says it in any zone, and who had it within the grace time', async () => {
    const [one] = ofStream('lease4/198.18.0.33') as [Truth]
    const zoned = await site.ledger(['history', '198.18.0.33', '--at', iso(one.from + HOUR_MS).replace('Z', '+01:00')])
    expect(zoned).toMatchObject({ code: 0, err: '' })
    expect(zoned.out).toContain(`${iso(one.from)} to ${iso(one.until)}`)
    expect(zoned.out).toContain('+01:00')
    expect(zoned.out).toMatch(/circuit-id [0-9a-f]+ "Gi[12]\/0\/\d+".*remote-id/)
    expect(zoned.out).toMatch(/renewed \d+ times.*server (alpha|beta), events (alpha|beta)\/\d+ to (alpha|beta)\/\d+/)
    const grace = await ask('198.18.0.33', '--at', iso(one.until), '--grace', '1', '--zone', 'Europe/Berlin')
    expect(grace).toContain('over, but within the grace time')
    expect(grace).toContain('(Europe/Berlin)')
  })

  it.each([
    ['--mac', (client: number) => colons(macOf(client)).replaceAll(':', '-'), ['lease4', 'lease6', 'prefix6']],
    ['--client-id', (client: number) => `01${macOf(client)}`, ['lease4']],
    ['--duid', (client: number) => `00030001${macOf(client)}`, ['lease6', 'prefix6']],
    ['--remote-id', (client: number) => `000602${macOf(client)}`, ['lease4', 'lease6', 'prefix6']],
  ] as const)('finds all that a client held by %s, and over a time', async (option, value, categories) => {
    for (const first of ['prefix6/', 'lease6/', 'lease4/198.18.3.']) {
      const client = site.truth.find(({ stream }) => stream.startsWith(first))?.client as number
      const own = site.truth.filter((one) => one.client === client && categories.some((c) => one.stream.startsWith(c)))
      expect(own.length).toBeGreaterThan(0)
      expect(said(await ask(option, value(client), '--json'))).toEqual(expected(own))
      const [start, end] = [own[0]?.from as number, (own[0]?.from as number) + HOUR_MS]
      const then = own.filter((one) => during(one, start, end))
      expect(said(await ask(option, value(client), '--from', iso(start), '--to', iso(end), '--json'))).toEqual(
        expected(then),
      )
    }
  })

  it('finds a client by what it was called, also earlier in a span', async () => {
    const renamed = site.truth.find(({ wandered }) => wandered) as Truth
    for (const moved of [false, true]) {
      const own = site.truth.filter((one) => one.client === renamed.client && wasMoved(one, moved))
      expect(own.length).toBeGreaterThan(0)
      expect(said(await ask('--hostname', nameOf(renamed.client, moved).toUpperCase(), '--json'))).toEqual(
        expected(own),
      )
    }
  })

  it('finds who was behind a port, over a time, as JSON, NDJSON, CSV and for people', async () => {
    const own = site.truth.filter((one) => one.client % 48 === 7 && wasMoved(one, false) && during(one, FROM, TO))
    expect(own.length).toBeGreaterThan(20)
    const question = ['--circuit-id', 'Gi1/0/7', '--from', iso(FROM), '--to', iso(TO)]
    expect(said(await ask(...question, '--json'))).toEqual(expected(own))
    const lines = (await ask(...question, '--format', 'ndjson')).trimEnd().split('\n')
    expect(lines.map((line) => essence(JSON.parse(line) as Record<string, unknown>))).toEqual(expected(own))
    expect(fieldsOf(await ask(...question, '--format', 'csv')).map(essence)).toEqual(expected(own))
    const text = await ask(...question)
    expect(text.match(/^\S.*$/gm)?.map((line) => line.split(/ +/).slice(0, 4))).toEqual(
      inOrder(own).map((one) => [addressOf(one), iso(one.from), 'to', `${iso(one.until)},`]),
    )
  })

  it('finds everything in a prefix, and what covers it', async () => {
    const four = site.truth.filter((one) => /^lease4\/198\.18\.0\.[0-3]$/.test(one.stream) && during(one, FROM, TO))
    const window = ['--from', iso(FROM), '--to', iso(TO), '--json']
    expect(said(await ask('198.18.0.0/30', ...window))).toEqual(expected(four))
    const six = site.truth.filter(
      (one) => /^lease6\/2001:db8::[0-9a-f]{1,2}$/.test(one.stream) && during(one, FROM, TO),
    )
    expect(said(await ask('2001:db8::/120', ...window))).toEqual(expected(six))
    const covering = ofStream('prefix6/2001:db8:500::/56').filter((one) => during(one, FROM, TO))
    expect(said(await ask('2001:db8:500:1::/64', ...window))).toEqual(expected(covering))
    expect(said(await ask('2001:db8:500:1::17', ...window))).toEqual(expected(covering))
  })

  it('shows every event, in every format', async () => {
    const [one] = ofStream('lease4/198.18.0.40') as [Truth]
    const inside = ({ recordedAt }: Proposal): boolean => one.from <= recordedAt && recordedAt <= one.until
    const own = site.proposals.filter(([, proposal]) => proposal.stream === one.stream && inside(proposal))
    const question = ['198.18.0.40', '--from', iso(one.from), '--to', iso(one.until), '--events']
    const text = (await ask(...question)).trimEnd().split('\n')
    expect(text.map((line) => line.split(' ').slice(0, 4))).toEqual(
      own.map(([, { event, recordedAt, expected: before }]) => [
        iso(recordedAt),
        '198.18.0.40',
        `#${before + 1}`,
        event.type,
      ]),
    )
    const raw = own.map(([log, { stream, event, recordedAt, expected: before }]) => ({
      log,
      stream,
      revision: before + 1,
      recordedAt,
      type: event.type,
    }))
    const shown = (event: any) => {
      const { log, stream, revision, recordedAt } = event
      return { log, stream, revision: Number(revision), recordedAt: Number(recordedAt), type: event.event.type }
    }
    const lines = (await ask(...question, '--format', 'ndjson')).trimEnd().split('\n')
    expect(lines.map((line) => shown(JSON.parse(line)))).toEqual(raw)
    expect(JSON.parse(await ask(...question, '--json')).events.map(shown)).toEqual(raw)
    const rows = fieldsOf(await ask(...question, '--format', 'csv'))
    expect(rows.map(({ recordedAt, type, revision }) => [recordedAt, type, revision])).toEqual(
      raw.map(({ recordedAt, type, revision }) => [iso(recordedAt), type, String(revision)]),
    )
    const { client } = one
    const all = fieldsOf(await ask('--mac', macOf(client), '--events', '--format', 'csv'))
    const spans = site.truth.filter((span) => span.client === client)
    const renewals = spans.reduce((sum, span) => sum + span.renewals, 0)
    expect(all.filter(({ type }) => type === 'LeaseClaimed').length).toBe(spans.length)
    expect(all.filter(({ type }) => type === 'LeaseRenewed').length).toBe(renewals)
  })

  it('proves that nobody held an address', async () => {
    const at = iso(BEGIN + 7 * HOUR_MS)
    expect(await ask('198.18.200.1', '--at', at)).toMatch(
      /^nobody held 198\.18\.200\.1 at .*; the ledger is complete for that window \(\d+ events/,
    )
    const rows = await site.ask(['history', '198.18.200.1', '--at', at, '--no-proof', '--format', 'ndjson'])
    expect(rows).toMatchObject({ code: 0, out: '', err: expect.stringContaining('were not checked') })
    const before = await site.ask(['history', '198.18.0.1', '--at', iso(BEGIN - 86_400_000)])
    expect(before.code).toBe(1)
    expect(before.out).toContain('the ledger is not complete for that window')
    expect(before.out).toContain('the ledger begins at')
  })

  it('gives evidence that holds by itself, of spans that went from one server to the other', async () => {
    const spans = site.truth.filter(({ renewals }) => renewals > 10)
    for (const one of [spans[0], spans.at(-1)] as [Truth, Truth]) {
      const file = join(site.folder, 'evidence.json')
      const words = ['evidence', addressOf(one), '--at', iso(one.until - 1), '--out', file]
      expect(await site.ask(words)).toMatchObject({ code: 0, err: '' })
      const { code, out } = await site.ask(['verify', file])
      expect([code, out]).toEqual([0, expect.stringContaining(`everything fits: `)])
      expect(out).toContain(
        `held ${addressOf(one)} at ${iso(one.until - 1)}: from ${iso(one.from)} to ${iso(one.until)}`,
      )
      const { chains, events } = JSON.parse(await readFile(file, 'utf8')) as { chains: object[]; events: object[] }
      expect(chains.length).toBe(2)
      expect(events.length).toBeGreaterThan(one.renewals)
    }
  })

  it('stands on a ledger and tables in which everything fits', async () => {
    const { code, out } = await site.ask(['verify'])
    expect(out).toContain(`checked: ${site.events} events in 2 logs`)
    expect(out).toContain(`${site.truth.length} spans in`)
    expect([code, out.split('\n').at(-2)]).toEqual([0, 'everything fits'])
  })

  it.each([
    [['198.18.0.40', '--mac', '020000000001'], 'give an address'],
    [['198.18.0.300'], 'neither an address nor a prefix'],
    [['198.18.0.0/33'], 'neither an address nor a prefix'],
    [['--mac', 'hello'], 'is no MAC address'],
    [['198.18.0.1', '--at', 'noon'], 'is not a time'],
    [['198.18.0.1', '--at', '2999-01-01T00:00Z'], 'is yet to come'],
    [['198.18.0.1', '--from', '2026-03-02', '--to', '2026-03-01'], '--from is later than --to'],
    [['198.18.0.1', '--at', '@1', '--to', '@2'], '--at stands without'],
    [['198.18.0.1', '--grace', '-1'], 'is no number of seconds'],
  ])('refuses %j', async (args, reason) => {
    expect(await site.ask(['history', ...args])).toMatchObject({ code: 1, err: expect.stringContaining(reason) })
  })

  return () => site
}

const wasMoved = ({ moved, wandered }: Truth, state: boolean): boolean => wandered || moved.includes(state)
