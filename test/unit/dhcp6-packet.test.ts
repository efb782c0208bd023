import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import { MESSAGE6, OPTION6 } from '../../server/dhcp6/option-codes.ts'
import { validate6 } from '../../server/dhcp6/packet-validate.ts'
import { decodePacket6, encodePacket6, relaysOfReply, RELAYS_MAX } from '../../server/dhcp6/packet.ts'
import type { Option6, Packet6, Relay6 } from '../../server/dhcp6/packet.ts'
import { readCorpus } from './corpus.ts'

const option = (code: number, ...data: number[]): Option6 => ({ code, data: Uint8Array.from(data) })
const relay = (hopCount: number, options: Option6[] = []): Relay6 => ({
  hopCount,
  linkAddress: new Uint8Array(16).fill(hopCount),
  peerAddress: new Uint8Array(16).fill(0xfe),
  options,
})
const message = (messageType: number, options: Option6[] = [], relays: Relay6[] = []): Packet6 => ({
  relays,
  messageType,
  transactionId: 0xabcdef,
  options,
})
/** Octets of a message that fits into a datagram. */
const encoded = (packet: Packet6, relayType?: number): Uint8Array => {
  const bytes = encodePacket6(packet, relayType)
  if (bytes === undefined) throw new Error('the message is too long')
  return bytes
}
const decoded = (bytes: Uint8Array, relayType?: number): Packet6 => {
  const packet = decodePacket6(bytes, relayType)
  if (E.isLeft(packet)) throw new Error(packet.left._tag)
  return packet.right
}
const clientId = option(OPTION6.clientId, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1)
const serverId = option(OPTION6.serverId, 0, 3, 0, 1, 2, 0, 0, 0, 0, 2)

describe('corpus of DHCPv6 datagrams', () => {
  for (const { name, expected, bytes } of readCorpus(6)) {
    it(`${name} is ${expected}`, () => {
      const packet = decodePacket6(bytes)
      expect(E.isLeft(packet) ? packet.left._tag : (validate6(packet.right) ?? 'ok')).toBe(expected)
    })
  }
})

describe('a DHCPv6 message', () => {
  it('has the octets of RFC 8415 §8', () => {
    const bytes = encoded(message(MESSAGE6.solicit, [option(OPTION6.elapsedTime, 1, 2), option(14)]))
    expect(Buffer.from(bytes).toString('hex')).toBe('01abcdef' + '000800020102' + '000e0000')
  })

  it('keeps the order of options, repeats, and those it does not know', () => {
    const options = [option(60000, 1), option(OPTION6.iaNa, 2), option(60000, 3), option(OPTION6.iaNa), clientId]
    expect(decoded(encoded(message(MESSAGE6.solicit, options))).options).toEqual(options)
  })

  it('is read as views of the datagram', () => {
    const bytes = encoded(message(MESSAGE6.solicit, [clientId], [relay(1)]), MESSAGE6.relayForward)
    const { relays, options } = decoded(bytes)
    for (const view of [options[0]?.data, relays[0]?.linkAddress, relays[0]?.peerAddress]) {
      expect(view?.buffer).toBe(bytes.buffer)
    }
  })

  it('is refused beyond 65,527 octets, and not written either', () => {
    expect(decodePacket6(new Uint8Array(65_528))).toMatchObject({ left: { _tag: 'tooLong' } })
    const longest = { code: 60000, data: new Uint8Array(65_527 - 4 - 4) }
    expect(encodePacket6(message(MESSAGE6.reply, [longest]))).toHaveLength(65_527)
    expect(encodePacket6(message(MESSAGE6.reply, [longest, option(1)]))).toBeUndefined()
    expect(encodePacket6(message(MESSAGE6.reply, [{ code: 60000, data: new Uint8Array(65_536) }]))).toBeUndefined()
  })
})

describe('relays around a message', () => {
  const within = (count: number): Uint8Array =>
    encoded(
      message(
        MESSAGE6.solicit,
        [clientId],
        Array.from({ length: count }, (_, i) => relay(count - 1 - i, [option(OPTION6.interfaceId, i)])),
      ),
      MESSAGE6.relayForward,
    )

  it.each([0, 1, 2, 31, RELAYS_MAX])('are read when they are %i, the nearest to the server first', (count) => {
    const packet = decoded(within(count))
    expect(packet.relays.map(({ hopCount }) => hopCount)).toEqual(
      Array.from({ length: count }, (_, i) => count - 1 - i),
    )
    expect(packet.relays.map(({ options }) => options[0]?.data[0])).toEqual(packet.relays.map((_, i) => i))
    expect(packet).toMatchObject({ messageType: MESSAGE6.solicit, transactionId: 0xabcdef, options: [clientId] })
  })

  it.each([RELAYS_MAX + 1, RELAYS_MAX + 2, 200])('are refused when they are %i', (count) => {
    expect(decodePacket6(within(count))).toMatchObject({ left: { _tag: 'tooManyRelays' } })
  })

  it('says where in the datagram a fault in the innermost message is', () => {
    const bytes = within(2)
    const cut = bytes.indexOf(OPTION6.clientId, bytes.length - clientId.data.length - 4)
    bytes[cut + 2] = 0xff
    expect(decodePacket6(bytes)).toMatchObject({ left: { _tag: 'truncatedOption', offset: cut - 1 } })
  })
})

