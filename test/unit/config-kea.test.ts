import { describe, expect, it } from 'vitest'
import { hexText, ip4Text, ip6Text } from '../../domain/address.ts'
import type { OptionSet } from '../../server/config/model.ts'
import { bad, bad4, dhcp4, good, good4, good6 } from './config-support.ts'

/** Each was tried with `kea-dhcp4 -t` or `kea-dhcp6 -t` of Kea 2.2.0, which takes it. */
const subnet4 = (members: string): string => `"subnet4": [{"id": 1, "subnet": "198.51.100.0/24", ${members}}]`
const hexOf = (options: OptionSet, code: number): string =>
  hexText(options.standard.get(code)?.bytes ?? new Uint8Array())

describe('as Kea takes it', () => {
  it('a fraction needs no zero before its point, and places behind it stay right', () => {
    const { subnets } = good4(`"t1-percent": .4, "t2-percent":.75, ${subnet4('"cache-threshold": .25')}`)
    expect(subnets[0]).toMatchObject({ timers: { t1Percent: 0.4, t2Percent: 0.75 }, cache: { threshold: 0.25 } })
    expect(bad('{ "Dhcp4": { "t1-percent": .5, "valid-lifetime": "x", "comment": ".5" } }')).toEqual([
      'test.conf:1:50: /Dhcp4/valid-lifetime: expected a whole number from 0 to 4294967295, found "x"',
    ])
  })

  it('a subnet may have host bits, and the network is meant', () => {
    const config = good(dhcp4('"subnet4": [{"id": 1, "subnet": "198.51.100.7/24"}]'))
    expect(ip4Text(config.dhcp4?.subnets[0]?.prefix ?? 0)).toBe('198.51.100.0')
    expect(config.warnings).toContain('the subnet 198.51.100.7/24 has host bits: 198.51.100.0/24 is served')
    const [subnet] = good6('"subnet6": [{"id": 1, "subnet": "2001:db8:1::7/64"}]').subnets
    expect([ip6Text(subnet?.prefix ?? 0n), subnet?.text]).toEqual(['2001:db8:1::', '2001:db8:1::/64'])
  })

  it('an excluded prefix may have bits behind its length', () => {
    const pool =
      '{"prefix": "2001:db8:8000::", "prefix-len": 56, "delegated-len": 64, ' +
      '"excluded-prefix": "2001:db8:8000:0:cafe:80::", "excluded-prefix-len": 72}'
    const { subnets } = good6(`"subnet6": [{"id": 1, "subnet": "2001:db8:1::/64", "pd-pools": [${pool}]}]`)
    const excluded = subnets[0]?.pdPools[0]?.excluded
    expect([ip6Text(excluded?.prefix ?? 0n), excluded?.length]).toEqual(['2001:db8:8000:0:ca00::', 72])
  })

  it('severities are words in any case', () => {
    expect(good(dhcp4('"loggers": [{"name": "kea-dhcp4", "severity": "debug"}]')).loggers[0]?.severity).toBe('DEBUG')
  })

  it('reservations may be off', () => {
    const { subnets } = good4(`"reservation-mode": "off", ${subnet4('"pools": []')}`)
    expect(subnets[0]?.reservationModes).toEqual({ global: false, inSubnet: false, outOfPool: false })
  })

  it('a memfile may still have the account of a database', () => {
    const text = '{"Dhcp4": {"lease-database": {"type": "memfile", "user": "kea", "password": "secret", "host": "db"}}}'
    const config = good(text)
    expect(config.store._tag).toBe('embedded')
    expect(config.warnings.filter((warning) => warning.includes('of the type memfile'))).toHaveLength(3)
    expect(config.warnings.join()).not.toContain('secret')
    expect(bad(text.replace('memfile', 'embedded'))[0]).toMatch(/user is not for the type embedded$/)
  })

  it('empty boot fields take over those around them; a zero address is one', () => {
    const { subnets } = good4(
      '"next-server": "198.51.100.9", "boot-file-name": "/x", "server-hostname": "boot", ' +
        '"subnet4": [{"id": 1, "subnet": "198.51.100.0/24", "next-server": "", "boot-file-name": "", ' +
        '"server-hostname": ""}, {"id": 2, "subnet": "203.0.113.0/24", "next-server": "0.0.0.0"}]',
    )
    expect(subnets[0]).toMatchObject({ nextServer: 0xc6336409, bootFileName: '/x', serverHostname: 'boot' })
    expect(subnets[1]).toMatchObject({ nextServer: 0, bootFileName: '/x' })
  })

  it('an interface is named once', () => {
    expect(bad('{"Dhcp4": {"interfaces-config": {"interfaces": ["eth0", "eth1", "eth0"]}}}')).toEqual([
      'test.conf:1:65: /Dhcp4/interfaces-config/interfaces[2]: the interface eth0 is given twice',
    ])
  })
})

