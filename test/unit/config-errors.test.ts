import { describe, expect, it } from 'vitest'
import { bad, bad4, bad6, dhcp4 } from './config-support.ts'

const subnet = (more: string, id = 1): string => `"subnet4": [{"id": ${id}, "subnet": "198.51.100.0/24", ${more}}]`
const subnet6 = (more: string): string => `"subnet6": [{"id": 1, "subnet": "2001:db8:1::/64", ${more}}]`

describe('a bad configuration', () => {
  it('is told everything that is wrong with it at once, in the order of the file', () => {
    const text = [
      '{ "Dhcp4": {',
      '  "valid-lifetime": "an hour",',
      '  "valid-lifetme": 3600,',
      '  "hosts-database": { "type": "mysql" },',
      '  "subnet4": [',
      '    { "id": 1, "subnet": "198.51.100.0/24",',
      '      "pools": [ { "pool": "198.51.100.10 - 198.51.101.20" }, { "pool": "198.51.100.9-3" } ] },',
      '    { "id": 1, "subnet": "203.0.113.0/24" },',
      '    { "id": 2 }',
      '  ] },',
      '  "Mistake": {} }',
    ]
    expect(bad(text.join('\n'))).toEqual([
      'test.conf:2:21: /Dhcp4/valid-lifetime: expected a whole number from 0 to 4294967295, found "an hour"',
      'test.conf:3:3: /Dhcp4/valid-lifetme: unknown key valid-lifetme; did you mean valid-lifetime?',
      'test.conf:4:3: /Dhcp4/hosts-database: hosts-database is known to Kea, not supported by Lease Ledger here',
      'test.conf:7:28: /Dhcp4/subnet4[0]/pools[0]/pool: expected a pool inside the subnet 198.51.100.0/24, ' +
        'found 198.51.100.10 - 198.51.101.20',
      'test.conf:7:73: /Dhcp4/subnet4[0]/pools[1]/pool: expected a range such as "192.0.2.10 - 192.0.2.99" or a ' +
        'prefix such as "192.0.2.0/25", found "198.51.100.9-3"',
      'test.conf:8:13: /Dhcp4/subnet4[1]/id: the subnet id 1 is given twice, first to 198.51.100.0/24 on line 6',
      'test.conf:9:5: /Dhcp4/subnet4[2]: expected the key subnet in this object',
      'test.conf:11:3: /Mistake: unknown key Mistake; expected one of Dhcp4, Dhcp6, LeaseLedger',
    ])
  })

  it('has neither service in it', () => {
    expect(bad('{ "LeaseLedger": {} }')).toEqual(['test.conf:1:1: /: expected an object Dhcp4 or Dhcp6'])
  })
})

