/**
 * perfdhcp at 1,000 exchanges a second for ten seconds, over PostgreSQL with its default durability: nothing is dropped,
 * and ledger, lease tables and answers agree in number.
 */
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keaMissing } from '../support/kea.ts'
import { Lab, labMissing, makeLinkNetwork } from '../support/namespaces.ts'
import type { Network } from '../support/namespaces.ts'
import { runPerfdhcp } from '../support/perfdhcp.ts'
import type { PerfReport } from '../support/perfdhcp.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { until } from '../support/process.ts'
import { makeServerUnderTest, serverKind } from '../support/server-under-test.ts'
import type { ServerUnderTest } from '../support/server-under-test.ts'

const RATE = 1000
const SECONDS = 10
const EXCHANGES = RATE * SECONDS

const isKea = serverKind() === 'kea'
const missing = labMissing('perfdhcp') ?? (isKea ? keaMissing() : postgresMissing())

const config = (database: object) => ({
  Dhcp4: {
    'interfaces-config': { interfaces: ['lan0'], 'dhcp-socket-type': 'raw' },
    'lease-database': database,
    'valid-lifetime': 4000,
    subnet4: [{ id: 1, subnet: '198.18.0.0/16', pools: [{ pool: '198.18.16.0 - 198.18.255.0' }] }],
  },
  Dhcp6: {
    'interfaces-config': { interfaces: ['lan0'] },
    'lease-database': database,
    'preferred-lifetime': 3000,
    'valid-lifetime': 4000,
    subnet6: [
      {
        id: 1,
        subnet: '2001:db8::/64',
        interface: 'lan0',
        pools: [{ pool: '2001:db8::1:0:0/96' }],
        'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 36, 'delegated-len': 56 }],
      },
    ],
  },
})

/** Rows and events of one kind of lease. */
interface Counts {
  readonly events: number
  readonly rows: number
}

