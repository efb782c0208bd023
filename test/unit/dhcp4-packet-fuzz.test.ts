import * as E from 'fp-ts/lib/Either.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  clientFqdn,
  clientIdentifier,
  encodeClientFqdn,
  hostname,
  maxMessageSize,
  messageType,
  requestedAddress,
  vendorClass,
} from '../../server/dhcp4/option-access.ts'
import { linkSelection, relayAgentOf } from '../../server/dhcp4/option-relay.ts'
import { decodePacket4, encodePacket4 } from '../../server/dhcp4/packet.ts'
import type { Packet4 } from '../../server/dhcp4/packet.ts'
import { readCorpus } from './corpus.ts'

/** Fixed, so that a run is the same everywhere; a failure found with another one is kept as a packet of the corpus. */
const SEED = 2131

const uint8 = fc.integer({ min: 0, max: 0xff })
const uint16 = fc.integer({ min: 0, max: 0xffff })
const uint32 = fc.integer({ min: 0, max: 0xffffffff })
const field = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((bytes) => bytes.map((octet) => (octet === 0 ? 1 : octet)))

/** Codes in the order in which encoding writes them: 53 first, 82 last, none of the encoder's own. */
const optionEntries = fc
  .uniqueArray(
    fc.tuple(
      fc.integer({ min: 1, max: 254 }).filter((code) => code !== 52),
      fc.oneof({ weight: 9, arbitrary: fc.uint8Array({ maxLength: 40 }) }, fc.uint8Array({ maxLength: 700 })),
    ),
    { maxLength: 12, selector: ([code]) => code },
  )
  .map((entries) => [
    ...entries.filter(([code]) => code === 53),
    ...entries.filter(([code]) => code !== 53 && code !== 82),
    ...entries.filter(([code]) => code === 82),
  ])

const packets: fc.Arbitrary<Packet4> = fc.record({
  op: fc.constantFrom(1, 2),
  htype: uint8,
  hops: uint8,
  xid: uint32,
  secs: uint16,
  flags: uint16,
  ciaddr: uint32,
  yiaddr: uint32,
  siaddr: uint32,
  giaddr: uint32,
  chaddr: fc.uint8Array({ maxLength: 16 }),
  sname: field(64),
  file: field(128),
  options: optionEntries.map((entries) => new Map(entries)),
})

/** Whatever a handler may ask of a packet. */
const readEverything = (packet: Packet4): void => {
  messageType(packet)
  requestedAddress(packet)
  maxMessageSize(packet)
  clientIdentifier(packet)
  hostname(packet)
  vendorClass(packet)
  const fqdn = clientFqdn(packet)
  if (fqdn !== undefined) encodeClientFqdn(fqdn)
  const agent = relayAgentOf(packet)
  if (agent !== undefined) linkSelection(agent)
}

/** Decoding gives a reason, or a packet that encodes to octets which mean the same. */
const survives = (bytes: Uint8Array): void => {
  const packet = decodePacket4(bytes)
  if (E.isLeft(packet)) return
  readEverything(packet.right)
  const again = decodePacket4(encodePacket4(packet.right))
  if (E.isLeft(again)) throw new Error(`what was decoded encodes to ${again.left._tag}`)
  expect(new Map([...again.right.options].sort(([a], [b]) => a - b))).toEqual(
    new Map([...packet.right.options].sort(([a], [b]) => a - b)),
  )
  expect({ ...again.right, options: null }).toEqual({ ...packet.right, options: null })
}

describe('DHCPv4 codec over generated packets', () => {
  it('decodes what it encodes, options in their order', () => {
    fc.assert(
      fc.property(packets, (packet) => {
        const again = decodePacket4(encodePacket4(packet))
        expect(again).toEqual(E.right(packet))
        expect(E.isRight(again) && [...again.right.options.keys()]).toEqual([...packet.options.keys()])
      }),
      { numRuns: 300, seed: SEED },
    )
  })

  it('loses only what it says, whatever the size limit', () => {
    fc.assert(
      fc.property(packets, fc.integer({ min: 548, max: 1472 }), (packet, maxSize) => {
        const dropped = new Set<number>()
        const bytes = encodePacket4(packet, { maxSize, onDropped: (code) => dropped.add(code) })
        const again = decodePacket4(bytes)
        if (E.isLeft(again)) throw new Error(again.left._tag)
        const kept = [...packet.options].filter(([code]) => !dropped.has(code)).sort(([a], [b]) => a - b)
        expect([...again.right.options].sort(([a], [b]) => a - b)).toEqual(kept)
        expect([again.right.sname, again.right.file]).toEqual([packet.sname, packet.file])
      }),
      { numRuns: 300, seed: SEED },
    )
  })

  it('stays inside the size limit when what may not be dropped is small', () => {
    const small = packets.filter((packet) => [...packet.options].every(([, value]) => value.length <= 20))
    fc.assert(
      fc.property(small, fc.uint8Array({ minLength: 200, maxLength: 600 }), (packet, large) => {
        const options = new Map([...packet.options, [43, large] as const])
        expect(encodePacket4({ ...packet, options }, { maxSize: 548 }).length).toBeLessThanOrEqual(548)
      }),
      { numRuns: 200, seed: SEED },
    )
  })

  it('survives random octets behind a valid head', () => {
    const head = encodePacket4({ ...fc.sample(packets, { numRuns: 1, seed: SEED })[0]!, options: new Map() }).subarray(
      0,
      240,
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 800 }), (options) => survives(Buffer.concat([head, options]))),
      { numRuns: 1500, seed: SEED },
    )
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), survives), { numRuns: 200, seed: SEED })
  })

  it('survives changed octets and cuts anywhere in a valid packet', () => {
    const changes = fc.array(fc.tuple(fc.nat({ max: 700 }), uint8), { maxLength: 6 })
    fc.assert(
      fc.property(packets, changes, fc.nat({ max: 900 }), (packet, changed, cut) => {
        const bytes = encodePacket4(packet)
        for (const [at, value] of changed) if (at < bytes.length) bytes[at] = value
        survives(bytes)
        survives(bytes.subarray(0, Math.min(cut, bytes.length)))
      }),
      { numRuns: 1000, seed: SEED },
    )
  })

  it('survives each single octet of the corpus being any of the telling values', () => {
    for (const { bytes } of readCorpus(4)) {
      const changed = bytes.slice(0, 400)
      for (let at = 0; at < changed.length; at++) {
        const original = changed[at] as number
        for (const value of [0, 1, 52, 82, 127, 254, 255]) {
          changed[at] = value
          const packet = decodePacket4(changed)
          if (E.isRight(packet)) readEverything(packet.right)
        }
        changed[at] = original
      }
    }
  })
})
