import { describe, expect, it } from 'vitest'
import type { Fault } from '../../adapters/memory/memory-store.ts'
import { acquire4, given4, typesOf4 } from '../support/dhcp4.ts'
import type { Given4, Said4 } from '../support/dhcp4.ts'

const subnet = { id: 1, subnet: '198.51.100.0/24', pools: [{ pool: '198.51.100.10 - 198.51.100.99' }] }
const second = { id: 2, subnet: '203.0.113.0/24', pools: [{ pool: '203.0.113.10 - 203.0.113.99' }] }
const base = { 'valid-lifetime': 3600, subnet4: [subnet] }
const onePool = (...pools: string[]) => ({ ...base, subnet4: [{ ...subnet, pools: pools.map((pool) => ({ pool })) }] })
const withSubnet = (more: object, global: object = {}) => ({ ...base, ...global, subnet4: [{ ...subnet, ...more }] })
const away: Fault = { _tag: 'StoreUnavailable', reason: 'no route' }

/** What a client is offered, or why nothing. */
const offered = async (a: Given4, said: Partial<Said4> = {}): Promise<string> => {
  const before = a.server.drops()
  const offer = await a.ask({ type: 'discover', client: 1, ...said })
  if (offer !== undefined) return offer.yiaddr
  return Object.entries(a.server.drops()).find(([reason, count]) => count > (before[reason] ?? 0))?.[0] ?? 'nothing'
}

describe('the subnet', () => {
  const two = { ...base, subnet4: [subnet, second] }

  it('is that of giaddr, or of the relay that the configuration names', async () => {
    const a = given4({ ...base, subnet4: [subnet, { ...second, relay: { 'ip-addresses': ['192.0.2.1'] } }] })
    expect(await offered(a)).toMatch(/^198\.51\.100\./)
    expect(await offered(a, { giaddr: '203.0.113.1' })).toMatch(/^203\./)
    expect(await offered(a, { giaddr: '192.0.2.1' })).toMatch(/^203\./)
    expect(await offered(a, { giaddr: '192.0.2.2' })).toBe('noSubnet')
  })

  it('is the one that link selection (RFC 3527), else subnet selection (RFC 3011), names', async () => {
    const a = given4(two)
    expect(await offered(a, { agent: { 5: 'cb007100' } })).toMatch(/^203\./)
    expect(await offered(a, { more: { 118: 'cb007100' } })).toMatch(/^203\./)
    expect(await offered(a, { more: { 118: 'cb007100' }, giaddr: null })).toMatch(/^203\./)
    expect(await offered(a, { more: { 118: 'cb007100' }, agent: { 5: 'c6336400' } })).toMatch(/^198\./)
    expect(await offered(a, { agent: { 5: 'c0000200' } })).toBe('noSubnet')
  })

  it('of a client on the link is that of the interface, else of its address', async () => {
    const a = given4({ ...base, subnet4: [subnet, { ...second, interface: 'eth1' }] })
    expect(await offered(a, { giaddr: null, on: 'eth0' })).toMatch(/^198\./)
    expect(await offered(a, { giaddr: null, on: 'eth1' })).toMatch(/^203\./)
  })

  it('of a client that renews past its relay is that of its address, unless it has moved between our links', async () => {
    const remote = { id: 3, subnet: '192.0.2.0/24', pools: [{ pool: '192.0.2.10 - 192.0.2.99' }] }
    const a = given4({
      ...base,
      subnet4: [{ ...subnet, interface: 'eth0' }, { ...second, interface: 'eth1' }, remote],
    })
    const far = (await acquire4(a, { client: 1, giaddr: '192.0.2.1' })).yiaddr
    const renew: Said4 = { type: 'request', client: 1, ciaddr: far, from: far, giaddr: null, on: 'eth0', xid: 9 }
    expect(await a.ask(renew)).toMatchObject({ type: 'ack', yiaddr: far })
    const near = (await acquire4(a, { client: 2, giaddr: null, on: 'eth1' })).yiaddr
    expect(near).toMatch(/^203\./)
    expect((await a.ask({ ...renew, client: 2, ciaddr: near, on: 'eth0' }))?.type).toBe('nak')
    expect((await a.ask({ ...renew, client: 2, ciaddr: near, on: 'eth1' }))?.type).toBe('ack')
  })

  it('in a shared network is any with room, the selected one first; each has its own parameters', async () => {
    const small = (pool: string) => [{ pool }]
    const config = {
      'shared-networks': [
        {
          name: 'net',
          subnet4: [
            { ...subnet, pools: small('198.51.100.10/32'), 'valid-lifetime': 100 },
            { ...second, pools: small('203.0.113.10/32'), 'valid-lifetime': 200 },
          ],
        },
      ],
    }
    const a = given4(config)
    const first = await acquire4(a, { client: 1, giaddr: '203.0.113.1' })
    const next = await acquire4(a, { client: 2, giaddr: '203.0.113.1' })
    expect([first.yiaddr, first.leaseSec, next.yiaddr, next.leaseSec]).toEqual([
      '203.0.113.10',
      200,
      '198.51.100.10',
      100,
    ])
    expect(await offered(a, { client: 3, giaddr: '203.0.113.1' })).toBe('noFreeAddress')
    const renew: Said4 = { type: 'request', client: 2, ciaddr: next.yiaddr, giaddr: '203.0.113.1', xid: 9 }
    expect((await a.ask(renew))?.type).toBe('ack')
  })
})

