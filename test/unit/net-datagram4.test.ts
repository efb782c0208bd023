import { describe, expect, it } from 'vitest'
import { HEADER_BYTES, internetChecksum, writeDatagram4 } from '../../server/net/datagram4.ts'

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/\s+/g, ''), 'hex'))

describe('internetChecksum', () => {
  it('sums the example of RFC 1071 §3', () => {
    const example = bytesOf('0001 f203 f4f5 f6f7')
    expect(internetChecksum(example, 0, example.length)).toBe(~0xddf2 & 0xffff)
  })

  it('is zero over an IP header that carries its checksum', () => {
    // 172.16.10.99 to 172.16.10.12, TCP, 60 octets
    const header = bytesOf('4500 003c 1c46 4000 4006 b1e6 ac10 0a63 ac10 0a0c')
    expect(internetChecksum(header, 0, header.length)).toBe(0)
    header.fill(0, 10, 12)
    expect(internetChecksum(header, 0, header.length)).toBe(0xb1e6)
  })

  it('counts an odd last octet as the high half of a word', () => {
    expect(internetChecksum(bytesOf('0102 03'), 0, 3)).toBe(~(0x0102 + 0x0300) & 0xffff)
  })

  it('folds every carry of a large datagram of ones', () => {
    expect(internetChecksum(new Uint8Array(65_534).fill(0xff), 0, 65_534)).toBe(0)
  })
})

describe('writeDatagram4', () => {
  const flow = {
    sourceAddress: 0xc6120001, // 198.18.0.1
    sourcePort: 67,
    destinationAddress: 0xc6120063, // 198.18.0.99
    destinationPort: 68,
  }

  it('writes the headers that a hand calculation gives', () => {
    const packet = new Uint8Array(100)
    const length = writeDatagram4(packet, flow, bytesOf('68 69 21'))
    // IP: 4500+001f+0000+4000+4011+c612+0001+c612+0063 = 251b8 -> 51ba -> ~ ae45
    // UDP: c612+0001+c612+0063+0011+000b (pseudo header) +0043+0044+000b +6869+2100 = 2169f -> 16a1 -> ~ e95e
    expect(Buffer.from(packet.subarray(0, length)).toString('hex')).toBe(
      '4500001f000040004011ae45c6120001c6120063' + '00430044000be95e' + '686921',
    )
  })

  it('sends 0xffff for a UDP checksum of zero, since zero means none (RFC 768)', () => {
    // Two octets of payload that bring the sum to 0xffff, found from the checksum that two zero octets give.
    const packet = new Uint8Array(100)
    writeDatagram4(packet, flow, bytesOf('0000'))
    const sumOfRest = ~((packet[26] as number) * 256 + (packet[27] as number)) & 0xffff
    const complement = 0xffff - sumOfRest
    writeDatagram4(packet, flow, Uint8Array.of(complement >>> 8, complement & 0xff))
    expect([packet[26], packet[27]]).toEqual([0xff, 0xff])
  })

  it('writes nothing when the packet does not fit', () => {
    expect(writeDatagram4(new Uint8Array(HEADER_BYTES + 2), flow, new Uint8Array(3))).toBe(0)
    expect(writeDatagram4(new Uint8Array(70_000), flow, new Uint8Array(65_536 - HEADER_BYTES))).toBe(0)
  })

  it('leaves nothing of a longer packet written before', () => {
    const reused = new Uint8Array(200)
    writeDatagram4(reused, flow, new Uint8Array(150).fill(7))
    const length = writeDatagram4(reused, flow, bytesOf('68 69 21'))
    const fresh = new Uint8Array(200)
    writeDatagram4(fresh, flow, bytesOf('68 69 21'))
    expect(reused.subarray(0, length)).toEqual(fresh.subarray(0, length))
  })
})
