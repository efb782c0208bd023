import { describe, expect, it } from 'vitest'
import { ip4Text } from '../../domain/address.ts'
import { acquire4, given4, macOf } from '../support/dhcp4.ts'
import type { Heard4, Said4 } from '../support/dhcp4.ts'

const subnet = { id: 1, subnet: '198.51.100.0/24', pools: [{ pool: '198.51.100.10 - 198.51.100.99' }] }
const base = { 'valid-lifetime': 3600, subnet4: [subnet] }
const withSubnet = (more: object, global: object = {}) => ({ ...base, ...global, subnet4: [{ ...subnet, ...more }] })
const data = (name: string, value: string, more: object = {}) => ({ name, data: value, ...more })
const text = (value: string): string => Buffer.from(value).toString('hex')
const direct = { giaddr: null, from: '0.0.0.0' }

/** What a DISCOVER of client 1 is answered under this configuration. */
const offered = async (config: object, more: Partial<Said4> = {}): Promise<Heard4> => {
  const offer = await given4(config).ask({ type: 'discover', client: 1, ...more })
  if (offer === undefined) throw new Error('the DISCOVER was not answered')
  return offer
}

describe('fixed fields', () => {
  it('flags, giaddr, chaddr and xid are those of the client; ciaddr only in an ACK', async () => {
    const a = given4(base)
    const offer = await a.ask({ type: 'discover', client: 1, xid: 0xfedcba98, broadcast: true })
    expect(offer?.packet).toMatchObject({ xid: 0xfedcba98, flags: 0x8000, ciaddr: 0, htype: 1, op: 2 })
    expect(ip4Text(offer?.packet.giaddr ?? 0)).toBe('198.51.100.1')
    expect(offer?.packet.chaddr).toEqual(macOf(1))
    const { yiaddr } = await acquire4(a, { client: 1 })
    const ack = await a.ask({ type: 'request', client: 1, ciaddr: yiaddr, xid: 5 })
    expect([ip4Text(ack?.packet.ciaddr ?? 0), ack?.yiaddr]).toEqual([yiaddr, yiaddr])
  })

  it('a NAK has no addresses and no options but its own, and through a relay the broadcast flag', async () => {
    const a = given4(
      withSubnet({
        'next-server': '198.51.100.5',
        'boot-file-name': 'boot',
        'option-data': [data('routers', '198.51.100.1')],
      }),
    )
    const said: Said4 = { type: 'request', client: 1, clientId: '0102', server: a.server.address, wants: '203.0.113.9' }
    const nak = await a.ask({ ...said, asks: [3], agent: { 1: 'aa' } })
    expect(nak).toMatchObject({ type: 'nak', codes: [53, 54, 61, 56, 82] })
    expect(nak?.packet).toMatchObject({ flags: 0x8000, yiaddr: 0, siaddr: 0, ciaddr: 0 })
    expect(nak?.packet.file.length).toBe(0)
    expect(nak?.to).toEqual({ address: '198.51.100.1', port: 67, unicastHardware: undefined })
    expect((await a.ask({ ...said, giaddr: null }))?.packet.flags).toBe(0)
  })

  it('siaddr, sname and file come from the reservation, else a class, else the subnet', async () => {
    const boot = (i: number) => ({
      'next-server': `198.51.100.${i}`,
      'server-hostname': `s${i}`,
      'boot-file-name': `f${i}`,
    })
    const config = {
      ...withSubnet({
        ...boot(3),
        reservations: [{ 'hw-address': '02:00:00:00:00:01', ...boot(1) }],
      }),
      'client-classes': [{ name: 'two', test: 'substring(pkt4.mac,5,1) == 0x02', ...boot(2) }],
    }
    const fields = async (client: number) => {
      const { packet } = await offered(config, { client })
      return [packet.siaddr & 255, Buffer.from(packet.sname).toString(), Buffer.from(packet.file).toString()]
    }
    expect(await fields(1)).toEqual([1, 's1', 'f1'])
    expect(await fields(2)).toEqual([2, 's2', 'f2'])
    expect(await fields(3)).toEqual([3, 's3', 'f3'])
  })
})

