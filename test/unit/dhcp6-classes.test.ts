import { describe, expect, it } from 'vitest'
import { optionOf } from '../../server/dhcp6/option-access.ts'
import { OPTION6 } from '../../server/dhcp6/option-codes.ts'
import { acquire6, given6, leaseOf, say } from '../support/dhcp6.ts'
import type { Heard, Said } from '../support/dhcp6.ts'

/** Domain search list, as an option that tells one class from another. */
const SEARCH = 24
const told = (heard: Heard | undefined): string | undefined => {
  const value = optionOf(heard?.packet.options ?? [], SEARCH)
  // The first label is enough.
  return value === undefined ? undefined : Buffer.from(value.subarray(1, 1 + (value[0] ?? 0))).toString()
}
const search = (label: string) => [{ name: 'domain-search', data: `${label}.example` }]
const subnet = (id: number, more: object = {}) => ({
  id,
  subnet: `2001:db8:${id}::/64`,
  pools: [{ pool: `2001:db8:${id}::1000 - 2001:db8:${id}::1fff` }],
  ...more,
})
const asks = [SEARCH]

describe('expressions may ask of a DHCPv6 message', () => {
  const solicit: Said = { type: 'solicit', client: 1, na: { 1: [] }, asks }
  const holds = async (test: string, said: Partial<Said> = {}): Promise<boolean> => {
    const classes = [{ name: 'tested', test, 'option-data': search('yes') }]
    const a = given6({ 'client-classes': classes, subnet6: [subnet(1, { interface: 'eth0' })] })
    return told(await a.ask({ ...solicit, ...said })) === 'yes'
  }

  it('the interface that it came in by', async () => {
    const direct = { link: null, arrival: { interfaceName: 'eth0', sourceAddress: 'fe80::1%eth0' } }
    expect(await holds("pkt.iface == 'eth0'", direct)).toBe(true)
    expect(await holds("pkt.iface == 'eth0'")).toBe(false)
  })

  it('the address of its sender, be it a relay or a client of a link', async () => {
    expect(await holds('pkt.src == ::1')).toBe(true)
    const direct = { link: null, arrival: { interfaceName: 'eth0', sourceAddress: 'fe80::a:b%eth0' } }
    expect(await holds('pkt.src == fe80::a:b', direct)).toBe(true)
    expect(await holds('pkt.src == fe80::a:c', direct)).toBe(false)
  })

  it('the address that it was sent to where that is known', async () => {
    expect(await holds('pkt.dst == 2001:db8::5', { arrival: { localAddress: '2001:db8::5' } })).toBe(true)
    expect(await holds('pkt.dst == 2001:db8::5')).toBe(false)
  })

  it('its length and type', async () => {
    const octets = say(solicit).length.toString(16).padStart(8, '0')
    expect(await holds(`pkt.len == 0x${octets}`)).toBe(true)
    expect(await holds('pkt6.msgtype == 1')).toBe(true)
    expect(await holds('pkt6.msgtype == 3')).toBe(false)
  })
})

describe('classes of DHCPv6', () => {
  const additional = (name: string, more: object = {}) => ({ name, 'only-in-additional-list': true, ...more })
  const hall = (...subnets: object[]) => ({ 'shared-networks': [{ name: 'hall', subnet6: subnets }] })

  it('that are additional count once the place is known, of its subnet and its pool', async () => {
    const pool = { pool: '2001:db8:2::1000 - 2001:db8:2::1fff', 'evaluate-additional-classes': ['of-pool'] }
    const a = given6({
      'client-classes': [
        additional('of-subnet', { 'preferred-lifetime': 60, 'valid-lifetime': 120 }),
        additional('of-pool', { test: "member('of-subnet')", 'option-data': search('pool') }),
        additional('elsewhere', { 'option-data': search('elsewhere') }),
      ],
      ...hall(
        subnet(1, { pools: [], 'evaluate-additional-classes': ['elsewhere'] }),
        subnet(2, { pools: [pool], 'evaluate-additional-classes': ['of-subnet'] }),
      ),
    })
    const reply = await acquire6(a, { client: 1, na: { 1: [] }, asks })
    expect(leaseOf(reply)).toMatch(/^2001:db8:2:/)
    expect(told(reply)).toBe('pool')
    expect(reply.na[1]?.leases[leaseOf(reply)]).toBe(120)
  })

  it('decide which subnet of a link tells the options and allows rapid commit where there is no lease yet', async () => {
    const a = given6({
      'client-classes': [{ name: 'guests', test: "member('KNOWN')" }],
      ...hall(
        subnet(1, { 'client-classes': ['guests'], 'rapid-commit': true, 'option-data': search('guests') }),
        subnet(2, { 'option-data': search('all') }),
      ),
    })
    expect(told(await a.ask({ type: 'informationRequest', client: 1, asks }))).toBe('all')
    const rapid = { code: OPTION6.rapidCommit, data: new Uint8Array(0) }
    expect(await a.ask({ type: 'solicit', client: 1, na: { 1: [] }, more: [rapid] })).toMatchObject({
      type: 'advertise',
    })
  })

  it('give T1 and T2 by the subnet of the lease', async () => {
    const a = given6({
      'valid-lifetime': 4000,
      ...hall(
        subnet(1, { pools: [], 'renew-timer': 11, 'rebind-timer': 12 }),
        subnet(2, { 'renew-timer': 21, 'rebind-timer': 22 }),
      ),
    })
    const { packet } = await acquire6(a, { client: 1, na: { 1: [] } })
    const ia = optionOf(packet.options, OPTION6.iaNa) ?? new Uint8Array(0)
    expect([ia[7], ia[11]]).toEqual([21, 22])
  })
})
