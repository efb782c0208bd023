/** Ledgers in memory and what projectors need, for tests of projections. */
import { openMemory } from '../../adapters/memory/memory-store.ts'
import type { MemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { EventStore, LogName, Proposal, Recorded } from '../../domain/event-store.ts'
import type { ProjectorLog } from '../../projections/projector.ts'
import { batchOf, must } from './proposals.ts'

/** Writes events to a ledger in the order in which they happened, each to its log. */
export const record = async (ledger: MemoryLedger, events: ReadonlyArray<Recorded>): Promise<void> => {
  const stores = new Map<LogName, EventStore>()
  for (const event of events) {
    const store = stores.get(event.log) ?? openMemory(ledger, event.log)
    stores.set(event.log, store)
    const [outcome] = await must(store.append(batchOf(proposalOf(event))))
    if (outcome._tag !== 'Appended' || outcome.seq !== event.seq) throw new Error(`not as it happened: ${event.stream}`)
  }
}

/** What was proposed when `recorded` came to be. */
export const proposalOf = ({ stream, revision, event, recordedAt }: Recorded): Proposal => ({
  stream,
  expected: revision - 1,
  event,
  recordedAt,
})

/** A logger that remembers. */
export const makeLog = (): ProjectorLog & { readonly lines: string[] } => {
  const lines: string[] = []
  const write =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
  return { lines, info: write('info'), warn: write('warn'), error: write('error') }
}
