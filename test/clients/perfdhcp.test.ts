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

/** A load fails when it is incomplete so many times. */
const ATTEMPTS = 3

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

/** How many leases there must be: those that perfdhcp heard of, and at the most those that it asked for. */
interface Bounds {
  readonly least: number
  readonly most: number
}

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

  /** The tables follow the ledger; both must come to say what perfdhcp was told, and nothing that it did not ask for. */
  const expectCounts = async (category: string, held: string, { least, most }: Bounds): Promise<void> => {
    if (isKea) return
    let seen: Counts = { events: 0, rows: 0 }
    const arrived = async () => {
      seen = await countLeases(category, held)
      return seen.rows === seen.events && seen.rows >= least
    }
    const shown = () => `${JSON.stringify(seen)}\n${server.logs()}`
    await until(`an event and a row for each of ${least} in ${held}`, arrived, undefined, shown)
    expect(seen.events).toBeLessThanOrEqual(most)
  }

  /** What the kernel dropped because a socket's buffer was full, at the load generator and at the server. */
  const overruns = async (): Promise<string> => {
    const counted = async (place: Network['server'] | undefined) =>
      (await place?.must(['grep', '-h', '-E', '^Udp6?(:|RcvbufErrors)', '/proc/net/snmp', '/proc/net/snmp6'])) ?? ''
    return `perfdhcp's side:\n${await counted(network.clients[0])}the server's side:\n${await counted(network.server)}`
  }

  const explained = async (report: PerfReport): Promise<string> =>
    `${report.text}\n${await overruns()}\n${server.logs().split('\n').slice(-30).join('\n')}`

  /**
   * Runs a load until nothing of it is lost, each time with other clients: a machine that is busy with something else for a
   * moment loses datagrams, whoever serves. What is answered is always answered once and with a lease of its own.
   */
  const untilComplete = async (
    [first, second]: readonly [string, string],
    run: (attempt: number) => Promise<PerfReport>,
  ): Promise<Bounds> => {
    let [least, most] = [0, 0]
    for (let attempt = 1; ; attempt++) {
      const report = await run(attempt)
      const shown = await explained(report)
      expect(report.malformedPackets).toBe(0)
      let drops = 0
      for (const name of [first, second]) {
        const exchange = report.exchanges[name]
        expect(exchange, shown).toMatchObject({ rejectedLeases: 0, nonUniqueAddresses: 0 })
        drops += exchange?.drops ?? 0
      }
      const { sent = 0, received = 0 } = report.exchanges[second] ?? {}
      least += received
      most += sent
      if (attempt === ATTEMPTS) expect(drops, shown).toBe(0)
      if (drops > 0) continue
      expect(sent, shown).toBeGreaterThanOrEqual(EXCHANGES)
      return { least, most }
    }
  }

  it('1,000 DORA/s through a relay', async () => {
    const granted = await untilComplete(['DISCOVER-OFFER', 'REQUEST-ACK'], (attempt) =>
      runPerfdhcp({
        namespace: network.clients[0] as Network['server'],
        family: 4,
        local: '198.18.0.2',
        server: '198.18.0.1',
        ratePerSec: RATE,
        exchanges: EXCHANGES,
        clients: 2 * EXCHANGES,
        more: ['-b', `mac=02:0e:0${attempt}:00:00:00`],
      }),
    )
    await expectCounts('lease4', 'lease4 WHERE state = 0', granted)
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
    const released = report.exchanges['RELEASE']?.sent ?? 0
    expect(renewed?.received, report.text).toBeGreaterThan(100)
    expect(released, report.text).toBeGreaterThan(50)
    if (isKea) return
    // Nothing answers a DHCPRELEASE: its event may come after perfdhcp's end, and nothing tells whether one was lost,
    // except that nothing else was.
    const isComplete = names.every((name) => report.exchanges[name]?.drops === 0)
    const gained = async (type: string) => ((await countEvents())[type] ?? 0) - (before[type] ?? 0)
    const least = isComplete ? released : released / 2
    const all = async () => (await gained('LeaseReleased')) >= least
    await until(`${least} of ${released} releases`, all, undefined, () => `${report.text}\n${server.logs()}`)
    expect(await gained('LeaseReleased')).toBeLessThanOrEqual(released)
    for (const [type, exchange] of [
      ['LeaseClaimed', claimed],
      ['LeaseRenewed', renewed],
    ] as const) {
      expect(await gained(type), report.text).toBeGreaterThanOrEqual(exchange?.received ?? 0)
      expect(await gained(type), report.text).toBeLessThanOrEqual(exchange?.sent ?? 0)
    }
  })

  // The counts grow from load to load.
  const granted = { lease6: { least: 0, most: 0 }, prefix6: { least: 0, most: 0 } }
  it.each([
    { lease: 'address-only', turn: '01', kinds: ['lease6'] },
    { lease: 'prefix-only', turn: '02', kinds: ['prefix6'] },
    { lease: 'address-and-prefix', turn: '03', kinds: ['lease6', 'prefix6'] },
  ] as const)('1,000 SARR/s over multicast, $lease', async ({ lease, turn, kinds }) => {
    const { least, most } = await untilComplete(['SOLICIT-ADVERTISE', 'REQUEST-REPLY'], (attempt) =>
      runPerfdhcp({
        namespace: network.clients[0] as Network['server'],
        family: 6,
        local: 'eth0',
        lease,
        ratePerSec: RATE,
        exchanges: EXCHANGES,
        clients: 2 * EXCHANGES,
        more: ['-b', `mac=02:0c:${turn}:0${attempt}:00:00`], // other clients than those of the loads before
      }),
    )
    for (const kind of kinds) {
      granted[kind].least += least
      granted[kind].most += most
    }
    await expectCounts('lease6', 'lease6 WHERE state = 0 AND lease_type = 0', granted.lease6)
    await expectCounts('prefix6', 'lease6 WHERE state = 0 AND lease_type = 2', granted.prefix6)
  })
})
