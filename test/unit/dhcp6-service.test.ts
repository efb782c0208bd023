import { describe, expect, it } from 'vitest'
import type { Fault } from '../../adapters/memory/memory-store.ts'
import { hexText } from '../../domain/address.ts'
import { iaNaOption, optionOf } from '../../server/dhcp6/option-access.ts'
import { OPTION6 } from '../../server/dhcp6/option-codes.ts'
import { acquire6 as acquire, bytes6, clientDuidOf, given6, leaseOf, say, serverDuidOf } from '../support/dhcp6.ts'
import { turnsOfSecond, typesOf } from '../support/servers.ts'
import type { Given6, Heard, Said } from '../support/dhcp6.ts'
import { checkStream } from '../support/ledger-check.ts'
import { at, policy, T0 } from '../support/lease-spec.ts'

const subnet = {
  id: 1,
  subnet: '2001:db8:1::/64',
  pools: [{ pool: '2001:db8:1::1000 - 2001:db8:1::1fff' }],
  'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 36, 'delegated-len': 56 }],
}
const base = {
  'valid-lifetime': 3600,
  'preferred-lifetime': 2400,
  'renew-timer': 900,
  'rebind-timer': 1800,
  'option-data': [{ name: 'dns-servers', data: '2001:db8::53' }],
  subnet6: [subnet],
}
const withSubnet = (more: object) => ({ ...base, subnet6: [{ ...subnet, ...more }] })
const given = (config: object = base, faults: Fault[] = []): Given6 => given6(config, faults)
const onePool = (first: string, last: string) => withSubnet({ pools: [{ pool: `${first} - ${last}` }] })

