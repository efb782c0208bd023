/** `ledger tail`: the events of the ledger as they come, as NDJSON, for scripts and SIEMs. */
import { Command } from 'commander'
import { START } from '../../domain/event-store.ts'
import type { Checkpoint, EventReader } from '../../domain/event-store.ts'
import { eventLine } from '../import/event-line.ts'
import { aheadOfHeads, checkpointText, OrderedReader, parseCheckpoint } from '../import/order.ts'
import { fail } from './fail.ts'
import { orFail, withLedgerOptions, withReader } from './open.ts'
import type { LedgerArguments } from './open.ts'

/** How long to wait for word of new events before looking. */
const LOOK_MS = 1_000

/** How long a feed that was told to end waits for its reader to take what was written already. */
const LEAVE_MS = 1_000

interface Arguments extends LedgerArguments {
  readonly from?: string
  readonly once: boolean
}

/** The command. */
export const tailCommand = (): Command =>
  withLedgerOptions(new Command('tail'))
    .description('follow the events as NDJSON; each line carries the checkpoint to go on from')
    .option('--from <checkpoint>', 'after the line that carried this; `now` for new events only; default everything')
    .option('--once', 'end when there is nothing more to read', false)
    .action((args: Arguments) =>
      withReader(args, async ({ reader }) => follow(reader, await startOf(reader, args.from), args.once)),
    )

const startOf = async (reader: EventReader, from: string | undefined): Promise<Checkpoint> => {
  if (from === undefined) return START
  if (from === 'now') return orFail(await reader.heads()())
  const checkpoint = parseCheckpoint(from) ?? fail(`${from} is no checkpoint of \`ledger tail\``)
  const ahead = aheadOfHeads(checkpoint, orFail(await reader.heads()()))
  return ahead === undefined ? checkpoint : fail(ahead)
}

const follow = async (reader: EventReader, from: Checkpoint, once: boolean): Promise<void> => {
  const ordered = new OrderedReader(reader, from)
  let isOver = false
  let wake = (): void => undefined
  let release = (): void => undefined
  const stopped = new Promise<void>((resolve) => (release = resolve))
  const stop = (): void => {
    isOver = true
    wake()
    release()
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  process.stdout.on('error', stop) // whoever read has gone
  const unsubscribe = once ? undefined : orFail(await reader.onAppended(() => wake())())
  while (!isOver) {
    const drained = await ordered.drain(
      (stored) => Promise.race([write(`${eventLine(stored, checkpointText(ordered.checkpoint))}\n`), stopped]),
      () => isOver,
    )
    if (once) {
      orFail(drained)
      break
    }
    if (isOver) break
    // A store that cannot be reached now is asked again: a feed that ends is one more thing to look after.
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LOOK_MS)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
  await unsubscribe?.()
  // What nobody reads any more keeps the process no longer than this.
  if (isOver) setTimeout(() => process.exit(), LEAVE_MS).unref()
}

/** Writes no faster than it is read. Resolves also when whoever read has gone. */
export const write = (text: string): Promise<void> =>
  new Promise((resolve) => {
    if (process.stdout.write(text, () => resolve())) resolve()
  })
