/** `ledger import`: leases of Kea and ISC dhcpd, and the export of another ledger. */
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename } from 'node:path'
import { createInterface } from 'node:readline'
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import { readKeaMysql } from '../../adapters/kea-mysql/leases.ts'
import { readKeaPostgres } from '../../adapters/kea-postgres/leases.ts'
import type { EventStore } from '../../domain/event-store.ts'
import { addressText, parseStream } from '../../domain/stream.ts'
import type { Config } from '../config/model.ts'
import { parseEventLine } from '../import/event-line.ts'
import { readIscLeases } from '../import/isc-leases.ts'
import type { SubnetOf } from '../import/isc-leases.ts'
import { lastOfEach } from '../import/item.ts'
import type { Item } from '../import/item.ts'
import { isKeaHeader, keaFiles, keaItem, readKeaCsv } from '../import/kea-csv.ts'
import { ExportImport, importLeases } from '../import/write.ts'
import { openWriter } from '../stores.ts'
import { fail } from './fail.ts'
import { configOf, orFail, withLedgerOptions } from './open.ts'
import type { LedgerArguments } from './open.ts'

interface Arguments extends LedgerArguments {
  readonly dryRun: boolean
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

/** The command. */
export const importCommand = (): Command =>
  withLedgerOptions(new Command('import'))
    .description('take leases over: a lease file of Kea or ISC dhcpd, a Kea database, or a `ledger export`')
    .argument('<source>', 'leases4.csv, leases6.csv, dhcpd.leases, export.ndjson, postgresql://… or mysql://…')
    .option('--dry-run', 'say what would be done, and write nothing', false)
    .action((source: string, args: Arguments) => run(source, args))

const run = async (source: string, args: Arguments): Promise<void> => {
  const config = configOf(args)
  if (/^(postgres(ql)?|mysql):\/\//.test(source))
    return takeLeases(await databaseItems(source), 'kea database', args, config)
  const files = keaFiles(source)
  if (files.length === 0) return fail(`${source} is not there`)
  const beginning = firstLine(files[0] as string)
  if (beginning.startsWith('{')) return takeExport(source, args, config)
  if (isKeaHeader(beginning)) {
    const items = files.flatMap((file) => [...readKeaCsv(file, readFileSync(file, 'utf8').split('\n'))])
    return takeLeases(items, `kea ${basename(source)}`, args, config)
  }
  const items = readIscLeases(source, readFileSync(source, 'latin1'), subnetOf(config))
  return takeLeases([...items], `isc ${basename(source)}`, args, config)
}

const firstLine = (file: string): string => {
  const text = readFileSync(file, 'latin1')
  return (text.split('\n', 1)[0] ?? '').trim()
}

const databaseItems = async (url: string): Promise<ReadonlyArray<Item>> => {
  try {
    const tables = url.startsWith('mysql') ? await readKeaMysql(url) : await readKeaPostgres(url)
    return tables.flatMap(({ columns, rows }) =>
      rows.map((row) => keaItem(`${columns.includes('duid') ? 'lease6' : 'lease4'} ${row[0]}`, columns, row)),
    )
  } catch (error) {
    return fail(`the database cannot be read: ${(error as Error).message}`)
  }
}

/** By the configuration that is in force; ISC's file does not say it. */
const subnetOf =
  (config: Config): SubnetOf =>
  (stream) => {
    const resource = O.toUndefined(parseStream(stream))
    if (resource === undefined) return undefined
    if (resource.category === 'lease4') {
      const { address } = resource
      return config.dhcp4?.subnets.find(({ prefix, prefixLength }) => {
        const size = 2 ** (32 - prefixLength)
        return Math.floor(address / size) === Math.floor(prefix / size)
      })?.id
    }
    const within = (prefix: bigint, length: number): boolean =>
      resource.address >> BigInt(128 - length) === prefix >> BigInt(128 - length)
    return config.dhcp6?.subnets.find((subnet) =>
      resource.category === 'prefix6'
        ? subnet.pdPools.some(({ prefix, prefixLength }) => within(prefix, prefixLength))
        : within(subnet.prefix, subnet.prefixLength),
    )?.id
  }

const takeLeases = async (
  items: ReadonlyArray<Item>,
  source: string,
  args: Arguments,
  config: Config,
): Promise<void> => {
  const { found, bad } = lastOfEach(items)
  for (const { place, reason } of bad) process.stderr.write(`${place}: ${reason}\n`)
  const opened = await openWriter(config, `${config.ledger.serverName ?? hostname()}-import`)
  if (E.isLeft(opened)) return fail(opened.left)
  const { store, close } = opened.right
  const bar = progressBar()
  try {
    bar.start(found.length, 0)
    const now = orFail(await store.clock()())
    const onProgress = (done: number): void => bar.update(done)
    const imported = await importLeases(found, { store, source, now, dryRun: args.dryRun, onProgress })
    bar.stop()
    const counts = orFail(imported)
    const did = args.dryRun ? 'would import' : 'imported'
    for (const { place, stream } of counts.changed)
      process.stderr.write(
        `${place}: ${addressText(stream)} has changed there since it was imported; it is left as it was\n`,
      )
    const stale = counts.changed.length === 0 ? '' : `, ${counts.changed.length} of them changed since`
    print(`${did} ${counts.imported} leases, ${counts.known} known already${stale}, ${bad.length} bad`)
    if (bad.length + counts.changed.length > 0) process.exitCode = 1
  } finally {
    await close()
  }
}

const progressBar = (): SingleBar =>
  new SingleBar({
    format: 'import {bar} {percentage}% | {value}/{total} | {eta_formatted} left',
    stream: process.stderr,
  })

const takeExport = async (file: string, args: Arguments, config: Config): Promise<void> => {
  if (!existsSync(file)) return fail(`${file} is not there`)
  const closes: (() => Promise<void>)[] = []
  const open = async (log: string): Promise<E.Either<string, EventStore>> => {
    const opened = await openWriter(config, log)
    if (E.isLeft(opened)) return opened
    closes.push(opened.right.close)
    return E.right(opened.right.store)
  }
  const importing = new ExportImport(open)
  try {
    const lines = await eachLine(file, async (text, number) => {
      const stored = parseEventLine(text)
      if (E.isLeft(stored)) return `${file}:${number}: ${stored.left}`
      if (args.dryRun) return undefined
      const taken = await importing.take(stored.right)
      return E.isLeft(taken) ? `${file}:${number}: ${taken.left}` : undefined
    })
    // Events before a bad line are written: the import can be repeated when the file is whole.
    const finished = await importing.finish()
    if (E.isLeft(finished)) lines.wrong.push(finished.left)
    const did = args.dryRun ? `would import ${lines.count}` : `imported ${importing.imported}`
    print(`${did} events, ${importing.known} known already`)
    if (lines.wrong.length > 0) return fail(lines.wrong.join('\n'))
  } finally {
    for (const close of closes.reverse()) await close()
  }
}

/** Calls `onLine` for each event of an export, until something is wrong; checks that the file is whole. */
const eachLine = async (
  file: string,
  onLine: (text: string, number: number) => Promise<string | undefined>,
): Promise<{ readonly count: number; readonly wrong: string[] }> => {
  let [number, count] = [0, 0]
  let end: number | undefined
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    number++
    if (text === '' || number === 1) continue // the first line says what the file is
    const ended = /^\{"end":\{"events":(\d+)/.exec(text)
    if (ended !== null) {
      end = Number(ended[1])
      continue
    }
    const wrong = await onLine(text, number)
    if (wrong !== undefined) return { count, wrong: [wrong] }
    count++
  }
  return { count, wrong: end === count ? [] : [`${file} ends early: it was not exported to its end`] }
}
