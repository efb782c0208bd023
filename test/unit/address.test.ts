import fc from 'fast-check'
import * as O from 'fp-ts/lib/Option.js'
import { Address6 } from 'ip-address'
import { describe, expect, it } from 'vitest'
import * as A from '../../domain/address.ts'
import { lease6Stream, parseStream, prefix6Stream, streamFromText, streamOf } from '../../domain/stream.ts'

const ip4 = fc.nat(0xffffffff)
// Addresses with runs of zeros, which random bits hardly ever give.
const ip6 = fc
  .array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n))

/** One address in many spellings: case, leading zeros, with and without `::`. */
const spellings = (address: bigint): string[] => {
  const parsed = Address6.fromByteArray([...A.ip6Bytes(address)])
  const correct = parsed.correctForm()
  const full = parsed.canonicalForm()
  return [correct, correct.toUpperCase(), full, full.toUpperCase(), full.replace(/(^|:)0+(?=[0-9a-f])/g, '$1')]
}

describe('addresses', () => {
  it('go through text and octets unchanged (IPv4)', () =>
    fc.assert(
      fc.property(ip4, (address) => {
        expect(A.parseIp4(A.ip4Text(address))).toEqual(O.some(address))
        expect(A.ip4FromBytes(A.ip4Bytes(address))).toBe(address)
      }),
    ))
  it('go through text and octets unchanged (IPv6)', () =>
    fc.assert(
      fc.property(ip6, (address) => {
        expect(A.parseIp6(A.ip6Text(address))).toEqual(O.some(address))
        expect(A.ip6FromBytes(A.ip6Bytes(address))).toBe(address)
      }),
    ))
  it('are read like the library reads them, right or wrong', () => {
    const piece = fc.constantFrom(
      '0',
      '1',
      'a',
      'F',
      '00',
      'ffff',
      '12345',
      ':',
      ':',
      ':',
      '::',
      'g',
      '.',
      '1.2.3.4',
      ' ',
    )
    const anything = fc.array(piece, { maxLength: 18 }).map((pieces) => pieces.join(''))
    const spelled = ip6.chain((address) => fc.constantFrom(...spellings(address)))
    fc.assert(
      fc.property(fc.oneof(anything, spelled), (text) => {
        const expected = Address6.isValid(text) ? O.some(new Address6(text).bigInt()) : O.none
        expect(A.parseIp6(text)).toEqual(expected)
      }),
      { numRuns: 2000 },
    )
  })
  it('are written as RFC 5952 has it', () =>
    fc.assert(
      fc.property(ip6, (address) => {
        expect(A.ip6Text(address)).toBe(Address6.fromByteArray([...A.ip6Bytes(address)]).correctForm())
      }),
    ))
  it.each([
    '',
    '.',
    '1.2.3',
    '1.2.3.256',
    '1.2.3.4/24',
    ' 1.2.3.4',
    '1.2.3.4.',
    '1..3.4',
    '1.2.3.04',
    '1.2.3.4.5',
    'a.b.c.d',
    '::1',
  ])('refuse %s as IPv4', (text) => expect(A.parseIp4(text)).toEqual(O.none))
  it.each(['1.2.3.4', '2001:db8::/32', 'fe80::1%eth0', ':::', ''])('refuse %s as IPv6', (text) =>
    expect(A.parseIp6(text)).toEqual(O.none),
  )
  it('give the network and the last address of a prefix', () => {
    const some = 0x20010db8_12345678_9abcdef0_12345678n
    expect(A.ip6Text(A.ip6Network(some, 56))).toBe('2001:db8:1234:5600::')
    expect(A.ip6Text(A.ip6Last(some, 56))).toBe('2001:db8:1234:56ff:ffff:ffff:ffff:ffff')
    expect(A.ip6Network(some, 0)).toBe(0n)
    expect(A.ip6Network(some, 128)).toBe(some)
  })
  it('read hexadecimal with the usual separators', () => {
    expect(A.parseHex('02:00-00.0a')).toEqual(O.some(Uint8Array.of(2, 0, 0, 10)))
    expect(A.hexText(Uint8Array.of(2, 0, 255))).toBe('0200ff')
    expect(A.parseHex('0g')).toEqual(O.none)
    expect(A.parseHex('123')).toEqual(O.none)
  })
})

describe('stream names', () => {
  it('are one for all spellings of an address', () =>
    fc.assert(
      fc.property(ip6, (address) => {
        const names = spellings(address).map((text) => streamFromText(text))
        for (const name of names) expect(name).toEqual(O.some(lease6Stream(address)))
      }),
    ))
  it('are one for all addresses inside a prefix', () =>
    fc.assert(
      fc.property(ip6, fc.integer({ min: 1, max: 128 }), (address, length) => {
        expect(prefix6Stream(A.ip6Last(address, length), length)).toBe(prefix6Stream(address, length))
      }),
    ))
  it('are read back as what they were made of', () =>
    fc.assert(
      fc.property(ip4, ip6, fc.integer({ min: 1, max: 128 }), (v4, v6, prefixLength) => {
        for (const resource of [
          { category: 'lease4', address: v4 },
          { category: 'lease6', address: v6 },
          { category: 'prefix6', address: A.ip6Network(v6, prefixLength), prefixLength },
        ] as const) {
          expect(parseStream(streamOf(resource))).toEqual(O.some(resource))
        }
      }),
    ))
  it.each(['lease5/1.2.3.4', 'lease4/', 'lease4/::1', 'prefix6/2001:db8::', 'prefix6/2001:db8::/129', ''])(
    'are not %s',
    (text) => expect(parseStream(text)).toEqual(O.none),
  )
})