describe('where replies go', () => {
  it('to the relay at the server port, or the port that it sent from if it asks for that (RFC 8357)', async () => {
    expect((await offered(base)).to).toEqual({ address: '198.51.100.1', port: 67, unicastHardware: undefined })
    expect((await offered(base, { agent: { 19: '' } })).to).toMatchObject({ address: '198.51.100.1', port: 40_000 })
  })

  it('by unicast to the address being given, or by broadcast for a client that asks for it', async () => {
    const offer = await offered(base, direct)
    expect(offer.to).toEqual({ address: offer.yiaddr, port: 68, unicastHardware: macOf(1) })
    const broadcast = await offered(base, { ...direct, broadcast: true })
    expect(broadcast.to).toEqual({ address: '255.255.255.255', port: 68, unicastHardware: undefined })
  })

  it('by broadcast to a station that has no Ethernet address', async () => {
    const offer = await offered(base, { ...direct, chaddr: '', htype: 32, clientId: 'ff0102' })
    expect(offer.to.address).toBe('255.255.255.255')
  })

  it('to the address that a client uses, but a NAK to everybody', async () => {
    const a = given4(base)
    const { yiaddr } = await acquire4(a, { client: 1 })
    const renew: Said4 = { type: 'request', client: 1, ciaddr: yiaddr, giaddr: null, from: yiaddr, xid: 9 }
    expect((await a.ask(renew))?.to).toEqual({ address: yiaddr, port: 68, unicastHardware: undefined })
    const nak = await a.ask({ ...renew, client: 2 })
    expect(nak).toMatchObject({ type: 'nak', to: { address: '255.255.255.255', port: 68 } })
  })
})

describe('what goes back as it came', () => {
  it('the client identifier, unless echo-client-id is off (RFC 6842)', async () => {
    expect((await offered(base, { clientId: '01020304' })).option(61)).toBe('01020304')
    expect((await offered(base)).codes).not.toContain(61)
    expect((await offered({ ...base, 'echo-client-id': false }, { clientId: '01020304' })).codes).not.toContain(61)
  })

  it('option 82, last, also without giaddr (RFC 3046)', async () => {
    const offer = await offered(base, { agent: { 1: 'aabb', 2: 'cc' }, asks: [3] })
    expect(offer.option(82)).toBe('0102aabb0201cc')
    expect(offer.codes.at(-1)).toBe(82)
    expect((await offered(base, { ...direct, agent: { 1: 'aabb' } })).option(82)).toBe('0102aabb')
  })

  it('the subnet selection option (RFC 3011)', async () => {
    expect((await offered(base, { more: { 118: 'c6336400' } })).option(118)).toBe('c6336400')
  })
})

describe('the server identifier', () => {
  it('is the address on the link, else what is configured, else what the relay wants (RFC 5107)', async () => {
    expect((await offered(base)).server).toBe('198.51.100.2')
    const identified = { ...base, 'option-data': [data('dhcp-server-identifier', '198.51.100.7')] }
    expect((await offered(identified)).server).toBe('198.51.100.7')
    expect(
      (await offered(withSubnet({ 'option-data': [data('dhcp-server-identifier', '198.51.100.8')] }, identified)))
        .server,
    ).toBe('198.51.100.8')
    expect((await offered(identified, { agent: { 11: 'c6336409' } })).server).toBe('198.51.100.9')
  })

  it('that was overridden is ours in the REQUEST', async () => {
    const a = given4(base)
    const ack = await acquire4(a, { client: 1, agent: { 11: 'c6336409' } })
    expect(ack.server).toBe('198.51.100.9')
    const without: Said4 = { type: 'request', client: 2, server: '198.51.100.9', wants: '198.51.100.50' }
    expect(await a.ask(without)).toBeUndefined()
  })
})

