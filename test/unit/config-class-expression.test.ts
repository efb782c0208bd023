import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import type { ClassAccessor } from '../../server/config/class-accessor.ts'
import { parseClassTest } from '../../server/config/class-expression.ts'
import { makeOptionRegistry } from '../../server/options/registry.ts'

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))
const text = (value: string): Uint8Array => new TextEncoder().encode(value)

const options4 = new Map([
  [12, text('Host.Example')],
  [43, bytes('00010161ff')],
  [57, bytes('05dc')],
  [60, text('PXEClient:Arch:00007:UNDI:003016')],
  [61, bytes('01aabbccddeeff')],
  [93, bytes('0007')],
  [124, bytes('0000118b0703616263026465')],
  [125, bytes('000000090201000000118b030201ff')],
])

/** A DHCPv4 packet by way of a relay. */
const packet4: ClassAccessor = {
  option: (code) => options4.get(code),
  relayOption: (_nesting, code) => new Map([[1, text('port-7')]]).get(code),
  relayAddress: () => undefined,
  packetField: (field) =>
    new Map([
      ['iface', text('eth0')],
      ['src', bytes('c6120001')],
      ['mac', bytes('aabbccddeeff')],
      ['hlen', bytes('00000006')],
      ['htype', bytes('00000001')],
      ['giaddr', bytes('c6120001')],
      ['msgtype', bytes('00000001')],
      ['transid', bytes('89abcdef')],
    ]).get(field),
  isMember: (name) => name === 'ALL' || name === 'voip',
}

const options6 = new Map([
  [3, bytes('000000010000000000000000000d0002000d')],
  [16, bytes('0000118b0003616263')],
  [17, bytes('0000118b00010002beef')],
])
const relays = [new Map([[18, text('outer')]]), new Map([[18, text('inner')]])]

/** A DHCPv6 packet that came through two relays. */
const packet6: ClassAccessor = {
  option: (code) => options6.get(code),
  relayOption: (nesting, code) => relays.at(nesting)?.get(code),
  relayAddress: (nesting) => (relays.at(nesting) === undefined ? undefined : bytes('20010db8000000000000000000000001')),
  packetField: (field) => (field === 'msgtype' ? bytes('00000001') : undefined),
  isMember: () => false,
}

const context = (universe: 4 | 6) => ({
  universe,
  registry: makeOptionRegistry(universe),
  isClass: (name: string) => name === 'ALL' || name === 'voip' || name === 'data',
})

const holds = (expression: string, universe: 4 | 6 = 4): boolean => {
  const test = parseClassTest(expression, context(universe))
  if (E.isLeft(test)) throw new Error(`${expression}: ${test.left.offset}: ${test.left.message}`)
  return test.right(universe === 4 ? packet4 : packet6)
}

