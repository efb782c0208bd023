/** What must hold for the logs of any ledger, whatever befell it. */
import { expect } from 'vitest'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import type { Stored } from '../../domain/event-store.ts'

/** Positions of each log must be 1, 2, 3… and the chain must hold; gives the number of logs. */
export const expectSoundLogs = (events: ReadonlyArray<Stored>): number => {
  const logs = Map.groupBy(events, ({ log }) => log)
  for (const [, log] of logs) {
    let previous = GENESIS
    log.forEach((event, index) => {
      expect(event.seq).toBe(index + 1)
      expect(checkLink(previous, event)).toBe(true)
      previous = event.hash
    })
  }
  return logs.size
}
