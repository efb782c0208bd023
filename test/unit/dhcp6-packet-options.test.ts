import { describe, expect, it } from 'vitest'
import {
  clientDuid,
  clientFqdn6,
  elapsedTime,
  encodeExclude,
  hasOption,
  IA_MEMBERS_MAX,
  iaNaOption,
  iaNasOf,
  iaPdOption,
  iaPdsOf,
  IAS_MAX,
  requestedOptions,
  serverDuid,
  statusOf,
  statusOption,
} from '../../server/dhcp6/option-access.ts'
import type { IaNa, IaPd } from '../../server/dhcp6/option-access.ts'
import { OPTION6, STATUS6 } from '../../server/dhcp6/option-codes.ts'
import type { Option6 } from '../../server/dhcp6/packet.ts'

const option = (code: number, ...data: number[]): Option6 => ({ code, data: Uint8Array.from(data) })
const cut = ({ code, data }: Option6): Option6 => ({ code, data: data.subarray(0, -1) })
const longer = ({ code, data }: Option6): Option6 => ({ code, data: Uint8Array.of(...data, 0) })

const ADDRESS = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5)
const PREFIX = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0x80, 0, 0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0)
const status = { code: STATUS6.noBinding, message: 'no such binding' }

const iaNa: IaNa = {
  iaid: 0xffff_fffe,
  t1Sec: 1000,
  t2Sec: 0xffff_ffff,
  status,
  addresses: [
    { address: ADDRESS, preferredSec: 3000, validSec: 4000, status: undefined },
    { address: ADDRESS, preferredSec: 0, validSec: 0, status },
  ],
}
const iaPd: IaPd = {
  iaid: 1,
  t1Sec: 2,
  t2Sec: 3,
  status: undefined,
  prefixes: [
    {
      prefix: PREFIX,
      length: 56,
      preferredSec: 5,
      validSec: 6,
      status,
      exclude: Uint8Array.of(64, 0x01),
    },
  ],
}

describe('client and server identifier', () => {
  it.each([3, 14, 130])('is a DUID of %i octets', (octets) => {
    const data = new Uint8Array(octets).fill(1)
    expect(clientDuid([{ code: OPTION6.clientId, data }])).toEqual(data)
    expect(serverDuid([{ code: OPTION6.serverId, data }])).toEqual(data)
  })

  it.each([0, 2, 131])('is none with %i octets', (octets) => {
    const data = new Uint8Array(octets).fill(1)
    expect(clientDuid([{ code: OPTION6.clientId, data }])).toBeUndefined()
    expect(serverDuid([{ code: OPTION6.serverId, data }])).toBeUndefined()
  })

  it('is undefined when absent', () => {
    expect(clientDuid([])).toBeUndefined()
    expect(serverDuid([option(OPTION6.clientId, 0, 1, 2)])).toBeUndefined()
  })
})

describe('elapsed time, option request, status and flags', () => {
  const elapsed = option(OPTION6.elapsedTime, 0x01, 0x02)
  it('reads hundredths of a second from exactly two octets', () => {
    expect([[elapsed], [cut(elapsed)], [longer(elapsed)], []].map(elapsedTime)).toEqual([
      258,
      undefined,
      undefined,
      undefined,
    ])
  })

  it('reads requested codes in order, and none when there is no such option', () => {
    expect(requestedOptions([option(OPTION6.optionRequest, 0, 24, 0, 23, 1, 0)])).toEqual([24, 23, 256])
    expect(requestedOptions([])).toEqual([])
    expect(requestedOptions([option(OPTION6.optionRequest, ...new Array<number>(2000).fill(1))])).toHaveLength(512)
  })

  it('reads a status with and without text, and not from one octet', () => {
    expect(statusOf([statusOption(status.code, status.message)])).toEqual(status)
    expect(statusOf([option(OPTION6.statusCode, 0, 2)])).toEqual({ code: STATUS6.noAddrsAvail, message: '' })
    expect(statusOf([option(OPTION6.statusCode, 0)])).toBeUndefined()
    expect(statusOf([])).toBeUndefined()
  })

  it('sees flags by their presence', () => {
    expect(hasOption([option(OPTION6.rapidCommit)], OPTION6.rapidCommit)).toBe(true)
    expect(hasOption([], OPTION6.rapidCommit)).toBe(false)
  })
})

