/** Faults of EventStoreDB: lost connections, and what only this store can suffer. On the test double of its protocol. */
import { openEventStore } from '../../adapters/eventstore/open.ts'
import { startKurrent } from '../support/kurrent/server.ts'
import { eventStoreFaults } from './event-store-faults.ts'

const quick = { connectTimeoutMs: 500, callTimeoutMs: 500 }

eventStoreFaults('eventstore (test double of the wire protocol)', async () => {
  const node = await startKurrent()
  return {
    upstream: { host: node.host, port: node.port },
    open: (log, port = node.port) =>
      openEventStore({ connectionString: `kurrentdb://127.0.0.1:${port}?tls=false`, ...quick }, log),
    dispose: node.stop,
  }
})
