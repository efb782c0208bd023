import * as E from 'fp-ts/lib/Either.js'
import { afterEach, describe, expect, it } from 'vitest'
import { loadNative } from '../../server/net/native.ts'
import type { Native } from '../../server/net/native.ts'
import { openRaw4 } from '../../server/net/raw4.ts'
import type { DatagramSocket, Endpoint, Opening } from '../../server/net/socket.ts'
import { openUdp4 } from '../../server/net/udp4.ts'
import { openUdp6 } from '../../server/net/udp6.ts'

const now = (): number => 1_700_000_000_000
const noNative = E.left('it was taken away for this test')
const EMFILE = -24
const opened: DatagramSocket[] = []

const open = async (opening: Opening<DatagramSocket>): Promise<DatagramSocket> => {
  const result = await opening()
  if (E.isLeft(result)) throw new Error(result.left.message)
  opened.push(result.right)
  return result.right
}

/** Opens what must not open and gives the error. */
const refuse = async (opening: Opening<unknown>) => {
  const result = await opening()
  if (E.isRight(result)) throw new Error('it opened')
  return result.left
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((socket) => socket.close()))
})

interface Arrived {
  readonly text: string
  readonly from: Endpoint
  readonly at: number
}

const next = (socket: DatagramSocket): Promise<Arrived> =>
  new Promise((resolve) =>
    socket.onDatagram((bytes, from, at) => resolve({ text: Buffer.from(bytes).toString(), from, at })),
  )

/** Sends there and back again, and checks who each side took the other for. */
const exchange = async (server: DatagramSocket, client: DatagramSocket): Promise<void> => {
  const there = next(server)
  client.send(Buffer.from('there'), server.local)
  const asked = await there
  expect(asked).toMatchObject({ text: 'there', at: now(), from: { port: client.local.port } })
  const back = next(client)
  server.send(Buffer.from('back'), asked.from)
  expect(await back).toMatchObject({ text: 'back', from: { address: server.local.address, port: server.local.port } })
  expect(server.counters).toEqual({ received: 1, unheard: 0, receiveErrors: 0, sent: 1, sendErrors: 0, lastError: '' })
}

const onLinux = process.platform === 'linux'

