import { describe, expect, it } from 'vitest'
import type { Fault } from '../../adapters/memory/memory-store.ts'
import { acquire4, given4, typesOf4 } from '../support/dhcp4.ts'
import type { Given4, Heard4, Said4 } from '../support/dhcp4.ts'
import { at, T0 } from '../support/lease-spec.ts'
import { turnsOfSecond } from '../support/servers.ts'

const subnet = { id: 1, subnet: '198.51.100.0/24', pools: [{ pool: '198.51.100.10 - 198.51.100.99' }] }
const base = {
  'valid-lifetime': 3600,
  subnet4: [subnet, { id: 2, subnet: '203.0.113.0/24', pools: [{ pool: '203.0.113.10 - 203.0.113.99' }] }],
}
const authoritative = { ...base, authoritative: true }
const OTHER_LINK = '203.0.113.1'
const away: Fault = { _tag: 'StoreUnavailable', reason: 'no route' }

const acquired = async (a: Pick<Given4, 'server'>, client = 1): Promise<string> =>
  (await acquire4(a, { client })).yiaddr
const stateOf = (a: Given4, address: string) => a.server.replica.get(`lease4/${address}` as never).state
const brief = (heard: Heard4 | undefined) =>
  heard === undefined ? 'silence' : heard.type === 'nak' ? 'nak' : `${heard.type} ${heard.yiaddr} ${heard.leaseSec}`

describe('DISCOVER', () => {
  it('is offered an address of the pool, for the default time', async () => {
    const a = given4(base)
    const offer = await a.ask({ type: 'discover', client: 1, xid: 77 })
    expect(offer).toMatchObject({ type: 'offer', server: a.server.address, leaseSec: 3600 })
    expect(offer?.yiaddr).toMatch(/^198\.51\.100\.[1-9][0-9]$/)
    expect(offer?.packet).toMatchObject({ xid: 77, op: 2, ciaddr: 0, hops: 0, secs: 0 })
  })

  it('that comes again is offered the same address, before and after the offer is recorded', async () => {
    const a = given4(base)
    const first = await a.ask({ type: 'discover', client: 1 })
    expect((await a.ask({ type: 'discover', client: 1 }))?.packet).toEqual(first?.packet)
    a.pass(1)
    await a.server.ledger.drain()
    expect(typesOf4(a, first?.yiaddr ?? '')).toEqual(['LeaseOffered'])
    expect(brief(await a.ask({ type: 'discover', client: 1, xid: 9 }))).toBe(brief(first))
  })

  it('prefers what the client has, then what it had, then what it asks for', async () => {
    const a = given4(base)
    const own = await acquired(a)
    const asking: Said4 = { type: 'discover', client: 1, wants: '198.51.100.77' }
    expect((await a.ask(asking))?.yiaddr).toBe(own)
    await a.ask({ type: 'release', client: 1, ciaddr: own, server: a.server.address })
    expect((await a.ask(asking))?.yiaddr).toBe(own)
    expect((await a.ask({ ...asking, client: 2 }))?.yiaddr).toBe('198.51.100.77')
    expect((await a.ask({ ...asking, client: 3 }))?.yiaddr).not.toBe('198.51.100.77')
    expect((await a.ask({ ...asking, client: 4, wants: '203.0.113.50' }))?.yiaddr).toMatch(/^198\.51\.100\./)
  })

  it('prefers what the client had last to what it had before', async () => {
    const a = given4(base)
    const first = await acquired(a)
    await a.ask({ type: 'release', client: 1, ciaddr: first, server: a.server.address })
    a.pass(60)
    const last = first === '198.51.100.50' ? '198.51.100.51' : '198.51.100.50'
    const taken = await a.ask({ type: 'request', client: 1, wants: last, server: a.server.address })
    expect(taken).toMatchObject({ type: 'ack', yiaddr: last })
    await a.ask({ type: 'release', client: 1, ciaddr: last, server: a.server.address })
    expect((await a.ask({ type: 'discover', client: 1 }))?.yiaddr).toBe(last)
  })

  it('from a link that is not configured is not answered', async () => {
    const a = given4(base)
    expect(await a.ask({ type: 'discover', client: 1, giaddr: '192.0.2.1' })).toBeUndefined()
    expect(a.server.drops()).toEqual({ noSubnet: 1 })
  })

  it('is not answered while the store is away', async () => {
    const faults: Fault[] = []
    const a = given4(base, faults)
    const address = await acquired(a)
    faults.push(away)
    expect(
      await a.ask({ type: 'request', client: 9, wants: '198.51.100.50', server: a.server.address }),
    ).toBeUndefined()
    expect(await a.ask({ type: 'discover', client: 1, wants: address })).toBeUndefined()
    expect(a.server.drops()).toEqual({ storeUnavailable: 2 })
    a.server.ledger.stop()
  })
})

