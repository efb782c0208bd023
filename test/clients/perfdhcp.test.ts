/**
 * perfdhcp at 1,000 exchanges a second over a PostgreSQL with default durability: nothing is lost, and what the clients
 * were told, the events and the lease tables agree in number.
 */
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keaMissing } from '../support/kea.ts'
import { Lab, labMissing, makeLinkNetwork } from '../support/namespaces.ts'
import type { Network } from '../support/namespaces.ts'
import { runPerfdhcp } from '../support/perfdhcp.ts'
import type { Load, LoadReport } from '../support/perfdhcp.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { until } from '../support/process.ts'
import { makeServerUnderTest, serverKind } from '../support/server-under-test.ts'
import type { ServerUnderTest } from '../support/server-under-test.ts'

const RATE = 1_000
const SECONDS = 10

const missing = labMissing('perfdhcp') ?? (serverKind() === 'kea' ? keaMissing() : undefined) ?? postgresMissing()
const reason = missing === undefined ? '' : ` (skipped: ${missing})`
const subnet4 = {
  id: 1,
  subnet: '198.18.0.0/15',
  pools: [{ pool: '198.19.0.1 - 198.19.255.254' }],
}
const subnet6 = {
  id: 1,
  subnet: '2001:db8::/64',
  interface: 'lan0',
  pools: [{ pool: '2001:db8::1:0:0/96' }],
  'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 36, 'delegated-len': 56 }],
}

describe.skipIf(missing !== undefined)(`1,000 exchanges a second for 10 s over postgres${reason}`, () => {
  let lab: Lab
  let network: Network
  let store: TestPostgres
  let server: ServerUnderTest
  let sql: postgres.Sql

  beforeAll(async () => {
    lab = await Lab.open()
    network = await makeLinkNetwork(lab, 1)
    await network.clients[0]?.ip(`addr add 198.18.0.9/15 dev ${network.clientDevice}`)
    store = await startPostgres({ prefix: network.server.inside })
    lab.defer('stop PostgreSQL', store.stop)
    sql = postgres({ host: store.socketFolder, port: store.port, user: store.user, database: store.database, max: 1 })
    lab.defer('close the connection', () => sql.end({ timeout: 1 }))
    server = makeServerUnderTest({ start: network.server.start, folder: await lab.folder('server') })
    const leaseDatabase = {
      type: 'postgresql',
      host: store.host,
      port: store.port,
      name: store.database,
      user: store.user,
      password: '',
    }
    // Kea wants its tables made before the start; in its place it is only the load that is tried.
    const own = { 'lease-database': serverKind() === 'kea' ? { type: 'memfile' } : leaseDatabase }
    const common = { 'interfaces-config': { interfaces: [network.serverDevice] }, 'valid-lifetime': 3600, ...own }
    const dhcp6 = { ...common, 'preferred-lifetime': 1800, subnet6: [subnet6] }
    await server.start({ Dhcp4: { ...common, subnet4: [subnet4] }, Dhcp6: dhcp6 })
    lab.defer('stop the server', server.stop)
  }, 60_000)

  afterAll(() => lab?.close(), 60_000)

  const play = (load: Pick<Load, 'family'> & Partial<Load>): Promise<LoadReport> => {
    const namespace = network.clients[0]
    if (namespace === undefined) throw new Error('the network has no client')
    return runPerfdhcp({ namespace, device: network.clientDevice, rate: RATE, seconds: SECONDS, ...load })
  }

  /** Nothing was lost, refused, or given twice; and perfdhcp itself kept the rate. */
  const expectAllAnswered = (report: LoadReport): void => {
    const clean = { drops: 0, rejected: 0, notUnique: 0, orphans: 0 }
    expect(report.discover, report.text).toMatchObject(clean)
    expect(report.request, report.text).toMatchObject({ ...clean, sent: report.discover.received })
    expect(report.malformed).toBe(0)
    expect(report.request.received).toBeGreaterThan(0.97 * RATE * SECONDS)
  }

  /** Events of each type, of DHCPv4 leases. */
  const eventCounts = async (): Promise<Readonly<Record<string, number>>> => {
    if (serverKind() === 'kea') return {}
    const counted = await sql`SELECT type, count(*)::int AS n FROM events WHERE stream LIKE 'lease4/%' GROUP BY type`
    return Object.fromEntries(counted.map((row) => [row['type'], row['n']]))
  }

  /** Claims recorded and rows of leases in force, of one category of streams. */
  const counts = async (category: string): Promise<{ readonly claims: number; readonly rows: number }> => {
    const [claims] = await sql`
      SELECT count(*)::int AS n FROM events WHERE type = 'LeaseClaimed' AND stream LIKE ${`${category}/%`}`
    const [rows] =
      category === 'lease4'
        ? await sql`SELECT count(*)::int AS n FROM lease4 WHERE state = 0`
        : await sql`
            SELECT count(*)::int AS n FROM lease6 WHERE state = 0 AND lease_type = ${category === 'prefix6' ? 2 : 0}`
    return { claims: claims?.['n'] as number, rows: rows?.['n'] as number }
  }

  /** A reply follows its event, so the events are all there; the tables follow the events. */
  const expectRecorded = async (category: string, granted: number): Promise<void> => {
    if (serverKind() === 'kea') return
    expect((await counts(category)).claims).toBe(granted)
    const caughtUp = async (): Promise<boolean> => (await counts(category)).rows >= granted
    await until(`${granted} rows of ${category}`, caughtUp, 10_000, server.logs)
    expect((await counts(category)).rows).toBe(granted)
  }

  it('DHCPv4: as many ACKs as claims in the ledger and rows in lease4', async () => {
    const report = await play({ family: 4 })
    expectAllAnswered(report)
    await expectRecorded('lease4', report.request.received)
  }, 60_000)

  it('DHCPv4 renewals and releases: an event for each', async () => {
    const before = await eventCounts()
    const rates = { rate: 400, renewRate: 250, releaseRate: 100, seconds: 5 }
    const report = await play({ family: 4, firstClient: '021000000000', ...rates })
    const { discover, request, renew, release } = report
    const drops = [discover, request, renew].map((exchange) => exchange?.drops)
    expect(drops, report.text).toEqual([0, 0, 0])
    expect(renew?.received).toBeGreaterThan(0.9 * 250 * 5)
    expect(release?.sent).toBeGreaterThan(0.9 * 100 * 5)
    if (serverKind() === 'kea') return
    const gained = async (type: string): Promise<number> => ((await eventCounts())[type] ?? 0) - (before[type] ?? 0)
    // Nothing answers a release: its event comes when it comes.
    await until('the releases', async () => (await gained('LeaseReleased')) === release?.sent, 10_000, server.logs)
    expect(await gained('LeaseClaimed')).toBe(request.received)
    expect(await gained('LeaseRenewed')).toBe(renew?.received)
  }, 60_000)

  const granted = { lease6: 0, prefix6: 0 }
  const loads = [
    { lease: 'address-only', firstClient: '020000000000', kinds: ['lease6'] },
    { lease: 'prefix-only', firstClient: '020100000000', kinds: ['prefix6'] },
    { lease: 'address-and-prefix', firstClient: '020200000000', kinds: ['lease6', 'prefix6'] },
  ] as const
  it.each(loads)(
    'DHCPv6 $lease: as many Replies as claims in the ledger and rows in lease6',
    async (load) => {
      const report = await play({ family: 6, lease: load.lease, firstClient: load.firstClient })
      expectAllAnswered(report)
      for (const kind of load.kinds) {
        granted[kind] += report.request.received
        await expectRecorded(kind, granted[kind])
      }
    },
    60_000,
  )
})
