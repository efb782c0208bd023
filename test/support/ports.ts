/**
 * Ports of the loopback for servers of the tests. They lie below those that the system gives to connections, so that a
 * server which is killed finds its port free when it starts again.
 */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

const FIRST = 15_000
const COUNT = 17_000

const isFreeTcp = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })

const isFreeUdp = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createSocket('udp4')
    probe.once('error', () => probe.close(() => resolve(false)))
    probe.bind(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })

const find = async (isFree: (port: number) => Promise<boolean>): Promise<number> => {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT)
    if (await isFree(port)) return port
  }
}

/** A TCP port of 127.0.0.1 that nobody listened on a moment ago. */
export const freePort = (): Promise<number> => find(isFreeTcp)

/** A UDP port of 127.0.0.1 that nobody had a moment ago. */
export const freeUdpPort = (): Promise<number> => find(isFreeUdp)
