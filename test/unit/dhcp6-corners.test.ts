/** Whole DHCPv6 exchanges off the beaten track, in the order of RFC 8415. */
import { describe, expect, it } from 'vitest'
import { hexText } from '../../domain/address.ts'
import type { StreamName } from '../../domain/stream.ts'
import { optionOf, statusOf } from '../../server/dhcp6/option-access.ts'
import { MESSAGE6, OPTION6 } from '../../server/dhcp6/option-codes.ts'
import { decodePacket6, encodePacket6, RELAYS_MAX } from '../../server/dhcp6/packet.ts'
import type { Relay6 } from '../../server/dhcp6/packet.ts'
import { acquire6, bytes6, clientDuidOf, given6, leaseOf, serverDuidOf } from '../support/dhcp6.ts'
import type { Given6, Said } from '../support/dhcp6.ts'
import { typesOf } from '../support/servers.ts'

const subnet = {
  id: 1,
  subnet: '2001:db8:1::/64',
  pools: [{ pool: '2001:db8:1::1000 - 2001:db8:1::1fff' }],
  'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 36, 'delegated-len': 56 }],
}
const config = (more: object = {}, ofSubnet: object = {}) => ({
  'valid-lifetime': 3600,
  'preferred-lifetime': 2400,
  'option-data': [{ name: 'dns-servers', data: '2001:db8::53' }],
  subnet6: [{ ...subnet, ...ofSubnet }],
  ...more,
})
const rapid = { code: OPTION6.rapidCommit, data: new Uint8Array(0) }
const dropsOf = ({ server }: Given6, reason: string): number => server.counters.get(`dhcp6.drop.${reason}`)
const statusIn = ({ server }: Given6, stream: string): string => server.replica.get(stream as StreamName).state.status

describe('messages that are not for this server (§16)', () => {
  it.each(['request', 'renew', 'release', 'decline', 'informationRequest'] as const)(
    'a %s that names another DUID is not answered and changes nothing',
    async (type) => {
      const a = given6(config())
      const address = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
      const na = type === 'informationRequest' ? {} : { 1: [address] }
      expect(await a.ask({ type, client: 1, to: serverDuidOf(9), xid: 50, na })).toBeUndefined()
      expect(dropsOf(a, 'notForUs')).toBe(1)
      expect(typesOf(a, `lease6/${address}`)).toEqual(['LeaseClaimed'])
    },
  )

  it.each(['solicit', 'confirm', 'rebind'] as const)('a %s that names any server is not answered', async (type) => {
    const a = given6(config())
    const na = { 1: ['2001:db8:1::1005'] }
    expect(await a.ask({ type, client: 1, to: a.server.duid, na })).toBeUndefined()
    expect(dropsOf(a, 'unexpectedServerId')).toBe(1)
  })
})

