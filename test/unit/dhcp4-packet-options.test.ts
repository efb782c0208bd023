import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import {
  clientFqdn,
  clientIdentifier,
  encodeClientFqdn,
  hostname,
  leaseTime,
  maxMessageSize,
  messageType,
  parameterRequestList,
  printableText,
  requestedAddress,
  serverIdentifier,
  wantsBroadcast,
  wantsRapidCommit,
} from '../../server/dhcp4/option-access.ts'
import type { ClientFqdn } from '../../server/dhcp4/option-access.ts'
import {
  decodeRelayAgent,
  encodeRelayAgent,
  linkSelection,
  receivedByUnicast,
  relayAgentOf,
  serverIdOverride,
  wantsSourcePort,
} from '../../server/dhcp4/option-relay.ts'
import type { RelayAgent } from '../../server/dhcp4/option-relay.ts'
import type { Packet4 } from '../../server/dhcp4/packet.ts'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

const having = (code: number, value: Uint8Array | undefined): Packet4 => ({
  op: 1,
  htype: 1,
  hops: 0,
  xid: 1,
  secs: 0,
  flags: 0,
  ciaddr: 0,
  yiaddr: 0,
  siaddr: 0,
  giaddr: 0,
  chaddr: new Uint8Array(6),
  sname: new Uint8Array(0),
  file: new Uint8Array(0),
  options: value === undefined ? new Map() : new Map([[code, value]]),
})

describe('options of a fixed size', () => {
  const cases: readonly (readonly [string, (packet: Packet4) => number | undefined, number, number[], number])[] = [
    ['message type', messageType, 53, [3], 3],
    ['requested address', requestedAddress, 50, [0xc6, 0x33, 0x64, 0x0a], 0xc633640a],
    ['server identifier', serverIdentifier, 54, [255, 255, 255, 255], 0xffffffff],
    ['lease time', leaseTime, 51, [0, 0, 0x0e, 0x10], 3600],
    ['max message size', maxMessageSize, 57, [0x05, 0xdc], 1500],
  ]
  it.each(cases)('%s: exact, short, long and absent', (_name, read, code, octets, value) => {
    const exact = Uint8Array.from(octets)
    expect(read(having(code, exact))).toBe(value)
    expect(read(having(code, exact.subarray(1)))).toBeUndefined()
    expect(read(having(code, Uint8Array.of(...octets, 0)))).toBeUndefined()
    expect(read(having(code, undefined))).toBeUndefined()
  })

  it('takes a client identifier of two octets and more', () => {
    expect(clientIdentifier(having(61, Uint8Array.of(1, 2)))).toEqual(Uint8Array.of(1, 2))
    expect(clientIdentifier(having(61, Uint8Array.of(1)))).toBeUndefined()
    expect(clientIdentifier(having(61, undefined))).toBeUndefined()
  })

  it('gives lists and flags as they come', () => {
    expect(parameterRequestList(having(55, Uint8Array.of(6, 1)))).toEqual(Uint8Array.of(6, 1))
    expect(wantsRapidCommit(having(80, new Uint8Array(0)))).toBe(true)
    expect(wantsRapidCommit(having(80, undefined))).toBe(false)
    expect(wantsBroadcast({ ...having(1, undefined), flags: 0x8000 })).toBe(true)
    expect(wantsBroadcast({ ...having(1, undefined), flags: 0x7fff })).toBe(false)
  })
})

describe('host name', () => {
  it.each([
    ['plain', text('desk-7'), 'desk-7'],
    ['ended with zeros by the client', text('desk-7\0\0'), 'desk-7'],
    ['UTF-8', text('büro'), 'büro'],
    ['empty', text(''), undefined],
    ['only zeros', text('\0'), undefined],
    ['a zero inside, which SQL text cannot hold', text('a\0b'), undefined],
    ['a line feed, which would break a log line', text('a\nb'), undefined],
    ['not UTF-8', Uint8Array.of(0x61, 0xff), undefined],
    ['a C1 control character', text('a\u0085b'), undefined],
  ])('%s', (_name, bytes, expected) => {
    expect(hostname(having(12, bytes))).toBe(expected)
  })

  it('keeps a byte order mark out of nobody’s sight', () => {
    expect(printableText(text('\ufeffa'))).toBe('\ufeffa')
  })
})

