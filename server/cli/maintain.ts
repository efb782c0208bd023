/** `ledger replay`, `ledger verify`, `ledger check` and `ledger revoke`. */
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import { hostname } from 'node:os'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { decide, evolve, vacant } from '../../domain/lease.ts'
import { addressText } from '../../domain/stream.ts'
import { replay } from '../../projections/replay.ts'
import { verify } from '../../projections/verify.ts'
import { formatErrors, loadConfig } from '../config/load.ts'
import { openWriter } from '../stores.ts'
import { verifyFile } from './evidence.ts'
import { fail } from './fail.ts'
import { readAll } from './history-ask.ts'
import { configOf, orFail, QUICK_START, streamArgument, withLedgerOptions, withReader } from './open.ts'
import type { LedgerArguments } from './open.ts'

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const progressBar = (what: string): SingleBar =>
  new SingleBar({
    format: `${what} {bar} {percentage}% | {value}/{total} events | {eta_formatted} left`,
    stream: process.stderr,
    etaBuffer: 50,
  })

/** Drops the lease tables and builds them again from the ledger. */
export const replayCommand = (): Command =>
  withLedgerOptions(new Command('replay'))
    .description('drop the lease tables and build them again from the ledger, beside the live ones')
    .option('--resume', 'go on with what an interrupted replay left', false)
    .action((args: LedgerArguments & { readonly resume: boolean }) =>
      withReader(args, async ({ reader, tables }) => {
        if (tables.length === 0) return fail('this store has no lease tables')
        for (const target of tables) {
          const bar = progressBar('replay')
          bar.start(0, 0)
          const options = {
            store: reader,
            tables: target,
            resume: args.resume,
            onProgress: ({ done, total }: { done: number; total: number }) => {
              bar.setTotal(total)
              bar.update(done)
            },
          }
          const replayed = await replay(options)()
          bar.stop()
          print(`${target.where}: rebuilt from ${orFail(replayed).events} events`)
        }
      }),
    )

/** Checks the hash chains, the streams and the tables. */
export const verifyCommand = (): Command =>
  withLedgerOptions(new Command('verify'))
    .description('check that the ledger was not changed and that the lease tables show what it says')
    .argument('[file]', 'check this file of `ledger evidence` instead, without a ledger')
    .option('--key <file>', 'the public key that must have signed the file')
    .action((file: string | undefined, args: LedgerArguments & { readonly key?: string }) => {
      if (file !== undefined) return verifyFile(file, args.key)
      return withReader(args, async ({ reader, tables }, config) => {
        for (const target of tables.length > 0 ? tables : [undefined]) {
          const bar = progressBar('verify')
          bar.start(0, 0)
          const verified = await verify({
            store: reader,
            tables: target,
            checkLink,
            genesis: GENESIS,
            maxClockSkewMs: config.ledger.maxClockSkewSec * 1000,
            onProgress: ({ done, total }) => {
              bar.setTotal(total)
              bar.update(done)
            },
          })()
          bar.stop()
          const { logs, events, streams, rows, erased, differences } = orFail(verified)
          const checked = [`${events} events in ${logs} logs`, `${streams} streams`]
          if (rows !== undefined) checked.push(`${rows} rows in ${target?.where ?? ''}`)
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
