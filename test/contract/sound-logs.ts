/** What must hold for the logs of any ledger, whatever befell it. */
import { expect } from 'vitest'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import type { EventReader, Unsealed } from '../../domain/event-store.ts'
import { must } from './proposals.ts'

/**
 * Positions of each log must be 1, 2, 3… and the chain must hold. `events` is all that `readAfter` gives, and must be what
 * the logs give when each is read by itself. Gives the number of logs.
 */
export const expectSoundLogs = async (reader: EventReader, events: ReadonlyArray<Unsealed>): Promise<number> => {
  const logs = Map.groupBy(events, ({ log }) => log)
  for (const [name, log] of logs) {
    const sealed = await must(reader.readLog(name, 0, log.length + 1))
    expect(sealed).toMatchObject(log)
    let previous = GENESIS
    sealed.forEach((event, index) => {
      expect(event.seq).toBe(index + 1)
      expect(checkLink(previous, event)).toBe(true)
      previous = event.hash
    })
  }
  return logs.size
}