describe('Solicit and Request', () => {
  it('give an address, and the same one was offered', async () => {
    const a = given()
    const advertise = await a.ask({ type: 'solicit', client: 1, na: { 1: [] } })
    const address = leaseOf(advertise)
    expect(address).toMatch(/^2001:db8:1::1[0-9a-f]{3}$/)
    const reply = await a.ask({ type: 'request', client: 1, to: a.server.duid, xid: 2, na: { 1: [address] } })
    expect(reply).toMatchObject({ type: 'reply', na: { 1: { leases: { [address]: 3600 } } } })
    expect(typesOf(a, `lease6/${address}`)).toEqual(['LeaseClaimed'])
  })

  it('carry identifiers, timers and the options that were asked for', async () => {
    const a = given()
    const reply = await acquire(a, { client: 1, na: { 1: [] }, asks: [23] })
    const { options, transactionId } = reply.packet
    expect(transactionId).toBe(1001)
    expect(optionOf(options, OPTION6.clientId)).toEqual(clientDuidOf(1))
    expect(optionOf(options, OPTION6.serverId)).toEqual(a.server.duid)
    expect(hexText(optionOf(options, 23) ?? new Uint8Array(0))).toBe('20010db8000000000000000000000053')
    expect(hexText(optionOf(options, OPTION6.iaNa) ?? new Uint8Array(0)).slice(0, 24)).toBe(
      '00000001' + '00000384' + '00000708',
    )
  })

  it('give a client its own address again, and different clients different ones', async () => {
    const a = given()
    const first = leaseOf(await acquire(a, { client: 1, na: { 1: [] } }))
    const others = await Promise.all([2, 3, 4, 5].map((client) => acquire(a, { client, na: { 1: [] } })))
    expect(new Set([first, ...others.map((reply) => leaseOf(reply))]).size).toBe(5)
    expect(leaseOf(await a.ask({ type: 'solicit', client: 1, na: { 1: [] }, xid: 9 }))).toBe(first)
  })

  it('a Solicit that comes again is offered the same address, also before the offer is recorded', async () => {
    const a = given()
    const solicit: Said = { type: 'solicit', client: 1, na: { 1: [] }, pd: { 1: [] } }
    const first = await a.ask(solicit)
    expect((await a.ask(solicit))?.packet).toEqual(first?.packet)
    expect((await a.ask({ ...solicit, xid: 2 }))?.na).toEqual(first?.na)
    expect(a.server.ledger.offersPending).toBe(2)
  })

  it('a Request that comes twice gets the same Reply, and is recorded once', async () => {
    const a = given()
    const request: Said = { type: 'request', client: 1, to: a.server.duid, xid: 7, na: { 1: ['2001:db8:1::1005'] } }
    const first = await a.ask(request)
    expect(leaseOf(first)).toBe('2001:db8:1::1005')
    expect((await a.ask(request))?.packet).toEqual(first?.packet)
    expect(typesOf(a, 'lease6/2001:db8:1::1005')).toEqual(['LeaseClaimed'])
  })

  it('a Request for an address that another has gets another one in the same Reply', async () => {
    const a = given()
    const taken = leaseOf(await acquire(a, { client: 1, na: { 1: [] } }))
    const reply = await a.ask({ type: 'request', client: 2, to: a.server.duid, na: { 1: [taken] } })
    expect(Object.keys(reply?.na[1]?.leases ?? {})).toHaveLength(1)
    expect(leaseOf(reply)).toMatch(/^2001:db8:1::1/)
    expect(leaseOf(reply)).not.toBe(taken)
  })

  it('of two servers that are asked for one address at once, one gives another address', async () => {
    const a = given()
    const b = a.another(2)
    const na = { 1: ['2001:db8:1::1005'] }
    const replies = await Promise.all([
      a.ask({ type: 'request', client: 1, to: a.server.duid, na }),
      b.ask({ type: 'request', client: 2, to: b.duid, na }),
    ])
    const addresses = replies.map((reply) => leaseOf(reply))
    expect(addresses).toContain('2001:db8:1::1005')
    expect(new Set(addresses).size).toBe(2)
    expect(addresses).not.toContain('nothing')
    for (const events of a.store.streams.values()) expect(checkStream(events, policy.maxClockSkewMs)).toEqual([])
  })

  it('lead to one address when a Solicit for rapid commit comes twice at once, as through two relays', async () => {
    const rapid = { code: OPTION6.rapidCommit, data: new Uint8Array(0) }
    const a = given(withSubnet({ 'rapid-commit': true }))
    const solicit: Said = { type: 'solicit', client: 1, na: { 1: [] }, more: [rapid] }
    const [first, second] = await Promise.all([a.ask(solicit), a.ask(solicit)])
    expect(first?.type).toBe('reply')
    expect(second?.packet.options).toEqual(first?.packet.options)
    expect([...a.server.replica.entries()].map(([, { state }]) => state.status)).toEqual(['bound'])
  })

  it('go in two messages when both sides want rapid commit', async () => {
    const rapid = { code: OPTION6.rapidCommit, data: new Uint8Array(0) }
    const a = given(withSubnet({ 'rapid-commit': true }))
    const reply = await a.ask({ type: 'solicit', client: 1, na: { 1: [] }, more: [rapid] })
    expect(reply?.type).toBe('reply')
    expect(optionOf(reply?.packet.options ?? [], OPTION6.rapidCommit)).toEqual(new Uint8Array(0))
    expect(typesOf(a, `lease6/${leaseOf(reply)}`)).toEqual(['LeaseClaimed'])
    expect((await a.ask({ type: 'solicit', client: 2, na: { 1: [] } }))?.type).toBe('advertise')
    const unwilling = given()
    expect((await unwilling.ask({ type: 'solicit', client: 1, na: { 1: [] }, more: [rapid] }))?.type).toBe('advertise')
  })

  it('serve several IAs of both kinds in one message with leases of their own', async () => {
    const a = given()
    const reply = await acquire(a, { client: 1, na: { 1: [], 2: [], 7: [] }, pd: { 1: [], 2: [] } })
    const addresses = [1, 2, 7].map((iaid) => leaseOf(reply, 'na', iaid))
    const prefixes = [1, 2].map((iaid) => leaseOf(reply, 'pd', iaid))
    expect(new Set(addresses).size).toBe(3)
    expect(new Set(prefixes).size).toBe(2)
    for (const address of addresses) expect(address).toMatch(/^2001:db8:1::1/)
    for (const prefix of prefixes) expect(prefix).toMatch(/^2001:db8:8[0-9a-f:]+\/56$/)
  })

  it('that begin an exchange are answered first by another server, unless the client chooses nobody or has waited', async () => {
    const { turns, inVain } = turnsOfSecond('20010db8000100000000000000000001')
    const { server, ask } = given6(base, [], { turns })
    const advertised = (): number => server.counters.get('dhcp6.sent.advertise')
    const solicit = (client: number): Said => ({ type: 'solicit', client, na: { 1: [] } })
    server.push(say(solicit(1)))
    expect(await ask({ type: 'request', client: 1, to: serverDuidOf(9), na: { 1: [] } })).toBeUndefined()
    expect(server.counters.get('dhcp6.drop.choseAnother')).toBe(1)
    inVain()
    expect(advertised()).toBe(0)
    server.push(say(solicit(2)))
    expect(advertised()).toBe(0)
    inVain()
    expect(advertised()).toBe(1)
    const aSecond = { code: OPTION6.elapsedTime, data: Uint8Array.of(0, 100) }
    expect((await ask({ ...solicit(3), more: [aSecond] }))?.type).toBe('advertise')
  })

  it('that name another server, or come from no known link, are not answered', async () => {
    const a = given()
    const na = { 1: [] }
    expect(await a.ask({ type: 'request', client: 1, to: serverDuidOf(9), na })).toBeUndefined()
    expect(a.server.counters.get('dhcp6.drop.notForUs')).toBe(1)
    expect(await a.ask({ type: 'solicit', client: 1, na, link: '2001:db8:99::1' })).toBeUndefined()
    expect(a.server.counters.get('dhcp6.drop.noSubnet')).toBe(1)
  })

  it('keep to the lifetimes that the client would like within the bounds', async () => {
    const a = given({ ...base, 'min-valid-lifetime': 1800, 'max-valid-lifetime': 7200 })
    const granted = async (client: number, validSec: number) => {
      const address = { address: bytes6(`2001:db8:1::1${client}00`), preferredSec: 0, validSec, status: undefined }
      const more = [iaNaOption({ iaid: 1, t1Sec: 0, t2Sec: 0, status: undefined, addresses: [address] })]
      const reply = await a.ask({ type: 'request', client, to: a.server.duid, more })
      return reply?.na[1]?.leases
    }
    expect(await granted(1, 5000)).toEqual({ '2001:db8:1::1100': 5000 })
    expect(await granted(2, 10)).toEqual({ '2001:db8:1::1200': 1800 })
    expect(await granted(3, 99_999)).toEqual({ '2001:db8:1::1300': 7200 })
    expect(await granted(4, 0)).toEqual({ '2001:db8:1::1400': 3600 })
  })
})

