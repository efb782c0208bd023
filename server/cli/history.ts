/** `ledger history`: who held an address, and what a client held, at a moment or over a time. */
import { Command, Option } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import type { Recorded, Stored } from '../../domain/event-store.ts'
import { isoText } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import { addressText } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { IDENTIFIER_KINDS, identifierText } from '../../projections/history.ts'
import type { IdentifierKind, Span } from '../../projections/history.ts'
import { proveWindow } from '../evidence/proof.ts'
import type { Proof } from '../evidence/proof.ts'
import { fail } from './fail.ts'
import { addressSubject, askSpans, clientSubject, finderOf, readAll, spansOfStream } from './history-ask.ts'
import type { Sources, Subject } from './history-ask.ts'
import {
  ANSWER_FIELDS,
  answerOf,
  csvLines,
  EVENT_FIELDS,
  eventAnswerOf,
  eventText,
  spanText,
} from './history-format.ts'
import { orFail, withLedgerOptions, withReader } from './open.ts'
import type { LedgerArguments } from './open.ts'
import { localZone, parseTime, parseZone, UTC } from './time.ts'
import type { Asked, Zone } from './time.ts'

type Format = 'table' | 'json' | 'ndjson' | 'csv'

interface Arguments extends LedgerArguments {
  readonly at?: string
  readonly from?: string
  readonly to?: string
  readonly zone?: string
  readonly format: Format
  readonly json: boolean
  readonly grace: number
  readonly events: boolean
  readonly proof: boolean
  readonly mac?: string
  readonly clientId?: string
  readonly duid?: string
  readonly hostname?: string
  readonly circuitId?: string
  readonly remoteId?: string
}

/** A time that was asked about, both ends inclusive; `isAsked` is false for all times. */
interface Window {
  readonly from: Instant
  readonly to: Instant
  readonly zone: Zone
  readonly isAsked: boolean
}

/** The command. */
export const historyCommand = (): Command => {
  const command = withLedgerOptions(new Command('history'))
    .description('show who held an address or prefix, or what a client held, and when')
    .argument('[address]', 'IPv4 or IPv6 address, or a prefix: everything in it')
    .option('--at <time>', 'only who held it then; ISO 8601 in any zone, or @seconds')
    .option('--from <time>', 'only what was held at this time or later')
    .option('--to <time>', 'only what was held until this time')
    .option('--zone <zone>', 'zone of times without one, and to show beside UTC, such as Europe/Berlin')
    .option('--grace <seconds>', 'also who held it up to so long before: a device may go on using it', seconds, 0)
    .option('--events', 'show every event, also offers', false)
    .option('--no-proof', 'do not follow the hash chains when nothing was found')
    .option('--json', 'the same as --format json', false)
    .addOption(new Option('--format <format>').choices(['table', 'json', 'ndjson', 'csv']).default('table'))
  for (const kind of IDENTIFIER_KINDS) command.option(`--${kind} <value>`, `everything that this ${kind} held`)
  return command.action((address: string | undefined, args: Arguments) =>
    withReader(args, (stores) => answer(stores, address, args)),
  )
}

const seconds = (text: string): number => {
  const value = Number(text)
  return Number.isFinite(value) && value >= 0 ? value : fail(`${text} is no number of seconds`)
}

const subjectOf = (address: string | undefined, args: Arguments): Subject => {
  const values: Readonly<Record<IdentifierKind, string | undefined>> = {
    mac: args.mac,
    'client-id': args.clientId,
    duid: args.duid,
    hostname: args.hostname,
    'circuit-id': args.circuitId,
    'remote-id': args.remoteId,
  }
  const given = IDENTIFIER_KINDS.filter((kind) => values[kind] !== undefined)
  if (given.length + (address === undefined ? 0 : 1) !== 1) {
    return fail(`give an address, a prefix, or one of ${IDENTIFIER_KINDS.map((kind) => `--${kind}`).join(', ')}`)
  }
  const [kind] = given
  return kind === undefined ? addressSubject(address ?? '') : clientSubject(kind, values[kind] ?? '')
}

const orRefuse = <A>(parsed: E.Either<string, A>): A => (E.isRight(parsed) ? parsed.right : fail(parsed.left))

const windowOf = (args: Arguments): Window => {
  const zone = args.zone === undefined ? undefined : orRefuse(parseZone(args.zone))
  const asked = (text: string | undefined): Asked | undefined =>
    text === undefined ? undefined : orRefuse(parseTime(text, zone ?? localZone()))
  const [at, from, to] = [asked(args.at), asked(args.from), asked(args.to)]
  if (at !== undefined && (from !== undefined || to !== undefined)) return fail('--at stands without --from and --to')
  const first = at ?? from ?? to
  const shown = zone ?? first?.zone ?? UTC
  if (at !== undefined) return { from: at.at, to: at.at, zone: shown, isAsked: true }
  const window = { from: from?.at ?? -Infinity, to: to?.at ?? Infinity, zone: shown, isAsked: first !== undefined }
  return window.from > window.to ? fail('--from is later than --to') : window
}

const answer = async (stores: Sources, address: string | undefined, args: Arguments): Promise<void> => {
  const subject = subjectOf(address, args)
  const window = windowOf(args)
  const now = orFail(await stores.reader.clock()())
  if (window.isAsked && window.from > now) return fail(`${isoText(window.from)} is yet to come`)
  const graceMs = args.grace * 1000
  const bounded = { from: Math.max(window.from - graceMs, 0), to: Math.min(window.to, now) }
  const all = await askSpans(stores, subject, bounded.from, bounded.to, now)
  const found = all.filter((span) => covers(span, window, graceMs))
  const events = args.events ? await eventsOf(stores, subject, found, window) : []
  const proof = found.length === 0 && args.proof ? await prove(stores, subject, window, graceMs, now) : undefined
  const said = found.length === 0 ? nothingText(subject, window, now, proof) : undefined
  show({ args, window, graceMs, found, events, proof, said })
  if (proof !== undefined && proof.missing.length > 0) process.exitCode = 1
}

