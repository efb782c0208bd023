/** `ledger export`: the leases as Kea's lease file, or all events as NDJSON, which is the form for backups. */
import { createWriteStream } from 'node:fs'
import type { Writable } from 'node:stream'
import { once } from 'node:events'
import { Command, Option } from 'commander'
import { START } from '../../domain/event-store.ts'
import type { EventReader } from '../../domain/event-store.ts'
import { tableOf } from '../../projections/lease-row.ts'
import type { LeaseRow } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { eventLine } from '../import/event-line.ts'
import { HEADER4, HEADER6, keaLine } from '../import/kea-csv.ts'
import { OrderedReader } from '../import/order.ts'
import { fail } from './fail.ts'
import { orFail, withLedgerOptions, withReader } from './open.ts'
import type { LedgerArguments } from './open.ts'

type Format = 'ndjson' | 'kea4' | 'kea6'

interface Arguments extends LedgerArguments {
  readonly format: Format
  readonly out?: string
}

/** The first line of an export of events. */
const HEADER = '{"format":"lease-ledger-export/1"}'

/** The command. */
export const exportCommand = (): Command =>
  withLedgerOptions(new Command('export'))
    .description('write the leases as a lease file of Kea, or all events as NDJSON')
    .addOption(new Option('--format <format>').choices(['ndjson', 'kea4', 'kea6']).default('ndjson'))
    .option('--out <file>', 'a new file; default standard output')
    .action((args: Arguments) =>
      withReader(args, async ({ reader, tables }) => {
        const out = args.out === undefined ? process.stdout : createWriteStream(args.out, { flags: 'wx' })
        out.on('error', (error) => fail(`${args.out ?? 'standard output'}: ${error.message}`))
        const written =
          args.format === 'ndjson' ? await exportEvents(reader, out) : await exportKea(tables, args.format, out)
        if (args.out === undefined) return
        out.end()
        await once(out, 'finish')
        process.stdout.write(`${args.out}: ${written}\n`)
      }),
    )

const put = async (out: Writable, text: string): Promise<void> => {
  if (!out.write(text)) await once(out, 'drain')
}

/** What is in the ledger when it begins, and a last line by which a file that was cut off is known. */
const exportEvents = async (reader: EventReader, out: Writable): Promise<string> => {
  const ordered = new OrderedReader(reader, START)
  let events = 0
  await put(out, `${HEADER}\n`)
  orFail(
    await ordered.drain(async (stored) => {
      events++
      await put(out, `${eventLine(stored)}\n`)
    }),
  )
  await put(out, `{"end":{"events":${events},"heads":${JSON.stringify(ordered.checkpoint)}}}\n`)
  return `${events} events`
}

/** The lease tables hold what Kea would. */
const exportKea = async (tables: ReadonlyArray<LeaseTables>, format: Format, out: Writable): Promise<string> => {
  const [target] = tables
  if (target === undefined) return fail('this store has no lease tables')
  const table = format === 'kea4' ? 'lease4' : 'lease6'
  const lines: string[] = []
  const take = (row: LeaseRow): void => {
    if (tableOf(row.stream) !== table) return
    const line = keaLine(row)
    if (line !== undefined) lines.push(line)
  }
  orFail(await target.snapshot(LEASES, take)())
  await put(out, `${format === 'kea4' ? HEADER4 : HEADER6}\n`)
  for (const line of lines) await put(out, `${line}\n`)
  return `${lines.length} leases`
}