describe('REQUEST in SELECTING', () => {
  it('gets what it was offered, in one event that knows of the offer', async () => {
    const a = given4(base)
    const ack = await acquire4(a, { client: 1, xid: 5 })
    expect(ack).toMatchObject({ type: 'ack', leaseSec: 3600, server: a.server.address })
    expect(typesOf4(a, ack.yiaddr)).toEqual(['LeaseClaimed'])
    expect(stateOf(a, ack.yiaddr)).toMatchObject({
      status: 'bound',
      lease: { holder: 'hw:1:020000000001', startsAt: T0, expiresAt: at(3600), transactionId: 5, subnetId: 1 },
    })
    expect(a.server.appended[0]?.event).toMatchObject({ offered: { at: T0 } })
  })

  it('for another server is not ours', async () => {
    const a = given4(base)
    const offer = await a.ask({ type: 'discover', client: 1 })
    const request: Said4 = { type: 'request', client: 1, server: '198.51.100.200', wants: offer?.yiaddr ?? '' }
    expect(await a.ask(request)).toBeUndefined()
    expect(a.server.drops()).toEqual({ notForUs: 1 })
    expect(typesOf4(a, offer?.yiaddr ?? '')).toEqual([])
  })

  it('that names no address is dropped', async () => {
    const a = given4(base)
    expect(await a.ask({ type: 'request', client: 1, server: a.server.address })).toBeUndefined()
    expect(a.server.drops()).toEqual({ badRequest: 1 })
  })

  it('that comes again gets the same answer and is recorded once', async () => {
    const a = given4(base)
    const request: Said4 = { type: 'request', client: 1, xid: 7, server: a.server.address, wants: '198.51.100.20' }
    const first = await a.ask(request)
    expect((await a.ask(request))?.packet).toEqual(first?.packet)
    a.pass(10)
    expect(brief(await a.ask(request))).toBe('ack 198.51.100.20 3590')
    expect(typesOf4(a, '198.51.100.20')).toEqual(['LeaseClaimed'])
  })

  it('for an address that another has is refused, also by a server that has not heard of it', async () => {
    const a = given4(base)
    const taken = await acquired(a)
    const b = a.another(2)
    for (const server of [a.server, b]) {
      const nak = await server.ask({ type: 'request', client: 2, server: server.address, wants: taken })
      expect(nak).toMatchObject({ type: 'nak', yiaddr: '0.0.0.0', leaseSec: undefined })
    }
    expect(typesOf4(a, taken)).toEqual(['LeaseClaimed'])
  })

  it('for an address of another link is refused', async () => {
    const a = given4(base)
    const request: Said4 = { type: 'request', client: 1, server: a.server.address, wants: '203.0.113.20' }
    expect((await a.ask(request))?.type).toBe('nak')
    expect((await a.ask({ ...request, wants: '198.51.100.200' }))?.type).toBe('nak')
  })

  it('is never refused while the store is away', async () => {
    const faults: Fault[] = []
    const a = given4(authoritative, faults)
    const taken = await acquired(a)
    faults.push(away)
    for (const wants of [taken, '203.0.113.20', '198.51.100.200']) {
      expect(await a.ask({ type: 'request', client: 2, server: a.server.address, wants })).toBeUndefined()
      expect(await a.ask({ type: 'request', client: 2, wants })).toBeUndefined()
      expect(await a.ask({ type: 'request', client: 2, ciaddr: wants })).toBeUndefined()
    }
    expect(a.server.drops()).toEqual({ storeUnavailable: 9 })
    a.server.ledger.stop()
  })

  it('of two clients at two servers for one address, one gets it', async () => {
    const a = given4(base)
    const b = a.another(2)
    const wants = '198.51.100.30'
    const answers = await Promise.all([
      a.ask({ type: 'request', client: 1, server: a.server.address, wants }),
      b.ask({ type: 'request', client: 2, server: b.address, wants }),
    ])
    expect(answers.map((each) => each?.type).sort()).toEqual(['ack', 'nak'])
    expect(typesOf4(a, wants)).toEqual(['LeaseClaimed'])
  })

  it('whose commit has an unknown outcome gets silence, and what was committed counts', async () => {
    const faults: Fault[] = []
    const a = given4(base, faults)
    const request: Said4 = { type: 'request', client: 1, xid: 3, server: a.server.address, wants: '198.51.100.20' }
    faults.push({ _tag: 'OutcomeUnknown', reason: 'connection lost', committed: true })
    const answer = a.ask(request)
    expect(await answer).toBeUndefined()
    faults.length = 0
    await expect.poll(() => a.server.ledger.health).toBe('up')
    expect(brief(await a.ask(request))).toBe('ack 198.51.100.20 3600')
    expect(typesOf4(a, '198.51.100.20')).toEqual(['LeaseClaimed'])
  })
})