describe('Dhcp4', () => {
  it.each([
    [
      '"min-valid-lifetime": 9, "valid-lifetime": 5',
      '/Dhcp4/min-valid-lifetime: expected at most valid-lifetime, which is 5, found 9',
    ],
    [
      '"max-valid-lifetime": 4, "valid-lifetime": 5',
      '/Dhcp4/max-valid-lifetime: expected at least valid-lifetime, which is 5, found 4',
    ],
    [
      '"min-valid-lifetime": 9, "max-valid-lifetime": 5',
      '/Dhcp4/min-valid-lifetime: expected at most max-valid-lifetime, which is 5, found 9',
    ],
    ['"renew-timer": 9, "rebind-timer": 9', '/Dhcp4/renew-timer: expected less than rebind-timer, which is 9, found 9'],
    [
      subnet('"rebind-timer": 60, "valid-lifetime": 60'),
      '/Dhcp4/subnet4[0]/rebind-timer: expected less than valid-lifetime, which is 60, found 60',
    ],
    [
      '"valid-lifetime": 4294967296',
      '/Dhcp4/valid-lifetime: expected a whole number from 0 to 4294967295, found 4294967296',
    ],
    ['"t1-percent": 1.5', '/Dhcp4/t1-percent: expected a number from 0 to 1, found 1.5'],
    ['"allocator": "flq"', '/Dhcp4/allocator: expected one of "hashed", "iterative", "random", found "flq"'],
    [
      '"hosts-databases": [{"type": "mysql"}]',
      '/Dhcp4/hosts-databases: hosts-databases is known to Kea, not supported by Lease Ledger here',
    ],
    ['"subnet4": {}', '/Dhcp4/subnet4: expected a list, found an object'],
    [
      subnet('"multi-threading": {}'),
      '/Dhcp4/subnet4[0]/multi-threading: multi-threading is known to Kea, not supported by Lease Ledger here',
    ],
    [
      subnet('"pools": [{"pool": "198.51.100.0/25"}, {"pool": "198.51.100.127 - 198.51.100.200"}]'),
      '/Dhcp4/subnet4[0]/pools[1]/pool: the pool 198.51.100.127 - 198.51.100.200 overlaps the pool ' +
        '198.51.100.0 - 198.51.100.127 on line 1',
    ],
    [
      '"subnet4": [{"id": 1, "subnet": "198.51.100.0/24"}, {"id": 2, "subnet": "198.51.100.128/25"}]',
      '/Dhcp4/subnet4[1]/subnet: the subnet 198.51.100.128/25 overlaps the subnet 198.51.100.0/24 on line 1',
    ],
    [
      subnet('"reservations": [{"hw-address": "1a:1b:1c:1d:1e:1f", "ip-address": "203.0.113.5"}]'),
      '/Dhcp4/subnet4[0]/reservations[0]/ip-address: expected an address of the subnet ' +
        '198.51.100.0/24, found 203.0.113.5',
    ],
    [
      subnet('"reservations": [{"hw-address": "1a:1b:1c:1d:1e:1f", "duid": "0102"}]'),
      '/Dhcp4/subnet4[0]/reservations[0]: expected exactly one of hw-address, client-id, circuit-id, ' +
        'duid, found hw-address and duid',
    ],
    [
      subnet('"reservations": [{"hostname": "a"}]'),
      '/Dhcp4/subnet4[0]/reservations[0]: expected exactly one of hw-address, client-id, circuit-id, ' +
        'duid, found none',
    ],
    [
      subnet('"reservations": [{"duid": "01:02"}, {"duid": "0102"}]'),
      '/Dhcp4/subnet4[0]/reservations[1]: the duid 0102 is reserved twice, first on line 1',
    ],
    [
      subnet(
        '"reservations": [{"duid": "01", "ip-address": "198.51.100.5"}, {"duid": "02", "ip-address": ' +
          '"198.51.100.5"}]',
      ),
      '/Dhcp4/subnet4[0]/reservations[1]: the address 198.51.100.5 is reserved twice, first on line 1',
    ],
    [
      '"hooks-libraries": [{"library": "/usr/lib/kea/hooks/libdhcp_flex_id.so"}], ' +
        subnet('"reservations": [{"flex-id": "\'x\'"}]'),
      '/Dhcp4/subnet4[0]/reservations[0]/flex-id: flex-id is known to Kea, not supported by Lease Ledger',
    ],
    [
      '"hooks-libraries": [{"library": "/opt/own.so"}]',
      '/Dhcp4/hooks-libraries[0]/library: expected a hook library of Kea, found "/opt/own.so"; no ' +
        'library is loaded here',
    ],
    [
      '"option-data": [{"name": "router", "data": "198.51.100.1"}]',
      '/Dhcp4/option-data[0]/name: no option router is defined in the space dhcp4; give its code',
    ],
    [
      '"option-data": [{"name": "routers", "data": "198.51.100"}]',
      '/Dhcp4/option-data[0]/data: "198.51.100" is not an IPv4 address such as 192.0.2.1',
    ],
    [
      '"option-data": [{"code": 3, "data": "198.51.100.1", "client-classes": ["a"]}]',
      '/Dhcp4/option-data[0]/client-classes: client-classes is known to Kea, not supported by Lease Ledger here',
    ],
    [
      '"option-data": [{"code": 125, "data": "4491"}, {"code": 125, "data": "4491"}]',
      '/Dhcp4/option-data[1]: the option vivso-suboptions is given twice in this scope, first on line 1',
    ],
    ['"option-data": [{"data": "1"}]', '/Dhcp4/option-data[0]: expected the name or the code of the option'],
    [
      '"option-data": [{"name": "routers", "code": 6, "data": "198.51.100.1"}]',
      '/Dhcp4/option-data[0]: the option 6 of the space dhcp4 is domain-name-servers, not routers',
    ],
    [
      '"option-data": [{"code": 224, "csv-format": true, "data": "1"}]',
      '/Dhcp4/option-data[0]/csv-format: the option has no definition: csv-format must be false, the ' +
        'data hexadecimal',
    ],
    ['"option-data": [{"code": 255, "data": "01"}]', '/Dhcp4/option-data[0]/code: expected a code from 1 to 254'],
    [
      '"option-data": [{"code": 3, "data": "198.51.100.1"}, {"name": "routers", "data": "198.51.100.2"}]',
      '/Dhcp4/option-data[1]: the option routers is given twice in this scope, first on line 1',
    ],
    [
      '"option-data": [{"code": 1, "space": "isp", "data": "01"}]',
      '/Dhcp4/option-data[0]/space: no option carries the space isp',
    ],
    [
      '"option-def": [{"name": "x", "code": 224, "type": "uint64"}]',
      '/Dhcp4/option-def[0]/type: expected a type of options, found "uint64"',
    ],
    [
      '"option-def": [{"name": "x", "code": 3, "type": "uint8"}]',
      '/Dhcp4/option-def[0]: x (3) clashes with routers (3) in the space dhcp4',
    ],
    ['"client-classes": [{"name": "a"}, {"name": "a"}]', '/Dhcp4/client-classes[1]/name: the class a is defined twice'],
    [
      '"client-classes": [{"name": "a", "test": "member(\'b\')"}]',
      '/Dhcp4/client-classes[0]/test: character 8 of the expression: expected a class that is defined ' +
        'before this one, found b',
    ],
    ['"shared-networks": [{"name": "n"}, {"name": "n"}]', '/Dhcp4/shared-networks[1]/name: the name n is given twice'],
  ])('%s', (members, error) => {
    expect(bad4(members)).toEqual([error])
  })

  it.each(['eth0/none', 'an-interface-with-a-long-name', '*/198.51.100.1', 'eth0/2001:db8::1'])(
    'interface %s',
    (name) => {
      expect(bad(dhcp4('"authoritative": true').replace('eth0', name))).toEqual([
        `test.conf:1:49: /Dhcp4/interfaces-config/interfaces[0]: expected "eth0", "eth0/198.51.100.1" or "*", found "${name}"`,
      ])
    },
  )
})