describe('Solicit (§18.3.1)', () => {
  it('with IA_PD alone gets a prefix and no address', async () => {
    const a = given6(config())
    const reply = await acquire6(a, { client: 1, pd: { 7: [] } })
    expect(reply.na).toEqual({})
    expect(leaseOf(reply, 'pd', 7)).toMatch(/^2001:db8:8[0-9a-f:]+::\/56$/)
    expect([...a.store.streams.keys()]).toEqual([`prefix6/${leaseOf(reply, 'pd', 7)}`])
  })

  it('without any IA gets an Advertise with options and no lease', async () => {
    const a = given6(config())
    const advertise = await a.ask({ type: 'solicit', client: 1, asks: [23] })
    expect(advertise).toMatchObject({ type: 'advertise', na: {}, pd: {} })
    expect(optionOf(advertise?.packet.options ?? [], 23)).toBeDefined()
    expect(a.store.streams.size).toBe(0)
  })

  it('with rapid commit is advertised to as ever where the server does not have it, and then claimed', async () => {
    const a = given6(config())
    const advertise = await a.ask({ type: 'solicit', client: 1, na: { 1: [] }, more: [rapid] })
    expect(advertise?.type).toBe('advertise')
    expect(optionOf(advertise?.packet.options ?? [], OPTION6.rapidCommit)).toBeUndefined()
    const address = leaseOf(advertise)
    expect(statusIn(a, `lease6/${address}`)).toBe('vacant')
    const reply = await a.ask({ type: 'request', client: 1, to: a.server.duid, xid: 2, na: { 1: [address] } })
    expect(leaseOf(reply)).toBe(address)
  })

  it('with rapid commit is not answered with a Reply when nothing was committed: another server may have something', async () => {
    const a = given6(config({}, { 'rapid-commit': true, pools: [], 'pd-pools': [] }))
    const answer = await a.ask({ type: 'solicit', client: 1, na: { 1: [] }, pd: { 1: [] }, more: [rapid] })
    expect(answer).toMatchObject({
      type: 'advertise',
      na: { 1: { leases: {}, status: 'noAddrsAvail' } },
      pd: { 1: { leases: {}, status: 'noPrefixAvail' } },
    })
    expect(optionOf(answer?.packet.options ?? [], OPTION6.rapidCommit)).toBeUndefined()
  })

  it('with rapid commit commits what there is, and says what there is not', async () => {
    const a = given6(config({}, { 'rapid-commit': true, 'pd-pools': [] }))
    const answer = await a.ask({ type: 'solicit', client: 1, na: { 1: [] }, pd: { 1: [] }, more: [rapid] })
    expect(answer).toMatchObject({ type: 'reply', pd: { 1: { leases: {}, status: 'noPrefixAvail' } } })
    expect(statusIn(a, `lease6/${leaseOf(answer)}`)).toBe('bound')
  })

  it('tells of the preference in the Advertise only, and accepts no Reconfigure', async () => {
    const a = given6(config({ 'option-data': [{ name: 'preference', data: '200' }] }))
    const accept = { code: OPTION6.reconfigureAccept, data: new Uint8Array(0) }
    const said = { client: 1, na: { 1: [] }, more: [accept] }
    const advertise = await a.ask({ ...said, type: 'solicit' })
    expect(optionOf(advertise?.packet.options ?? [], OPTION6.preference)).toEqual(Uint8Array.of(200))
    const reply = await a.ask({ ...said, type: 'request', to: a.server.duid, xid: 2 })
    expect(optionOf(reply?.packet.options ?? [], OPTION6.preference)).toBeUndefined()
    for (const answer of [advertise, reply]) {
      expect(optionOf(answer?.packet.options ?? [], OPTION6.reconfigureAccept)).toBeUndefined()
    }
  })
})

describe('Request (§18.3.2)', () => {
  it('for an address of another link gets one of its own link, in the same Reply', async () => {
    const a = given6(config())
    const reply = await a.ask({ type: 'request', client: 1, to: a.server.duid, na: { 1: ['2001:db8:77::1'] } })
    expect(reply).toMatchObject({ type: 'reply' })
    expect(reply?.na[1]?.status).toBeUndefined()
    expect(Object.keys(reply?.na[1]?.leases ?? {})).toEqual([leaseOf(reply)])
    expect(leaseOf(reply)).toMatch(/^2001:db8:1::1/)
  })

  it('for a prefix that nobody delegates here gets one that is delegated', async () => {
    const a = given6(config())
    const reply = await a.ask({ type: 'request', client: 1, to: a.server.duid, pd: { 1: ['2001:db8:77::/56'] } })
    expect(leaseOf(reply, 'pd')).toMatch(/^2001:db8:8[0-9a-f:]+::\/56$/)
    expect(Object.keys(reply?.pd[1]?.leases ?? {})).toHaveLength(1)
  })

  it('that names one address in two IAs gets it once', async () => {
    const a = given6(config())
    const na = { 1: ['2001:db8:1::1005'], 2: ['2001:db8:1::1005'] }
    const reply = await a.ask({ type: 'request', client: 1, to: a.server.duid, na })
    expect(leaseOf(reply, 'na', 1)).toBe('2001:db8:1::1005')
    expect(leaseOf(reply, 'na', 2)).toMatch(/^2001:db8:1::1/)
    expect(leaseOf(reply, 'na', 2)).not.toBe('2001:db8:1::1005')
  })
})