describe('REQUEST in INIT-REBOOT', () => {
  const reboot = (client: number, wants: string, more: Partial<Said4> = {}): Said4 => ({
    type: 'request',
    client,
    wants,
    xid: 40,
    ...more,
  })

  it('of a client that has the address confirms it', async () => {
    const a = given4(base)
    const address = await acquired(a)
    a.pass(600)
    expect(brief(await a.ask(reboot(1, address)))).toBe(`ack ${address} 3600`)
    expect(typesOf4(a, address)).toEqual(['LeaseClaimed', 'LeaseRenewed'])
  })

  it('is confirmed by a server that has not heard of the lease yet', async () => {
    const a = given4(base)
    const address = await acquired(a)
    expect(brief(await a.another(2).ask(reboot(1, address)))).toBe(`ack ${address} 3600`)
  })

  it('of a client without a record is met with silence, or with authority refused', async () => {
    expect(await given4(base).ask(reboot(1, '198.51.100.20'))).toBeUndefined()
    expect((await given4(authoritative).ask(reboot(1, '198.51.100.20')))?.type).toBe('nak')
  })

  it('of a stranger for a leased address is met with silence, or with authority refused', async () => {
    for (const [config, expected] of [
      [base, 'silence'],
      [authoritative, 'nak'],
    ] as const) {
      const a = given4(config)
      const taken = await acquired(a)
      expect(brief(await a.ask(reboot(2, taken)))).toBe(expected)
    }
  })

  it('of a known client that is wrong about its address is refused', async () => {
    const a = given4(base)
    await acquired(a)
    expect((await a.ask(reboot(1, '198.51.100.99')))?.type).toBe('nak')
  })

  it('of a client that another server knows is refused by one that has to read first', async () => {
    const a = given4(base)
    await acquired(a)
    expect((await a.another(2).ask(reboot(1, '198.51.100.99')))?.type).toBe('nak')
  })

  it('on the wrong link is refused where the client is known or the server has authority', async () => {
    const a = given4(base)
    const address = await acquired(a)
    expect((await a.ask(reboot(1, address, { giaddr: OTHER_LINK })))?.type).toBe('nak')
    expect(await a.ask(reboot(2, address, { giaddr: OTHER_LINK }))).toBeUndefined()
    expect((await given4(authoritative).ask(reboot(2, address, { giaddr: OTHER_LINK })))?.type).toBe('nak')
    expect(stateOf(a, address).status).toBe('bound')
  })

  it('gets back a lease that ran out while nobody else took it', async () => {
    const a = given4(base)
    const address = await acquired(a)
    a.pass(4000)
    expect(brief(await a.ask(reboot(1, address)))).toBe(`ack ${address} 3600`)
  })

  it('does not get back what the client gave back itself', async () => {
    const a = given4(authoritative)
    const address = await acquired(a)
    await a.ask({ type: 'release', client: 1, ciaddr: address, server: a.server.address })
    expect((await a.ask(reboot(1, address)))?.type).toBe('nak')
  })
})

