/** `ledger replay`, `ledger verify`, `ledger check` and `ledger revoke`. */
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { decide, evolve, vacant } from '../../domain/lease.ts'
import { addressText } from '../../domain/stream.ts'
import type { Checkpoint, EventReader } from '../../domain/event-store.ts'
import { isoText } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { fill, replay } from '../../projections/replay.ts'
import { verify } from '../../projections/verify.ts'
import { formatErrors, loadConfig } from '../config/load.ts'
import { aheadOfHeads, parseCheckpoint } from '../import/order.ts'
import { openWriter } from '../stores.ts'
import { configuredKey, verifyFile } from './evidence.ts'
import { fail } from './fail.ts'
import { readAll } from './history-ask.ts'
import { configOf, orFail, QUICK_START, streamArgument, withLedgerOptions, withReader } from './open.ts'
import type { LedgerArguments } from './open.ts'
import { localZone, parseTime } from './time.ts'

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const progressBar = (what: string): SingleBar =>
  new SingleBar({
    format: `${what} {bar} {percentage}% | {value}/{total} events | {rate}/s | {eta_formatted} left`,
    stream: process.stderr,
    etaBuffer: 50,
  })

const onBar = (bar: SingleBar): ((progress: { readonly done: number; readonly total: number }) => void) => {
  const begun = performance.now()
  let before: number | undefined
  return ({ done, total }) => {
    before ??= done // an interrupted replay begins where it was
    bar.setTotal(total)
    bar.update(done, { rate: Math.round(((done - before) * 1000) / Math.max(1, performance.now() - begun)) })
  }
}

interface ReplayArguments extends LedgerArguments {
  readonly resume: boolean
  readonly target?: string
  readonly until?: string
  readonly into?: string
}

/** Drops the lease tables and builds them again from the ledger, or builds those of a past moment beside them. */
export const replayCommand = (): Command =>
  withLedgerOptions(new Command('replay'))
    .description('build the lease tables again from the ledger, beside the live ones, or as they were at a time')
    .option('--resume', 'go on with what an interrupted replay left', false)
    .option('--target <text>', 'only tables whose place, as `ledger verify` prints it, has this in it')
    .option('--until <when>', 'build them as they were then: a time, or a checkpoint of `ledger tail`')
    .option('--into <name>', 'for --until: name of the schema, in MySQL end of the names, as_of_…; default by the time')
    .action((args: ReplayArguments) =>
      withReader(args, async ({ reader, tables }) => {
        const targets = targetsOf(tables, args.target)
        if (targets.length === 0) return fail('there are no lease tables')
        if (args.into !== undefined && args.until === undefined) return fail('--into is for --until')
        const moment = args.until === undefined ? undefined : await momentOf(reader, args.until)
        for (const target of targets) {
          if (moment === undefined) await rebuild(reader, target, args.resume)
          else await buildPast(reader, target, moment, args)
        }
      }),
    )

/** The tables whose place has `wanted` in it; all of them without. */
const targetsOf = (tables: ReadonlyArray<LeaseTables>, wanted: string | undefined): ReadonlyArray<LeaseTables> => {
  const found = tables.filter(({ where }) => wanted === undefined || where.includes(wanted))
  return found.length === 0 && wanted !== undefined ? fail(`there are no lease tables at ${wanted}`) : found
}

const rebuild = async (store: EventReader, tables: LeaseTables, resume: boolean): Promise<void> => {
  const bar = progressBar('replay')
  bar.start(0, 0, { rate: 0 })
  const replayed = await replay({ store, tables, resume, onProgress: onBar(bar) })()
  bar.stop()
  if (E.isLeft(replayed)) {
    const { _tag, reason } = replayed.left
    return fail(_tag === 'StoreUnavailable' ? `${reason}; \`ledger replay --resume\` goes on from there` : reason)
  }
  print(`${tables.where}: rebuilt from ${replayed.right.events} events`)
}

/** A moment of the past: a time, or how far each log was. */
interface Moment {
  /** Until when events are taken; undefined with `upTo`. */
  readonly until: Instant | undefined
  readonly upTo: Checkpoint | undefined
  /** When that was. */
  readonly at: Instant
  /** What tables of it are called unless somebody says otherwise. Always the same, so that a rebuild can go on. */
  readonly name: string
  /** For people. */
  readonly text: string
}

const momentOf = async (store: EventReader, text: string): Promise<Moment> => {
  const upTo = parseCheckpoint(text)
  if (upTo === undefined) {
    const time = parseTime(text, localZone())
    if (E.isLeft(time)) return fail(`${time.left}, and no checkpoint of \`ledger tail\``)
    const { at } = time.right
    const name = `as_of_${isoText(at).replace(/\D/g, '').replace(/000$/, '')}`
    return { until: at, upTo, at, name, text: isoText(at) }
  }
  const ahead = aheadOfHeads(upTo, orFail(await store.heads()()))
  if (ahead !== undefined) return fail(ahead)
  let at = 0
  for (const [log, seq] of Object.entries(upTo)) {
    const [last] = seq > 0 ? orFail(await store.readLog(log, seq - 1, 1)()) : []
    at = Math.max(at, last?.recordedAt ?? 0)
  }
  const name = createHash('sha256').update(text).digest('hex').slice(0, 16)
  return { until: undefined, upTo, at, name: `as_of_${name}`, text: `the checkpoint of ${isoText(at)}` }
}