describe('lifetimes', () => {
  const limits = { 'min-valid-lifetime': 600, 'valid-lifetime': 3600, 'max-valid-lifetime': 7200 }

  it('are what the client asks for within the bounds', async () => {
    const leaseSec = async (config: object, wanted?: number) =>
      (await offered(config, wanted === undefined ? {} : { leaseSec: wanted })).leaseSec
    expect(await leaseSec({ ...base, ...limits })).toBe(3600)
    expect(await leaseSec({ ...base, ...limits }, 60)).toBe(600)
    expect(await leaseSec({ ...base, ...limits }, 5000)).toBe(5000)
    expect(await leaseSec({ ...base, ...limits }, 0xffffffff)).toBe(7200)
    expect(await leaseSec(base, 5000)).toBe(3600)
    expect(await leaseSec({ ...base, 'max-valid-lifetime': 0xffffffff }, 0xffffffff)).toBe(0xffffffff)
  })

  it('of a class stand above those of the subnet', async () => {
    const config = {
      ...withSubnet(limits),
      'client-classes': [{ name: 'all', test: "member('ALL')", 'valid-lifetime': 1200 }],
    }
    expect((await offered(config)).leaseSec).toBe(1200)
  })

  it('T1 and T2 are as configured, or shares of the lease, and left out where they do not fit', async () => {
    const times = async (more: object, wanted?: number) => {
      const { t1, t2 } = await offered({ ...base, ...more }, wanted === undefined ? {} : { leaseSec: wanted })
      return [t1, t2]
    }
    expect(await times({})).toEqual([undefined, undefined])
    expect(await times({ 'renew-timer': 900, 'rebind-timer': 1800 })).toEqual([900, 1800])
    expect(await times({ 'calculate-tee-times': true })).toEqual([1800, 3150])
    expect(await times({ 'calculate-tee-times': true, 't1-percent': 0.25, 't2-percent': 0.5 })).toEqual([900, 1800])
    expect(await times({ 'calculate-tee-times': true, 'rebind-timer': 2000 })).toEqual([1800, 2000])
    const short = { ...limits, 'renew-timer': 900, 'rebind-timer': 1800 }
    expect(await times(short, 1000)).toEqual([900, undefined])
    expect(await times(short, 600)).toEqual([undefined, undefined])
    const forever = { 'max-valid-lifetime': 0xffffffff, 'calculate-tee-times': true }
    expect(await times(forever, 0xffffffff)).toEqual([undefined, undefined])
  })

  it('of new leases are the shortest when the subnet is nearly full', async () => {
    const pools = [{ pool: '198.51.100.10 - 198.51.100.13' }]
    const a = given4(withSubnet({ ...limits, pools, 'adaptive-lease-time-threshold': 0.5 }))
    const first = await acquire4(a, { client: 1 })
    const seconds = [first.leaseSec]
    for (const client of [2, 3, 4]) seconds.push((await acquire4(a, { client })).leaseSec)
    expect(seconds).toEqual([3600, 3600, 600, 600])
    // A lease that has more left than that keeps it.
    a.pass(600)
    const renew: Said4 = { type: 'request', client: 1, ciaddr: first.yiaddr, xid: 9 }
    expect((await a.ask(renew))?.leaseSec).toBe(3000)
    a.pass(2700)
    expect((await a.ask({ ...renew, xid: 10 }))?.leaseSec).toBe(600)
  })
})

describe('options', () => {
  const some = [
    data('domain-name-servers', '198.51.100.53'),
    data('routers', '198.51.100.1'),
    data('ntp-servers', '198.51.100.123'),
    data('time-offset', '60'),
  ]

  it('are sent as the client asks for them, in its order; the mask first, and the basic ones always', async () => {
    const config = { ...base, 'option-data': some }
    expect((await offered(config)).codes).toEqual([53, 54, 51, 1, 3, 6])
    expect((await offered(config, { asks: [42, 3, 1, 99, 6] })).codes).toEqual([53, 54, 51, 1, 42, 3, 6])
    expect((await offered(config)).option(1)).toBe('ffffff00')
  })

  it('are sent unasked with always-send, and not at all with never-send in any scope', async () => {
    const always = { ...base, 'option-data': [data('ntp-servers', '198.51.100.123', { 'always-send': true })] }
    expect((await offered(always)).option(42)).toBe('c633647b')
    const never = data('ntp-servers', '198.51.100.124', { 'never-send': true })
    expect((await offered(withSubnet({ 'option-data': [never] }, always), { asks: [42] })).codes).not.toContain(42)
    const global = { ...base, 'option-data': [never, data('subnet-mask', '255.255.0.0', { 'never-send': true })] }
    const near = withSubnet({ 'option-data': [data('ntp-servers', '198.51.100.5', { 'always-send': true })] }, global)
    const { codes } = await offered({ ...global, subnet4: near.subnet4 }, { asks: [1, 42] })
    expect(codes).toEqual([53, 54, 51])
  })

  it('come from the nearest scope: reservation, pool, subnet, network, class, global', async () => {
    const scope = (value: string) => ({ 'option-data': [data('domain-name', value)] })
    type Level = 'reservation' | 'pool' | 'subnet' | 'network' | 'class' | 'global'
    const levels: Level[] = ['reservation', 'pool', 'subnet', 'network', 'class', 'global']
    const config = (from: number) => {
      const at = (level: Level): object => (levels.indexOf(level) >= from ? scope(level) : {})
      return {
        'valid-lifetime': 3600,
        ...at('global'),
        'client-classes': [{ name: 'all', test: "member('ALL')", ...at('class') }],
        'shared-networks': [
          {
            name: 'net',
            ...at('network'),
            subnet4: [
              {
                ...subnet,
                ...at('subnet'),
                pools: [{ pool: '198.51.100.10 - 198.51.100.99', ...at('pool') }],
                reservations: [{ 'hw-address': '02:00:00:00:00:01', ...at('reservation') }],
              },
            ],
          },
        ],
      }
    }
    for (const [from, level] of levels.entries()) expect((await offered(config(from))).option(15)).toBe(text(level))
    expect((await offered(config(6))).codes).not.toContain(15)
  })

  it('of a vendor go to clients that name it, or ask for option 125, or always', async () => {
    const vendor = (enterprise: number, value: string, more: object = {}) => ({
      space: `vendor-${enterprise}`,
      code: 1,
      data: value,
      'csv-format': false,
      ...more,
    })
    const config = { ...base, 'option-data': [vendor(4491, 'aabb'), vendor(9, 'cc')] }
    expect((await offered(config)).codes).not.toContain(125)
    expect((await offered(config, { more: { 124: '0000118b' + '00' } })).option(125)).toBe(
      '0000118b' + '04' + '0102aabb',
    )
    expect((await offered(config, { more: { 125: '00000009' + '00' } })).option(125)).toBe('00000009' + '03' + '0101cc')
    const both = await offered(config, { asks: [125] })
    expect(both.option(125)).toBe('0000118b040102aabb' + '00000009030101cc')
    const always = { ...base, 'option-data': [vendor(4491, 'aabb', { 'always-send': true }), vendor(9, 'cc')] }
    expect((await offered(always)).option(125)).toBe('0000118b040102aabb')
    // Truncated enterprise numbers are nobody's.
    expect((await offered(config, { more: { 124: '0000' } })).codes).not.toContain(125)
  })

  it('of a size that the client can take: what finds no room is left out and counted', async () => {
    const long = (code: number) => ({
      code,
      space: 'dhcp4',
      data: 'ab'.repeat(200),
      'csv-format': false,
      'always-send': true,
    })
    const a = given4({ ...base, 'option-data': [224, 225, 226, 227].map(long) })
    const size = async (more: Partial<Said4>) => {
      const bytes = await a.ask({ type: 'discover', client: 1, ...more })
      return bytes?.codes.filter((code) => code >= 224).length
    }
    expect(await size({ more: { 57: '05dc' } })).toBe(4)
    expect(await size({})).toBe(1)
    // Never less than 576 octets, whatever the client says.
    expect(await size({ more: { 57: '0040' } })).toBe(1)
    expect(a.server.counters.get('dhcp4.optionWithoutRoom')).toBe(6)
  })

  it('overflow into file and sname where those are empty (RFC 2132 §9.3)', async () => {
    const config = {
      ...base,
      'option-data': [224, 225, 226, 227, 228].map((code) => ({
        code,
        space: 'dhcp4',
        data: 'ab'.repeat(60),
        'csv-format': false,
        'always-send': true,
      })),
    }
    const { codes } = await offered(config)
    expect(codes.filter((code) => code >= 224)).toHaveLength(5)
  })
})

