import { describe, expect, it } from 'vitest'
import { makeMemoryLedger } from '../../adapters/memory/memory-store.ts'
import { hexText } from '../../domain/address.ts'
import { optionOf } from '../../server/dhcp6/option-access.ts'
import { dhcp6Config, makeServer6 } from '../support/dhcp6.ts'
import { at } from '../support/lease-spec.ts'

const DNS_SERVERS = 23

/** Hexadecimal digits of the DNS servers in an Advertise, with these options in the global scope and in the subnet. */
const advertised = async (global: object, subnet: object, asks: number[]): Promise<string | undefined> => {
  const now = () => at(0)
  const config = {
    'option-data': [{ name: 'dns-servers', data: '2001:db8::1', ...global }],
    subnet6: [
      {
        id: 1,
        subnet: '2001:db8:1::/64',
        pools: [{ pool: '2001:db8:1::1000 - 2001:db8:1::1fff' }],
        'option-data': [{ name: 'dns-servers', data: '2001:db8::2', ...subnet }],
      },
    ],
  }
  const server = makeServer6(
    dhcp6Config(config),
    makeMemoryLedger(now, () => undefined),
    now,
  )
  const advertise = await server.ask({ type: 'solicit', client: 1, na: { 1: [] }, asks })
  if (advertise === undefined) throw new Error('the Solicit was not answered')
  const bytes = optionOf(advertise.packet.options, DNS_SERVERS)
  return bytes === undefined ? undefined : hexText(bytes)
}

describe('an option of a subnet', () => {
  const ofSubnet = '20010db8000000000000000000000002'

  it('is sent when it is asked for', async () => {
    expect(await advertised({}, {}, [DNS_SERVERS])).toBe(ofSubnet)
    expect(await advertised({}, {}, [])).toBeUndefined()
  })

  it('is always sent when the global one is to be', async () => {
    expect(await advertised({ 'always-send': true }, {}, [])).toBe(ofSubnet)
  })

  it('is never sent when the global one must not be', async () => {
    expect(await advertised({ 'never-send': true }, { 'always-send': true }, [DNS_SERVERS])).toBeUndefined()
  })
})