describe('sockets on loopback', () => {
  const four = { address: '127.0.0.1', port: 0, now }
  const six = { address: '::1', port: 0, now }

  it('exchange IPv4 datagrams', async () => {
    await exchange(await open(openUdp4(four)), await open(openUdp4(four)))
  })

  it('exchange IPv4 datagrams without native calls', async () => {
    await exchange(await open(openUdp4(four, noNative)), await open(openUdp4(four, noNative)))
  })

  it('exchange IPv6 datagrams', async () => {
    await exchange(await open(openUdp6(six)), await open(openUdp6(six)))
  })

  it.skipIf(!onLinux)('exchange datagrams when kept to the interface lo, with the wanted buffer', async () => {
    expect(E.isRight(loadNative())).toBe(true)
    const server = await open(openUdp4({ ...four, interfaceName: 'lo', receiveBufferBytes: 1 << 20 }))
    await exchange(server, await open(openUdp4(four)))
    expect(server.local.interfaceName).toBe('lo')
    expect(server.notice).toBeUndefined()
    expect(server.kernelDrops()).toBe(0)
    expect(server.receiveBufferBytes).toBeGreaterThanOrEqual(1 << 18)
  })

  it.skipIf(!onLinux)('count what the kernel drops when nobody reads', async () => {
    const server = await open(openUdp4({ ...four, interfaceName: 'lo', receiveBufferBytes: 4096 }))
    server.onDatagram(() => undefined)
    const client = await open(openUdp4(four))
    // All sent in one turn of the event loop, in which the server cannot read.
    for (let i = 0; i < 200; i++) client.send(new Uint8Array(1000), server.local)
    expect(client.counters).toMatchObject({ sent: 200, sendErrors: 0 })
    expect(server.kernelDrops()).toBeGreaterThan(100)
  })

  it('without native calls serve an interface unbound, and say so', async () => {
    const socket = await open(openUdp4({ port: 0, interfaceName: 'lo', now }, noNative))
    expect(socket.local.interfaceName).toBeUndefined()
    expect(socket.notice).toBe(
      'the socket for lo listens on all interfaces: native socket calls are missing, it was taken away for this test',
    )
    expect((await refuse(openRaw4({ interfaceName: 'lo' }, noNative))).message).toBe(
      'dhcp-socket-type raw does not work on lo: native socket calls are missing: it was taken away for this test; ' +
        'set dhcp-socket-type to udp',
    )
  })

  it.skipIf(!onLinux)('refuse a port in use and name the process that has it', async () => {
    for (const interfaceName of [undefined, 'lo']) {
      const wanted = { ...four, ...(interfaceName === undefined ? {} : { interfaceName }) }
      const first = await open(openUdp4(wanted))
      const port = first.local.port
      const error = await refuse(openUdp4({ ...wanted, port }))
      expect(error._tag).toBe('AddressInUse')
      const place = interfaceName === undefined ? `127.0.0.1:${port}` : `port ${port} on lo`
      expect(error.message).toContain(`UDP ${place} is taken by `)
      expect(error.message).toContain(`(pid ${process.pid}); stop it or choose another port with -p`)
    }
  })

  it.skipIf(!onLinux)('do not let a second socket take the port even if that one allows sharing', async () => {
    const first = await open(openUdp4({ ...four, interfaceName: 'lo' }))
    const thief = { ...four, port: first.local.port, interfaceName: 'lo', reuseAddress: true }
    expect((await refuse(openUdp4(thief)))._tag).toBe('AddressInUse')
  })

  it('free the port on close, and count what is sent afterwards as an error', async () => {
    const first = await open(openUdp6(six))
    const { port } = first.local
    await first.close()
    await first.close()
    expect(first.kernelDrops()).toBeUndefined()
    first.send(Buffer.from('late'), { address: '::1', port })
    expect(first.counters).toMatchObject({ sent: 0, sendErrors: 1, lastError: expect.stringMatching(/not running/i) })
    expect((await open(openUdp6({ ...six, port }))).local.port).toBe(port)
  })

  it.each([
    { how: 'in bulk', native: loadNative() },
    { how: 'one by one', native: E.map((native: Native) => ({ ...native, canBatch: false }))(loadNative()) },
    { how: 'one by one without native calls', native: noNative },
  ])('take a burst and answer each of it, of any length, $how', async ({ native }) => {
    const server = await open(openUdp4(four, native))
    const client = await open(openUdp4(four, native))
    // 60 fit the smallest receive buffer that a system grants; long ones are more than one page, or a fragment.
    const sent = Array.from({ length: 60 }, (_, n) =>
      Buffer.alloc([300, 0, 1, 2_048, 2_049, 9_000][n % 6] as number, n),
    )
    server.onDatagram((bytes, from) => server.send(bytes, from))
    const kept: Uint8Array[] = []
    const all = new Promise<void>((resolve) =>
      client.onDatagram((bytes) => {
        if (kept.push(bytes) === sent.length) resolve()
      }),
    )
    for (const bytes of sent) client.send(bytes, server.local)
    await all
    const sorted = (datagrams: ReadonlyArray<Uint8Array>) =>
      datagrams.map((bytes) => Buffer.from(bytes).toString('hex')).sort()
    expect(sorted(kept)).toEqual(sorted(sent))
    expect(server.counters).toMatchObject({ received: sent.length, sent: sent.length, sendErrors: 0, receiveErrors: 0 })
  })

  it('look at what comes only now and then while it is much and none of it is answered, and miss nothing', async () => {
    let readers = 0
    let noDescriptors = false
    const native = E.map((real: Native) => ({
      ...real,
      duplicate: (fd: number) => {
        if (noDescriptors) return EMFILE
        readers++
        return real.duplicate(fd)
      },
    }))(loadNative())
    let clock = 1_700_000_000_000
    const server = await open(openUdp4({ ...four, now: () => ++clock }, native))
    const client = await open(openUdp4(four))
    const heard: string[] = []
    server.onDatagram((bytes, from) => {
      heard.push(Buffer.from(bytes).toString())
      if (bytes.length > 3) server.send(bytes, from)
    })
    const sent: string[] = []
    const flood = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++) {
        sent.push(String(sent.length % 1_000))
        client.send(Buffer.from(sent.at(-1) as string), server.local)
      }
      while (heard.length < sent.length) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const ask = async (): Promise<void> => {
      const answer = next(client)
      sent.push('please')
      client.send(Buffer.from('please'), server.local)
      expect((await answer).text).toBe('please')
    }
    for (let burst = 0; burst < 6; burst++) await flood(60)
    expect(readers).toBe(1)
    await ask()
    expect(readers).toBe(2)
    for (let burst = 0; burst < 6; burst++) await flood(60)
    noDescriptors = true
    await ask()
    expect(server.counters.lastError).toMatch(/too many open files/)
    await flood(10)
    noDescriptors = false
    await ask()
    expect(readers).toBe(3)
    await flood(10)
    await ask()
    expect(readers).toBe(3)
    for (let burst = 0; burst < 6; burst++) await flood(60)
    expect(heard).toEqual(sent)
    expect(server.counters).toMatchObject({ received: sent.length, sent: 4, sendErrors: 0 })
    await server.close() // while it only looks
    const { port } = server.local
    expect((await open(openUdp4({ ...four, port }))).local.port).toBe(port)
  })

  it('count an impossible destination and go on', async () => {
    const socket = await open(openUdp4(four))
    socket.send(Buffer.from('x'), { address: '127.0.0.1', port: 70_000 })
    socket.send(Buffer.from('x'), { address: 'not-an-address', port: 9 })
    const failed = new Promise<void>((resolve) => setImmediate(resolve))
    await failed
    expect(socket.counters.sendErrors).toBe(2)
    const back = next(socket)
    socket.send(Buffer.from('still here'), socket.local)
    expect((await back).text).toBe('still here')
  })

  it('say what is wrong when the process may open no more files', async () => {
    const native = E.map((real: Native) => ({ ...real, duplicate: () => EMFILE }))(loadNative())
    const refused = await refuse(openUdp4(four, native))
    expect(refused).toMatchObject({ _tag: 'SocketFailed', message: expect.stringMatching(/too many open files/) })
  })

  it('refuse addresses and interfaces that are not there', async () => {
    const foreign = await refuse(openUdp4({ ...four, address: '198.18.77.1' }))
    expect(foreign).toMatchObject({ _tag: 'NoSuchAddress' })
    expect(foreign.message).toBe('cannot listen on 198.18.77.1:0: no interface has the address 198.18.77.1')
    expect((await refuse(openUdp4({ ...four, address: 'fe80::1' })))._tag).toBe('NoSuchAddress')
    expect((await refuse(openUdp6({ ...six, address: '2001:db8::77' })))._tag).toBe('NoSuchAddress')
    for (const opening of [
      openUdp4({ port: 0, interfaceName: 'nosuch0', now }),
      openUdp6({ port: 0, interfaceName: 'nosuch0', now }),
      openRaw4({ interfaceName: 'nosuch0' }),
    ]) {
      const error = await refuse(opening)
      if (error._tag === 'Unsupported') continue // raw, on another platform
      expect(error._tag).toBe('NoSuchInterface')
      expect(error.message).toMatch(/^there is no interface nosuch0; there are .*\blo/)
    }
  })
})