describe.skipIf(missing !== undefined)(`perfdhcp${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let lab: Lab
  let network: Network
  let server: ServerUnderTest
  let database: TestPostgres | undefined
  let sql: postgres.Sql

  beforeAll(async () => {
    lab = await Lab.open()
    network = await makeLinkNetwork(lab, 1)
    await network.clients[0]?.ip('addr add 198.18.0.2/24 dev eth0')
    if (!isKea) {
      const started = await startPostgres()
      lab.defer('stop PostgreSQL', () => started.stop())
      sql = postgres(started.url, { max: 1, onnotice: () => undefined })
      lab.defer('disconnect', () => sql.end({ timeout: 1 }))
      database = started
    }
    server = makeServerUnderTest({ folder: await lab.folder('server'), start: network.server.start })
    lab.defer('stop the server', () => server.stop())
    // By its Unix socket: the server's namespace has a loopback of its own.
    const { socketFolder: host, port, database: name, user } = database ?? {}
    await server.start(
      config(database === undefined ? { type: 'embedded' } : { type: 'postgresql', host, port, name, user }),
    )
  })

  afterAll(() => lab?.close())

  /** Leases claimed by event and leases held by row, of streams and table of one kind. */
  const countLeases = async (category: string, held: string): Promise<Counts> => {
    const [events] = await sql`
      SELECT count(*)::int AS count FROM events WHERE type = 'LeaseClaimed' AND stream LIKE ${category + '/%'}`
    const [rows] = await sql.unsafe(`SELECT count(*)::int AS count FROM ${held}`)
    return { events: Number(events?.count), rows: Number(rows?.count) }
  }

  /** Events of each type, of DHCPv4 leases. */
  const countEvents = async (): Promise<Readonly<Record<string, number>>> => {
    const rows = await sql`SELECT type, count(*)::int AS count FROM events WHERE stream LIKE 'lease4/%' GROUP BY type`
    return Object.fromEntries(rows.map(({ type, count }) => [String(type), Number(count)]))
  }

  /** The tables follow the ledger; both must come to say what perfdhcp was told. */
  const expectCounts = async (category: string, held: string, acknowledged: number): Promise<void> => {
    if (isKea) return
    let seen: Counts | undefined
    const arrived = async () => (seen = await countLeases(category, held)).rows >= acknowledged
    await until(
      `${acknowledged} rows in ${held}`,
      arrived,
      undefined,
      () => `${JSON.stringify(seen)}\n${server.logs()}`,
    )
    expect(seen).toEqual({ events: acknowledged, rows: acknowledged })
  }

  /** What the kernel dropped because a socket's buffer was full, at the load generator and at the server. */
  const overruns = async (): Promise<string> => {
    const counted = async (place: Network['server'] | undefined) =>
      (await place?.must(['grep', '-h', '-E', '^Udp6?(:|RcvbufErrors)', '/proc/net/snmp', '/proc/net/snmp6'])) ?? ''
    return `perfdhcp's side:\n${await counted(network.clients[0])}the server's side:\n${await counted(network.server)}`
  }

  /** All was answered, once and with a lease of its own. Gives the number of leases granted. */
  const expectComplete = async (report: PerfReport, first: string, second: string): Promise<number> => {
    const shown = `${report.text}\n${await overruns()}\n${server.logs().split('\n').slice(-30).join('\n')}`
    // perfdhcp sends in small bursts and may so begin an exchange or two more than it was told to.
    const sent = report.exchanges[first]?.sent ?? 0
    expect(sent, shown).toBeGreaterThanOrEqual(EXCHANGES)
    const clean = { drops: 0, orphans: 0, rejectedLeases: 0, nonUniqueAddresses: 0 }
    for (const name of [first, second])
      expect(report.exchanges[name], shown).toEqual({ ...report.exchanges[name], sent, received: sent, ...clean })
    expect(report).toMatchObject({ exitCode: 0, malformedPackets: 0 })
    return sent
  }

  it('1,000 DORA/s through a relay', async () => {
    const report = await runPerfdhcp({
      namespace: network.clients[0] as Network['server'],
      family: 4,
      local: '198.18.0.2',
      server: '198.18.0.1',
      ratePerSec: RATE,
      exchanges: EXCHANGES,
      clients: 2 * EXCHANGES,
    })
    await expectCounts(
      'lease4',
      'lease4 WHERE state = 0',
      await expectComplete(report, 'DISCOVER-OFFER', 'REQUEST-ACK'),
    )
  })

  it('renewals and releases beside 400 DORA/s, an event for each', async () => {
    const before = isKea ? {} : await countEvents()
    const report = await runPerfdhcp({
      namespace: network.clients[0] as Network['server'],
      family: 4,
      local: '198.18.0.2',
      server: '198.18.0.1',
      ratePerSec: 400,
      periodSec: 5,
      clients: EXCHANGES,
      renewPerSec: 250,
      releasePerSec: 100,
      more: ['-b', 'mac=02:0d:00:00:00:00'], // other clients than those of the load before
    })
    const names = ['DISCOVER-OFFER', 'REQUEST-ACK', 'REQUEST-ACK (renewal)'] as const
    const [, claimed, renewed] = names.map((name) => report.exchanges[name])
    expect(
      names.map((name) => report.exchanges[name]?.drops),
      report.text,
    ).toEqual([0, 0, 0])
    const released = report.exchanges['RELEASE']?.sent
    expect(renewed?.received).toBeGreaterThan(1000)
    expect(released).toBeGreaterThan(400)
    if (isKea) return
    const gained = async (type: string) => ((await countEvents())[type] ?? 0) - (before[type] ?? 0)
    // Nothing answers a DHCPRELEASE: its event may come after perfdhcp's end.
    await until(
      `${released} releases`,
      async () => (await gained('LeaseReleased')) === released,
      undefined,
      server.logs,
    )
    expect(await gained('LeaseClaimed')).toBe(claimed?.received)
    expect(await gained('LeaseRenewed')).toBe(renewed?.received)
  })

  // The counts grow from load to load.
  const granted = { lease6: 0, prefix6: 0 }
  it.each([
    { lease: 'address-only', turn: '01', kinds: ['lease6'] },
    { lease: 'prefix-only', turn: '02', kinds: ['prefix6'] },
    { lease: 'address-and-prefix', turn: '03', kinds: ['lease6', 'prefix6'] },
  ] as const)('1,000 SARR/s over multicast, $lease', async ({ lease, turn, kinds }) => {
    const report = await runPerfdhcp({
      namespace: network.clients[0] as Network['server'],
      family: 6,
      local: 'eth0',
      lease,
      ratePerSec: RATE,
      exchanges: EXCHANGES,
      clients: 2 * EXCHANGES,
      more: ['-b', `mac=02:0c:${turn}:00:00:00`], // other clients than those of the load before
    })
    const replies = await expectComplete(report, 'SOLICIT-ADVERTISE', 'REQUEST-REPLY')
    for (const kind of kinds) granted[kind] += replies
    await expectCounts('lease6', 'lease6 WHERE state = 0 AND lease_type = 0', granted.lease6)
    await expectCounts('prefix6', 'lease6 WHERE state = 0 AND lease_type = 2', granted.prefix6)
  })
})
