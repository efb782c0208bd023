import * as TE from 'fp-ts/lib/TaskEither.js'
import { makeMemoryLedger, openMemory, openMemoryReader } from '../../adapters/memory/memory-store.ts'
import { eventStoreContract } from './event-store-contract.ts'

eventStoreContract('memory', async () => {
  const ledger = makeMemoryLedger(() => Date.now())
  return {
    open: (log) => TE.fromIO(() => openMemory(ledger, log)),
    openReader: () => TE.of(openMemoryReader(ledger)),
    dispose: async () => undefined,
  }
})