describe('REQUEST in RENEWING and REBINDING', () => {
  const renew = (client: number, ciaddr: string, more: Partial<Said4> = {}): Said4 => ({
    type: 'request',
    client,
    ciaddr,
    xid: 50,
    giaddr: null,
    from: ciaddr,
    ...more,
  })

  it('extends the lease, past the relay and through it', async () => {
    const a = given4(base)
    const address = await acquired(a)
    a.pass(1800)
    expect(brief(await a.ask(renew(1, address)))).toBe(`ack ${address} 3600`)
    a.pass(1800)
    expect(brief(await a.ask(renew(1, address, { xid: 51, giaddr: '198.51.100.1' })))).toBe(`ack ${address} 3600`)
    expect(stateOf(a, address)).toMatchObject({ lease: { expiresAt: at(7200), startsAt: T0, renewals: 2 } })
  })

  it('by a server that has not heard of the lease', async () => {
    const a = given4(base)
    const address = await acquired(a)
    a.pass(1800)
    expect(brief(await a.another(2).ask(renew(1, address)))).toBe(`ack ${address} 3600`)
    expect(typesOf4(a, address)).toEqual(['LeaseClaimed', 'LeaseRenewed'])
  })

  it('twice in a moment is recorded once', async () => {
    const a = given4(base)
    const address = await acquired(a)
    a.pass(1800)
    const both = await Promise.all([a.ask(renew(1, address)), a.ask(renew(1, address))])
    expect(both.map(brief)).toEqual([`ack ${address} 3600`, `ack ${address} 3600`])
    expect(typesOf4(a, address)).toEqual(['LeaseClaimed', 'LeaseRenewed'])
  })

  it("of somebody else's address is refused", async () => {
    const a = given4(base)
    const address = await acquired(a)
    expect((await a.ask(renew(2, address)))?.type).toBe('nak')
    expect(stateOf(a, address)).toMatchObject({ status: 'bound', lease: { holder: 'hw:1:020000000001' } })
  })

  it('of an address without a record is met with silence, or with authority refused', async () => {
    expect(await given4(base).ask(renew(1, '198.51.100.20'))).toBeUndefined()
    expect((await given4(authoritative).ask(renew(1, '198.51.100.20')))?.type).toBe('nak')
  })

  it('that comes late gets the address still, if nobody else has it', async () => {
    const a = given4(base)
    const address = await acquired(a)
    a.pass(5000)
    expect(brief(await a.ask(renew(1, address)))).toBe(`ack ${address} 3600`)
    expect(stateOf(a, address)).toMatchObject({ lease: { startsAt: at(5000), renewals: 0 } })
  })

  it('means the address that the client uses, whatever else it names', async () => {
    const a = given4(base)
    const address = await acquired(a)
    a.pass(1800)
    expect(brief(await a.ask(renew(1, address, { wants: '198.51.100.99' })))).toBe(`ack ${address} 3600`)
  })

  it('while the store is away gets the time that is left, and nothing is refused', async () => {
    const faults: Fault[] = []
    const a = given4(authoritative, faults)
    const address = await acquired(a)
    a.pass(600)
    faults.push(away)
    expect(brief(await a.ask(renew(1, address)))).toBe(`ack ${address} 3000`)
    a.pass(100)
    expect(brief(await a.ask(renew(1, address)))).toBe(`ack ${address} 2900`)
    expect(await a.ask(renew(2, address))).toBeUndefined()
    expect(await a.ask(renew(2, '198.51.100.60'))).toBeUndefined()
    a.pass(2900)
    expect(await a.ask(renew(1, address))).toBeUndefined()
    expect(stateOf(a, address)).toMatchObject({ lease: { expiresAt: at(3600) } })
    faults.length = 0
    await expect.poll(() => a.server.ledger.health).toBe('up')
    expect(brief(await a.ask(renew(1, address)))).toBe(`ack ${address} 3600`)
  })

  it('inside the cache threshold gets the time that is left and writes nothing', async () => {
    const a = given4({ ...base, 'cache-threshold': 0.25, 'cache-max-age': 600 })
    const address = await acquired(a)
    a.pass(500)
    expect(brief(await a.ask(renew(1, address)))).toBe(`ack ${address} 3100`)
    expect(typesOf4(a, address)).toEqual(['LeaseClaimed'])
    a.pass(101)
    expect(brief(await a.ask(renew(1, address, { xid: 51 })))).toBe(`ack ${address} 3600`)
    expect(typesOf4(a, address)).toEqual(['LeaseClaimed', 'LeaseRenewed'])
  })
})

