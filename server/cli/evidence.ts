/** `ledger evidence` and `ledger keygen`: an answer that can be checked on another machine, and the key to sign it. */
import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { WriteFileOptions } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import { GENESIS } from '../../adapters/chain.ts'
import type { EventReader, LogName, Recorded, Seq, Stored } from '../../domain/event-store.ts'
import { decodeStored } from '../../domain/lease-codec.ts'
import type { Instant } from '../../domain/instant.ts'
import { addressText, categoryOf } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { holderAt, spansOf } from '../../projections/history.ts'
import { isErased } from '../../projections/log-page.ts'
import { checkEvidence, fingerprint, makeEvidence, signEvidence, signingKey } from '../evidence/document.ts'
import type { Segment } from '../evidence/document.ts'
import { proveWindow } from '../evidence/proof.ts'
import type { Config } from '../config/model.ts'
import { fail } from './fail.ts'
import { askSpans } from './history-ask.ts'
import type { Sources } from './history-ask.ts'
import { configOf, orFail, streamArgument, withLedgerOptions, withReader } from './open.ts'
import type { LedgerArguments } from './open.ts'
import { localZone, parseTime } from './time.ts'

const PAGE_MAX = 1_000

/** A segment goes on to the end of its log when that is so near: then the head, which others may know, ends it. */
const TO_HEAD_MAX = 10_000

/** The key that signs when no other is named, in the data folder. */
const KEY_FILE = 'evidence-key.pem'

const print = (text: string): void => void process.stdout.write(`${text}\n`)

interface Arguments extends LedgerArguments {
  readonly at: string
  readonly out: string
  readonly key?: string
}

/** Writes the document. */
export const evidenceCommand = (): Command =>
  withLedgerOptions(new Command('evidence'))
    .description('write who held an address then, with the proof, into a file that `ledger verify FILE` checks')
    .argument('<address>', 'IPv4 or IPv6 address, or a delegated prefix')
    .requiredOption('--at <time>', 'the moment; ISO 8601 in any zone, or @seconds')
    .requiredOption('--out <file>', 'the file to write')
    .option(
      '--key <file>',
      `private key to sign it with; default evidence-key of the configuration, or ${KEY_FILE} in the data folder`,
    )
    .action((address: string, args: Arguments) =>
      withReader(args, async (stores, config) => {
        const { reader } = stores
        const at = parseTime(args.at, localZone())
        if (E.isLeft(at)) return fail(at.left)
        await refusePart(stores, streamArgument(address), at.right.at)
        const key = orRefuse(configuredKey(config.ledger, args.key))
        await write(reader, streamArgument(address), at.right.at, args.out, key)
      }),
    )

/** An address that is part of a delegated prefix has no events of its own: who had the prefix is in those of the prefix. */
const refusePart = async (stores: Sources, stream: StreamName, at: Instant): Promise<void> => {
  if (categoryOf(stream) !== 'lease6') return
  const spans = await askSpans(stores, { _tag: 'Stream', stream }, at, at, at)
  const covering = spans.find((span) => span.stream !== stream && span.from <= at && at < span.until)
  if (covering === undefined) return
  const prefix = addressText(covering.stream)
  return fail(`${addressText(stream)} was part of ${prefix}, which was delegated then: ask for evidence of ${prefix}`)
}

/** Where the key is kept if nobody says otherwise. */
const standingKey = ({ evidenceKey, dataFolder }: KeyPlaces): string => evidenceKey ?? join(dataFolder, KEY_FILE)

/** What a configuration says of the key. */
export type KeyPlaces = Pick<Config['ledger'], 'evidenceKey' | 'dataFolder'>

/**
 * The key that signs: the one in `named`, or that of the configuration; undefined when there is none. One that is named
 * or configured must be there. `Left` is one sentence.
 */
export const configuredKey = (places: KeyPlaces, named?: string): E.Either<string, KeyObject | undefined> => {
  const file = named ?? standingKey(places)
  if (!existsSync(file)) {
    const isWanted = named !== undefined || places.evidenceKey !== undefined
    return isWanted ? E.left(`${file} is not there; make a key with \`ledger keygen\``) : E.right(undefined)
  }
  try {
    return E.mapLeft((reason: string) => `${file}: ${reason}`)(signingKey(readFileSync(file, 'utf8')))
  } catch (error) {
    return E.left(`${file} cannot be read: ${(error as Error).message}`)
  }
}

const orRefuse = <A>(answer: E.Either<string, A>): A => (E.isRight(answer) ? answer.right : fail(answer.left))

/** Writes a file; ends the process with the reason when that cannot be done. */
const writeFile = (file: string, text: string | Buffer, options: WriteFileOptions = {}): void => {
  try {
    writeFileSync(file, text, options)
  } catch (error) {
    fail(`${file} cannot be written: ${(error as Error).message}`)
  }
}

