/**
 * The experiments: the twelve of ISC's report on two Kea servers with a MySQL cluster, its failed one with four servers,
 * and those that come from running the service: servers killed or cut off, bursts, a full pool.
 */
import { figuresOf } from './figures.ts'
import type { Record } from './crowd.ts'
import { playFault, serveTopology } from './fault.ts'
import type { Fault } from './fault.ts'
import { judge } from './row.ts'
import type { Bounds, Row } from './row.ts'
import { LINKS, nodeOf } from './stage.ts'
import type { Stage, Topology } from './stage.ts'

/** One experiment. */
export interface Scenario {
  readonly name: string
  readonly play: (stage: Stage) => Promise<Row>
}

/** What a server adds to the standstill of its database. */
const GAP_MS_MAX = 1_000
/** What the servers may need when the database is there again, its own start included. */
const BACK_MS_MAX = 2_000
/** Longer than Galera needs to find out that a node is gone, with its default time-outs. */
const BROKEN_MS = 10_000

type How = 'killed' | 'cut off' | 'stopped in order'

const strikeNode = async ({ galera }: Stage, node: number, how: How): Promise<void> => {
  if (how === 'killed') await nodeOf(galera, node).kill()
  else if (how === 'cut off') await galera?.cut(node)
  else await nodeOf(galera, node).shutdown()
}

const mendNode = async ({ galera }: Stage, node: number, how: How): Promise<void> => {
  if (how === 'cut off') await galera?.heal(node)
  else await nodeOf(galera, node).restart()
}

const nodeFails = (name: string, topology: Topology, node: number, how: How): Scenario =>
  faulty({
    name: `${name}, node ${node + 1} ${how}`,
    topology,
    well: [0, 1, 2].filter((other) => other !== node),
    strike: (stage) => strikeNode(stage, node, how),
    mend: (stage) => mendNode(stage, node, how),
    brokenMs: BROKEN_MS,
    gapMsMax: GAP_MS_MAX,
  })

const faulty = (fault: Fault): Scenario => ({ name: fault.name, play: (stage) => playFault(stage, fault) })

const serverKilled = (name: string, topology: Topology): Scenario =>
  faulty({
    name: `${name}, server 1 killed`,
    topology,
    well: [],
    strike: ({ servers }) => servers[0]?.under.sigkill() ?? Promise.resolve(),
    mend: ({ servers }) => servers[0]?.under.restart() ?? Promise.resolve(),
    brokenMs: 6_000,
    gapMsMax: GAP_MS_MAX,
    claimsMayFail: true,
  })

const serverCutOff: Scenario = faulty({
  name: '2 servers, server 1 loses all nodes for 30 s',
  topology: [0, 1],
  well: [],
  strike: ({ servers }) => servers[0]?.cutOff() ?? Promise.resolve(),
  mend: ({ servers }) => servers[0]?.reconnect() ?? Promise.resolve(),
  brokenMs: 30_000,
  gapMsMax: GAP_MS_MAX,
  claimsMayFail: true,
})

const databaseAway: Scenario = faulty({
  name: '2 servers, no node reachable for 30 s',
  topology: [0, 1],
  well: [],
  strike: async ({ servers }) => {
    for (const server of servers.slice(0, 2)) await server.cutOff()
  },
  mend: async ({ servers }) => {
    for (const server of servers.slice(0, 2)) await server.reconnect()
  },
  brokenMs: 30_000,
  gapMsMax: 30_000 + BACK_MS_MAX,
  claimsMayFail: true,
})

/** Nothing breaks, and every message reaches the second server 80 ms after the first. */
const outOfStep: Scenario = faulty({
  name: '2 servers out of step by 80 ms, 40 clients/s',
  topology: [0, 1],
  well: [],
  strike: () => Promise.resolve(),
  mend: () => Promise.resolve(),
  brokenMs: 12_000,
  rate: 40,
  staggerMs: 80,
  gapMsMax: GAP_MS_MAX,
})

/** 64 clients of each family begin at one moment, ten times. */
const together = (name: string, topology: Topology): Scenario => ({
  name: `64 exchanges at once, ${name}`,
  play: async (stage) => {
    await serveTopology(stage, topology)
    const { crowd } = stage
    await crowd.claim(64, 64, LINKS.wide)
    await crowd.take()
    const from = Date.now()
    await crowd.claim(640, 64, LINKS.wide)
    return finish(stage, `64 exchanges at once, ${name}`, await crowd.take(), from, {})
  },
})

/** More clients than addresses, which last seconds and are abandoned. */
const fullPool: Scenario = {
  name: '2 servers, full pool, leases of 4 s',
  play: async (stage) => {
    await serveTopology(stage, [0, 1])
    const { crowd } = stage
    await crowd.disband()
    await crowd.take()
    const from = Date.now()
    await crowd.steady({ fresh: 8, renew: 2, rebind: 1 }, LINKS.small)
    await new Promise((resolve) => setTimeout(resolve, 25_000))
    const record = await crowd.settle()
    await crowd.disband()
    return finish(stage, fullPool.name, record, from, { claimsMayFail: true })
  },
}