describe('lifetimes in a subnet that is nearly full', () => {
  const limits = { 'min-valid-lifetime': 600, 'min-preferred-lifetime': 300, 'adaptive-lease-time-threshold': 0.5 }
  const timesOf = (a: Given6, address: string) => {
    const { state } = a.server.replica.get(`lease6/${address}` as StreamName)
    return state.status === 'vacant' ? [] : [state.lease.preferredLifetimeSec, state.lease.validLifetimeSec]
  }

  it('are the shortest for new leases; one that has more left keeps it', async () => {
    const a = given6(config(limits, { pools: [{ pool: '2001:db8:1::10 - 2001:db8:1::13' }] }))
    const addresses: string[] = []
    for (const client of [1, 2, 3, 4]) addresses.push(leaseOf(await acquire6(a, { client, na: { 1: [] } })))
    const [first = '', , third = ''] = addresses
    expect(addresses.map((address) => timesOf(a, address)[1])).toEqual([3600, 3600, 600, 600])
    expect(timesOf(a, third)).toEqual([300, 600])
    a.pass(500)
    const renew: Said = { type: 'renew', client: 1, to: a.server.duid, xid: 9, na: { 1: [first] } }
    await a.ask(renew)
    expect(timesOf(a, first)).toEqual([1900, 3100])
    a.pass(2900)
    await a.ask({ ...renew, xid: 10 })
    expect(timesOf(a, first)).toEqual([300, 600])
  })

  it('of prefixes go by the pools of prefixes', async () => {
    const pool = { prefix: '2001:db8:8000::', 'prefix-len': 55, 'delegated-len': 56 }
    const a = given6(config(limits, { 'pd-pools': [pool] }))
    const valid = async (client: number) =>
      Object.values((await acquire6(a, { client, pd: { 1: [] } })).pd[1]?.leases ?? {})
    expect([await valid(1), await valid(2)]).toEqual([[3600], [600]])
    expect(Object.values((await acquire6(a, { client: 3, na: { 1: [] } })).na[1]?.leases ?? {})).toEqual([3600])
  })
})

describe('Confirm (§18.3.3)', () => {
  it('says NotOnLink when one address of several IAs is not of the link, and holds no lease for it', async () => {
    const a = given6(config())
    const na = { 1: ['2001:db8:1::5'], 2: ['2001:db8:1::6', '2001:db8:9::6'] }
    expect(await a.ask({ type: 'confirm', client: 1, na })).toMatchObject({ status: 'notOnLink', na: {} })
    expect(await a.ask({ type: 'confirm', client: 1, na: { 1: na[1] } })).toMatchObject({ status: 'success' })
    expect(a.store.streams.size).toBe(0)
  })

  it('with prefixes alone is not answered', async () => {
    const a = given6(config())
    expect(await a.ask({ type: 'confirm', client: 1, pd: { 1: ['2001:db8:8000::/56'] } })).toBeUndefined()
    expect(dropsOf(a, 'nothingToConfirm')).toBe(1)
  })

  it('needs no store: that an address is of the link is in the configuration', async () => {
    const a = given6(config(), [{ _tag: 'StoreUnavailable', reason: 'no route' }])
    expect(await a.ask({ type: 'confirm', client: 1, na: { 1: ['2001:db8:1::5'] } })).toMatchObject({
      type: 'reply',
      status: 'success',
    })
  })
})