describe('DECLINE', () => {
  it('keeps the address back for the probation, from everybody', async () => {
    const one = {
      ...base,
      'decline-probation-period': 600,
      subnet4: [{ ...subnet, pools: [{ pool: '198.51.100.10 - 198.51.100.11' }] }],
    }
    const a = given4(one)
    const address = await acquired(a)
    expect(await a.ask({ type: 'decline', client: 1, wants: address, server: a.server.address })).toBeUndefined()
    expect(a.server.drops()).toEqual({ declined: 1 })
    expect(typesOf4(a, address)).toEqual(['LeaseClaimed', 'LeaseDeclined'])
    const other = await acquired(a)
    expect(other).not.toBe(address)
    expect(await a.ask({ type: 'discover', client: 2, wants: address })).toBeUndefined()
    expect((await a.ask({ type: 'request', client: 2, wants: address, server: a.server.address }))?.type).toBe('nak')
    a.pass(606)
    expect((await a.ask({ type: 'discover', client: 2 }))?.yiaddr).toBe(address)
    expect(typesOf4(a, address)).toEqual(['LeaseClaimed', 'LeaseDeclined', 'LeaseExpired'])
  })
})

describe('RELEASE', () => {
  it('ends the lease, once, and has no answer', async () => {
    const a = given4(base)
    const address = await acquired(a)
    a.pass(60)
    const release: Said4 = { type: 'release', client: 1, ciaddr: address, server: a.server.address, giaddr: null }
    expect(await a.ask(release)).toBeUndefined()
    expect(await a.ask(release)).toBeUndefined()
    expect(typesOf4(a, address)).toEqual(['LeaseClaimed', 'LeaseReleased'])
    expect(stateOf(a, address)).toMatchObject({ status: 'released', lease: { expiresAt: at(60) } })
    expect(a.server.drops()).toEqual({ released: 2 })
  })
})

describe.each([
  ['decline', 'wants'],
  ['release', 'ciaddr'],
] as const)('a %s', (type, field) => {
  it('counts only from the client that has it, at the server that it names, and with its address', async () => {
    const a = given4(base)
    const address = await acquired(a)
    await a.ask({ type, client: 2, [field]: address, server: a.server.address })
    await a.ask({ type, client: 1, [field]: address, server: '198.51.100.200' })
    await a.ask({ type, client: 1, server: a.server.address })
    expect(a.server.drops()).toEqual({ notHolder: 1, notForUs: 1, badRequest: 1 })
    expect(stateOf(a, address).status).toBe('bound')
  })
})

