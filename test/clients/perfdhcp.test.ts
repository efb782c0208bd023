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
  }, 60_000)

  afterAll(() => lab?.close(), 60_000)

  /** Leases claimed by event and leases held by row, of streams and table of one kind. */
  const countLeases = async (category: string, held: string): Promise<Counts> => {
    const [events] = await sql`
      SELECT count(*)::int AS count FROM events WHERE type = 'LeaseClaimed' AND stream LIKE ${category + '/%'}`
    const [rows] = await sql.unsafe(`SELECT count(*)::int AS count FROM ${held}`)
    return { events: Number(events?.count), rows: Number(rows?.count) }
  }

  /** The tables follow the ledger; both must come to say what perfdhcp was told. */
  const expectCounts = async (category: string, held: string, acknowledged: number): Promise<void> => {
    if (isKea) return
    let seen: Counts | undefined
    const arrived = async () => (seen = await countLeases(category, held)).rows >= acknowledged
    await until(`${acknowledged} rows in ${held}`, arrived, 15_000, () => `${JSON.stringify(seen)}\n${server.logs()}`)
    expect(seen).toEqual({ events: acknowledged, rows: acknowledged })
  }

  const expectComplete = (report: PerfReport, first: string, second: string): number => {
    for (const name of [first, second]) {
      const shown = `${report.text}\n${server.logs().split('\n').slice(-30).join('\n')}`
      expect(report.exchanges[name], shown).toMatchObject({
        sent: EXCHANGES,
        received: EXCHANGES,
        drops: 0,
        orphans: 0,
        rejectedLeases: 0,
        nonUniqueAddresses: 0,
      })
    }
    expect(report).toMatchObject({ exitCode: 0, malformedPackets: 0 })
    return report.exchanges[second]?.received ?? 0
  }

  it('1,000 DORA/s through a relay', async () => {
    const report = await runPerfdhcp({
      namespace: network.clients[0] as Network['server'],
      family: 4,
      local: '198.18.0.2',
      server: '198.18.0.1',
      ratePerSec: RATE,
      exchanges: EXCHANGES,
      clients: EXCHANGES,
    })
    await expectCounts('lease4', 'lease4 WHERE state = 0', expectComplete(report, 'DISCOVER-OFFER', 'REQUEST-ACK'))
  }, 60_000)

  it.each([
    { lease: 'address-only', addresses: 1, prefixes: 0 },
    { lease: 'prefix-only', addresses: 1, prefixes: 1 },
    { lease: 'address-and-prefix', addresses: 2, prefixes: 2 },
  ] as const)(
    '1,000 SARR/s over multicast, $lease',
    async ({ lease, addresses, prefixes }) => {
      const turn = { 'address-only': '01', 'prefix-only': '02', 'address-and-prefix': '03' }[lease]
      const report = await runPerfdhcp({
        namespace: network.clients[0] as Network['server'],
        family: 6,
        local: 'eth0',
        lease,
        ratePerSec: RATE,
        exchanges: EXCHANGES,
        clients: EXCHANGES,
        more: ['-b', `mac=02:0c:${turn}:00:00:00`], // other clients than those of the turn before
      })
      const replies = expectComplete(report, 'SOLICIT-ADVERTISE', 'REQUEST-REPLY')
      // The counts grow from turn to turn: so many turns have asked for addresses, so many for prefixes.
      await expectCounts('lease6', 'lease6 WHERE state = 0 AND lease_type = 0', replies * addresses)
      await expectCounts('prefix6', 'lease6 WHERE state = 0 AND lease_type = 2', replies * prefixes)
    },
    60_000,
  )
})
