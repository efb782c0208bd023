import { describe, expect, it } from 'vitest'
import {
  DUID_EPOCH_SEC,
  hardwareAddressOf,
  makeDuidEn,
  makeDuidLl,
  makeDuidLlt,
  makeDuidUuid,
} from '../../server/dhcp6/duid.ts'

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 9)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('making a DUID', () => {
  it('lays out LLT, EN, LL (RFC 8415 §11.2 to §11.4) and UUID (RFC 6355 §4)', () => {
    expect(hex(makeDuidLlt(1, 0x01020304, MAC))).toBe('0001' + '0001' + '01020304' + '020000000009')
    expect(hex(makeDuidEn(0xffff_fff0, Uint8Array.of(7)))).toBe('0002' + 'fffffff0' + '07')
    expect(hex(makeDuidLl(6, MAC))).toBe('0003' + '0006' + '020000000009')
    expect(hex(makeDuidUuid(new Uint8Array(16).fill(0xab)))).toBe('0004' + 'ab'.repeat(16))
  })

  it('wraps the time of an LLT at 2^32 seconds after 2000', () => {
    expect(makeDuidLlt(1, 2 ** 32 + 5, MAC)).toEqual(makeDuidLlt(1, 5, MAC))
  })

  it('counts from 2000-01-01 UTC', () => {
    expect(DUID_EPOCH_SEC).toBe(Date.UTC(2000, 0, 1) / 1000)
  })
})

describe('the hardware address in a DUID', () => {
  it('is found in LLT and LL', () => {
    expect(hardwareAddressOf(makeDuidLlt(1, 5, MAC))).toEqual({ type: 1, address: MAC })
    expect(hardwareAddressOf(makeDuidLl(0x0106, MAC))).toEqual({ type: 0x0106, address: MAC })
  })

  it('is not in EN, UUID or a type that is not known', () => {
    const others = [makeDuidEn(9, MAC), makeDuidUuid(new Uint8Array(16)), Uint8Array.of(0, 9, 0, 1, ...MAC)]
    expect(others.map(hardwareAddressOf)).toEqual([undefined, undefined, undefined])
  })

  it('takes 1 to 20 octets', () => {
    const of = (octets: number) => hardwareAddressOf(makeDuidLl(1, new Uint8Array(octets)))?.address.length
    expect([0, 1, 20, 21].map(of)).toEqual([undefined, 1, 20, undefined])
  })

  it.each([0, 1, 2, 3, 4])('is undefined for an LL cut to %i octets', (octets) => {
    expect(hardwareAddressOf(makeDuidLl(1, MAC).subarray(0, octets))).toBeUndefined()
  })
})