describe('INFORM', () => {
  const config = { ...base, 'option-data': [{ name: 'domain-name-servers', data: '198.51.100.53' }] }

  it('gets options and no lease, at the address that it has', async () => {
    const a = given4({ ...config, 'renew-timer': 900, 'calculate-tee-times': true })
    const ack = await a.ask({
      type: 'inform',
      client: 1,
      ciaddr: '198.51.100.240',
      asks: [6, 51, 58, 59],
      giaddr: null,
    })
    expect(ack).toMatchObject({ type: 'ack', yiaddr: '0.0.0.0', leaseSec: undefined, t1: undefined, t2: undefined })
    expect(ack?.option(6)).toBe('c6336435')
    expect(ack?.packet.ciaddr).toBe(0xc63364f0)
    expect(ack?.to).toEqual({ address: '198.51.100.240', port: 68, unicastHardware: undefined })
    expect(a.store.streams.size).toBe(0)
  })

  it('without an address in it is answered where it came from', async () => {
    const a = given4(config)
    const ack = await a.ask({ type: 'inform', client: 1, from: '198.51.100.241', giaddr: null })
    expect(ack?.to).toMatchObject({ address: '198.51.100.241', port: 68 })
  })

  it('is answered also while the store is away', async () => {
    const faults: Fault[] = [away]
    expect((await given4(config, faults).ask({ type: 'inform', client: 1, ciaddr: '198.51.100.240' }))?.type).toBe(
      'ack',
    )
  })
})

describe('rapid commit (RFC 4039)', () => {
  const config = { ...base, 'option-data': [{ name: 'rapid-commit', code: 80, 'csv-format': false, data: '' }] }
  const rapid: Said4 = { type: 'discover', client: 1, more: { 80: '' } }

  it('leads to one address when a DISCOVER comes twice at once, as through two relays', async () => {
    const a = given4(config)
    const [first, second] = await Promise.all([a.ask(rapid), a.ask(rapid)])
    expect(brief(first)).toMatch(/^ack /)
    expect(brief(second)).toBe(brief(first))
    expect([...a.server.replica.entries()].map(([, { state }]) => state.status)).toEqual(['bound'])
  })

  it('claims at once where option 80 is configured, and says so', async () => {
    const a = given4(config)
    const ack = await a.ask(rapid)
    expect(ack).toMatchObject({ type: 'ack', leaseSec: 3600 })
    expect(ack?.option(80)).toBe('')
    expect(typesOf4(a, ack?.yiaddr ?? '')).toEqual(['LeaseClaimed'])
    expect((await a.ask({ ...rapid, more: {} }))?.type).toBe('offer')
  })

  it('is an ordinary exchange elsewhere', async () => {
    const offer = await given4(base).ask(rapid)
    expect(offer?.type).toBe('offer')
    expect(offer?.option(80)).toBeUndefined()
  })

  it('is never refused: what another took meanwhile makes way for another address', async () => {
    const a = given4(config)
    const b = a.another(2)
    const wants = '198.51.100.40'
    const first = await a.ask({ ...rapid, client: 2, wants })
    expect(first?.yiaddr).toBe(wants)
    const second = await b.ask({ ...rapid, client: 3, wants })
    expect(second?.type).toBe('ack')
    expect(second?.yiaddr).not.toBe(wants)
  })

  it('gets an offer when room has to be made first, and silence when there is none', async () => {
    const a = given4({ ...config, subnet4: [{ ...subnet, pools: [{ pool: '198.51.100.10/32' }] }] })
    expect((await a.ask(rapid))?.type).toBe('ack')
    expect(await a.ask({ ...rapid, client: 2 })).toBeUndefined()
    expect(a.server.drops()).toEqual({ noFreeAddress: 1 })
    a.pass(3606)
    expect((await a.ask({ ...rapid, client: 2 }))?.type).toBe('offer')
  })
})

describe('a client holds one lease on a link', () => {
  it('taking another one gives the first back', async () => {
    const a = given4(base)
    const first = await acquired(a)
    a.pass(100)
    const wants = first === '198.51.100.90' ? '198.51.100.91' : '198.51.100.90'
    await a.ask({ type: 'request', client: 1, xid: 9, server: a.server.address, wants })
    await a.server.ledger.drain()
    expect(typesOf4(a, first)).toEqual(['LeaseClaimed', 'LeaseReleased'])
    expect(a.server.appended.at(-1)?.event).toMatchObject({ cause: 'superseded', supersededBy: `lease4/${wants}` })
    expect(stateOf(a, wants).status).toBe('bound')
  })

  it('on another link it may hold another one', async () => {
    const a = given4(base)
    const first = await acquired(a)
    a.pass(100)
    await acquire4(a, { client: 1, giaddr: OTHER_LINK })
    await a.server.ledger.drain()
    expect(stateOf(a, first).status).toBe('bound')
  })
})