describe('relays of a reply', () => {
  const remoteId = option(OPTION6.remoteId, 0, 0, 0, 9, 1)
  const subscriberId = option(OPTION6.subscriberId, 0x61)

  it('return addresses, interface-id and relay source port, and nothing else unasked', () => {
    const kept = [option(OPTION6.interfaceId, 1), option(OPTION6.relaySourcePort, 0, 0)]
    const [layer] = relaysOfReply([relay(3, [remoteId, ...kept, subscriberId])])
    expect(layer).toEqual(relay(3, kept))
  })

  it('echo what the echo request option lists, in each layer for itself (RFC 4994)', () => {
    const echoRequest = option(OPTION6.echoRequest, 0, OPTION6.remoteId, 0, 99)
    const layers = relaysOfReply([relay(1, [remoteId, subscriberId, echoRequest]), relay(0, [remoteId])])
    expect(layers).toEqual([relay(1, [remoteId]), relay(0)])
  })

  it('wrap the reply in Relay-reply messages in the order of the request', () => {
    const bytes = encoded(message(MESSAGE6.reply, [clientId, serverId], relaysOfReply([relay(1), relay(0)])))
    const innerAt = 34 + 4
    expect([bytes[0], bytes[1], bytes[innerAt], bytes[innerAt + 1]]).toEqual([
      MESSAGE6.relayReply,
      1,
      MESSAGE6.relayReply,
      0,
    ])
    expect(decoded(bytes, MESSAGE6.relayReply)).toMatchObject({
      messageType: MESSAGE6.reply,
      options: [clientId, serverId],
    })
  })

  it('that no datagram can hold are not sent', () => {
    const echoRequest = option(OPTION6.echoRequest, 0, OPTION6.remoteId)
    const large = { code: OPTION6.remoteId, data: new Uint8Array(32_000) }
    const around = relaysOfReply([relay(1, [large, echoRequest]), relay(0, [large, echoRequest])])
    expect(encodePacket6(message(MESSAGE6.reply, [clientId], around.slice(1)))).toHaveLength(
      4 + 14 + 34 + 4 + 4 + 32_000,
    )
    expect(encodePacket6(message(MESSAGE6.reply, [{ code: 60000, data: large.data }], around))).toBeUndefined()
  })

  it('are Relay-reply towards clients and Relay-forward towards servers, also further in (§16.13, §16.14)', () => {
    const { relayForward, relayReply } = MESSAGE6
    const forward = encoded(message(MESSAGE6.solicit, [clientId], [relay(1), relay(0)]), relayForward)
    const reply = encoded(message(MESSAGE6.reply, [clientId], [relay(1), relay(0)]), relayReply)
    expect(decodePacket6(reply)).toMatchObject({ left: { _tag: 'wrongDirection', offset: 0 } })
    expect(decodePacket6(forward, relayReply)).toMatchObject({ left: { _tag: 'wrongDirection', offset: 0 } })
    forward[34 + 4] = relayReply
    expect(decodePacket6(forward)).toMatchObject({ left: { _tag: 'wrongDirection', offset: 34 + 4 } })
  })
})

describe('validation by RFC 8415 §16', () => {
  const { solicit, request, confirm, renew, rebind, release, decline } = MESSAGE6

  it.each([solicit, confirm, rebind])('message %i goes to any server', (type) => {
    expect(validate6(message(type, [clientId]))).toBeUndefined()
    expect(validate6(message(type))).toBe('noClientId')
    expect(validate6(message(type, [clientId, serverId]))).toBe('unexpectedServerId')
  })

  it.each([request, renew, release, decline])('message %i goes to one server', (type) => {
    expect(validate6(message(type, [clientId, serverId]))).toBeUndefined()
    expect(validate6(message(type, [serverId]))).toBe('noClientId')
    expect(validate6(message(type, [clientId]))).toBe('noServerId')
  })

  it('lets an Information-request go without identifiers, and keeps IAs out of it', () => {
    expect(validate6(message(MESSAGE6.informationRequest))).toBeUndefined()
    expect(validate6(message(MESSAGE6.informationRequest, [clientId, serverId]))).toBeUndefined()
    for (const ia of [OPTION6.iaNa, OPTION6.iaTa, OPTION6.iaPd]) {
      expect(validate6(message(MESSAGE6.informationRequest, [option(ia)]))).toBe('unexpectedIa')
    }
  })

  it.each([MESSAGE6.advertise, MESSAGE6.reply, MESSAGE6.reconfigure])('message %i is not for servers', (type) => {
    expect(validate6(message(type, [clientId, serverId]))).toBe('notForServers')
  })

  it.each([0, 14, 255])('message %i is not one of RFC 8415', (type) => {
    expect(validate6(message(type, [clientId, serverId]))).toBe('unknownType')
  })

  it('refuses two client or server identifiers, and one that is no DUID', () => {
    expect(validate6(message(solicit, [clientId, clientId]))).toBe('repeatedIdentifier')
    expect(validate6(message(request, [clientId, serverId, serverId]))).toBe('repeatedIdentifier')
    expect(validate6(message(solicit, [option(OPTION6.clientId, 0, 1)]))).toBe('badIdentifier')
    expect(validate6(message(MESSAGE6.informationRequest, [option(OPTION6.serverId, 0, 1)]))).toBe('badIdentifier')
  })

  it('refuses an IAID that comes twice among the IAs of a kind', () => {
    const ia = (code: number, iaid: number) => option(code, 0xff, 0, 0, iaid, ...new Array<number>(8).fill(0))
    const { iaNa, iaPd } = OPTION6
    expect(validate6(message(solicit, [clientId, ia(iaNa, 1), ia(iaPd, 1), ia(iaNa, 2)]))).toBeUndefined()
    expect(validate6(message(solicit, [clientId, ia(iaNa, 1), ia(iaNa, 2), ia(iaNa, 1)]))).toBe('repeatedIaid')
    expect(validate6(message(solicit, [clientId, ia(iaPd, 7), ia(iaPd, 7)]))).toBe('repeatedIaid')
  })
})