describe('when nothing is free', () => {
  it('Advertise and Reply say NoAddrsAvail, each in its IA', async () => {
    const a = given(onePool('2001:db8:1::1', '2001:db8:1::2'))
    await acquire(a, { client: 1, na: { 1: [] } })
    await acquire(a, { client: 2, na: { 1: [] } })
    const none = { 1: { leases: {}, status: 'noAddrsAvail' } }
    expect(await a.ask({ type: 'solicit', client: 3, na: { 1: [] } })).toMatchObject({ type: 'advertise', na: none })
    const request: Said = { type: 'request', client: 3, to: a.server.duid, na: { 1: ['2001:db8:1::1'] } }
    expect((await a.ask(request))?.na).toEqual(none)
  })

  it('an IA that has something to get gets it beside one that has not', async () => {
    const a = given(onePool('2001:db8:1::1', '2001:db8:1::1'))
    const reply = await acquire(a, { client: 1, na: { 1: [], 2: [] }, pd: { 1: [] } })
    expect(leaseOf(reply)).toBe('2001:db8:1::1')
    expect(reply.na[2]).toEqual({ leases: {}, status: 'noAddrsAvail' })
    expect(leaseOf(reply, 'pd')).toMatch(/\/56$/)
  })

  it('prefixes: NoPrefixAvail, without a look into the store where none are configured', async () => {
    const a = given(withSubnet({ 'pd-pools': [] }), [])
    const advertise = await a.ask({ type: 'solicit', client: 1, pd: { 1: [] } })
    expect(advertise?.pd).toEqual({ 1: { leases: {}, status: 'noPrefixAvail' } })
  })

  it('leases that are over are expired first, and given away', async () => {
    const a = given(onePool('2001:db8:1::1', '2001:db8:1::1'))
    await acquire(a, { client: 1, na: { 1: [] } })
    a.pass(3600 + 6)
    expect(leaseOf(await acquire(a, { client: 2, na: { 1: [] } }))).toBe('2001:db8:1::1')
    expect(typesOf(a, 'lease6/2001:db8:1::1')).toEqual(['LeaseClaimed', 'LeaseExpired', 'LeaseClaimed'])
  })

  it('what another server has released meanwhile is found before the client is refused', async () => {
    const a = given(onePool('2001:db8:1::1', '2001:db8:1::1'))
    const b = a.another(2)
    await acquire({ server: b }, { client: 1, na: { 1: [] } })
    await a.server.follower.catchUp()
    await b.ask({ type: 'release', client: 1, to: b.duid, na: { 1: ['2001:db8:1::1'] } })
    expect(leaseOf(await acquire(a, { client: 2, na: { 1: [] } }))).toBe('2001:db8:1::1')
  })
})