describe('IA_NA and IA_PD', () => {
  it('come back as they were written, several of each', () => {
    const second = { ...iaNa, iaid: 7, addresses: [], status: undefined }
    expect(iaNasOf([iaNaOption(iaNa), iaPdOption(iaPd), iaNaOption(second)])).toEqual([iaNa, second])
    expect(iaPdsOf([iaNaOption(iaNa), iaPdOption(iaPd)])).toEqual([iaPd])
  })

  it('are an empty list when absent', () => {
    expect([iaNasOf([]), iaPdsOf([])]).toEqual([[], []])
  })

  it('have the octets of RFC 8415 §21.4 and §21.6', () => {
    const { data } = iaNaOption({ ...iaNa, status: undefined, addresses: iaNa.addresses.slice(0, 1) })
    const header = 'fffffffe' + '000003e8' + 'ffffffff'
    const address = '00050018' + Buffer.from(ADDRESS).toString('hex') + '00000bb8' + '00000fa0'
    expect(Buffer.from(data).toString('hex')).toBe(header + address)
  })

  it.each([0, 4, 11])('are malformed with %i octets', (octets) => {
    expect(iaNasOf([option(OPTION6.iaNa, ...new Array<number>(octets).fill(0))])).toBeUndefined()
    expect(iaPdsOf([option(OPTION6.iaPd, ...new Array<number>(octets).fill(0))])).toBeUndefined()
  })

  it('are malformed when what is inside is cut or has an octet too many', () => {
    for (const wrong of [cut, longer]) {
      expect(iaNasOf([wrong(iaNaOption(iaNa))])).toBeUndefined()
      expect(iaPdsOf([wrong(iaPdOption(iaPd))])).toBeUndefined()
    }
  })

  it('are malformed with an address of 23 octets, a prefix of 24, or a prefix length of 129', () => {
    const header = new Array<number>(12).fill(0)
    expect(iaNasOf([option(OPTION6.iaNa, ...header, 0, 5, 0, 23, ...new Array<number>(23).fill(0))])).toBeUndefined()
    expect(iaPdsOf([option(OPTION6.iaPd, ...header, 0, 26, 0, 24, ...new Array<number>(24).fill(0))])).toBeUndefined()
    const long = [0, 26, 0, 25, ...new Array<number>(8).fill(0), 129, ...new Array<number>(16).fill(0)]
    expect(iaPdsOf([option(OPTION6.iaPd, ...header, ...long)])).toBeUndefined()
  })

  it('are bounded in number, and so are their addresses', () => {
    const empty = iaNaOption({ ...iaNa, addresses: [] })
    expect(iaNasOf(new Array<Option6>(IAS_MAX).fill(empty))).toHaveLength(IAS_MAX)
    expect(iaNasOf(new Array<Option6>(IAS_MAX + 1).fill(empty))).toBeUndefined()
    const [address] = iaNa.addresses
    const withAddresses = (count: number) =>
      iaNasOf([iaNaOption({ ...iaNa, addresses: new Array<IaNa['addresses'][0]>(count).fill(address!) })])
    expect(withAddresses(IA_MEMBERS_MAX)?.[0]?.addresses).toHaveLength(IA_MEMBERS_MAX)
    expect(withAddresses(IA_MEMBERS_MAX + 1)).toBeUndefined()
    // Together, that is: many IAs with many addresses each would cost too much.
    const half = new Array<IaNa['addresses'][0]>(IA_MEMBERS_MAX / 2).fill(address!)
    const [first, second] = [1, 2].map((iaid) => iaNaOption({ ...iaNa, iaid, addresses: half }))
    expect(iaNasOf([first!, second!])).toHaveLength(2)
    expect(iaNasOf([first!, second!, iaNaOption({ ...iaNa, iaid: 3 })])).toBeUndefined()
  })

  it.each([
    [0, '00000000000000000000000000000000'],
    [29, '20010db8000000000000000000000000'],
    [33, '20010db8800000000000000000000000'],
    [50, '20010db8800080000000000000000000'],
    [56, '20010db88000ab000000000000000000'],
    [64, '20010db88000abff0000000000000000'],
    [127, '20010db88000abfffffffffffffffffe'],
    [128, '20010db88000abffffffffffffffffff'],
  ])('lose the bits behind a prefix length of %i (§21.22)', (length, expected) => {
    const prefix = Uint8Array.from(Buffer.from('20010db88000abffffffffffffffffff', 'hex'))
    const [before] = iaPd.prefixes
    const read = iaPdsOf([iaPdOption({ ...iaPd, prefixes: [{ ...before!, prefix, length }] })])
    expect(Buffer.from(read?.[0]?.prefixes[0]?.prefix ?? []).toString('hex')).toBe(expected)
  })
})

describe('excluded prefix', () => {
  // 2001:db8:8000:ab00::/56 without 2001:db8:8000:abcd::/64: the 8 bits in between are 0xcd.
  const excluded = 0x20010db88000abcd_0000000000000000n
  it.each([
    [64, 56, '40cd'],
    [60, 56, '3cc0'],
    [64, 48, '40abcd'],
    [57, 56, '3980'],
    [66, 63, '4280'],
  ])('of %i bits in one of %i holds the bits in between, from the left (RFC 6603 §4.2)', (length, delegated, hex) => {
    expect(Buffer.from(encodeExclude(excluded, length, delegated)).toString('hex')).toBe(hex)
  })
})

describe('client FQDN', () => {
  const fqdn = (...data: number[]) => clientFqdn6([option(OPTION6.clientFqdn, ...data)])

  it('reads flags and labels, with or without the root label', () => {
    expect(fqdn(5, 2, 0x68, 0x31, 1, 0x7a, 0)).toEqual({ flags: 5, name: 'h1.z' })
    expect(fqdn(0, 2, 0x68, 0x31)).toEqual({ flags: 0, name: 'h1' })
    expect(fqdn(1)).toEqual({ flags: 1, name: '' })
  })

  it('reads none from cut labels, compression pointers, or labels that are no text', () => {
    expect([fqdn(), fqdn(0, 2, 0x68), fqdn(0, 0xc0, 0x0c), fqdn(0, 1, 0x2e), fqdn(0, 1, 0x07)]).toEqual(
      new Array(5).fill(undefined),
    )
    expect(clientFqdn6([])).toBeUndefined()
  })
})
