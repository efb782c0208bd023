import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import { encodeOptionText, formatOption } from '../../server/options/definition.ts'
import type { OptionDefinition } from '../../server/options/definition.ts'
import { splitFields } from '../../server/options/fields.ts'
import { makeOptionRegistry } from '../../server/options/registry.ts'

const of = (type: OptionDefinition['type'], more: Partial<OptionDefinition> = {}): OptionDefinition => ({
  code: 224,
  name: 'sample',
  space: 'dhcp4',
  type,
  array: false,
  recordTypes: [],
  rfc: '',
  ...more,
})

const standard4 = (code: number): OptionDefinition => makeOptionRegistry(4).byCode('dhcp4', code) as OptionDefinition
const standard6 = (code: number): OptionDefinition => makeOptionRegistry(6).byCode('dhcp6', code) as OptionDefinition

const hex = (definition: OptionDefinition, text: string, csvFormat = true): string => {
  const bytes = encodeOptionText(definition, text, csvFormat)
  return E.isLeft(bytes) ? `refused: ${bytes.left}` : Buffer.from(bytes.right).toString('hex')
}

describe('a value of each type', () => {
  it.each([
    [of('empty'), '', '', ''],
    [of('binary'), '01:02:ff', '0102ff', '0x0102ff'],
    [of('boolean'), 'true', '01', 'true'],
    [of('boolean'), '0', '00', 'false'],
    [of('uint8'), '255', 'ff', '255'],
    [of('uint16'), '258', '0102', '258'],
    [of('uint32'), '4294967295', 'ffffffff', '4294967295'],
    [of('int8'), '-128', '80', '-128'],
    [of('int16'), '-2', 'fffe', '-2'],
    [of('int32'), '-2147483648', '80000000', '-2147483648'],
    [of('ipv4-address'), '198.51.100.1', 'c6336401', '198.51.100.1'],
    [of('ipv6-address'), '2001:DB8::0:1', '20010db8000000000000000000000001', '2001:db8::1'],
    [of('ipv6-prefix'), '2001:db8::/33', '2120010db800', '2001:db8::/33'],
    [of('ipv6-prefix'), '::/0', '00', '::/0'],
    [of('psid'), '3/4', '043000', '3/4'],
    [of('psid'), '0/0', '000000', '0/0'],
    [of('string'), ' two words ', '74776f20776f726473', 'two words'],
    [of('tuple'), 'ab', '026162', 'ab'],
    [of('tuple', { space: 'dhcp6' }), 'ab', '00026162', 'ab'],
    [of('tuple', { space: 'vendor-9', universe: 6 }), 'ab', '00026162', 'ab'],
    [of('fqdn'), 'a.bc', '0161026263' + '00', 'a.bc.'],
    [of('fqdn'), '.', '00', '.'],
  ])('%#: %o', (definition, text, octets, formatted) => {
    expect(hex(definition, text)).toBe(octets)
    expect(formatOption(definition, Buffer.from(octets, 'hex'))).toBe(formatted)
    expect(hex(definition, formatted)).toBe(octets)
    expect(hex(definition, octets, false)).toBe(octets)
  })
})