const write = async (
  reader: EventReader,
  stream: StreamName,
  at: Instant,
  out: string,
  key: KeyObject | undefined,
): Promise<void> => {
  const askedAt = orFail(await reader.clock()())
  if (at > askedAt) return fail('that moment is yet to come')
  const events = await relevant(reader, stream, at, askedAt)
  const segments: Segment[] = []
  for (const log of new Set(events.map((event) => event.log))) {
    const seqs = events.filter((event) => event.log === log).map(({ seq }) => seq)
    segments.push(await segmentOf(reader, log, Math.min(...seqs), Math.max(...seqs)))
  }
  const proof = orFail(await proveWindow({ reader, from: at, to: at, streams: [stream] }))
  const heads = proof.logs.map(({ log, seq, hash }) => `${log}/${seq} ${hash}`)
  const made = makeEvidence({ stream, at, askedAt }, events, segments, { heads, missing: [...proof.missing] })
  const evidence = key === undefined ? made : signEvidence(made, key)
  writeFile(out, `${JSON.stringify(evidence, null, 2)}\n`)
  print(`${evidence.statement}`)
  const links = segments.reduce((sum, { stored }) => sum + stored.length, 0)
  print(`${out}: ${events.length} events, ${links} links of the chain, ${key === undefined ? 'not signed' : 'signed'}`)
  for (const sentence of proof.missing) print(`the ledger is not complete: ${sentence}`)
  if (proof.missing.length > 0) process.exitCode = 1
}

/** The events of the span that covers the moment, or those around it, and a neighbour on each side. */
const relevant = async (
  reader: EventReader,
  stream: StreamName,
  at: Instant,
  now: Instant,
): Promise<ReadonlyArray<Stored>> => {
  const stored: Stored[] = []
  for (let page: ReadonlyArray<Stored> = []; ;) {
    page = orFail(await reader.readStream(stream, (stored.at(-1)?.revision ?? -1) + 1, PAGE_MAX)())
    stored.push(...page)
    if (page.length < PAGE_MAX) break
  }
  const events: Recorded[] = stored.filter((one) => !isErased(one)).map((one) => orFail(decodeStored(one)))
  const span = holderAt(spansOf(events, now), at)
  const before = events.findLast(({ recordedAt }) => recordedAt <= at)?.revision ?? 0
  const [first, last] = span === undefined ? [before, before] : [span.first.revision, (span.end ?? span.last).revision]
  const picked = stored.filter(({ revision }) => revision >= first - 1 && revision <= last + 1)
  if (picked.some(isErased)) return fail(`the data of events of ${addressText(stream)} that matter here was erased`)
  return picked
}

const segmentOf = async (reader: EventReader, log: LogName, first: Seq, last: Seq): Promise<Segment> => {
  const head = orFail(await reader.heads()())[log] ?? last
  const end = head - last <= TO_HEAD_MAX ? head : last
  const [before] = first > 1 ? orFail(await reader.readLog(log, first - 2, 1)()) : []
  const stored: Stored[] = []
  for (let at = first - 1; at < end;) {
    const page = orFail(await reader.readLog(log, at, PAGE_MAX)())
    stored.push(...page.filter(({ seq }) => seq <= end))
    const reached = page.at(-1)?.seq
    if (reached === undefined) break
    at = reached
  }
  return { log, previous: before?.hash ?? GENESIS, stored }
}

/** Makes a key pair. */
export const keygenCommand = (): Command =>
  withLedgerOptions(new Command('keygen'))
    .description('make an Ed25519 key that signs evidence, and the public key to give to those who check it')
    .option(
      '--out <file>',
      `where to write it, FILE.pub beside it; default evidence-key of the configuration, or ${KEY_FILE} in the data folder`,
    )
    .action((args: LedgerArguments & { readonly out?: string }) => {
      const out = args.out ?? standingKey(configOf(args).ledger)
      if (existsSync(out)) return fail(`${out} is there already; keys are not overwritten`)
      const { privateKey, publicKey } = generateKeyPairSync('ed25519')
      writeFile(out, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' })
      writeFile(`${out}.pub`, publicKey.export({ type: 'spki', format: 'pem' }))
      print(`${out}: key ${fingerprint(publicKey.export({ type: 'spki', format: 'der' }))}`)
    })

const readOrFail = (file: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    return fail(`${file} cannot be read: ${(error as Error).message}`)
  }
}

/** Checks a document that `ledger evidence` wrote, without any ledger. Exit code 1 when something is wrong. */
export const verifyFile = (file: string, keyFile: string | undefined): void => {
  if (!existsSync(file)) return fail(`${file} is not there`)
  const checked = checkEvidence(readOrFail(file))
  if (E.isLeft(checked)) return fail(`${file}: ${checked.left}`)
  const { statement, events, links, signedBy, wrong } = checked.right
  const all = [...wrong]
  if (keyFile !== undefined && signedBy !== publicFingerprint(keyFile)) all.push(`it was not signed by ${keyFile}`)
  print(
    `checked: ${events} events in ${links} links of the chain, ${signedBy ? `signed by key ${signedBy}` : 'not signed'}`,
  )
  for (const sentence of all) print(`wrong: ${sentence}`)
  if (all.length === 0) print(`everything fits: ${statement}`)
  else process.exitCode = 1
}

const publicFingerprint = (file: string): string => {
  const text = readOrFail(file).replace(/-----[^-]+-----|\s/g, '')
  return fingerprint(Buffer.from(text, 'base64'))
}