describe('conditions on DHCPv4 packets that hold', () => {
  it.each([
    "substring(option[60].hex,0,9) == 'PXEClient'",
    "substring(option[60].text, -6, all) == '003016'",
    "substring(option[60].hex, 9, -6) == 'Client'",
    "substring(option[60].hex, 99, 1) == ''",
    "substring(option[60].hex, -99, 1) == ''",
    'option[93].hex == 0x0007',
    'option[client-system].exists',
    'option[vendor-class-identifier].exists and not option[routers].exists or option[1].exists',
    'not option[1].exists',
    "option[1].hex == ''",
    "option[57].text == '1500'",
    "option[43].option[1].hex == 'a'",
    'option[43].option[1].exists',
    "relay4[1].hex == 'port-7'",
    'relay4[circuit-id].exists and not relay4[2].exists',
    'pkt4.mac == 0xAABBCCDDEEFF',
    'pkt4.hlen == 6 and pkt4.htype == 0x00000001 and pkt4.msgtype == 1',
    'pkt4.giaddr == 198.18.0.1 and pkt.src == 198.18.0.1',
    "pkt.iface == 'eth0'",
    'pkt4.transid == 0x89abcdef',
    "pkt.len == ''",
    "member('ALL') and member('voip') and not member('data')",
    'vendor[4491].exists and vendor[*].exists and not vendor[1].exists',
    'vendor[4491].option[2].hex == 0xff and vendor.enterprise == 9',
    "vendor-class[4491].exists and vendor-class[*].data[1] == 'de' and vendor-class[4491].data == 'abc'",
    "concat('a', 'b') == 'ab' and 'a' + 'b' + 'c' == 'abc'",
    "ifelse(option[1].exists, 'yes', 'no') == 'no'",
    "lcase(option[12].text) == 'host.example' and ucase('aZ1') == 'AZ1'",
    "hexstring(pkt4.mac, ':') == 'aa:bb:cc:dd:ee:ff' and hexstring(0x0a, '') == '0a'",
    "split(option[60].text, ':', 3) == '00007' and split('a:b', ':', 5) == ''",
    "addrtotext(pkt4.giaddr) == '198.18.0.1' and addrtotext(2001:db8::1) == '2001:db8::1'",
    "int8totext(0xff) == '-1' and uint8totext(0xff) == '255' and uint16totext(option[57].hex) == '1500'",
    "int16totext(0xfffe) == '-2' and int32totext(-3) == '-3' and uint32totext(0xffffffff) == '4294967295'",
    "'a' == 'b' or 'a' == 'a' and not 'b' == 'c'",
    "(('a' == 'a') and (('b')) == 'b')",
    "not ('a' == 'a' and 'a' == 'b')",
  ])('%s', (expression) => {
    expect(holds(expression)).toBe(true)
    expect(holds(`not (${expression})`)).toBe(false)
  })
})

describe('conditions on DHCPv6 packets that hold', () => {
  it.each([
    "relay6[0].option[18].hex == 'outer' and relay6[-1].option[interface-id].hex == 'inner'",
    'relay6[1].peeraddr == 2001:db8::1 and relay6[-2].linkaddr == 2001:db8::1',
    "not relay6[5].option[18].exists and relay6[5].peeraddr == ''",
    'pkt6.msgtype == 1',
    'option[3].option[13].hex == 0x000d',
    "vendor[4491].option[1].hex == 0xbeef and vendor-class[4491].data[0] == 'abc'",
  ])('%s', (expression) => {
    expect(holds(expression, 6)).toBe(true)
  })
})

describe('what is not understood', () => {
  it.each([
    ["match('a', 'b')", 0, 'match is not understood in a class expression'],
    ['option[60]', 10, 'expected ., found the end of the expression'],
    ['option[60].hex', 0, 'expected a condition, found a value; compare it with =='],
    ["option[60].hex = 'x'", 15, 'expected no such character: ='],
    ["option[60].foo == 'x'", 11, 'expected one of exists, hex, text, found foo'],
    ["option[no-such].hex == 'x'", 7, 'expected an option of the space dhcp4, found no-such'],
    ["option[300].hex == 'x'", 7, 'expected a whole number from 0 to 255, found 300'],
    [
      "pkt4.foo == 'x'",
      5,
      'expected one of mac, hlen, htype, ciaddr, giaddr, yiaddr, siaddr, msgtype, transid, found foo',
    ],
    ["pkt6.msgtype == 'x'", 0, 'expected pkt or pkt4, found pkt6'],
    ["relay6[0].peeraddr == 'x'", 0, 'relay6 is for DHCPv6; expected relay4 here'],
    ["member('none')", 7, 'expected a class that is defined before this one, found none'],
    ["'a' == 'b' 'c'", 11, 'expected and, or, or the end, found c'],
    ["option[1].exists == 'a'", 0, 'expected a value, found a condition'],
    ["substring(option[60].hex, 0) == 'a'", 27, 'expected ,, found )'],
    ["('a' == 'a'", 11, 'expected ), found the end of the expression'],
    ['', 0, 'expected a condition or a value, found the end of the expression'],
    [`${'('.repeat(5000)}`, 4096, 'expected at most 4096 characters'],
  ])('%s', (expression, offset, message) => {
    expect(parseClassTest(expression, context(4))).toEqual(E.left({ offset, message }))
  })
})

it('hexadecimal of an odd number of digits has a leading zero', () => {
  expect(holds("hexstring(0xabc, '') == '0abc'")).toBe(true)
})
