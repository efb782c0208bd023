/**
 * A TCP proxy that loses what it is told to lose: the request, the answer, or only the time. It stands between a store
 * and a real database, so that every kind of unknown outcome is made with the real thing.
 */
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** Where the database is: TCP, or a Unix socket. */
export type Upstream = { readonly host: string; readonly port: number } | { readonly path: string }

/** A request that was held back. */
export interface Held {
  /** Lets the request go on to the database; resolves when the database has answered it or hung up. */
  readonly release: () => Promise<void>
}

/** Connections that carry nothing any more, in either direction, and are not closed for it: as behind a lost link. */
export interface Mute {
  /** How often something was sent over them since. */
  readonly sent: () => number
}

export interface Proxy {
  readonly port: number
  /** The next request that contains `text` is thrown away and its connection cut. */
  readonly cutBefore: (text: string) => Promise<void>
  /** The next request that contains `text` is carried out; its connection is cut when the answer comes. */
  readonly cutAfter: (text: string) => Promise<void>
  /** The next request that contains `text` is carried out, and its answer never arrives on a connection that stays. */
  readonly silence: (text: string) => Promise<void>
  /** The next request that contains `text` is held back and its client cut off. */
  readonly hold: (text: string) => Promise<Held>
  /** Makes all connections that stand mute; new ones pass. */
  readonly mute: () => Mute
  /** Cuts all connections and refuses new ones until `admit`. */
  readonly refuse: () => Promise<void>
  readonly admit: () => Promise<void>
  readonly close: () => Promise<void>
}

type Verdict = 'pass' | 'swallow'
type Trap = { readonly text: string; readonly spring: (client: Socket, server: Socket, chunk: Buffer) => Verdict }

/** Starts a proxy on a free port of the loopback. */
export const startProxy = async (upstream: Upstream): Promise<Proxy> => {
  let trap: Trap | undefined
  let refusing = false
  const pairs = new Set<readonly [Socket, Socket]>()
  /** Servers whose answers do not arrive. */
  const muted = new Set<Socket>()
  /** Servers that nothing is sent to any more, with whom to tell what was. */
  const unheard = new Map<Socket, () => void>()

  const listener = createServer((client) => {
    if (refusing) return void client.destroy()
    const server = connect(upstream)
    const pair = [client, server] as const
    pairs.add(pair)
    client.on('data', (chunk: Buffer) => {
      const lost = unheard.get(server)
      if (lost !== undefined) return lost()
      const sprung = trap
      if (sprung !== undefined && chunk.includes(sprung.text)) {
        trap = undefined
        if (sprung.spring(client, server, chunk) === 'swallow') return
      }
      server.write(chunk)
    })
    server.on('data', (chunk: Buffer) => {
      if (!muted.has(server) && !client.destroyed) client.write(chunk)
    })
    client.on('error', () => undefined)
    server.on('error', () => undefined)
    client.on('close', () => {
      if (!muted.has(server)) server.destroy()
    })
    server.on('close', () => {
      pairs.delete(pair)
      client.destroy()
    })
  })
  const listen = (port: number): Promise<void> =>
    new Promise((resolve, reject) => listener.once('error', reject).listen(port, '127.0.0.1', resolve))
  await listen(0)
  const { port } = listener.address() as AddressInfo

  /** Resolves when the trap has been sprung and `act` is through. */
  const set = <A>(
    text: string,
    act: (client: Socket, server: Socket, chunk: Buffer, done: (value: A) => void) => Verdict,
  ) =>
    new Promise<A>((done) => {
      trap = { text, spring: (client, server, chunk) => act(client, server, chunk, done) }
    })
  const cutAll = (): void => pairs.forEach((pair) => pair.forEach((socket) => socket.destroy()))

  return {
    port,
    cutBefore: (text) =>
      set<void>(text, (client, server, _, done) => {
        client.destroy()
        server.destroy()
        done()
        return 'swallow'
      }),
    cutAfter: (text) =>
      set<void>(text, (client, server, _, done) => {
        muted.add(server)
        server.once('data', () => {
          client.destroy()
          server.destroy()
          done()
        })
        return 'pass'
      }),
    silence: (text) =>
      set<void>(text, (_, server, __, done) => {
        muted.add(server)
        server.once('data', () => done())
        return 'pass'
      }),
    hold: (text) =>
      set<Held>(text, (client, server, chunk, done) => {
        muted.add(server)
        client.destroy()
        const release = (): Promise<void> =>
          new Promise((resolve) => {
            server.once('data', () => {
              server.destroy()
              resolve()
            })
            server.once('close', () => resolve())
            if (server.destroyed) resolve()
            else server.write(chunk)
          })
        done({ release })
        return 'swallow'
      }),
    mute: () => {
      let sent = 0
      for (const [, server] of pairs) {
        muted.add(server)
        unheard.set(server, () => sent++)
      }
      return { sent: () => sent }
    },
    refuse: async () => {
      refusing = true
      cutAll()
    },
    admit: async () => {
      refusing = false
    },
    close: () =>
      new Promise((resolve) => {
        cutAll()
        listener.close(() => resolve())
      }),
  }
}