describe('Renew and Rebind', () => {
  const acquired = async (a: Given6, client = 1) => leaseOf(await acquire(a, { client, na: { 1: [] } }))

  it('extend what the client holds', async () => {
    const a = given()
    const address = await acquired(a)
    a.pass(1000)
    const renew: Said = { type: 'renew', client: 1, to: a.server.duid, xid: 50, na: { 1: [address] } }
    expect((await a.ask(renew))?.na).toEqual({ 1: { leases: { [address]: 3600 } } })
    expect(typesOf(a, `lease6/${address}`)).toEqual(['LeaseClaimed', 'LeaseRenewed'])
    const state = a.server.replica.get(`lease6/${address}` as never).state
    expect(state).toMatchObject({ status: 'bound', lease: { expiresAt: at(4600), startsAt: T0 } })
  })

  it('a Renew for another server is not answered, a Rebind is, by any server', async () => {
    const a = given()
    const address = await acquired(a)
    const b = a.another(2)
    await b.follower.catchUp()
    a.pass(1000)
    expect(await b.ask({ type: 'renew', client: 1, to: a.server.duid, na: { 1: [address] } })).toBeUndefined()
    const reply = await b.ask({ type: 'rebind', client: 1, xid: 51, na: { 1: [address] } })
    expect(reply?.na).toEqual({ 1: { leases: { [address]: 3600 } } })
    expect(optionOf(reply?.packet.options ?? [], OPTION6.serverId)).toEqual(b.duid)
  })

  it('a server that has not seen the lease yet reads it before it would say no', async () => {
    const a = given()
    const address = await acquired(a)
    const reply = await a.another(2).ask({ type: 'rebind', client: 1, xid: 51, na: { 1: [address] } })
    expect(reply?.na).toEqual({ 1: { leases: { [address]: 3600 } } })
  })

  it("of somebody else's address gives another one, and the old with lifetime 0, in one Reply", async () => {
    const a = given()
    const address = await acquired(a)
    const reply = await a.ask({ type: 'renew', client: 2, to: a.server.duid, na: { 1: [address] } })
    expect(reply?.na[1]?.leases[address]).toBe(0)
    expect(leaseOf(reply)).toMatch(/^2001:db8:1::1/)
    expect(leaseOf(reply)).not.toBe(address)
    expect(reply?.na[1]?.status).toBeUndefined()
  })

  it('of an address that is not on the link any more gives one that is', async () => {
    const a = given()
    const reply = await a.ask({ type: 'renew', client: 1, to: a.server.duid, na: { 1: ['2001:db8:77::1'] } })
    expect(reply?.na[1]?.leases['2001:db8:77::1']).toBe(0)
    expect(leaseOf(reply)).toMatch(/^2001:db8:1::1/)
  })

  it('of an address that nobody holds gives it anew', async () => {
    const a = given()
    const reply = await a.ask({ type: 'rebind', client: 1, na: { 1: ['2001:db8:1::1abc'] } })
    expect(reply?.na).toEqual({ 1: { leases: { '2001:db8:1::1abc': 3600 } } })
  })

  it('of a prefix whose host bits are set means the prefix without them', async () => {
    const a = given()
    const prefix = leaseOf(await acquire(a, { client: 1, pd: { 1: [] } }), 'pd')
    const spelt = prefix.replace('::/56', '::5/56')
    expect(spelt).not.toBe(prefix)
    const reply = await a.ask({ type: 'renew', client: 1, to: a.server.duid, xid: 60, pd: { 1: [spelt] } })
    expect(reply?.pd).toEqual({ 1: { leases: { [prefix]: 3600 } } })
  })

  it('while the store is away get what is left of the lease; what is new gets silence', async () => {
    const faults: Fault[] = []
    const a = given(base, faults)
    const address = await acquired(a)
    a.pass(600)
    faults.push({ _tag: 'StoreUnavailable', reason: 'no route' })
    const renew: Said = { type: 'renew', client: 1, to: a.server.duid, xid: 50, na: { 1: [address] } }
    expect((await a.ask(renew))?.na).toEqual({ 1: { leases: { [address]: 3000 } } })
    expect(await a.ask({ type: 'request', client: 2, to: a.server.duid, na: { 1: [] } })).toBeUndefined()
    expect(await a.ask({ type: 'solicit', client: 2, na: { 1: [] } })).toBeUndefined()
    expect(a.server.counters.get('dhcp6.drop.storeUnavailable')).toBe(2)
    faults.length = 0
    a.server.ledger.stop()
  })
})

