import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import { messageType, parameterRequestList } from '../../server/dhcp4/option-access.ts'
import { OPTION4 } from '../../server/dhcp4/option-codes.ts'
import { decodePacket4, encodePacket4, payloadOctetsMax } from '../../server/dhcp4/packet.ts'
import type { Packet4 } from '../../server/dhcp4/packet.ts'
import { readCorpus } from './corpus.ts'

const octets = (length: number, value = 0x61): Uint8Array => new Uint8Array(length).fill(value)

const reply = (options: readonly (readonly [number, Uint8Array])[], more: Partial<Packet4> = {}): Packet4 => ({
  op: 2,
  htype: 1,
  hops: 0,
  xid: 0xdeadbeef,
  secs: 0,
  flags: 0x8000,
  ciaddr: 0,
  yiaddr: 0xc633640a,
  siaddr: 0,
  giaddr: 0xffffffff,
  chaddr: Uint8Array.of(0, 0x0b, 0x82, 1, 0xfc, 0x42),
  sname: new Uint8Array(0),
  file: new Uint8Array(0),
  options: new Map(options),
  ...more,
})

const ack = [OPTION4.messageType, Uint8Array.of(5)] as const

const decoded = (bytes: Uint8Array): Packet4 => {
  const packet = decodePacket4(bytes)
  if (E.isLeft(packet)) throw new Error(packet.left._tag)
  return packet.right
}

describe('corpus of DHCPv4 packets', () => {
  for (const { name, expected, bytes } of readCorpus(4)) {
    it(`${name} is ${expected}`, () => {
      const packet = decodePacket4(bytes)
      expect(E.isLeft(packet) ? packet.left._tag : 'ok').toBe(expected)
    })
  }

  const named = (name: string): Packet4 => {
    const found = readCorpus(4).find((packet) => packet.name === name)
    if (found === undefined) throw new Error(`no ${name} in the corpus`)
    return decoded(found.bytes)
  }

  it('joins the parts of a repeated option and keeps the order of their first parts', () => {
    const packet = named('repeated-option')
    expect(parameterRequestList(packet)).toEqual(Uint8Array.of(1, 3, 6, 15))
    expect([...packet.options.keys()]).toEqual([53, 55, 12])
  })

  it('reads file before sname, takes both as used up, and forgets option 52', () => {
    const packet = named('overload-both')
    expect(packet.options.get(12)).toEqual(Uint8Array.of(0x61, 0x62))
    expect(packet.options.has(52)).toBe(false)
    expect([packet.sname.length, packet.file.length]).toEqual([0, 0])
  })

  it('reads what stands between pads and stops at the end', () => {
    expect([...named('pads-between').options.keys()]).toEqual([53, 50])
    expect([...named('garbage-after-end').options.keys()]).toEqual([53])
  })

  it('names the octet where an option is cut off', () => {
    const found = readCorpus(4).find((packet) => packet.name === 'value-past-end')
    expect(decodePacket4(found?.bytes ?? new Uint8Array(0))).toEqual(E.left({ _tag: 'truncatedOption', offset: 243 }))
  })
})

describe('decodePacket4', () => {
  it('reads every fixed field, addresses as unsigned numbers', () => {
    const bytes = encodePacket4(reply([ack], { sname: octets(64), file: octets(3), hops: 3, secs: 0xffff, ciaddr: 1 }))
    const packet = decoded(bytes)
    expect(packet).toEqual(reply([ack], { sname: octets(64), file: octets(3), hops: 3, secs: 0xffff, ciaddr: 1 }))
  })

  it('reads a Buffer in the middle of a pool as it reads plain octets', () => {
    const bytes = encodePacket4(reply([ack]))
    const pool = Buffer.concat([octets(7), bytes, octets(9)])
    expect(decoded(pool.subarray(7, 7 + bytes.length))).toEqual(reply([ack]))
  })
})