describe('classes', () => {
  const classes = [
    { name: 'phone', test: "substring(option[60].hex,0,5) == 'phone'" },
    { name: 'known-phone', test: "member('phone') and member('KNOWN')" },
  ]
  const phone = { more: { 60: Buffer.from('phone-7').toString('hex') } }

  it('guard pools', async () => {
    const pools = [
      { pool: '198.51.100.10/32', 'client-classes': ['phone'] },
      { pool: '198.51.100.20/32', 'client-classes': ['UNKNOWN'] },
    ]
    const a = given4(withSubnet({ pools }, { 'client-classes': classes }))
    expect(await offered(a, { ...phone, wants: '198.51.100.10' })).toBe('198.51.100.10')
    expect(await offered(a, { client: 2, wants: '198.51.100.10' })).toBe('198.51.100.20')
    const request: Said4 = { type: 'request', client: 2, server: a.server.address, wants: '198.51.100.10' }
    expect((await a.ask(request))?.type).toBe('nak')
  })

  it('choose among subnets that one relay serves', async () => {
    const relay = { 'ip-addresses': ['192.0.2.1'] }
    const a = given4({
      ...base,
      'client-classes': classes,
      subnet4: [
        { ...subnet, relay, 'client-classes': ['phone'] },
        { ...second, relay, 'client-classes': ['KNOWN'], reservations: [{ 'hw-address': '02:00:00:00:00:02' }] },
      ],
    })
    expect(await offered(a, { ...phone, giaddr: '192.0.2.1' })).toMatch(/^198\./)
    expect(await offered(a, { client: 2, giaddr: '192.0.2.1' })).toMatch(/^203\./)
    expect(await offered(a, { client: 3, giaddr: '192.0.2.1' })).toBe('noSubnet')
  })

  it('guard subnets of a shared network', async () => {
    const a = given4({
      'client-classes': classes,
      'shared-networks': [{ name: 'net', subnet4: [{ ...subnet, 'client-classes': ['phone'] }, second] }],
    })
    expect(await offered(a)).toMatch(/^203\./)
    expect(await offered(a, { ...phone, client: 2 })).toMatch(/^198\./)
  })

  it('come from the vendor class, from reservations, and from being known or not', async () => {
    const pool = (last: number, name: string) => ({ pool: `198.51.100.${last}/32`, 'client-classes': [name] })
    const pools = [pool(10, 'VENDOR_CLASS_thing'), pool(11, 'gold'), pool(12, 'known-phone'), pool(13, 'UNKNOWN')]
    const reservations = [
      { 'hw-address': '02:00:00:00:00:02', 'client-classes': ['gold'] },
      { 'hw-address': '02:00:00:00:00:03' },
    ]
    const a = given4(withSubnet({ pools, reservations }, { 'client-classes': [...classes, { name: 'gold' }] }))
    const thing = { 60: Buffer.from('thing').toString('hex') }
    expect(await offered(a, { client: 3, more: thing })).toBe('198.51.100.10')
    expect(await offered(a, { client: 2 })).toBe('198.51.100.11')
    expect(await offered(a, { client: 3, ...phone, xid: 2 })).toBe('198.51.100.12')
    expect(await offered(a, { client: 4, ...phone })).toBe('198.51.100.13')
  })

  it('DROP is no answer', async () => {
    const a = given4({ ...base, 'client-classes': [{ name: 'DROP', test: 'pkt4.mac == 0x020000000002' }] })
    expect(await offered(a, { client: 2 })).toBe('classDrop')
    expect(await offered(a)).toMatch(/^198\./)
  })

  it('that are additional count once the place is known: of the subnet and of the pool, and for options alone', async () => {
    const option = (name: string, value: string) => ({
      name,
      'only-in-additional-list': true,
      'option-data': [{ name: value.length > 3 ? 'domain-name' : 'tftp-server-name', data: value }],
    })
    const a = given4({
      'client-classes': [
        option('of-subnet', 'subnet.example'),
        { ...option('of-pool', 'tft'), test: "member('of-subnet')" },
        { ...option('unlisted', 'nowhere.example'), test: "member('ALL')" },
      ],
      'shared-networks': [
        {
          name: 'net',
          subnet4: [
            { ...subnet, pools: [] },
            {
              ...second,
              'evaluate-additional-classes': ['of-subnet'],
              pools: [{ pool: '203.0.113.10 - 203.0.113.20', 'evaluate-additional-classes': ['of-pool'] }],
            },
          ],
        },
      ],
    })
    const offer = await a.ask({ type: 'discover', client: 1, asks: [15, 66] })
    expect(offer?.yiaddr).toMatch(/^203\./)
    expect(Buffer.from(offer?.option(15) ?? '', 'hex').toString()).toBe('subnet.example')
    expect(Buffer.from(offer?.option(66) ?? '', 'hex').toString()).toBe('tft')
  })

  it('may say how long an offer holds', async () => {
    const a = given4({ ...base, 'client-classes': [{ name: 'quick', test: "member('ALL')", 'offer-lifetime': 2 }] })
    const address = await offered(a)
    expect(await offered(a, { client: 2, wants: address })).not.toBe(address)
    a.pass(3)
    expect(await offered(a, { client: 3, wants: address })).toBe(address)
  })
})

