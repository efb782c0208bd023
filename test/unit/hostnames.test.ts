import { describe, expect, it } from 'vitest'
import { makeMemoryLedger } from '../../adapters/memory/memory-store.ts'
import { lease4Stream } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { OPTION4 } from '../../server/dhcp4/option-codes.ts'
import { OPTION6 } from '../../server/dhcp6/option-codes.ts'
import { optionOf } from '../../server/dhcp6/option-access.ts'
import { scrubbedDomain, scrubbedName } from '../../server/hostnames.ts'
import { Writer } from '../../server/wire/writer.ts'
import { acquire4, address4, given4 } from '../support/dhcp4.ts'
import { dhcp6Config, makeServer6 } from '../support/dhcp6.ts'
import { T0 } from '../support/lease-spec.ts'
import { bad4, good4, good6 } from './config-support.ts'

const hexOf = (text: string): string => Buffer.from(text, 'utf8').toString('hex')

const wire = (name: string): Uint8Array => {
  const out = new Writer(64)
  for (const label of name.split('.')) out.u8(label.length).bytes(new TextEncoder().encode(label))
  return out.finish()
}

describe('hostname-char-set', () => {
  const rulesOf = (members: object) => {
    const subnet = { id: 1, subnet: '198.51.100.0/24', ...members }
    return good4(`"subnet4": [${JSON.stringify(subnet)}]`).subnets[0]?.hostnameRules
  }
  const scrub = (set: string, name: string, replacement = 'x'): string =>
    scrubbedName(name, rulesOf({ 'hostname-char-set': set, 'hostname-char-replacement': replacement }))

  it('names what is replaced, or left out where there is no replacement', () => {
    expect(scrub('[^A-Za-z0-9.-]', 'myhost-$[123.org')).toBe('myhost-xx123.org')
    expect(scrub('[^A-Za-z0-9.-]', 'myhost-$[123.org', '')).toBe('myhost-123.org')
    expect(scrub('[^a-z]', 'a b', '$&')).toBe('a$&b')
  })

  it('is a POSIX expression: classes, and brackets in which a backslash is a backslash', () => {
    expect(scrub('[^[:alnum:].-]', 'Büro_7.example')).toBe('Bxrox7.example')
    expect(scrub('[[:space:][:punct:]]', 'a b-c')).toBe('axbxc')
    expect(scrub('[^\\d]', 'a\\d1')).toBe('x\\dx')
    expect(scrub('[]a[]', '[a]b')).toBe('xxxb')
    expect(scrub('_+|\\.$', 'a__b.')).toBe('axbx')
  })

  it('leaves names alone where neither key is written, or the set is empty, and is Kea’s where only the other is', () => {
    expect(rulesOf({})).toBeUndefined()
    expect(rulesOf({ 'hostname-char-set': '', 'hostname-char-replacement': 'x' })).toBeUndefined()
    expect(scrubbedName('a_b', rulesOf({ 'hostname-char-replacement': '-' }))).toBe('a-b')
  })

  it('is taken over from the network and the global scope, each key for itself', () => {
    const { subnets } = good6(
      `"hostname-char-set": "_", "hostname-char-replacement": "g",
       "subnet6": [{"id": 1, "subnet": "2001:db8:1::/64", "hostname-char-replacement": "s"}],
       "shared-networks": [{"name": "n", "hostname-char-set": "",
         "subnet6": [{"id": 2, "subnet": "2001:db8:2::/64"}, {"id": 3, "subnet": "2001:db8:3::/64", "hostname-char-set": "b"}]}]`,
    )
    const named = subnets.map(({ id, hostnameRules }) => [id, scrubbedName('a_b', hostnameRules)])
    expect(named).toEqual([
      [1, 'asb'],
      [2, 'a_b'],
      [3, 'a_g'],
    ])
  })

  it('is refused when it is no expression', () => {
    for (const set of ['[', '[[:letters:]]', '(a', '[[.hyphen.]]']) {
      const members = `"hostname-char-set": "${set}", "subnet4": [{"id": 1, "subnet": "198.51.100.0/24"}]`
      expect(bad4(members)).toEqual([
        `/Dhcp4/hostname-char-set: expected a POSIX extended regular expression such as "[^A-Za-z0-9.-]", found "${set}"`,
      ])
    }
  })

  it('does not see the dots of a domain name, and labels of which nothing is left are gone', () => {
    const rules = rulesOf({ 'hostname-char-set': '[^a-z]' })
    expect(scrubbedDomain('a1.22.c', rules)).toBe('a.c')
    expect(scrubbedName('a1.22.c', rules)).toBe('ac')
  })
})

