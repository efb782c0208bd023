import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import { messageType } from '../../server/dhcp4/option-access.ts'
import { BOOT_OP, MESSAGE_TYPE, OPTION4 } from '../../server/dhcp4/option-codes.ts'
import { decodePacket4, encodePacket4 } from '../../server/dhcp4/packet.ts'
import type { Packet4 } from '../../server/dhcp4/packet.ts'
import { makeClient4, transactionOf4 } from '../../server/simulator/client4.ts'
import type { SimulatedClient } from '../../server/simulator/client.ts'
import { percentile, play } from '../../server/simulator/run.ts'
import type { RunOptions } from '../../server/simulator/run.ts'
import { makeCounters } from '../../server/net/socket.ts'
import type { DatagramHandler, DatagramSocket } from '../../server/net/socket.ts'

const RELAY = { address: 0x7f000001, link: 0xc6336401 }
const mac = (i: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, i)
const fresh = () => 99

const decoded = (bytes: Uint8Array): Packet4 => {
  const packet = decodePacket4(bytes)
  if (E.isLeft(packet)) throw new Error(packet.left._tag)
  return packet.right
}

/** What a server with one address for everybody says to a message. */
const answer = (request: Packet4, type: number, yiaddr: number, server: number): Uint8Array =>
  encodePacket4({
    ...request,
    op: BOOT_OP.reply,
    yiaddr,
    options: new Map([
      [OPTION4.messageType, Uint8Array.of(type)],
      [OPTION4.serverIdentifier, Uint8Array.of(198, 51, 100, server)],
      [OPTION4.leaseTime, Uint8Array.of(0, 0, 14, 16)],
    ]),
  })

describe('a simulated DHCPv4 client', () => {
  it('discovers behind a relay and takes the first offer', () => {
    const who = makeClient4(mac(1), RELAY)
    const discover = decoded(who.begin('acquire', 7))
    expect(discover).toMatchObject({ xid: 7, giaddr: RELAY.address, ciaddr: 0 })
    expect(messageType(discover)).toBe(MESSAGE_TYPE.discover)
    const next = who.react(answer(discover, MESSAGE_TYPE.offer, 0xc6336405, 1), 7, fresh)
    if (next._tag !== 'Next') throw new Error(next._tag)
    const request = decoded(next.bytes)
    expect(next.transactionId).toBe(7)
    expect(messageType(request)).toBe(MESSAGE_TYPE.request)
    expect(request.options.get(OPTION4.requestedAddress)).toEqual(Uint8Array.of(198, 51, 100, 5))
    expect(request.options.get(OPTION4.serverIdentifier)).toEqual(Uint8Array.of(198, 51, 100, 1))
    // Another server's offer comes too late.
    expect(who.react(answer(discover, MESSAGE_TYPE.offer, 0xc6336409, 2), 7, fresh)).toEqual({ _tag: 'Ignored' })
    const granted = who.react(answer(request, MESSAGE_TYPE.ack, 0xc6336405, 1), 7, fresh)
    expect(granted).toEqual({ _tag: 'Granted', leaseTimeSec: 3600 })
    expect(who.bound()).toBe(true)
  })

  it('renews and rebinds with its address, and forgets it after a NAK', () => {
    const who = makeClient4(mac(1), RELAY)
    const discover = decoded(who.begin('acquire', 7))
    who.react(answer(discover, MESSAGE_TYPE.ack, 0xc6336405, 1), 7, fresh)
    for (const task of ['renew', 'rebind'] as const) {
      const request = decoded(who.begin(task, 8))
      expect(request).toMatchObject({ xid: 8, ciaddr: 0xc6336405 })
      expect(request.options.get(OPTION4.requestedAddress)).toBeUndefined()
      expect(request.options.get(OPTION4.serverIdentifier)).toBeUndefined()
    }
    expect(who.react(answer(discover, MESSAGE_TYPE.nak, 0, 1), 7, fresh)).toEqual({ _tag: 'Refused' })
    expect(who.bound()).toBe(false)
  })
})

/** A socket whose other end is `server`: it gets each datagram with how many came before, and may answer at once. */
const socketTo = (server: (bytes: Uint8Array, before: number) => ReadonlyArray<Uint8Array>) => {
  let handler: DatagramHandler = () => undefined
  const counters = makeCounters()
  const from = { address: '127.0.0.1', port: 6767 }
  const socket: DatagramSocket = {
    local: { address: '127.0.0.1', port: 40_000 },
    counters,
    receiveBufferBytes: 0,
    onDatagram: (taken) => {
      handler = taken
    },
    send: (bytes) => {
      const replies = server(bytes, counters.sent++)
      setImmediate(() => replies.forEach((reply) => handler(reply, from, 0)))
    },
    answered: () => undefined,
    kernelDrops: () => undefined,
    close: () => Promise.resolve(),
  }
  return socket
}