describe('reservations', () => {
  const mac = { 'hw-address': '02:00:00:00:00:01' }

  it('are found by hardware address, client identifier, DUID and circuit, in the configured order', async () => {
    const reservations = [
      { ...mac, 'ip-address': '198.51.100.201' },
      { 'client-id': '01:aa:bb', 'ip-address': '198.51.100.202' },
      { duid: '00:03:00:01:02:00:00:00:00:07', 'ip-address': '198.51.100.203' },
      { 'circuit-id': "'port7'", 'ip-address': '198.51.100.204' },
    ]
    const circuit = { agent: { 1: Buffer.from('port7').toString('hex') } }
    const a = given4(withSubnet({ reservations }))
    expect(await offered(a)).toBe('198.51.100.201')
    expect(await offered(a, { client: 2, clientId: '01aabb' })).toBe('198.51.100.202')
    expect(await offered(a, { client: 3, clientId: 'ff00000001' + '00030001020000000007' })).toBe('198.51.100.203')
    expect(await offered(a, { client: 4, ...circuit })).toBe('198.51.100.204')
    const order = { 'host-reservation-identifiers': ['circuit-id', 'client-id', 'hw-address'] }
    const b = given4(withSubnet({ reservations }, order))
    expect(await offered(b, { clientId: '01aabb', ...circuit })).toBe('198.51.100.204')
    expect(await offered(b, { clientId: '01aabb' })).toBe('198.51.100.202')
  })

  it('hold an address in a pool, or outside all pools, for their client alone', async () => {
    for (const reserved of ['198.51.100.50', '198.51.100.200']) {
      const a = given4(withSubnet({ reservations: [{ ...mac, 'ip-address': reserved }] }))
      expect(await offered(a, { client: 2, wants: reserved })).not.toBe(reserved)
      const stranger: Said4 = { type: 'request', client: 2, server: a.server.address, wants: reserved }
      expect((await a.ask(stranger))?.type).toBe('nak')
      expect((await acquire4(a, { client: 1 })).yiaddr).toBe(reserved)
    }
  })

  it('may be global where the subnet wants those', async () => {
    const reservations = [{ ...mac, 'ip-address': '198.51.100.60', hostname: 'everywhere' }]
    const a = given4({ ...base, reservations, 'reservations-global': true })
    expect(await offered(a)).toBe('198.51.100.60')
    expect(await offered(given4({ ...base, reservations }))).not.toBe('198.51.100.60')
    const twice = withSubnet(
      { reservations: [{ ...mac, 'ip-address': '198.51.100.61' }] },
      { reservations, 'reservations-global': true },
    )
    expect(await offered(given4(twice))).toBe('198.51.100.61')
    const off = withSubnet(
      { reservations: [{ ...mac, 'ip-address': '198.51.100.61' }] },
      { 'reservations-in-subnet': false },
    )
    expect(await offered(given4(off))).not.toBe('198.51.100.61')
  })

  it('whose address another has meanwhile leave their client another one, until it is free', async () => {
    const reserved = withSubnet({ reservations: [{ ...mac, 'ip-address': '198.51.100.50' }] })
    const a = given4(base)
    const request: Said4 = { type: 'request', client: 2, server: a.server.address, wants: '198.51.100.50' }
    expect((await a.ask(request))?.type).toBe('ack')
    const b = a.another(2, reserved)
    await b.follower.catchUp()
    const meanwhile = await acquire4({ server: b }, { client: 1 })
    expect(meanwhile.yiaddr).not.toBe('198.51.100.50')
    const renew: Said4 = { type: 'request', client: 1, ciaddr: meanwhile.yiaddr, xid: 9 }
    a.pass(900)
    expect((await b.ask(renew))?.type).toBe('ack')
    // Its holder may not extend it, and gives it back in the end.
    expect((await b.ask({ type: 'request', client: 2, ciaddr: '198.51.100.50', xid: 9 }))?.type).toBe('nak')
    await b.ask({ type: 'release', client: 2, ciaddr: '198.51.100.50', server: b.address })
    a.pass(900)
    expect((await b.ask({ ...renew, xid: 10 }))?.type).toBe('nak')
    expect((await acquire4({ server: b }, { client: 1, xid: 11 })).yiaddr).toBe('198.51.100.50')
    await b.ledger.drain()
    expect(typesOf4(a, meanwhile.yiaddr).at(-1)).toBe('LeaseReleased')
  })

  it('made for a client that has a lease move it on renewal, but not while the store is away', async () => {
    const faults: Fault[] = []
    const a = given4(base, faults)
    const before = await acquire4(a, { client: 1 })
    const b = a.another(2, withSubnet({ reservations: [{ ...mac, 'ip-address': '198.51.100.200' }] }))
    await b.follower.catchUp()
    a.pass(900)
    const renew: Said4 = { type: 'request', client: 1, ciaddr: before.yiaddr, xid: 9 }
    faults.push(away)
    expect(await b.ask(renew)).toMatchObject({ type: 'ack', yiaddr: before.yiaddr, leaseSec: 2700 })
    faults.length = 0
    expect((await b.ask(renew))?.type).toBe('nak')
    expect((await acquire4({ server: b }, { client: 1, xid: 10 })).yiaddr).toBe('198.51.100.200')
  })

  it('that another server has learnt to be taken are not insisted on', async () => {
    const reserved = withSubnet({ reservations: [{ ...mac, 'ip-address': '198.51.100.50' }] })
    const a = given4(base)
    const before = await acquire4(a, { client: 1 })
    await a.ask({ type: 'request', client: 2, server: a.server.address, wants: '198.51.100.50' })
    // This server has read nothing yet: it must read before it refuses.
    const b = a.another(2, reserved)
    a.pass(900)
    expect((await b.ask({ type: 'request', client: 1, ciaddr: before.yiaddr, xid: 9 }))?.type).toBe('ack')
  })
})