describe('client FQDN (RFC 4702)', () => {
  const fqdn = (flags: number, name: Uint8Array): ClientFqdn | undefined =>
    clientFqdn(having(81, Uint8Array.of(flags, 0, 0, ...name)))
  const wire = Uint8Array.of(2, 0x70, 0x63, 3, 0x6f, 0x72, 0x67)

  it('reads the wire form, whole and partial', () => {
    const whole = fqdn(0x05, Uint8Array.of(...wire, 0))
    expect(whole).toEqual({
      server: true,
      overridden: false,
      encoded: true,
      noUpdate: false,
      name: 'pc.org',
      partial: false,
    })
    expect(fqdn(0x04, wire)).toMatchObject({ server: false, name: 'pc.org', partial: true })
  })

  it('reads the ASCII form, whole and partial, with a zero at the end', () => {
    expect(fqdn(0x08, text('pc.org.'))).toMatchObject({
      noUpdate: true,
      encoded: false,
      name: 'pc.org',
      partial: false,
    })
    expect(fqdn(0x00, text('pc\0'))).toMatchObject({ name: 'pc', partial: true })
  })

  it('takes no name as an empty partial one', () => {
    expect(fqdn(0x04, new Uint8Array(0))).toMatchObject({ name: '', partial: true })
    expect(fqdn(0x00, new Uint8Array(0))).toMatchObject({ name: '', partial: true })
  })

  it.each([
    ['a label past the end', 0x04, [5, 0x61]],
    ['a compression pointer', 0x04, [0xc0, 0]],
    ['octets behind the root', 0x04, [1, 0x61, 0, 0]],
    ['a dot inside a label', 0x04, [3, 0x61, 0x2e, 0x62]],
    ['a zero inside a label', 0x04, [3, 0x61, 0, 0x62]],
    ['an empty label in ASCII', 0x00, [0x61, 0x2e, 0x2e, 0x62]],
    ['a blank in ASCII', 0x00, [0x61, 0x20, 0x62]],
  ])('refuses %s', (_name, flags, name) => {
    expect(fqdn(flags, Uint8Array.from(name))).toBeUndefined()
  })

  it('is absent when shorter than its three fixed octets', () => {
    expect(clientFqdn(having(81, Uint8Array.of(0, 0)))).toBeUndefined()
    expect(clientFqdn(having(81, undefined))).toBeUndefined()
  })

  it.each([true, false])('answers in the form the client used (encoded %s)', (encoded) => {
    for (const partial of [true, false]) {
      const answer = { server: true, overridden: true, encoded, noUpdate: false, name: 'pc.example.org', partial }
      const bytes = encodeClientFqdn(answer)
      expect(bytes?.subarray(1, 3)).toEqual(Uint8Array.of(255, 255))
      expect(clientFqdn(having(81, bytes))).toEqual(answer)
    }
  })

  it('does not encode a name that is none', () => {
    const answer = { server: true, overridden: false, encoded: true, noUpdate: false, partial: false }
    expect(encodeClientFqdn({ ...answer, name: 'a..b' })).toBeUndefined()
    expect(encodeClientFqdn({ ...answer, name: 'a'.repeat(64) })).toBeUndefined()
    expect(encodeClientFqdn({ ...answer, name: '' })).toEqual(Uint8Array.of(0x05, 255, 255))
  })
})

describe('relay agent information (option 82)', () => {
  const agent = (octets: number[]): RelayAgent => {
    const read = decodeRelayAgent(Uint8Array.from(octets))
    if (read === null) throw new Error('malformed')
    return read
  }

  it('reads the suboptions and writes the same octets', () => {
    const octets = [1, 2, 0x61, 0x62, 2, 0, 5, 4, 198, 51, 100, 0, 11, 4, 198, 51, 100, 1, 19, 0, 152, 0]
    const read = agent(octets)
    expect([...read.keys()]).toEqual([1, 2, 5, 11, 19, 152])
    expect(linkSelection(read)).toBe(0xc6336400)
    expect(serverIdOverride(read)).toBe(0xc6336401)
    expect(wantsSourcePort(read)).toBe(true)
    expect(encodeRelayAgent(read)).toEqual(E.right(Uint8Array.from(octets)))
  })

  it('knows no pad and no end: 0 and 255 are suboptions', () => {
    expect([...agent([0, 1, 7, 255, 0]).keys()]).toEqual([0, 255])
  })

  it('takes the first of a repeated suboption', () => {
    expect(agent([1, 1, 7, 1, 1, 8]).get(1)).toEqual(Uint8Array.of(7))
  })

  it.each([[[1]], [[1, 2, 0]], [[1, 1, 7, 2]]])('is malformed when cut off: %j', (octets) => {
    expect(decodeRelayAgent(Uint8Array.from(octets))).toBeNull()
    expect(relayAgentOf(having(82, Uint8Array.from(octets)))).toBeUndefined()
  })

  it('reads the flags of RFC 5010 and addresses only in their size', () => {
    expect(receivedByUnicast(agent([10, 1, 0x80]))).toBe(true)
    expect(receivedByUnicast(agent([10, 1, 0]))).toBe(false)
    expect(receivedByUnicast(agent([10, 0]))).toBeUndefined()
    expect(linkSelection(agent([5, 3, 1, 2, 3]))).toBeUndefined()
    expect(linkSelection(agent([]))).toBeUndefined()
  })

  it('does not write what a length octet cannot say', () => {
    expect(E.isLeft(encodeRelayAgent(new Map([[1, new Uint8Array(256)]])))).toBe(true)
  })
})