describe('Renew (§18.3.4) and Rebind (§18.3.5)', () => {
  it('of a binding that no ledger knows makes one, of an address as of a prefix', async () => {
    const a = given6(config())
    const said = { client: 1, na: { 1: ['2001:db8:1::1005'] }, pd: { 1: ['2001:db8:8000:100::/56'] } }
    const reply = await a.ask({ ...said, type: 'renew', to: a.server.duid })
    expect(reply).toMatchObject({
      na: { 1: { leases: { '2001:db8:1::1005': 3600 } } },
      pd: { 1: { leases: { '2001:db8:8000:100::/56': 3600 } } },
    })
    expect(typesOf(a, 'lease6/2001:db8:1::1005')).toEqual(['LeaseClaimed'])
    expect(typesOf(a, 'prefix6/2001:db8:8000:100::/56')).toEqual(['LeaseClaimed'])
  })

  it('of an IA that lists nothing gives it what it has', async () => {
    const a = given6(config())
    const address = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
    a.pass(100)
    const reply = await a.ask({ type: 'renew', client: 1, to: a.server.duid, xid: 9, na: { 1: [] } })
    expect(reply?.na).toEqual({ 1: { leases: { [address]: 3600 } } })
  })

  it('with lease caching tell what is left and record nothing, until there is something to record', async () => {
    const a = given6(config({ 'cache-threshold': 0.25 }))
    const address = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
    const renewed = async (seconds: number, xid: number, more: object = {}) => {
      a.pass(seconds)
      const said = { client: 1, to: a.server.duid, xid, na: { 1: [address] } }
      return (await a.ask({ ...said, ...more, type: 'renew' }))?.na[1]?.leases
    }
    expect(await renewed(300, 9)).toEqual({ [address]: 3300 })
    expect(await renewed(300, 10)).toEqual({ [address]: 3000 })
    expect(typesOf(a, `lease6/${address}`)).toEqual(['LeaseClaimed'])
    expect(await renewed(300, 11)).toEqual({ [address]: 3600 })
    const events = a.store.streams.get(`lease6/${address}` as StreamName) ?? []
    expect(JSON.parse(events[1]?.data ?? '{}')).toMatchObject({ unrecorded: 2, lease: { renewals: 3 } })
    // The client is somewhere else now.
    const moved = { relayOptions: [{ code: OPTION6.interfaceId, data: Uint8Array.of(7) }] }
    expect(await renewed(100, 12, moved)).toEqual({ [address]: 3600 })
    expect(typesOf(a, `lease6/${address}`)).toEqual(['LeaseClaimed', 'LeaseRenewed', 'LeaseRenewed'])
  })

  it('of a prefix that is not delegated any more gives another, and the old with lifetime 0', async () => {
    const a = given6(config())
    const old = leaseOf(await acquire6(a, { client: 1, pd: { 1: [] } }), 'pd')
    const moved = config({}, { 'pd-pools': [{ prefix: '2001:db8:9000::', 'prefix-len': 36, 'delegated-len': 56 }] })
    const b = a.another(2, moved)
    await b.follower.catchUp()
    a.pass(100)
    const reply = await b.ask({ type: 'rebind', client: 1, xid: 9, pd: { 1: [old] } })
    expect(reply?.pd[1]?.leases[old]).toBe(0)
    expect(leaseOf(reply, 'pd')).toMatch(/^2001:db8:9/)
    await b.ledger.drain()
    expect(typesOf(a, `prefix6/${old}`)).toEqual(['LeaseClaimed', 'LeaseReleased'])
  })

  it('of an address that was revoked gives another one', async () => {
    const a = given6(config())
    const address = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
    await a.server.ledger.execute(`lease6/${address}` as StreamName, { type: 'Revoke', reason: 'moved' })
    const reply = await a.ask({ type: 'renew', client: 1, to: a.server.duid, xid: 9, na: { 1: [address] } })
    expect(reply?.na[1]?.leases[address]).toBe(0)
    expect(leaseOf(reply)).toMatch(/^2001:db8:1::1/)
    expect(leaseOf(reply)).not.toBe(address)
  })

  it('of two IAs, one of which is somebody else’s, serves each for itself', async () => {
    const a = given6(config())
    const theirs = leaseOf(await acquire6(a, { client: 2, na: { 1: [] } }))
    const own = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
    a.pass(100)
    const reply = await a.ask({ type: 'rebind', client: 1, xid: 9, na: { 1: [own], 2: [theirs] } })
    expect(reply?.na[1]).toEqual({ leases: { [own]: 3600 } })
    expect(reply?.na[2]?.leases[theirs]).toBe(0)
    expect(new Set([own, theirs, leaseOf(reply, 'na', 2)]).size).toBe(3)
    expect(statusIn(a, `lease6/${theirs}`)).toBe('bound')
  })

  it('that finds nothing free says so in the IA, and takes back what it lists', async () => {
    const a = given6(config({}, { pools: [{ pool: '2001:db8:1::1 - 2001:db8:1::1' }] }))
    await acquire6(a, { client: 2, na: { 1: [] } })
    const reply = await a.ask({ type: 'rebind', client: 1, na: { 1: ['2001:db8:1::1'] } })
    expect(reply?.na).toEqual({ 1: { leases: { '2001:db8:1::1': 0 }, status: 'noAddrsAvail' } })
  })
})