describe('Confirm', () => {
  const confirm = (address: string | undefined): Said => ({
    type: 'confirm',
    client: 1,
    na: { 1: address === undefined ? [] : [address] },
  })

  it('says whether addresses belong to the link, whoever has them', async () => {
    const a = given()
    expect(await a.ask(confirm('2001:db8:1::77'))).toMatchObject({ type: 'reply', status: 'success', na: {} })
    expect(await a.ask(confirm('2001:db8:2::77'))).toMatchObject({ type: 'reply', status: 'notOnLink', na: {} })
  })

  it('is not answered when it names no address, or the link is not known', async () => {
    const a = given()
    expect(await a.ask(confirm(undefined))).toBeUndefined()
    expect(await a.ask({ ...confirm('2001:db8:1::77'), link: '2001:db8:9::1' })).toBeUndefined()
  })
})

describe('Release and Decline', () => {
  it('a released lease is over; what the client does not hold is NoBinding', async () => {
    const a = given()
    const reply = await acquire(a, { client: 1, na: { 1: [] }, pd: { 1: [] } })
    const [address, prefix] = [leaseOf(reply), leaseOf(reply, 'pd')]
    const release: Said = { type: 'release', client: 1, to: a.server.duid, na: { 1: [address] }, pd: { 1: [prefix] } }
    expect(await a.ask(release)).toMatchObject({ type: 'reply', status: 'success', na: {}, pd: {} })
    expect(typesOf(a, `lease6/${address}`)).toEqual(['LeaseClaimed', 'LeaseReleased'])
    expect(typesOf(a, `prefix6/${prefix}`)).toEqual(['LeaseClaimed', 'LeaseReleased'])
    // Heard twice it is still the same Release, and says the same.
    expect(await a.ask(release)).toMatchObject({ status: 'success', na: {}, pd: {} })
    const stranger = await a.ask({ ...release, client: 2 })
    const none = { 1: { leases: {}, status: 'noBinding' } }
    expect(stranger).toMatchObject({ status: 'success', na: none, pd: none })
    expect((await a.ask({ ...release, na: { 5: ['2001:db8:1::1fff'] }, pd: {} }))?.na).toEqual({
      5: { leases: {}, status: 'noBinding' },
    })
  })

  it('a lease cannot be released by another IA of the same client', async () => {
    const a = given()
    const address = leaseOf(await acquire(a, { client: 1, na: { 1: [] } }))
    const reply = await a.ask({ type: 'release', client: 1, to: a.server.duid, na: { 2: [address] } })
    expect(reply?.na).toEqual({ 2: { leases: {}, status: 'noBinding' } })
    expect(a.server.replica.get(`lease6/${address}` as never).state.status).toBe('bound')
  })

  it('a declined address is kept back, also from the client, until the probation is over', async () => {
    const a = given({ ...onePool('2001:db8:1::1', '2001:db8:1::2'), 'decline-probation-period': 600 })
    const address = leaseOf(await acquire(a, { client: 1, na: { 1: [] } }))
    const decline: Said = { type: 'decline', client: 1, to: a.server.duid, na: { 1: [address] } }
    expect(await a.ask(decline)).toMatchObject({ type: 'reply', status: 'success', na: {} })
    const other = leaseOf(await acquire(a, { client: 1, na: { 1: [] }, xid: 70 }))
    expect([address, other].sort()).toEqual(['2001:db8:1::1', '2001:db8:1::2'])
    expect((await a.ask({ type: 'solicit', client: 2, na: { 1: [address] } }))?.na[1]?.status).toBe('noAddrsAvail')
    a.pass(600 + 6)
    expect(leaseOf(await acquire(a, { client: 2, na: { 1: [] } }))).toBe(address)
  })
})

