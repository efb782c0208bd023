import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import { makeMemoryLedger } from '../../adapters/memory/memory-store.ts'
import { hexText, ip6FromBytes, ip6Text } from '../../domain/address.ts'
import { clientDuid, hasOption, iaNasOf, iaPdsOf, optionOf, serverDuid } from '../../server/dhcp6/option-access.ts'
import { MESSAGE6, OPTION6 } from '../../server/dhcp6/option-codes.ts'
import { decodePacket6, encodePacket6 } from '../../server/dhcp6/packet.ts'
import type { Packet6 } from '../../server/dhcp6/packet.ts'
import { makeClient6, transactionOf6 } from '../../server/simulator/client6.ts'
import type { ClientOptions6 } from '../../server/simulator/client6.ts'
import type { Reaction, SimulatedClient, Task } from '../../server/simulator/client.ts'
import { bytes6, dhcp6Config, makeServer6 } from '../support/dhcp6.ts'
import type { TestServer6 } from '../support/dhcp6.ts'
import { at } from '../support/lease-spec.ts'

const config = dhcp6Config({
  'valid-lifetime': 3600,
  subnet6: [
    {
      id: 1,
      subnet: '2001:db8:1::/64',
      'rapid-commit': true,
      pools: [{ pool: '2001:db8:1::1 - 2001:db8:1::2' }],
      'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 55, 'delegated-len': 56 }],
    },
  ],
})
const given = () => {
  let seconds = 0
  const now = () => at(seconds)
  const store = makeMemoryLedger(now)
  const pass = (passed: number) => {
    seconds += passed
  }
  return { store, server: makeServer6(config, store, now), pass }
}

const client = (i: number, more: Partial<ClientOptions6> = {}): SimulatedClient =>
  makeClient6({
    hardwareAddress: Uint8Array.of(2, 0, 0, 0, 0, i),
    link: ip6FromBytes(bytes6('2001:db8:1::1')),
    na: true,
    pd: false,
    rapidCommit: false,
    ...more,
  })
const decoded = (bytes: Uint8Array): Packet6 => {
  const packet = decodePacket6(bytes)
  if (E.isLeft(packet)) throw new Error(packet.left._tag)
  return packet.right
}
const addressesIn = (packet: Packet6) =>
  iaNasOf(packet.options)?.flatMap((ia) => ia.addresses.map(({ address }) => ip6Text(ip6FromBytes(address))))

let xid = 100
const fresh = () => ++xid

/** Plays a task to its end; the messages it took, and the reaction to the last one. */
const play = async (server: TestServer6, who: SimulatedClient, task: Task): Promise<[Packet6[], Reaction]> => {
  const sent: Packet6[] = []
  let transactionId = fresh()
  let bytes = who.begin(task, transactionId)
  for (;;) {
    sent.push(decoded(bytes))
    const reply = await server.exchange(bytes)
    if (reply === undefined) throw new Error('the server was silent')
    expect(transactionOf6(reply)).toBe(transactionId)
    const reaction = who.react(reply, transactionId, fresh)
    if (reaction._tag !== 'Next') return [sent, reaction]
    transactionId = reaction.transactionId
    bytes = reaction.bytes
  }
}
const typesOf = (packets: Packet6[]) => packets.map(({ messageType }) => messageType)