const options = (socket: DatagramSocket, clients: number, more: Partial<RunOptions> = {}): RunOptions => ({
  clients: Array.from({ length: clients }, (_, i): SimulatedClient => makeClient4(mac(i), RELAY)),
  socket,
  server: { address: '127.0.0.1', port: 6767 },
  transactionOf: transactionOf4,
  transactionMax: 2 ** 32 - 1,
  rate: undefined,
  windowMax: 4,
  burst: undefined,
  retryMs: 20,
  attemptsMax: 3,
  clock: () => performance.now(),
  random: Math.random,
  onProgress: () => undefined,
  ...more,
})

/** Offers and acknowledges an address that follows from the hardware address. */
const serve = (bytes: Uint8Array): Uint8Array[] => {
  const request = decoded(bytes)
  const type = messageType(request) === MESSAGE_TYPE.discover ? MESSAGE_TYPE.offer : MESSAGE_TYPE.ack
  return [answer(request, type, 0xc6336400 + (request.chaddr[5] ?? 0), 1)]
}

describe('playing a crowd', () => {
  it('plays every client once, and no more at a time than the window lets', async () => {
    let most = 0
    const underWay = new Set<number>()
    const socket = socketTo((bytes) => {
      underWay.add(decoded(bytes).xid)
      most = Math.max(most, underWay.size)
      const replies = serve(bytes)
      if (messageType(decoded(replies[0] ?? bytes)) === MESSAGE_TYPE.ack) {
        setImmediate(() => underWay.delete(decoded(bytes).xid))
      }
      return replies
    })
    const result = await play(options(socket, 20), 'acquire', 20)
    expect(result).toMatchObject({ begun: 20, granted: 20, refused: 0, timeouts: 0, orphans: 0 })
    expect(result.latenciesMs).toHaveLength(20)
    expect(most).toBe(4)
  })

  it('begins a burst when the one before is over', async () => {
    const kinds: number[] = []
    const socket = socketTo((bytes) => {
      kinds.push(messageType(decoded(bytes)) ?? 0)
      return serve(bytes)
    })
    const result = await play(options(socket, 10, { burst: 5 }), 'acquire', 10)
    expect(result.granted).toBe(10)
    const { discover, request } = MESSAGE_TYPE
    const wave = [...new Array<number>(5).fill(discover), ...new Array<number>(5).fill(request)]
    expect(kinds).toEqual([...wave, ...wave])
  })

  it('sends again what is not answered, and gives up in the end', async () => {
    const lossy = socketTo((bytes, before) => (before === 0 ? [] : serve(bytes)))
    expect(await play(options(lossy, 1), 'acquire', 1)).toMatchObject({ granted: 1, retransmissions: 1, timeouts: 0 })
    const deaf = socketTo(() => [])
    expect(await play(options(deaf, 2), 'acquire', 2)).toMatchObject({ granted: 0, retransmissions: 4, timeouts: 2 })
    expect(deaf.counters.sent).toBe(6)
  })

  it('counts replies that belong to nothing, and clients without a lease as refused', async () => {
    const doubled = socketTo((bytes) => [...serve(bytes), Uint8Array.from(serve(bytes)[0] ?? [])])
    const result = await play(options(doubled, 3), 'acquire', 3)
    expect(result).toMatchObject({ granted: 3, refused: 0, orphans: 3 })
    const silent = socketTo(() => [])
    expect(await play(options(silent, 3), 'renew', 3)).toMatchObject({ granted: 0, refused: 3 })
    expect(silent.counters.sent).toBe(0)
  })

  it('keeps a rate', async () => {
    let now = 0
    const socket = socketTo(serve)
    // Every look at the clock is 5 ms later than the one before.
    const clock = () => (now += 5)
    const result = await play(options(socket, 5, { rate: 100, clock, retryMs: 1e6 }), 'acquire', 20)
    expect(result.granted).toBe(20)
    expect(result.elapsedMs).toBeGreaterThanOrEqual(190)
  })
})

describe('percentile', () => {
  it('is the value below which that share lies', () => {
    const values = Array.from({ length: 100 }, (_, i) => i + 1)
    expect([0.01, 0.5, 0.99, 1].map((share) => percentile(values, share))).toEqual([1, 50, 99, 100])
    expect(percentile([], 0.5)).toBe(0)
  })
})