describe('prefixes', () => {
  const pools = [
    { prefix: '2001:db8:8000::', 'prefix-len': 36, 'delegated-len': 56 },
    { prefix: '2001:db8:9000::', 'prefix-len': 47, 'delegated-len': 48 },
  ]

  it('have the length that the client would like where there is such a pool, else another', async () => {
    const a = given(withSubnet({ 'pd-pools': pools }))
    const wished = async (client: number, length: number) =>
      leaseOf(await acquire(a, { client, pd: { 1: [`::/${length}`] } }), 'pd')
    expect(await wished(1, 48)).toMatch(/^2001:db8:900[01]::\/48$/)
    expect(await wished(2, 56)).toMatch(/\/56$/)
    expect(await wished(3, 60)).toMatch(/\/(48|56)$/)
    expect(await wished(4, 48)).toMatch(/^2001:db8:900[01]::\/48$/)
    // Both prefixes of 48 bits are gone; a client that would like one gets what there is.
    expect(await wished(5, 48)).toMatch(/\/56$/)
  })

  it('never lie inside or around a live one when the delegated length has been changed', async () => {
    const pool = (length: number) =>
      withSubnet({ 'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 48, 'delegated-len': length }] })
    const a = given(pool(52))
    const old = leaseOf(await acquire(a, { client: 1, pd: { 1: ['2001:db8:8000:3000::/52'] } }), 'pd')
    expect(old).toBe('2001:db8:8000:3000::/52')
    const b = a.another(2, pool(56))
    await b.follower.catchUp()
    const c = a.another(3, pool(50))
    await c.follower.catchUp()
    const within = { pd: { 1: ['2001:db8:8000:3500::/56'] } }
    const around = { pd: { 1: ['2001:db8:8000::/50'] } }
    for (const type of ['request', 'renew'] as const) {
      const inner = leaseOf(await b.ask({ type, client: type === 'renew' ? 2 : 3, to: b.duid, ...within }), 'pd')
      expect(inner).toMatch(/^2001:db8:8000:[0-9a-f]*::\/56$|^2001:db8:8000::\/56$/)
      expect(inner).not.toMatch(/^2001:db8:8000:3/)
    }
    const outer = leaseOf(await c.ask({ type: 'request', client: 4, to: c.duid, ...around }), 'pd')
    expect(outer).toMatch(/\/50$/)
    expect(outer).not.toBe('2001:db8:8000::/50')
  })

  it('come with the excluded prefix when the client asks for it (RFC 6603)', async () => {
    const a = given(
      withSubnet({
        'pd-pools': [
          {
            prefix: '2001:db8:8000:100::',
            'prefix-len': 56,
            'delegated-len': 56,
            'excluded-prefix': '2001:db8:8000:1cd::',
            'excluded-prefix-len': 64,
          },
        ],
      }),
    )
    const hexOf = (heard: Heard | undefined) =>
      hexText(optionOf(heard?.packet.options ?? [], OPTION6.iaPd) ?? new Uint8Array(0))
    const plain = hexOf(await a.ask({ type: 'solicit', client: 1, pd: { 1: [] } }))
    const asked = hexOf(await a.ask({ type: 'solicit', client: 1, pd: { 1: [] }, asks: [OPTION6.pdExclude] }))
    expect(plain).not.toContain('00430002')
    expect(asked).toContain('00430002' + '40' + 'cd')
  })
})

describe('reservations', () => {
  const reserved = withSubnet({
    reservations: [
      {
        duid: hexText(clientDuidOf(1)),
        'ip-addresses': ['2001:db8:1::1777', '2001:db8:1::2'],
        prefixes: ['2001:db8:a000::/48'],
      },
    ],
  })

  it('come first: an address in a pool, one outside of it, a prefix', async () => {
    const a = given(reserved)
    const reply = await acquire(a, { client: 1, na: { 1: [], 2: [], 3: [] }, pd: { 1: [] } })
    expect([1, 2].map((iaid) => leaseOf(reply, 'na', iaid))).toEqual(['2001:db8:1::1777', '2001:db8:1::2'])
    expect(leaseOf(reply, 'na', 3)).toMatch(/^2001:db8:1::1/)
    expect(leaseOf(reply, 'pd')).toBe('2001:db8:a000::/48')
  })

  it('are for nobody else', async () => {
    const a = given(reserved)
    for (const address of ['2001:db8:1::1777', '2001:db8:1::2']) {
      const reply = await a.ask({ type: 'request', client: 2, to: a.server.duid, na: { 1: [address] } })
      expect(leaseOf(reply)).not.toBe(address)
      expect(leaseOf(reply)).toMatch(/^2001:db8:1::1/)
    }
  })

  it('stay with the IA that has them, in whatever order the IAs of a message come', async () => {
    const a = given(reserved)
    const request: Said = {
      type: 'request',
      client: 1,
      to: a.server.duid,
      na: { 9: ['2001:db8:1::1777', '2001:db8:1::2'] },
    }
    expect(leaseOf(await a.ask(request), 'na', 9)).toBe('2001:db8:1::1777')
    // IAID 5 stands before 9 in the message; it must not make 9 lose what is reserved.
    const renew: Said = { type: 'renew', client: 1, to: a.server.duid, xid: 5, na: { 5: [], 9: ['2001:db8:1::1777'] } }
    const reply = await a.ask(renew)
    expect(leaseOf(reply, 'na', 9)).toBe('2001:db8:1::1777')
    expect(leaseOf(reply, 'na', 5)).toBe('2001:db8:1::2')
  })

  it('that are made later are moved to on renewal, and the old address goes', async () => {
    const a = given()
    const before = leaseOf(await acquire(a, { client: 1, na: { 1: [] } }))
    const b = a.another(2, reserved)
    await b.follower.catchUp()
    a.pass(900)
    const reply = await b.ask({ type: 'renew', client: 1, to: b.duid, xid: 77, na: { 1: [before] } })
    expect(reply?.na).toEqual({ 1: { leases: { '2001:db8:1::1777': 3600, [before]: 0 } } })
  })
})

describe('Information-request', () => {
  it('gets options and no leases, with or without a client identifier', async () => {
    const a = given()
    for (const client of [1, undefined]) {
      const reply = await a.ask({ type: 'informationRequest', ...(client === undefined ? {} : { client }), asks: [23] })
      expect(reply).toMatchObject({ type: 'reply', na: {}, pd: {} })
      expect(optionOf(reply?.packet.options ?? [], 23)).toBeDefined()
      expect(optionOf(reply?.packet.options ?? [], OPTION6.clientId)).toEqual(
        client === undefined ? undefined : clientDuidOf(client),
      )
    }
    expect(a.store.streams.size).toBe(0)
  })
})

describe('relays', () => {
  it('get interface-id and relay source port back, and the reply where they want it', async () => {
    const a = given()
    const relayOptions = [
      { code: OPTION6.interfaceId, data: Uint8Array.of(1, 2) },
      { code: OPTION6.relaySourcePort, data: Uint8Array.of(0, 0) },
      { code: OPTION6.remoteId, data: Uint8Array.of(0, 0, 0, 9, 1) },
    ]
    const advertise = await a.ask({ type: 'solicit', client: 1, na: { 1: [] }, relayOptions })
    expect(advertise?.packet.relays[0]?.options).toEqual(relayOptions.slice(0, 2))
    expect(advertise?.to).toEqual({ address: '::1', port: 40_000 })
    const plain = await a.ask({ type: 'solicit', client: 1, na: { 1: [] } })
    expect(plain?.to).toEqual({ address: '::1', port: 547 })
  })

  it('are in the event, with what they said of the client', async () => {
    const a = given()
    const relayOptions = [{ code: OPTION6.remoteId, data: Uint8Array.of(0, 0, 0, 9, 1) }]
    const address = leaseOf(await acquire(a, { client: 1, na: { 1: [] }, relayOptions }))
    expect(a.server.replica.get(`lease6/${address}` as never).state).toMatchObject({
      lease: { relay: { address: '2001:db8:1::1', peer: 'fe80::ff:fe00:1', remoteId: '0000000901' } },
    })
  })

  it('whose wish for an echo makes the reply too long get none, and it is counted', async () => {
    const a = given()
    const remoteId = { code: OPTION6.remoteId, data: new Uint8Array(65_300) }
    const echo = { code: OPTION6.echoRequest, data: Uint8Array.of(0, OPTION6.remoteId) }
    const said: Said = { type: 'solicit', client: 1, na: { 1: [] } }
    expect(await a.ask({ ...said, relayOptions: [remoteId, echo] })).toBeDefined()
    const long = { code: OPTION6.remoteId, data: new Uint8Array(65_420) }
    expect(await a.ask({ ...said, relayOptions: [long, echo] })).toBeUndefined()
    expect(a.server.counters.get('dhcp6.drop.tooLarge')).toBe(1)
  })
})