describe('a simulated DHCPv6 client', () => {
  it('begins with a Solicit behind a relay that wants the reply at its own port', () => {
    const packet = decoded(client(1).begin('acquire', 0xabcdef))
    expect(packet).toMatchObject({ messageType: MESSAGE6.solicit, transactionId: 0xabcdef })
    expect(hexText(clientDuid(packet.options) ?? new Uint8Array(0))).toBe('00030001020000000001')
    expect(iaNasOf(packet.options)).toMatchObject([{ addresses: [] }])
    expect(iaPdsOf(packet.options)).toEqual([])
    expect(hasOption(packet.options, OPTION6.serverId)).toBe(false)
    const [relay] = packet.relays
    expect(packet.relays).toHaveLength(1)
    expect(ip6Text(ip6FromBytes(relay?.linkAddress ?? new Uint8Array(16)))).toBe('2001:db8:1::1')
    expect(ip6Text(ip6FromBytes(relay?.peerAddress ?? new Uint8Array(16)))).toBe('fe80::ff:fe00:1')
    expect(optionOf(relay?.options ?? [], OPTION6.relaySourcePort)).toEqual(Uint8Array.of(0, 0))
  })

  it('gets an address with four messages, each request under a transaction id of its own', async () => {
    const { server } = given()
    const who = client(1)
    const [sent, reaction] = await play(server, who, 'acquire')
    expect(typesOf(sent)).toEqual([MESSAGE6.solicit, MESSAGE6.request])
    expect(sent[0]?.transactionId).not.toBe(sent[1]?.transactionId)
    expect(serverDuid(sent[1]?.options ?? [])).toEqual(server.duid)
    expect(reaction).toEqual({ _tag: 'Granted', leaseTimeSec: 3600 })
    expect(who.lease()).toEqual(addressesIn(sent[1] as Packet6)?.map((address) => `lease6/${address}`))
  })

  it('gets it with two messages when both want rapid commit', async () => {
    const { server } = given()
    const [sent, reaction] = await play(server, client(1, { rapidCommit: true }), 'acquire')
    expect(typesOf(sent)).toEqual([MESSAGE6.solicit])
    expect(reaction._tag).toBe('Granted')
  })

  it('renews at its server, rebinds at any, releases, and starts again', async () => {
    const { server, store, pass } = given()
    const who = client(1, { pd: true })
    await play(server, who, 'acquire')
    const held = who.lease()
    expect(held).toHaveLength(2)
    pass(1000)
    const [renews, renewed] = await play(server, who, 'renew')
    expect(typesOf(renews)).toEqual([MESSAGE6.renew])
    expect(serverDuid(renews[0]?.options ?? [])).toEqual(server.duid)
    expect(renewed).toEqual({ _tag: 'Granted', leaseTimeSec: 3600 })
    pass(1000)
    const [rebinds, rebound] = await play(server, who, 'rebind')
    expect(typesOf(rebinds)).toEqual([MESSAGE6.rebind])
    expect(hasOption(rebinds[0]?.options ?? [], OPTION6.serverId)).toBe(false)
    expect(rebound._tag).toBe('Granted')
    expect(who.lease()).toEqual(held)
    const [releases, released] = await play(server, who, 'release')
    expect(addressesIn(releases[0] as Packet6)?.map((address) => `lease6/${address}`)).toEqual(held.slice(0, 1))
    expect(released).toEqual({ _tag: 'Granted', leaseTimeSec: 0 })
    expect([who.bound(), who.lease()]).toEqual([false, []])
    for (const events of store.streams.values()) {
      expect(events.map(({ type }) => type)).toEqual(['LeaseClaimed', 'LeaseRenewed', 'LeaseRenewed', 'LeaseReleased'])
    }
    expect((await play(server, who, 'acquire'))[1]._tag).toBe('Granted')
    expect(who.lease()).toEqual(held)
  })

  it('asks for a prefix alone, or for both', async () => {
    const { server } = given()
    const router = client(1, { na: false, pd: true })
    const [[solicit]] = await play(server, router, 'acquire')
    expect(iaNasOf(solicit?.options ?? [])).toEqual([])
    expect(router.lease()).toEqual([expect.stringMatching(/^prefix6\/2001:db8:8000:(100)?::?\/56$/)])
    const both = client(2, { pd: true })
    await play(server, both, 'acquire')
    expect(both.lease().map((name) => name.split('/')[0])).toEqual(['lease6', 'prefix6'])
  })

  it('is refused when nothing is free, also when it gets only one of two', async () => {
    const { server } = given()
    for (const i of [1, 2]) await play(server, client(i, { pd: i === 1 }), 'acquire')
    expect((await play(server, client(3), 'acquire'))[1]._tag).toBe('Refused')
    expect((await play(server, client(3, { pd: true }), 'acquire'))[1]._tag).toBe('Refused')
  })

  it('ignores what is not an answer to it', async () => {
    const { server } = given()
    const who = client(1)
    const solicit = who.begin('acquire', 5)
    const advertise = (await server.exchange(solicit)) ?? new Uint8Array(0)
    const packet = decodePacket6(advertise, MESSAGE6.relayReply)
    if (E.isLeft(packet)) throw new Error(packet.left._tag)
    const changed = (more: Partial<Packet6>, relayType?: number) =>
      encodePacket6({ ...packet.right, ...more }, relayType) ?? new Uint8Array(0)
    const without = (code: number) => packet.right.options.filter((option) => option.code !== code)
    const ignored = [
      [client(2), advertise, 5],
      [who, advertise, 6],
      [who, changed({ options: without(OPTION6.clientId) }), 5],
      [who, changed({ options: without(OPTION6.serverId) }), 5],
      [who, changed({ messageType: MESSAGE6.reconfigure }), 5],
      [who, changed({}, MESSAGE6.relayForward), 5],
      [who, solicit, 5],
      [who, new Uint8Array(3), 5],
    ] as const
    for (const [one, bytes, id] of ignored) expect(one.react(bytes, id, fresh)).toEqual({ _tag: 'Ignored' })
    expect(who.react(advertise, 5, fresh)._tag).toBe('Next')
  })
})

describe('the transaction id', () => {
  it('is found behind any number of Relay-reply headers', () => {
    const relay = { hopCount: 0, linkAddress: new Uint8Array(16), peerAddress: new Uint8Array(16) }
    const options = [{ code: OPTION6.interfaceId, data: Uint8Array.of(13, 13, 13) }]
    for (const count of [0, 1, 3]) {
      const relays = new Array<Packet6['relays'][0]>(count).fill({ ...relay, options })
      const message = { relays, messageType: MESSAGE6.reply, transactionId: 0xfedcba, options: [] }
      expect(transactionOf6(encodePacket6(message) ?? new Uint8Array(0))).toBe(0xfedcba)
    }
  })

  it('is none in what is cut short', () => {
    const relay = { hopCount: 0, linkAddress: new Uint8Array(16), peerAddress: new Uint8Array(16), options: [] }
    const message = { relays: [relay], messageType: MESSAGE6.reply, transactionId: 1, options: [] }
    const bytes = encodePacket6(message) ?? new Uint8Array(0)
    for (let length = 0; length < bytes.length; length++) {
      expect(transactionOf6(bytes.subarray(0, length))).toBeUndefined()
    }
    expect(transactionOf6(bytes)).toBe(1)
  })
})