describe('names', () => {
  const reserved = withSubnet({ reservations: [{ 'hw-address': '02:00:00:00:00:01', hostname: 'printer' }] })

  it('of a reservation go to the client, and are recorded', async () => {
    const a = given4(reserved)
    const ack = await acquire4(a, { client: 1, more: { 12: text('mine') } })
    expect(ack.option(12)).toBe(text('printer'))
    expect(a.server.replica.get(`lease4/${ack.yiaddr}` as never).state).toMatchObject({
      lease: { hostname: 'printer' },
    })
  })

  it('of a client are recorded as it gives them, in lower case, from option 81 before option 12', async () => {
    const a = given4(base)
    const recorded = async (client: number, more: Said4['more'] = {}) => {
      const { yiaddr } = await acquire4(a, { client, more })
      const { state } = a.server.replica.get(`lease4/${yiaddr}` as never)
      return state.status === 'bound' ? state.lease.hostname : 'not bound'
    }
    expect(await recorded(1, { 12: text('Laptop') })).toBe('laptop')
    expect(await recorded(2, { 12: text('Laptop'), 81: '010000' + text('pc.example.org.') })).toBe('pc.example.org')
    expect(await recorded(3)).toBeUndefined()
    expect(await recorded(4, { 12: '00' })).toBeUndefined()
    expect(await recorded(5, { 12: '61071b' })).toBeUndefined()
  })

  it('in option 81 are answered in its form, with no updates promised (RFC 4702 §4)', async () => {
    const wire = '02' + text('pc') + '07' + text('example') + '00'
    // E and S set: the server says O, N and E, and no S.
    expect((await offered(base, { more: { 81: '050000' + wire } })).option(81)).toBe('0effff' + wire)
    expect((await offered(base, { more: { 81: '080000' + text('pc') } })).option(81)).toBe('08ffff' + text('pc'))
    expect((await offered(reserved, { more: { 81: '000000' + text('pc') } })).option(81)).toBe(
      '08ffff' + text('printer'),
    )
  })
})
