/** Metrics for Prometheus and a health check over HTTP, where `LeaseLedger.http` asks for them. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Gauge, Registry } from 'prom-client'
import type { ListenAddress } from './config/model.ts'
import type { Core } from './core.ts'

/** A running endpoint. */
export interface HttpEndpoint {
  /** For people: `http://127.0.0.1:9547/metrics`. */
  readonly where: string
  readonly close: () => Promise<void>
}

/** Opens the endpoint; `Left` is one sentence. `GET /metrics` in Prometheus' text format, `GET /health` with 200 or 503. */
export const openHttp = ({ address, port }: ListenAddress, core: Core): Promise<Either<string, HttpEndpoint>> => {
  const registry = makeRegistry(core)
  const server = createServer((request, response) => void answer(request, response, registry, core))
  return new Promise((resolve) => {
    server.once('error', (error) => {
      resolve(
        E.left(
          `the HTTP endpoint ${address}:${port} cannot be opened (${error.message}); choose another LeaseLedger.http`,
        ),
      )
    })
    server.listen(port, address, () => {
      const host = address.includes(':') ? `[${address}]` : address
      const close = (): Promise<void> =>
        new Promise((done) => {
          server.close(() => done())
          server.closeAllConnections()
        })
      const bound = server.address()
      const chosen = typeof bound === 'object' && bound !== null ? bound.port : port
      resolve(E.right({ where: `http://${host}:${chosen}/metrics`, close }))
    })
  })
}

const answer = async (
  request: IncomingMessage,
  response: ServerResponse,
  registry: Registry,
  core: Core,
): Promise<void> => {
  const path = request.url?.split('?')[0]
  if (request.method !== 'GET' || (path !== '/metrics' && path !== '/health')) {
    response.writeHead(404).end('GET /metrics or /health\n')
  } else if (path === '/health') {
    const { health } = core.ledger
    response.writeHead(health === 'up' ? 200 : 503, { 'content-type': 'application/json' })
    response.end(`${JSON.stringify({ store: health, leases: core.replica.size, servers: core.cluster.alive })}\n`)
  } else {
    response.writeHead(200, { 'content-type': registry.contentType })
    response.end(await registry.metrics())
  }
}

/** All figures are read when they are asked for: nothing is counted twice. */
const makeRegistry = (core: Core): Registry => {
  const registry = new Registry()
  const gauge = (name: string, help: string, read: () => number): void => {
    const one: Gauge = new Gauge({
      name: `lease_ledger_${name}`,
      help,
      registers: [registry],
      collect: () => one.set(read()),
    })
  }
  const { ledger, replica, cluster, counters, projectors } = core
  gauge('leases', 'Streams with at least one event', () => replica.size)
  gauge('commands_waiting', 'Commands that wait for the store', () => ledger.waiting)
  gauge('store_up', '1 while the store answers', () => (ledger.health === 'up' ? 1 : 0))
  gauge('servers_alive', 'Servers on this ledger that are alive', () => cluster.alive.length)
  gauge('clock_offset_seconds', "The store's clock less this server's", () => cluster.clockOffsetMs / 1000)
  gauge('projection_lag_events', 'Events that the slowest lease tables do not show yet', () =>
    Math.max(0, ...projectors.map((projector) => projector.lag)),
  )
  for (const name of Object.keys(ledger.counters) as (keyof typeof ledger.counters)[]) {
    gauge(
      `${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`,
      `Ledger: ${name}`,
      () => ledger.counters[name],
    )
  }
  const packets = new Gauge({
    name: 'lease_ledger_packets_total',
    help: 'Packets by protocol, what became of them, and type or reason',
    labelNames: ['protocol', 'what', 'detail'],
    registers: [registry],
    collect: () => {
      for (const [name, count] of Object.entries(counters.all())) {
        const [protocol = '', what = '', detail = ''] = name.split('.')
        packets.set({ protocol, what, detail }, count)
      }
    },
  })
  return registry
}