describe('Dhcp6', () => {
  const pdPool = (prefix: string, length: number, delegated: number, more = ''): string =>
    `{"prefix": "${prefix}", "prefix-len": ${length}, "delegated-len": ${delegated}${more}}`

  it.each([
    [
      '"preferred-lifetime": 9, "valid-lifetime": 5',
      '/Dhcp6/preferred-lifetime: expected at most valid-lifetime, which is 5, found 9',
    ],
    [
      subnet6('"pools": [{"pool": "2001:db8:2::/80"}]'),
      '/Dhcp6/subnet6[0]/pools[0]/pool: expected a pool inside the subnet 2001:db8:1::/64, found ' +
        '2001:db8:2:: - 2001:db8:2::ffff:ffff:ffff',
    ],
    [
      subnet6(`"pd-pools": [${pdPool('2001:db8:8000::1', 48, 56)}]`),
      '/Dhcp6/subnet6[0]/pd-pools[0]/prefix: expected a prefix of 48 bits whose other bits are zero, ' +
        'found 2001:db8:8000::1',
    ],
    [
      subnet6(`"pd-pools": [${pdPool('2001:db8:8000::', 48, 40)}]`),
      '/Dhcp6/subnet6[0]/pd-pools[0]/delegated-len: expected at least prefix-len, which is 48, found 40',
    ],
    [
      subnet6(`"pd-pools": [${pdPool('2001:db8:8000::', 48, 56)}, ${pdPool('2001:db8:8000:8000::', 49, 64)}]`),
      '/Dhcp6/subnet6[0]/pd-pools[1]/prefix: the prefix pool 2001:db8:8000:8000::/49 overlaps the ' +
        'prefix pool 2001:db8:8000::/48 on line 1',
    ],
    [
      subnet6(`"pd-pools": [${pdPool('2001:db8::', 32, 56)}]`),
      '/Dhcp6/subnet6[0]/pd-pools[0]/prefix: the prefix pool 2001:db8::/32 overlaps the subnet ' +
        '2001:db8:1::/64 on line 1',
    ],
    [
      subnet6(
        `"pd-pools": [${pdPool('2001:db8:8000::', 48, 56)}], "reservations": [{"duid": "01", "prefixes": ["2001:db8:8000:100::/60"]}]`,
      ),
      '/Dhcp6/subnet6[0]/reservations[0]/prefixes[0]: the reserved prefix 2001:db8:8000:100::/60 ' +
        'overlaps the prefix pool 2001:db8:8000::/48 on line 1',
    ],
    [
      subnet6(
        '"reservations": [{"duid": "01", "prefixes": ["2001:db8:2::/48"]}, {"duid": "02", "prefixes": ' +
          '["2001:db8:2:8000::/56"]}]',
      ),
      '/Dhcp6/subnet6[0]/reservations[1]/prefixes[0]: the reserved prefix 2001:db8:2:8000::/56 ' +
        'overlaps the reserved prefix 2001:db8:2::/48 on line 1',
    ],
    [
      subnet6(
        `"pd-pools": [${pdPool('2001:db8:8000::', 48, 56, ', "excluded-prefix": "2001:db8:8000:100::", "excluded-prefix-len": 64')}]`,
      ),
      '/Dhcp6/subnet6[0]/pd-pools[0]/excluded-prefix: expected a prefix inside 2001:db8:8000::/56, ' +
        'the first that is delegated, found 2001:db8:8000:100::/64',
    ],
    [
      subnet6(`"pd-pools": [${pdPool('2001:db8:8000::', 48, 56, ', "excluded-prefix": "2001:db8:8000::"')}]`),
      '/Dhcp6/subnet6[0]/pd-pools[0]/excluded-prefix: expected excluded-prefix and excluded-prefix-len together',
    ],
    [
      subnet6('"reservations": [{"duid": "01", "ip-addresses": ["2001:db8:1::5", "2001:db8:2::5"]}]'),
      '/Dhcp6/subnet6[0]/reservations[0]/ip-addresses[1]: expected an address of the subnet ' +
        '2001:db8:1::/64, found 2001:db8:2::5',
    ],
    [
      '"server-id": {"type": "UUID", "identifier": "0102"}',
      '/Dhcp6/server-id/identifier: expected the 16 octets of a UUID, found 2',
    ],
    [
      '"mac-sources": ["guess"]',
      '/Dhcp6/mac-sources[0]: expected one of "any", "raw", "duid", "ipv6-link-local", ' +
        '"client-link-addr-option", "rfc6939", "remote-id", "rfc4649", "subscriber-id", "rfc4580", ' +
        '"docsis-cmts", "docsis-modem", found "guess"',
    ],
    [
      '"relay-supplied-options": ["no-such"]',
      '/Dhcp6/relay-supplied-options[0]: expected the name or code of an option of DHCPv6, found "no-such"',
    ],
    [
      '"host-reservation-identifiers": ["circuit-id"]',
      '/Dhcp6/host-reservation-identifiers[0]: expected duid or hw-address, found circuit-id, which is for DHCPv4',
    ],
  ])('%s', (members, error) => {
    expect(bad6(members)).toEqual([error])
  })
})