describe('who a client is', () => {
  it('its client identifier says, and its hardware address where that is missing or does not count', async () => {
    const holderOf = async (config: object, said: Partial<Said4>) => {
      const a = given4(config)
      const { yiaddr } = await acquire4(a, { client: 1, ...said })
      const { state } = a.server.replica.get(`lease4/${yiaddr}` as never)
      return state.status === 'bound' ? state.lease.holder : 'nobody'
    }
    const anonymous = { ...base, 'match-client-id': false }
    expect(await holderOf(base, { clientId: '01aabb' })).toBe('id:01aabb')
    expect(await holderOf(base, {})).toBe('hw:1:020000000001')
    expect(await holderOf(anonymous, { clientId: '01aabb' })).toBe('hw:1:020000000001')
    expect(await holderOf(anonymous, { clientId: 'ff0102', chaddr: '', htype: 32 })).toBe('id:ff0102')
  })

  it('two systems on one machine have two leases, or one where match-client-id is off', async () => {
    const both = async (a: Given4) => [
      (await acquire4(a, { client: 1, clientId: '01aa' })).yiaddr,
      (await acquire4(a, { client: 1, clientId: '01bb' })).yiaddr,
    ]
    const [one, two] = await both(given4(base))
    expect(one).not.toBe(two)
    const [same, again] = await both(given4({ ...base, 'match-client-id': false }))
    expect(same).toBe(again)
  })
})