const finish = async (stage: Stage, name: string, record: Record, from: number, bounds: Bounds): Promise<Row> => {
  const to = Date.now()
  const verified = await stage.verify()
  const row = {
    name,
    figures: ([4, 6] as const).map((family) => figuresOf(family, record, from, to)),
    databaseGapMs: undefined,
    duplicates: record.duplicates.length,
    lateRefusals: record.lateRefusals,
    back: '',
  }
  const faults = [...judge(row, bounds), ...record.duplicates]
  return { ...row, faults: verified.ok ? faults : [...faults, `verify: ${verified.text}`] }
}

/**
 * ISC's 6, 7 and 8: with the first server off, its clients rebind, renew and release through the second. A DHCPv4 client
 * that renews sends to its server alone and names none; a DHCPv6 client is heard by both and names the first.
 */
const throughTheOther: Scenario = {
  name: '6, 7, 8: rebind, renew, release through server 2 while server 1 is off',
  play: async (stage) => {
    await serveTopology(stage, [0, 1])
    const { crowd, servers } = stage
    await crowd.disband()
    await crowd.claim(30, 30, LINKS.wide, { audience: 0 })
    await crowd.take()
    const [first] = servers
    if (first === undefined) throw new Error('there is no server')
    await first.under.sigkill()
    const from = Date.now()
    const faults: string[] = []
    const once = { attemptsMax: 1, retryMs: 1_500 }
    await crowd.each('rebind', 0, 10, { ...once, audience: 'all' })
    const rebound = await crowd.take()
    if (rebound.deeds.length !== 20 || rebound.deeds.some(({ end, server }) => end !== 'granted' || server !== 1)) {
      faults.push(`of ${rebound.deeds.length} rebinds not all were granted by server 2`)
    }
    const releasedBefore = await stage.countEvents("type = 'LeaseReleased'")
    for (const [task, audience] of [
      ['renew', 'own'],
      ['release', 'all'],
    ] as const) {
      await crowd.each(task, 0, 10, { ...once, audience: audience === 'own' ? 'own' : 'all' })
      const { deeds } = await crowd.take()
      const answered = deeds.filter(({ end }) => end !== 'silent')
      if (deeds.length !== 20 || answered.length > 0)
        faults.push(`${answered.length} of ${deeds.length} ${task}s answered`)
    }
    const released = (await stage.countEvents("type = 'LeaseReleased'")) - releasedBefore
    if (released > 0) faults.push(`${released} leases were released by another server than the one named`)
    await first.under.restart()
    const row = await finish(stage, throughTheOther.name, rebound, from, {})
    return { ...row, faults: [...row.faults, ...faults], back: 'rebind answered, renew and release not' }
  },
}

/** The experiments on Galera, in an order in which servers are seldom started anew. */
export const galeraScenarios: ReadonlyArray<Scenario> = [
  nodeFails('1: server 1 alone', [0], 0, 'killed'),
  nodeFails('1: server 1 alone', [0], 1, 'cut off'),
  nodeFails('2: server 2 alone', [1], 1, 'cut off'),
  nodeFails('2: server 2 alone', [1], 0, 'killed'),
  nodeFails('3, 4: 2 servers', [0, 1], 0, 'killed'),
  nodeFails('3, 4: 2 servers', [0, 1], 1, 'cut off'),
  nodeFails('3, 4: 2 servers', [0, 1], 0, 'stopped in order'),
  nodeFails('3, 4: 2 servers', [0, 1], 0, 'cut off'),
  nodeFails('5: 2 servers', [0, 1], 2, 'killed'),
  throughTheOther,
  serverKilled('2 servers', [0, 1]),
  serverCutOff,
  databaseAway,
  outOfStep,
  together('2 servers on 2 nodes', [0, 1]),
  fullPool,
  nodeFails('4 servers on 2 nodes', [0, 0, 1, 1], 0, 'killed'),
  together('4 servers on 2 nodes', [0, 0, 1, 1]),
  nodeFails('4 servers on 1 node', [0, 0, 0, 0], 0, 'cut off'),
  together('4 servers on 1 node', [0, 0, 0, 0]),
]

const pgAway = (name: string, brokenMs: number, strike: Fault['strike'], mend: Fault['mend']): Scenario =>
  faulty({
    name: `PostgreSQL, ${name}`,
    topology: [0, 0],
    well: [],
    strike,
    mend,
    brokenMs,
    gapMsMax: brokenMs + BACK_MS_MAX,
    claimsMayFail: brokenMs > 10_000,
  })

/** The experiments on PostgreSQL. */
export const postgresScenarios: ReadonlyArray<Scenario> = [
  pgAway(
    '2 servers, the database killed for 5 s',
    5_000,
    async ({ postgres }) => postgres?.kill(),
    async ({ postgres }) => postgres?.restart(),
  ),
  pgAway(
    '2 servers, the database frozen for 30 s',
    30_000,
    async ({ postgres }) => postgres?.pause(),
    async ({ postgres }) => postgres?.resume(),
  ),
  serverKilled('PostgreSQL, 2 servers', [0, 0]),
  together('2 servers on PostgreSQL', [0, 0]),
  together('4 servers on PostgreSQL', [0, 0, 0, 0]),
]