describe('Release (§18.3.7) and Decline (§18.3.8)', () => {
  it('a Release of several IAs ends those that are bound and says NoBinding in the others alone', async () => {
    const a = given6(config())
    const reply = await acquire6(a, { client: 1, na: { 1: [], 2: [] }, pd: { 1: [] } })
    const [one, two, prefix] = [leaseOf(reply), leaseOf(reply, 'na', 2), leaseOf(reply, 'pd')]
    const released = await a.ask({
      type: 'release',
      client: 1,
      to: a.server.duid,
      xid: 9,
      na: { 1: [one, '2001:db8:1::1fff'], 2: [two], 3: ['2001:db8:1::1ffe'] },
      pd: { 1: [prefix], 9: ['2001:db8:8000:9900::/56'] },
    })
    const none = { leases: {}, status: 'noBinding' }
    expect(released).toMatchObject({ type: 'reply', status: 'success' })
    expect(released?.na).toEqual({ 3: none })
    expect(released?.pd).toEqual({ 9: none })
    for (const stream of [`lease6/${one}`, `lease6/${two}`, `prefix6/${prefix}`]) {
      expect(statusIn(a, stream)).toBe('released')
    }
    expect(a.store.streams.size).toBe(3)
  })

  it('have the identifiers and the status in their Reply, and no configured options', async () => {
    const a = given6(config())
    const address = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
    const release: Said = { type: 'release', client: 1, to: a.server.duid, xid: 9, na: { 1: [address] }, asks: [23] }
    const options = (await a.ask(release))?.packet.options ?? []
    expect(options.map(({ code }) => code)).toEqual([OPTION6.clientId, OPTION6.serverId, OPTION6.statusCode])
  })

  it('a Release from a link that is not known ends the lease all the same', async () => {
    const a = given6(config())
    const address = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
    const said: Said = { type: 'release', client: 1, to: a.server.duid, xid: 9, na: { 1: [address] } }
    expect(await a.ask({ ...said, link: '2001:db8:99::1' })).toMatchObject({ status: 'success', na: {} })
    expect(statusIn(a, `lease6/${address}`)).toBe('released')
  })

  it('a Decline of somebody else’s address is NoBinding and leaves it alone; prefixes are not declined', async () => {
    const a = given6(config())
    const reply = await acquire6(a, { client: 1, na: { 1: [] }, pd: { 1: [] } })
    const [address, prefix] = [leaseOf(reply), leaseOf(reply, 'pd')]
    const decline: Said = { type: 'decline', client: 2, to: a.server.duid, xid: 9, na: { 4: [address] } }
    expect(await a.ask(decline)).toMatchObject({ status: 'success', na: { 4: { status: 'noBinding' } } })
    await a.ask({ type: 'decline', client: 1, to: a.server.duid, xid: 10, pd: { 1: [prefix] } })
    expect([statusIn(a, `lease6/${address}`), statusIn(a, `prefix6/${prefix}`)]).toEqual(['bound', 'bound'])
  })

  it('a Decline that is heard twice is the same Decline', async () => {
    const a = given6(config())
    const address = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
    const decline: Said = { type: 'decline', client: 1, to: a.server.duid, xid: 9, na: { 1: [address] } }
    for (let time = 0; time < 2; time++) expect(await a.ask(decline)).toMatchObject({ status: 'success', na: {} })
    expect(typesOf(a, `lease6/${address}`)).toEqual(['LeaseClaimed', 'LeaseDeclined'])
  })

  it('while the store is away neither is answered: nothing has been ended', async () => {
    const faults: Parameters<typeof given6>[1] = []
    const a = given6(config(), faults)
    const address = leaseOf(await acquire6(a, { client: 1, na: { 1: [] } }))
    faults.push({ _tag: 'StoreUnavailable', reason: 'no route' })
    for (const type of ['release', 'decline'] as const) {
      expect(await a.ask({ type, client: 1, to: a.server.duid, xid: 9, na: { 1: [address] } })).toBeUndefined()
    }
    expect(dropsOf(a, 'storeUnavailable')).toBe(2)
    expect(statusIn(a, `lease6/${address}`)).toBe('bound')
    faults.length = 0
    a.server.ledger.stop()
  })
})