describe('what is refused', () => {
  it.each([
    [of('empty'), 'x', 'sample takes no value'],
    [of('binary'), '0g', 'neither hexadecimal nor text in single quotes'],
    [of('boolean'), 'yes', 'write true or false'],
    [of('uint8'), '256', 'a whole number from 0 to 255'],
    [of('uint8'), '-1', 'a whole number from 0 to 255'],
    [of('uint16'), '1.5', 'is not a uint16'],
    [of('uint32'), '4294967296', 'is not a uint32'],
    [of('int8'), '128', 'from -128 to 127'],
    [of('int16'), '0xg0', 'is not a int16'],
    [of('int32'), '', 'takes 1 value (int32) and 0 are given'],
    [of('ipv4-address'), '198.51.100', 'is not an IPv4 address'],
    [of('ipv4-address'), '198.51.100.256', 'is not an IPv4 address'],
    [of('ipv6-address'), 'fe80::1%eth0', 'is not an IPv6 address'],
    [of('ipv6-prefix'), '2001:db8::', 'is not an IPv6 prefix'],
    [of('ipv6-prefix'), '2001:db8::/129', 'is not an IPv6 prefix'],
    [of('psid'), '16/4', 'is not a PSID'],
    [of('psid'), '0/17', 'is not a PSID'],
    [of('tuple'), 'x'.repeat(256), 'longer than 255'],
    [of('fqdn'), 'a..b', 'empty label'],
    [of('fqdn'), 'a'.repeat(64), 'longer than 63'],
    [of('fqdn'), 'büro.example', 'xn--'],
    [of('fqdn'), Array(130).fill('a').join('.'), 'longer than 255'],
    [of('string'), 'a, b', 'a comma inside a value is written \\,'],
    [of('internal'), 'a', 'csv-format false'],
  ])('%#: %o', (definition, text, reason) => {
    expect(hex(definition, text)).toMatch(/^refused: /)
    expect(hex(definition, text)).toContain(reason)
  })

  it('refuses octets that the definition cannot hold', () => {
    expect(hex(of('ipv4-address'), 'c63364', false)).toContain('does not have the form of sample (ipv4-address)')
    expect(hex(of('uint8', { array: true }), '', false)).toMatch(/^refused/)
    expect(hex(of('boolean'), '02', false)).toMatch(/^refused/)
    expect(hex(of('uint8'), '0102', false)).toMatch(/^refused/)
    expect(hex(of('fqdn'), '0161', false)).toMatch(/^refused/)
    expect(hex(of('empty'), '01', false)).toMatch(/^refused/)
  })
})

describe('fields', () => {
  it('are split at commas, not at escaped ones, and lose the blanks around them', () => {
    expect(splitFields(' a , b\\,c,d\\e ')).toEqual(['a', 'b,c', 'd\\e'])
    expect(splitFields('a,,b,')).toEqual(['a', 'b'])
    expect(splitFields('  ')).toEqual([])
  })

  it('of an array repeat to the end', () => {
    expect(hex(of('ipv4-address', { array: true }), '198.51.100.1, 198.51.100.2')).toBe('c6336401c6336402')
    expect(formatOption(of('uint16', { array: true }), Uint8Array.of(0, 1, 0, 2))).toBe('1, 2')
    expect(hex(of('uint16', { array: true }), '')).toContain('and 0 are given')
  })

  it('of a record come one of each type, the last repeating in an array', () => {
    const record = of('record', { recordTypes: ['uint8', 'ipv4-address'] })
    expect(hex(record, '7, 198.51.100.1')).toBe('07c6336401')
    expect(hex(record, '7')).toContain('takes 2 values (uint8, ipv4-address) and 1 are given')
    expect(hex(record, '7, 198.51.100.1, 198.51.100.2')).toMatch(/^refused/)
    expect(hex({ ...record, array: true }, '7, 198.51.100.1, 198.51.100.2')).toBe('07c6336401c6336402')
    expect(formatOption({ ...record, array: true }, Buffer.from('07c6336401c6336402', 'hex'))).toBe(
      '7, 198.51.100.1, 198.51.100.2',
    )
  })

  it('of a string keep their commas through formatting', () => {
    expect(hex(of('string'), 'a\\,b')).toBe('612c62')
    expect(formatOption(of('string'), Buffer.from('a,b'))).toBe('a\\,b')
  })

  it('that do not fit are formatted as octets', () => {
    expect(formatOption(of('ipv4-address'), Uint8Array.of(1, 2, 3))).toBe('0x010203')
    expect(formatOption(of('uint32', { encapsulates: 'x' }), Uint8Array.of(0, 0, 0, 1, 5, 0))).toBe('0x000000010500')
  })
})

describe('octets as text', () => {
  it.each([
    ['0x0102', '0102'],
    ['0102', '0102'],
    ['01:02', '0102'],
    ['1:2', '0102'],
    ['01 02', '0102'],
    ['ABC', '0abc'],
    ["'ab,c'", '61622c63'],
    ["''", ''],
    ['', ''],
  ])('%s', (text, octets) => {
    expect(hex(of('binary'), text, false)).toBe(octets)
  })

  it.each(['xyz', '01:', '012:3', "'open", '01-02'])('not %s', (text) => {
    expect(hex(of('binary'), text, false)).toMatch(/^refused/)
  })
})