describe('what is dropped', () => {
  it('is counted by reason', async () => {
    const a = given4(base)
    await a.server.exchange(new Uint8Array(10))
    await a.ask({ type: 'leaseQuery', client: 1 })
    await a.ask({ type: 'discover', client: 1, chaddr: '' })
    await a.ask({ type: 'discover', client: 1, more: { 82: '01ff00' } })
    expect(a.server.drops()).toEqual({ unknownMessageType: 1, noClientIdentity: 1, badRelayAgent: 1 })
    expect(a.server.counters.get('dhcp4.malformed.tooShort')).toBe(1)
  })

  it('under load are DISCOVERs first', async () => {
    const a = given4(base, [], { queueMax: 4 })
    const request = (client: number): Said4 => ({
      type: 'request',
      client,
      server: a.server.address,
      wants: `198.51.100.${20 + client}`,
    })
    expect([1, 2, 3].map((client) => a.server.push(request(client)))).toEqual([1, 2, 3])
    a.server.push({ type: 'discover', client: 9 })
    expect(a.server.drops()).toEqual({ overloaded: 1 })
    expect(a.server.push(request(4))).toBe(4)
    expect(a.server.push(request(5))).toBe(4)
    expect(a.server.drops()).toEqual({ overloaded: 2 })
    expect((await a.ask({ type: 'inform', client: 9, ciaddr: '198.51.100.240' }))?.type).toBeUndefined()
    expect((await a.ask({ type: 'discover', client: 9 }))?.type).toBe('offer')
  })

  it('are answers that come too late', async () => {
    let release: (() => void) | undefined
    const faults: Fault[] = []
    const a = given4(base, faults)
    const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)))
    // The store takes its time and then does what it was asked.
    faults.push(held as never)
    a.server.push({ type: 'request', client: 1, server: a.server.address, wants: '198.51.100.20' })
    await expect.poll(() => a.server.ledger.waiting).toBe(1)
    a.pass(11)
    faults.length = 0
    release?.()
    await a.server.ledger.drain()
    await expect.poll(() => a.server.drops()).toEqual({ tooLate: 1 })
    expect(typesOf4(a, '198.51.100.20')).toEqual(['LeaseClaimed'])
  })

  it('is what falls to another server that shares the load, until the client has waited', async () => {
    const a = given4(base, [], { answers: (packet) => packet.secs >= 3 })
    expect(await a.ask({ type: 'discover', client: 1 })).toBeUndefined()
    expect(a.server.drops()).toEqual({ anotherServersShare: 1 })
    expect((await a.ask({ type: 'discover', client: 1, secs: 3 }))?.type).toBe('offer')
  })

  it('is what another server offers first, unless the client chooses nobody or has waited', async () => {
    const { turns, inVain } = turnsOfSecond(String(0xc6336401))
    const a = given4(base, [], { turns })
    const heard = (client: number): number => a.server.push({ type: 'discover', client })
    heard(1)
    await a.ask({ type: 'request', client: 1, server: '198.51.100.77', wants: '198.51.100.20' })
    expect(a.server.drops()).toEqual({ choseAnother: 1, notForUs: 1 })
    inVain()
    expect(a.server.counters.get('dhcp4.sent.offer')).toBe(0)
    heard(2)
    expect(a.server.counters.get('dhcp4.sent.offer')).toBe(0)
    inVain()
    expect(a.server.counters.get('dhcp4.sent.offer')).toBe(1)
    expect((await a.ask({ type: 'discover', client: 3, secs: 1 }))?.type).toBe('offer')
  })
})