describe('names of DHCPv4 clients', () => {
  const config = {
    'hostname-char-set': '[^A-Za-z0-9-]',
    'hostname-char-replacement': 'x',
    subnet4: [
      {
        id: 1,
        subnet: '198.51.100.0/24',
        pools: [{ pool: '198.51.100.10 - 198.51.100.99' }],
        reservations: [{ 'hw-address': '02:00:00:00:00:02', hostname: 'kept_as.it-is' }],
      },
    ],
  }
  const recorded = async (more: Readonly<Record<number, string>>, client = 1) => {
    const a = given4(config)
    const reply = await acquire4(a, { client, more })
    const { state } = a.server.replica.get(lease4Stream(address4(reply.yiaddr)))
    return { reply, hostname: state.status === 'vacant' ? undefined : state.lease.hostname }
  }

  it('are scrubbed in the host name option as a whole, before they are recorded', async () => {
    expect((await recorded({ [OPTION4.hostName]: hexOf('My_Laptop.home') })).hostname).toBe('myxlaptopxhome')
  })

  it('are scrubbed label by label in the FQDN option, and told so to the client', async () => {
    const fqdn = `000000${hexOf('My_Laptop.home.example.')}`
    const { reply, hostname } = await recorded({ [OPTION4.clientFqdn]: fqdn })
    expect(hostname).toBe('myxlaptop.home.example')
    expect(
      Buffer.from(reply.option(OPTION4.clientFqdn) ?? '', 'hex')
        .toString()
        .slice(3),
    ).toBe('MyxLaptop.home.example.')
  })

  it('are those of the reservation as it stands', async () => {
    expect((await recorded({ [OPTION4.hostName]: hexOf('other') }, 2)).hostname).toBe('kept_as.it-is')
  })
})

describe('names of DHCPv6 clients', () => {
  const link = (id: number, more: object) => ({
    id,
    subnet: `2001:db8:${id}::/64`,
    pools: [{ pool: `2001:db8:${id}::1000 - 2001:db8:${id}::1fff` }],
    ...more,
  })

  it('are scrubbed label by label by the rules of their subnet, and told so to the client', async () => {
    const config = dhcp6Config({ subnet6: [link(1, { 'hostname-char-set': '[^a-zA-Z]' }), link(2, {})] })
    const server = makeServer6(
      config,
      makeMemoryLedger(() => T0),
      () => T0,
    )
    const names = []
    for (const id of [1, 2]) {
      const fqdn = { code: OPTION6.clientFqdn, data: Uint8Array.of(0, ...wire('Lap-Top.a1.example')) }
      const said = { client: id, to: server.duid, link: `2001:db8:${id}::1`, na: { 1: [] }, more: [fqdn] }
      const reply = await server.ask({ ...said, type: 'request' })
      const [address] = Object.keys(reply?.na[1]?.leases ?? {})
      const { state } = server.replica.get(`lease6/${address}` as StreamName)
      const told = Buffer.from(optionOf(reply?.packet.options ?? [], OPTION6.clientFqdn) ?? []).subarray(1)
      names.push([state.status === 'vacant' ? undefined : state.lease.hostname, told])
    }
    const ended = (name: string) => Buffer.from([...wire(name), 0])
    expect(names).toEqual([
      ['laptop.a.example', ended('LapTop.a.example')],
      ['lap-top.a1.example', ended('Lap-Top.a1.example')],
    ])
  })
})
