/** `ledger export`: the leases as Kea has them, or all events as NDJSON, which is the form for backups. */
import { createWriteStream } from 'node:fs'
import type { Writable } from 'node:stream'
import { once } from 'node:events'
import { Command, Option } from 'commander'
import { keaStatements } from '../../adapters/kea-statements.ts'
import { START } from '../../domain/event-store.ts'
import type { EventReader } from '../../domain/event-store.ts'
import { tableOf } from '../../projections/lease-row.ts'
import type { LeaseRow, LeaseTable } from '../../projections/lease-row.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { eventLine } from '../import/event-line.ts'
import { HEADER4, HEADER6, keaFields, keaLine } from '../import/kea-csv.ts'
import { OrderedReader } from '../import/order.ts'
import { fail } from './fail.ts'
import { orFail, withLedgerOptions, withReader } from './open.ts'
import type { LedgerArguments } from './open.ts'

const FORMATS = ['ndjson', 'kea4', 'kea6', 'kea-postgresql', 'kea-mysql'] as const

type Format = (typeof FORMATS)[number]

interface Arguments extends LedgerArguments {
  readonly format: Format
  readonly out?: string
}

/** The first line of an export of events. */
const HEADER = '{"format":"lease-ledger-export/1"}'

/** The command. */
export const exportCommand = (): Command =>
  withLedgerOptions(new Command('export'))
    .description(
      'write all events as NDJSON, or the leases as a lease file of Kea or as statements that fill its tables',
    )
    .addOption(new Option('--format <format>').choices(FORMATS).default('ndjson'))
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
const exportKea = async (
  tables: ReadonlyArray<LeaseTables>,
  format: Exclude<Format, 'ndjson'>,
  out: Writable,
): Promise<string> => {
  const [target] = tables
  if (target === undefined) return fail('this store has no lease tables')
  const rows: Record<LeaseTable, LeaseRow[]> = { lease4: [], lease6: [] }
  orFail(await target.snapshot(LEASES, (row) => void rows[tableOf(row.stream)].push(row))())
  if (format === 'kea4') return writeFile(out, HEADER4, rows.lease4)
  if (format === 'kea6') return writeFile(out, HEADER6, rows.lease6)
  // Released leases are gone from Kea's tables, and of the others that are over it needs to know nothing.
  const fields = (table: LeaseTable) =>
    rows[table].filter(({ state }) => state < 2).flatMap((row) => [keaFields(row) ?? []])
  const four = { columns: HEADER4.split(','), rows: fields('lease4') }
  const six = { columns: HEADER6.split(','), rows: fields('lease6') }
  const database = format === 'kea-mysql' ? 'mysql' : 'postgresql'
  for (const statement of keaStatements(database, [four, six])) await put(out, `${statement}\n`)
  return `${four.rows.length + six.rows.length} leases`
}

const writeFile = async (out: Writable, header: string, rows: ReadonlyArray<LeaseRow>): Promise<string> => {
  let leases = 0
  await put(out, `${header}\n`)
  for (const row of rows) {
    const line = keaLine(row)
    if (line === undefined) continue
    leases++
    await put(out, `${line}\n`)
  }
  return `${leases} leases`
}