describe('encodePacket4', () => {
  it('pads to the 300 octets of BOOTP behind the end option', () => {
    const bytes = encodePacket4(reply([ack]))
    expect(bytes.length).toBe(300)
    expect(bytes.subarray(240, 244)).toEqual(Uint8Array.of(53, 1, 5, 255))
    expect(bytes.subarray(244).every((octet) => octet === 0)).toBe(true)
  })

  it('puts the message type first and the relay agent information last', () => {
    const bytes = encodePacket4(reply([[82, Uint8Array.of(1, 1, 7)], [1, octets(4)], ack]))
    expect(bytes.subarray(240, 255)).toEqual(Uint8Array.of(53, 1, 5, 1, 4, 0x61, 0x61, 0x61, 0x61, 82, 3, 1, 1, 7, 255))
  })

  it.each([
    [254, [254]],
    [255, [255]],
    [256, [255, 1]],
    [510, [255, 255]],
    [511, [255, 255, 1]],
  ])('splits an option of %i octets into parts of %j', (length, parts) => {
    const bytes = encodePacket4(reply([ack, [43, octets(length)]]))
    const lengths: number[] = []
    for (let at = 243; bytes[at] === 43; at += 2 + (bytes[at + 1] as number)) lengths.push(bytes[at + 1] as number)
    expect(lengths).toEqual(parts)
    expect(decoded(bytes).options.get(43)).toEqual(octets(length))
  })

  it('writes an empty option, and none of the codes 0, 52 and 255', () => {
    const bytes = encodePacket4(reply([ack, [80, octets(0)], [0, octets(1)], [52, octets(1)], [255, octets(1)]]))
    expect(bytes.subarray(240, 246)).toEqual(Uint8Array.of(53, 1, 5, 80, 0, 255))
  })
})

describe('encodePacket4 with a size limit', () => {
  const limit = payloadOctetsMax(undefined)

  it('takes 548 octets of payload for a client that names no size or a smaller one', () => {
    expect([limit, payloadOctetsMax(300), payloadOctetsMax(1500)]).toEqual([548, 548, 1472])
  })

  it('leaves a message alone that just fits', () => {
    const bytes = encodePacket4(reply([ack, [12, octets(limit - 240 - 3 - 2 - 1 - 202)], [15, octets(200)]]), {
      maxSize: limit,
    })
    expect(bytes.length).toBe(limit)
    expect(decoded(bytes).options.has(52)).toBe(false)
    expect(bytes[108]).toBe(0)
  })

  it('overloads file, then sname, and a decoder finds all options again', () => {
    const options = [ack, [12, octets(255)], [15, octets(120, 0x62)], [17, octets(60, 0x63)]] as const
    const bytes = encodePacket4(reply(options), { maxSize: limit })
    expect(bytes.length).toBeLessThanOrEqual(limit)
    expect([bytes[108], bytes[44]]).toEqual([15, 17])
    expect(new Map(decoded(bytes).options)).toEqual(new Map(options))
  })

  it('keeps off the fields that are in use, and drops the last of what does not fit', () => {
    const dropped: number[] = []
    const options = [ack, [12, octets(255)], [15, octets(60)], [17, octets(60)], [40, octets(1)]] as const
    const bytes = encodePacket4(reply(options, { file: octets(5) }), {
      maxSize: limit,
      onDropped: (code) => dropped.push(code),
    })
    expect(dropped).toEqual([17])
    expect(decoded(bytes).file).toEqual(octets(5))
    expect([...decoded(bytes).options.keys()]).toEqual([53, 12, 40, 15])
  })

  it('drops neither essential options nor the relay agent information', () => {
    const options = [
      [15, octets(250)],
      [43, octets(250)],
      ack,
      [54, octets(4)],
      [51, octets(4)],
      [82, octets(120)],
      [61, octets(100)],
    ] as const
    const dropped: number[] = []
    const bytes = encodePacket4(reply(options), { maxSize: limit, onDropped: (code) => dropped.push(code) })
    expect(dropped).toEqual([15, 43])
    expect([...decoded(bytes).options.keys()]).toEqual([53, 54, 51, 61, 82])
    expect(bytes.length).toBeLessThanOrEqual(limit)
  })

  it('leaves the type of the message where readers look first', () => {
    const bytes = encodePacket4(reply([[15, octets(250)], [43, octets(250)], ack]), { maxSize: limit })
    expect(bytes.subarray(240, 243)).toEqual(Uint8Array.of(53, 1, 5))
    expect(messageType(decoded(bytes))).toBe(5)
  })
})
