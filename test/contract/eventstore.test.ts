/**
 * The contract on EventStoreDB: against a test double that speaks its wire protocol (see test/support/kurrent), and
 * against a real server when EVENTSTORE_URL has its connection string.
 */
import { randomUUID } from 'node:crypto'
import { describe } from 'vitest'
import { openEventStore, openEventStoreReader } from '../../adapters/eventstore/open.ts'
import type { EventStoreOptions } from '../../adapters/eventstore/options.ts'
import { startKurrent } from '../support/kurrent/server.ts'
import { eventStoreContract } from './event-store-contract.ts'
import type { LedgerUnderTest } from './event-store-contract.ts'

const ledgerOn = (options: EventStoreOptions, dispose: () => Promise<void>): LedgerUnderTest => ({
  open: (log) => openEventStore(options, log),
  openReader: () => openEventStoreReader(options),
  dispose,
})

eventStoreContract('eventstore (test double of the wire protocol)', async () => {
  const node = await startKurrent()
  return ledgerOn({ connectionString: node.url }, node.stop)
})

const url = process.env['EVENTSTORE_URL']
describe.skipIf(url === undefined)(
  `on a real server${url === undefined ? ' (skipped: EVENTSTORE_URL is not set)' : ''}`,
  () => {
    // Each ledger has a prefix of its own, since streams cannot be removed without a trace.
    eventStoreContract('eventstore', async () =>
      ledgerOn({ connectionString: url ?? '', prefix: `test-${randomUUID()}-` }, async () => undefined),
    )
  },
)
