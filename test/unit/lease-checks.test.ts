import { describe, expect, it } from 'vitest'
import { checkLeases } from '../../server/lease-checks.ts'
import type { SanityChecks } from '../../server/config/model.ts'
import { makeMemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { StreamName } from '../../domain/stream.ts'
import { leaseSubnets6 } from '../../server/dhcp6/lease-subnets.ts'
import { acquire4, given4, typesOf4 } from '../support/dhcp4.ts'
import { dhcp6Config, makeServer6 } from '../support/dhcp6.ts'
import type { TestServer6 } from '../support/dhcp6.ts'
import { T0 } from '../support/lease-spec.ts'
import { silent } from '../support/servers.ts'

const base = { subnet4: [{ id: 1, subnet: '198.51.100.0/24', pools: [{ pool: '198.51.100.10 - 198.51.100.99' }] }] }

/** Three leases in subnet 1: the first is there still, the second is in subnet 2 now, the third in none. */
const checked = async (mode: SanityChecks['leaseChecks']) => {
  const a = given4(base)
  const leases: string[] = []
  for (const client of [1, 2, 3]) leases.push((await acquire4(a, { client })).yiaddr)
  const warnings: object[] = []
  const place = new Map(leases.map((address, i) => [address, [1, 2, undefined][i]]))
  const found = await checkLeases({
    category: 'lease4',
    mode,
    subnetIdOf: ({ address }) => place.get([24, 16, 8, 0].map((shift) => (Number(address) >>> shift) & 255).join('.')),
    replica: a.server.replica,
    ledger: a.server.ledger,
    log: { ...silent, warn: (fields) => void warnings.push(fields) },
  })
  return { found, warnings, last: leases.map((address) => typesOf4(a, address).at(-1)) }
}

describe('lease-checks', () => {
  const granted = 'LeaseClaimed'

  it('none looks at nothing', async () => {
    expect(await checked('none')).toMatchObject({ found: { homeless: 0, moved: 0 }, warnings: [] })
  })

  it('warn and fix tell of leases that do not fit, and leave the ledger alone', async () => {
    for (const mode of ['warn', 'fix'] as const) {
      const { found, warnings, last } = await checked(mode)
      expect(found).toEqual({ homeless: 1, moved: 1, revoked: 0 })
      expect(warnings).toHaveLength(1)
      expect(last).toEqual([granted, granted, granted])
    }
  })

  it('fix-del revokes what is in no subnet, del also what is in another', async () => {
    expect((await checked('fix-del')).last).toEqual([granted, granted, 'LeaseRevoked'])
    expect((await checked('del')).last).toEqual([granted, 'LeaseRevoked', 'LeaseRevoked'])
  })
})

describe('lease-checks of addresses and prefixes of DHCPv6', () => {
  const link = (id: number) => ({
    id,
    subnet: `2001:db8:${id}::/64`,
    pools: [{ pool: `2001:db8:${id}::1000 - 2001:db8:${id}::1fff` }],
    'pd-pools': [{ prefix: `2001:db8:${id}000::`, 'prefix-len': 36, 'delegated-len': 56 }],
  })
  const lastOf = (server: TestServer6, stream: string) => server.replica.get(stream as StreamName).state.status

  /** What a server that starts with the configuration `after` finds of the leases made under `before`. */
  const restarted = async (before: object, after: object, mode: SanityChecks['leaseChecks']) => {
    const store = makeMemoryLedger(() => T0)
    const first = makeServer6(dhcp6Config(before), store, () => T0)
    const streams: string[] = []
    for (const [client, id] of [1, 2].entries()) {
      const said = { client: client + 1, to: first.duid, link: `2001:db8:${id}::1`, na: { 1: [] }, pd: { 1: [] } }
      const reply = await first.ask({ ...said, type: 'request' })
      streams.push(...Object.keys(reply?.na[1]?.leases ?? {}).map((address) => `lease6/${address}`))
      streams.push(...Object.keys(reply?.pd[1]?.leases ?? {}).map((prefix) => `prefix6/${prefix}`))
    }
    const config = dhcp6Config(after)
    const second = makeServer6(config, store, () => T0, 2)
    await second.follower.catchUp()
    const { replica, ledger } = second
    const subnetIdOf = leaseSubnets6(config)
    const found = []
    for (const category of ['lease6', 'prefix6'] as const) {
      found.push(await checkLeases({ category, mode, subnetIdOf, replica, ledger, log: silent }))
    }
    return { found, statuses: streams.map((stream) => lastOf(second, stream)) }
  }
  const before = { subnet6: [link(1), link(2)] }
  const fits = { homeless: 0, moved: 0, revoked: 0 }

  it('finds nothing where nothing has changed, nor where only the delegated length has', async () => {
    expect((await restarted(before, before, 'del')).found).toEqual([fits, fits])
    const longer = link(2)
    for (const pool of longer['pd-pools']) pool['delegated-len'] = 60
    const { found, statuses } = await restarted(before, { subnet6: [link(1), longer] }, 'del')
    expect(found).toEqual([fits, fits])
    expect(statuses).toEqual(['bound', 'bound', 'bound', 'bound'])
  })

  it('revokes what was leased in a subnet that is gone', async () => {
    const { found, statuses } = await restarted(before, { subnet6: [link(1)] }, 'fix-del')
    const one = { homeless: 1, moved: 0, revoked: 1 }
    expect(found).toEqual([one, one])
    expect(statuses).toEqual(['bound', 'bound', 'revoked', 'revoked'])
  })

  it('tells of what is in another subnet by now, and revokes that only where it is told to', async () => {
    const moved = { subnet6: [link(1), { ...link(2), id: 7 }] }
    expect((await restarted(before, moved, 'fix-del')).found).toEqual([
      { homeless: 0, moved: 1, revoked: 0 },
      { homeless: 0, moved: 1, revoked: 0 },
    ])
    expect((await restarted(before, moved, 'del')).statuses).toEqual(['bound', 'bound', 'revoked', 'revoked'])
  })

  it('leaves a reserved prefix alone in any subnet of its link, and of all where the reservation is global', () => {
    const reservation = { duid: '01:02:03:04', prefixes: ['2001:db8:a000::/48'] }
    const prefix = { category: 'prefix6', address: 0x20010db8_a000n << 80n, prefixLength: 48 } as const
    const places = (config: object) =>
      [1, 2, 3, 9].map((leasedIn) => leaseSubnets6(dhcp6Config(config))(prefix, leasedIn))
    const reserved = { ...link(1), reservations: [reservation] }
    const shared = { 'shared-networks': [{ name: 'hall', subnet6: [reserved, link(2)] }], subnet6: [link(3)] }
    expect(places(shared)).toEqual([1, 2, 1, 1])
    const global = { reservations: [reservation], 'reservations-global': true, subnet6: [link(1), link(2)] }
    expect(places(global)).toEqual([1, 2, undefined, undefined])
  })
})