describe('allocation', () => {
  const clients = [1, 2, 3, 4, 5, 6]

  it('hashed gives a client the same address on every server and after every start', async () => {
    const a = given4(base)
    const b = a.another(2)
    for (const client of clients) {
      const offer = await b.ask({ type: 'discover', client })
      expect(await offered(a, { client })).toBe(offer?.yiaddr)
    }
  })

  it('iterative goes through the pools in order', async () => {
    const a = given4({
      ...onePool('198.51.100.10 - 198.51.100.12', '198.51.100.50 - 198.51.100.99'),
      allocator: 'iterative',
    })
    const addresses = []
    for (const client of clients) addresses.push((await acquire4(a, { client })).yiaddr)
    expect(addresses).toEqual([10, 11, 12, 50, 51, 52].map((last) => `198.51.100.${last}`))
  })

  it('random starts anywhere', async () => {
    const a = given4({ ...onePool('198.51.100.10 - 198.51.100.19'), allocator: 'random' })
    // The randomness of the tests is one half.
    expect(await offered(a, { client: 1 })).toBe('198.51.100.15')
    expect(await offered(a, { client: 2 })).toBe('198.51.100.16')
  })

  it('gives out every address once, then none, and one again when a lease has run out', async () => {
    for (const allocator of ['hashed', 'iterative', 'random']) {
      const a = given4({ ...onePool('198.51.100.10 - 198.51.100.13', '198.51.100.40 - 198.51.100.41'), allocator })
      const addresses = new Set<string>()
      for (const client of clients) addresses.add((await acquire4(a, { client })).yiaddr)
      expect(addresses.size).toBe(6)
      expect(await offered(a, { client: 7 })).toBe('noFreeAddress')
      a.pass(3604)
      expect(await offered(a, { client: 7 })).toBe('noFreeAddress')
      a.pass(2)
      expect(addresses).toContain(await offered(a, { client: 7 }))
    }
  })

  it('reads what others wrote before it says that nothing is free', async () => {
    const a = given4(onePool('198.51.100.10/32'))
    const { yiaddr } = await acquire4(a, { client: 1 })
    const b = a.another(2)
    await b.follower.catchUp()
    await a.ask({ type: 'release', client: 1, ciaddr: yiaddr, server: a.server.address })
    expect((await b.ask({ type: 'discover', client: 2 }))?.yiaddr).toBe(yiaddr)
  })

  it('says nothing about a full pool while the store is away', async () => {
    const faults: Fault[] = []
    const a = given4(onePool('198.51.100.10/32'), faults)
    await acquire4(a, { client: 1 })
    faults.push(away)
    expect(await offered(a, { client: 2 })).toBe('storeUnavailable')
  })
})