describe('a configuration that Kea wrote', () => {
  it('has defaults of what is not supported, which say nothing', () => {
    const config = good(
      dhcp4(
        '"dhcp4o6-port": 0, "hosts-databases": [], "config-control": {}, "compatibility": {"lenient-option-parsing": ' +
          'false}, ' +
          subnet4('"4o6-interface": "", "4o6-interface-id": "", "4o6-subnet": "", "option-data": []'),
      ),
    )
    expect(config.warnings).toEqual([])
    expect(bad4('"compatibility": {"lenient-option-parsing": true}')).toEqual([
      '/Dhcp4/compatibility: compatibility is known to Kea, not supported by Lease Ledger here',
    ])
    expect(bad4('"dhcp4o6-port": 786')).toEqual([
      '/Dhcp4/dhcp4o6-port: dhcp4o6-port is known to Kea, not supported by Lease Ledger here',
    ])
  })

  it('has empty boot fields in reservations and classes, which leave those of the subnet alone', () => {
    const empty = '"next-server": "0.0.0.0", "server-hostname": "", "boot-file-name": "", "option-data": []'
    const nothing = { nextServer: undefined, serverHostname: undefined, bootFileName: undefined }
    const config = good4(
      `"client-classes": [{"name": "a", "test": "option[60].exists", "option-def": [], ${empty}}], ` +
        subnet4(
          `"reservations": [{"hw-address": "1a:1b:1c:1d:1e:1f", "hostname": "", "client-classes": [], ${empty}}]`,
        ),
    )
    expect(config.classes[0]).toMatchObject(nothing)
    expect(config.subnets[0]?.reservations[0]).toMatchObject({ ...nothing, hostname: undefined })
  })
})

describe('always-send and never-send', () => {
  const scopes = (outer: string, inner: string) => {
    const routers = (flags: string, host: number) =>
      `"option-data": [{"code": 3, "data": "198.51.100.${host}"${flags}}]`
    const pool = `"pools": [{"pool": "198.51.100.0/25", ${routers(inner, 2)}}]`
    return good4(subnet4(`${routers(outer, 1)}, ${pool}`)).subnets[0]?.pools[0]?.options as OptionSet
  }

  it('stay set once a scope sets them, also where a nearer one gives another value', () => {
    const always = scopes(', "always-send": true', ', "always-send": false')
    expect([hexOf(always, 3), always.always]).toEqual(['c6336402', [3]])
    const never = scopes(', "never-send": true', ', "always-send": true')
    expect([never.standard.get(3)?.neverSend, never.always]).toEqual([true, []])
    expect(scopes('', '').always).toEqual([])
  })
})

describe('options of several vendors', () => {
  const data = (code: number, address: string) =>
    `"option-data": [{"code": ${code}, "data": "4491"}, {"code": ${code}, "data": "3561"}, ` +
    `{"code": 2, "space": "vendor-4491", "csv-format": false, "data": "${address}"}, ` +
    '{"code": 5, "space": "vendor-3561", "csv-format": false, "data": "0a0b"}]'

  it('stand behind one another in the option of DHCPv4 (RFC 3925 §4)', () => {
    expect(hexOf(good4(data(125, 'c6336408')).options, 125)).toBe('0000118b060204c633640800000de90405020a0b')
  })

  it('in DHCPv6 wait for a client that names its own', () => {
    const { options } = good6(data(17, '20010db8000000000000000000000009').replace('"code": 2,', '"code": 99,'))
    expect(options.standard.has(17)).toBe(false)
    expect([...options.vendor.keys()]).toEqual([4491, 3561])
  })

  it('may be defined anew', () => {
    const def = '{"name": "my-tftp", "code": 2, "space": "vendor-4491", "type": "string"}'
    const { options } = good4(
      `"option-def": [${def}], "option-data": [{"name": "my-tftp", "space": "vendor-4491", "data": "x"}]`,
    )
    expect(hexText(options.vendor.get(4491)?.get(2)?.bytes ?? new Uint8Array())).toBe('78')
  })
})