/** Whether a span, or its grace time, reaches into the window. A span of no length was held at no time. */
const covers = (span: Span, window: Window, graceMs: number): boolean =>
  !window.isAsked || (span.from <= window.to && span.until + graceMs > window.from && span.until > span.from)

const isGraceOnly = (span: Span, window: Window): boolean => window.isAsked && span.until <= window.from

/** All events of an address within the window; of a client those of its spans. */
const eventsOf = async (
  { reader }: Sources,
  subject: Subject,
  spans: ReadonlyArray<Span>,
  window: Window,
): Promise<ReadonlyArray<Recorded>> => {
  if (subject._tag === 'Stream') {
    const events = await readAll(reader, subject.stream)
    return events.filter(({ recordedAt }) => window.from <= recordedAt && recordedAt <= window.to)
  }
  const byStream = Map.groupBy(spans, ({ stream }) => stream)
  const found: Recorded[] = []
  for (const [stream, own] of byStream) {
    const events = await readAll(reader, stream)
    const isOf = (span: Span, { revision }: Recorded): boolean =>
      span.first.revision <= revision && revision <= (span.end ?? span.last).revision
    found.push(...events.filter((event) => own.some((span) => isOf(span, event))))
  }
  return found
}

/**
 * Whether the ledger vouches for a window in which nothing was found. What was found by the tables alone is looked for
 * in the events that are checked: tables can be wrong.
 */
const prove = async (
  { reader }: Sources,
  subject: Subject,
  window: Window,
  graceMs: number,
  now: Instant,
): Promise<Proof> => {
  const streams: ReadonlyArray<StreamName> = subject._tag === 'Stream' ? [subject.stream] : []
  const from = Number.isFinite(window.from) ? window.from : now
  const isOf = finderOf(subject, window.from - graceMs, window.to)
  const suspects = new Set<StreamName>()
  const onEvent = (stored: Stored): void => void (isOf(stored) && suspects.add(stored.stream))
  const proof = orFail(await proveWindow({ reader, from, to: Math.min(window.to, now), streams, onEvent }))
  for (const stream of suspects) {
    const spans = await spansOfStream(reader, stream, subject, now)
    const span = spans.find((one) => covers(one, window, graceMs))
    if (span === undefined) continue
    const held = `by the ledger ${span.holder} held ${addressText(stream)} from ${isoText(span.from)}`
    return { ...proof, missing: [...proof.missing, `${held}, which the tables do not show: run \`ledger verify\``] }
  }
  return proof
}

const subjectText = (subject: Subject): string => {
  switch (subject._tag) {
    case 'Stream':
      return subject.stream.slice(subject.stream.indexOf('/') + 1)
    case 'Prefix':
      return `an address or prefix in ${subject.prefix}`
    case 'Client':
      return `anything as ${identifierText(subject.identifier)}`
  }
}

/** That nothing was found, and whether that proves anything. */
const nothingText = (subject: Subject, window: Window, now: Instant, proof: Proof | undefined): string => {
  const when = windowText(window, now)
  const nobody = `nobody held ${subjectText(subject)} ${when}`
  if (proof === undefined) return `${nobody}, as far as the ledger was looked at; its hash chains were not checked`
  if (proof.missing.length > 0) {
    const found = `nothing was found of somebody holding ${subjectText(subject)} ${when}`
    return `${found}, but the ledger is not complete for that window:\n    ${proof.missing.join('\n    ')}`
  }
  const heads = proof.logs.map(({ log, seq, hash }) => `${log}/${seq} ${hash.slice(0, 16)}`).join(', ')
  return `${nobody}; the ledger is complete for that window (${proof.events} events checked, up to ${heads})`
}

const windowText = (window: Window, now: Instant): string => {
  if (window.from === window.to) return `at ${isoText(window.from)}`
  const until = window.to > now ? `now (${isoText(now)})` : isoText(window.to)
  return Number.isFinite(window.from)
    ? `between ${isoText(window.from)} and ${until}`
    : `from the beginning of the ledger until ${until}`
}

interface Shown {
  readonly args: Arguments
  readonly window: Window
  readonly graceMs: number
  readonly found: ReadonlyArray<Span>
  readonly events: ReadonlyArray<Recorded>
  readonly proof: Proof | undefined
  readonly said: string | undefined
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const show = ({ args, window, found, events, proof, said }: Shown): void => {
  const answers = found.map((span) => answerOf(span, window.zone, isGraceOnly(span, window)))
  switch (args.json ? 'json' : args.format) {
    case 'json':
      return print(JSON.stringify({ spans: answers, ...(args.events ? { events } : {}), nobody: said, proof }, null, 2))
    case 'ndjson':
      for (const one of args.events ? events : answers) print(JSON.stringify(one))
      break
    case 'csv':
      for (const line of args.events
        ? csvLines(EVENT_FIELDS, events.map(eventAnswerOf))
        : csvLines(ANSWER_FIELDS, answers)) {
        print(line)
      }
      break
    case 'table':
      for (const span of args.events ? [] : found) print(spanText(span, window.zone, isGraceOnly(span, window)))
      for (const event of events) print(eventText(event))
      if (said !== undefined) print(said)
      return
  }
  // Rows alone on standard output: what they do not say goes beside it.
  if (said !== undefined) process.stderr.write(`ledger: ${said}\n`)
}