describe('lease-database and LeaseLedger', () => {
  const store = (members: string): readonly string[] =>
    bad(`{"Dhcp4": {"lease-database": {${members}}}}`).map((line) => line.replace(/^test.conf:1:\d+: \/Dhcp4\//, ''))

  it.each([
    [
      '"type": "oracle"',
      'lease-database/type: expected one of "memfile", "embedded", "memory", "postgresql", "mysql", ' +
        '"eventstore", found "oracle"',
    ],
    [
      '"type": "mysql", "password": "a", "password-env": "B"',
      'lease-database: expected only one of password, password-file and password-env',
    ],
    ['"type": "mysql", "password": 1234', 'lease-database/password: expected text'],
    [
      '"type": "postgresql", "host": "db1,db2:99999"',
      'lease-database/host: expected host names or addresses separated by commas, each with :port if ' +
        'need be, an IPv6 address in [ ]',
    ],
    [
      '"type": "postgresql", "cert-file": "/c.pem"',
      'lease-database/cert-file: expected cert-file and key-file together',
    ],
    [
      '"type": "postgresql", "table-engine": "InnoDB"',
      'lease-database/table-engine: table-engine is for the type mysql only',
    ],
    [
      '"type": "postgresql", "connect-timeout": 0',
      'lease-database/connect-timeout: expected seconds, more than 0 and at most 3600, found 0',
    ],
    [
      '"type": "eventstore", "prefer-again-time": 5',
      'lease-database/prefer-again-time: prefer-again-time is not for the type eventstore, whose cluster itself ' +
        'chooses its leader',
    ],
    [
      '"type": "mysql", "ssl-mode": "prefer", "trust-anchor": "/ca.pem"',
      'lease-database/ssl-mode: expected require, verify-ca or verify-full, or disable: with prefer, trust-anchor ' +
        'would not be used',
    ],
    [
      '"type": "eventstore", "ssl-mode": "prefer"',
      'lease-database/ssl-mode: expected require, verify-ca or verify-full, or disable: an EventStoreDB does not ' +
        'offer both TLS and none',
    ],
    ['"type": "embedded", "host": "db"', 'lease-database/host: host is not for the type embedded'],
    ['"name": "leases"', 'lease-database: expected the key type in this object'],
  ])('%s', (members, error) => {
    expect(store(members)).toEqual([error])
  })

  it('must be the same for both services', () => {
    const text = '{"Dhcp4": {"lease-database": {"type": "memory"}},\n"Dhcp6": {"lease-database": {"type": "embedded"}}}'
    expect(bad(text)).toEqual([
      'test.conf:2:29: /Dhcp6/lease-database: expected the database of Dhcp4: one process has one ' +
        'ledger for both protocols',
    ])
  })

  it('writes tables only to databases that have them', () => {
    const target = '{"name": "a", "database": {"type": "eventstore", "host": "es"}}'
    expect(bad(`{"Dhcp4": {}, "LeaseLedger": {"projections": [${target}]}}`)).toEqual([
      'test.conf:1:82: /LeaseLedger/projections[0]/database/type: expected "postgresql" or "mysql" ' +
        'for tables, found "eventstore"',
    ])
  })
})