describe('domain search (119)', () => {
  it('is written plainly and read with compression', () => {
    expect(hex(standard4(119), 'a.org, b.org')).toBe('01610' + '36f72670001620' + '36f726700')
    const compressed = Uint8Array.of(1, 0x61, 3, 0x6f, 0x72, 0x67, 0, 1, 0x62, 0xc0, 2)
    expect(formatOption(standard4(119), compressed)).toBe('a.org., b.org.')
  })

  it('does not follow a pointer forward, to itself, or in DHCPv6', () => {
    expect(formatOption(standard4(119), Uint8Array.of(0xc0, 0))).toBe('0xc000')
    expect(formatOption(standard4(119), Uint8Array.of(1, 0x61, 0xc0, 4, 0))).toBe('0x0161c00400')
    expect(formatOption(standard6(24), Uint8Array.of(1, 0x61, 0, 1, 0x62, 0xc0, 0))).toMatch(/^0x/)
  })
})

describe('classless static routes (121)', () => {
  it('writes only the octets of the subnet that count', () => {
    const text = '0.0.0.0/0 - 198.51.100.1, 203.0.113.0/24 - 198.51.100.2, 203.0.113.128/25-198.51.100.3'
    const octets = '00c6336401' + '18cb0071c6336402' + '19cb007180c6336403'
    expect(hex(standard4(121), text)).toBe(octets)
    expect(formatOption(standard4(121), Buffer.from(octets, 'hex'))).toBe(text.replace('25-', '25 - '))
  })

  it.each(['203.0.113.0/33 - 198.51.100.1', '203.0.113.1/24 - 198.51.100.1', '203.0.113.0 - 198.51.100.1', ''])(
    'refuses "%s"',
    (text) => {
      expect(hex(standard4(121), text)).toMatch(/^refused/)
    },
  )

  it('shows octets that are no routes as they are', () => {
    expect(formatOption(standard4(121), Uint8Array.of(24, 1, 2, 3))).toBe('0x18010203')
    expect(hex(standard4(121), '21', false)).toMatch(/^refused/)
  })
})

describe('encrypted resolvers (162 and 144)', () => {
  const text = '10, dot1.example.org., 198.51.100.3 198.51.100.4, alpn=dot\\,doq port=8530'

  it('follows RFC 9463 and sorts the service parameters', () => {
    const inner =
      '000a' +
      '12' +
      '04646f7431076578616d706c65036f726700' +
      '08' +
      'c6336403c6336404' +
      '0001000803646f7403646f71' +
      '000300022152'
    const octets = (inner.length / 2).toString(16).padStart(4, '0') + inner
    expect(hex(standard4(162), text)).toBe(octets)
    expect(hex(standard4(162), text.replace('alpn=dot\\,doq port=8530', 'port=8530 alpn=dot\\,doq'))).toBe(octets)
    expect(formatOption(standard4(162), Buffer.from(octets, 'hex'))).toBe(text)
  })

  it('takes several in DHCPv4, one in DHCPv6', () => {
    const two = `${text} | 20, doh.example.org., 198.51.100.5, alpn=h2 dohpath=/q{?dns} key9=0x0a`
    const bytes = encodeOptionText(standard4(162), two, true)
    expect(E.isRight(bytes) && formatOption(standard4(162), bytes.right)).toBe(two)
    const six = '10, dot1.example.org., 2001:db8::1 2001:db8::2, alpn=dot'
    const bytes6 = encodeOptionText(standard6(144), six, true)
    expect(E.isRight(bytes6) && formatOption(standard6(144), bytes6.right)).toBe(six)
    expect(hex(standard6(144), `${six} | ${six}`)).toContain('one resolver')
  })

  it('takes a resolver that is only a name', () => {
    expect(hex(standard4(162), '1, a.')).toBe('0006' + '0001' + '03' + '016100')
    expect(formatOption(standard4(162), Buffer.from('0006000103016100', 'hex'))).toBe('1, a.')
  })

  it.each([
    '',
    '1',
    'x, a.',
    '65536, a.',
    '1, a., 2001:db8::1',
    '1, a., 198.51.100.1, alpn',
    '1, a., 198.51.100.1, port=1 port=2',
  ])('refuses "%s"', (broken) => {
    expect(hex(standard4(162), broken)).toMatch(/^refused/)
  })
})