describe('Information-request (§16.12, §18.3.6)', () => {
  it('is answered with or without this server’s identifier, on any link, without a lease', async () => {
    const a = given6(config())
    for (const more of [{}, { to: a.server.duid }, { client: 1, to: a.server.duid }, { link: '2001:db8:99::1' }]) {
      const reply = await a.ask({ type: 'informationRequest', asks: [23], ...more })
      expect(reply).toMatchObject({ type: 'reply', na: {}, pd: {} })
      expect(hexText(optionOf(reply?.packet.options ?? [], 23) ?? new Uint8Array(0))).toMatch(/^20010db8.*0053$/)
      expect(optionOf(reply?.packet.options ?? [], OPTION6.serverId)).toEqual(a.server.duid)
      expect(statusOf(reply?.packet.options ?? [])).toBeUndefined()
    }
    expect(a.store.streams.size).toBe(0)
  })

  it('that asks for a lease is dropped', async () => {
    const a = given6(config())
    expect(await a.ask({ type: 'informationRequest', client: 1, na: { 1: [] } })).toBeUndefined()
    expect(dropsOf(a, 'unexpectedIa')).toBe(1)
  })
})

describe('relays (§19)', () => {
  const solicitWithin = (count: number): Uint8Array => {
    const relays = Array.from({ length: count }, (_, i): Relay6 => ({
      hopCount: count - 1 - i,
      linkAddress: bytes6(i === count - 1 ? '2001:db8:1::1' : '::'),
      peerAddress: bytes6(`fe80::${(i + 1).toString(16)}`),
      options: [{ code: OPTION6.interfaceId, data: Uint8Array.of(i) }],
    }))
    const client = { code: OPTION6.clientId, data: clientDuidOf(1) }
    const ia = { code: OPTION6.iaNa, data: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0) }
    const message = { relays, messageType: MESSAGE6.solicit, transactionId: 7, options: [client, ia] }
    const bytes = encodePacket6(message, MESSAGE6.relayForward)
    if (bytes === undefined) throw new Error('the message is too long')
    return bytes
  }

  it('may be 32, and the answer goes back through each of them', async () => {
    const a = given6(config())
    const bytes = await a.server.exchange(solicitWithin(RELAYS_MAX))
    const answer = decodePacket6(bytes ?? new Uint8Array(0), MESSAGE6.relayReply)
    if (answer._tag === 'Left') throw new Error(answer.left._tag)
    const { relays, messageType } = answer.right
    expect(messageType).toBe(MESSAGE6.advertise)
    expect(relays.map(({ hopCount }) => hopCount)).toEqual(relays.map((_, i) => RELAYS_MAX - 1 - i))
    expect(relays.map(({ peerAddress }) => peerAddress[15])).toEqual(relays.map((_, i) => i + 1))
    expect(relays.map(({ options }) => options[0]?.data[0])).toEqual(relays.map((_, i) => i))
    expect(relays).toHaveLength(RELAYS_MAX)
  })

  it('may not be 33: the message is dropped and counted', async () => {
    const a = given6(config())
    expect(await a.server.exchange(solicitWithin(RELAYS_MAX + 1))).toBeUndefined()
    expect(a.server.counters.get('dhcp6.malformed.tooManyRelays')).toBe(1)
  })
})
