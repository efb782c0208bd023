import { describe, expect, it } from 'vitest'
import { checkLeases } from '../../server/lease-checks.ts'
import type { SanityChecks } from '../../server/config/model.ts'
import { acquire4, given4, typesOf4 } from '../support/dhcp4.ts'
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