describe('offers', () => {
  it('hold the address for offer-lifetime and are recorded when nobody claims them', async () => {
    const a = given4({ ...onePool('198.51.100.10/32'), 'offer-lifetime': 30 })
    expect(await offered(a)).toBe('198.51.100.10')
    a.pass(20)
    await a.server.ledger.drain()
    expect(typesOf4(a, '198.51.100.10')).toEqual(['LeaseOffered'])
    expect(await offered(a, { client: 2 })).toBe('noFreeAddress')
    a.pass(11)
    expect(await offered(a, { client: 2 })).toBe('198.51.100.10')
  })

  it('with offer-lifetime 0 hold it as well, and are not recorded', async () => {
    const a = given4({ ...onePool('198.51.100.10/32'), 'offer-lifetime': 0 })
    expect(await offered(a)).toBe('198.51.100.10')
    expect(await offered(a, { client: 2 })).toBe('noFreeAddress')
    a.pass(11)
    await a.server.ledger.drain()
    expect(a.store.streams.size).toBe(0)
    expect(await offered(a, { client: 2 })).toBe('198.51.100.10')
  })
})

describe('what a relay said', () => {
  const agent = { 1: Buffer.from('port7').toString('hex'), 2: 'bb', 6: 'cc', 12: 'dd' }
  const renewing = (ciaddr: string): Said4 => ({
    type: 'request',
    client: 1,
    ciaddr,
    giaddr: null,
    from: ciaddr,
    xid: 9,
  })

  it('is in the events, also of renewals that come past the relay', async () => {
    const a = given4(base)
    const { yiaddr } = await acquire4(a, { client: 1, agent })
    const relay = { address: '198.51.100.1', circuitId: agent[1], remoteId: 'bb', subscriberId: 'cc', relayId: 'dd' }
    a.pass(900)
    expect((await a.ask(renewing(yiaddr)))?.codes).not.toContain(82)
    expect(a.server.appended.map(({ event }) => event.lease.relay)).toEqual([relay, relay])
  })

  it('counts for classes and reservations of renewals with stash-agent-options', async () => {
    const config = withSubnet(
      {
        pools: [{ pool: '198.51.100.10 - 198.51.100.99', 'client-classes': ['port'] }],
        reservations: [{ 'circuit-id': "'port7'", hostname: 'seven' }],
      },
      { 'client-classes': [{ name: 'port', test: "relay4[1].hex == 'port7'" }], authoritative: true },
    )
    for (const stash of [true, false]) {
      const a = given4({ ...config, 'stash-agent-options': stash })
      const { yiaddr } = await acquire4(a, { client: 1, agent })
      a.pass(900)
      const answer = await a.ask(renewing(yiaddr))
      expect(answer?.type).toBe(stash ? 'ack' : 'nak')
      if (stash) expect(Buffer.from(answer?.option(12) ?? '', 'hex').toString()).toBe('seven')
      expect(answer?.codes).not.toContain(82)
      // Somebody else who claims the address gains nothing by it.
      expect((await a.ask({ ...renewing(yiaddr), client: 2 }))?.type).toBe('nak')
    }
  })
})