/** Time travel: tables of their own, which live ones and servers know nothing of. */
const buildPast = async (
  store: EventReader,
  tables: LeaseTables,
  moment: Moment,
  args: ReplayArguments,
): Promise<void> => {
  if (tables.past === undefined) return fail(`${tables.where} has no tables of the past`)
  const { until, upTo, at, text } = moment
  const name = args.into ?? moment.name
  const of = upTo === undefined ? text : moment.name // another checkpoint may be of the same time
  const past = orFail(await tables.past(name, of, args.resume)())
  try {
    const bar = progressBar('replay')
    bar.start(0, 0, { rate: 0 })
    const filled = await fill({ store, tables: past, until, upTo, onProgress: onBar(bar) })()
    bar.stop()
    const { events } = orFail(filled)
    orFail(await past.finish(at)())
    const { leases, history } = past.views
    print(`${tables.where}: ${leases} and ${history} show ${text}, ${events} events read`)
    print(`ask them with: SELECT * FROM ${leases}; SELECT * FROM ${history}`)
  } finally {
    await past.close()
  }
}

/** Checks the hash chains, the streams and the tables. */
export const verifyCommand = (): Command =>
  withLedgerOptions(new Command('verify'))
    .description('check that the ledger was not changed and that the lease tables show what it says')
    .argument('[file]', 'check this file of `ledger evidence` instead, without a ledger')
    .option('--key <file>', 'the public key that must have signed the file')
    .option('--target <text>', 'beside the ledger only tables whose place has this in it')
    .action((file: string | undefined, args: LedgerArguments & { readonly key?: string; readonly target?: string }) => {
      if (file !== undefined) return verifyFile(file, args.key)
      return withReader(args, async ({ reader, tables }, config) => {
        const targets = targetsOf(tables, args.target)
        for (const target of targets.length > 0 ? targets : [undefined]) {
          const bar = progressBar('verify')
          bar.start(0, 0, { rate: 0 })
          const verified = await verify({
            store: reader,
            tables: target,
            checkLink,
            genesis: GENESIS,
            maxClockSkewMs: config.ledger.maxClockSkewSec * 1000,
            onProgress: onBar(bar),
          })()
          bar.stop()
          const { logs, events, streams, rows, spans, erased, differences } = orFail(verified)
          const checked = [`${events} events in ${logs} logs`, `${streams} streams`]
          if (rows !== undefined) {
            const kept = spans === undefined ? `${rows} rows` : `${rows} rows and ${spans} spans`
            checked.push(`${kept} in ${target?.where ?? ''}`)
          }
          if (erased > 0) checked.push(`${erased} erased events`)
          print(`checked: ${checked.join(', ')}`)
          for (const [fault, { count, first }] of Object.entries(differences))
            print(`${fault}: ${count} wrong; first: ${first}`)
          if (Object.keys(differences).length > 0) process.exitCode = 1
          else print('everything fits')
        }
      })
    })

/** Says all that is wrong with a configuration. */
export const checkCommand = (): Command =>
  withLedgerOptions(new Command('check'))
    .description('say all that is wrong with a configuration, without starting anything')
    .action((args: LedgerArguments) => {
      const loaded = loadConfig(args.config.length > 0 ? args.config : [QUICK_START], {})
      if (E.isLeft(loaded)) return fail(formatErrors(loaded.left))
      const key = configuredKey(loaded.right.ledger)
      if (E.isLeft(key)) return fail(`LeaseLedger.evidence-key: ${key.left}`)
      for (const warning of loaded.right.warnings) print(`warning: ${warning}`)
      print('the configuration is valid')
    })

/** Takes a lease away, by an event of its own log `HOST-operator`. */
export const revokeCommand = (): Command =>
  withLedgerOptions(new Command('revoke'))
    .description('take a lease away from its holder')
    .argument('<address>', 'IPv4 or IPv6 address, or a delegated prefix')
    .requiredOption('--reason <text>', 'why; it is kept in the ledger')
    .action(async (address: string, args: LedgerArguments & { readonly reason: string }) => {
      const stream = streamArgument(address)
      const config = configOf(args)
      const opened = await openWriter(config, `${config.ledger.serverName ?? hostname()}-operator`)
      if (E.isLeft(opened)) return fail(opened.left)
      const { store, close } = opened.right
      try {
        const events = await readAll(store, stream)
        const state = events.reduce((before, { event }) => evolve(before, event), vacant)
        const now = Date.now()
        const decided = decide({ maxClockSkewMs: 0 })(state, { type: 'Revoke', reason: args.reason }, now)
        if (E.isLeft(decided) || decided.right._tag === 'None')
          return print(`${addressText(stream)} is not held by anybody`)
        const event = decided.right.value
        const [outcome] = orFail(
          await store.append([{ stream, expected: events.length - 1, event, recordedAt: now }])(),
        )
        if (outcome._tag === 'Appended') return print(`${addressText(stream)} revoked from ${event.lease.holder}`)
        return fail(`${addressText(stream)} changed at this moment; try again`)
      } finally {
        await close()
      }
    })
