/** `ledger history`: everything that ever happened to an address, or who held it at a moment. */
import { Command } from 'commander'
import * as E from 'fp-ts/lib/Either.js'
import type { EventReader, Recorded } from '../../domain/event-store.ts'
import { FOREVER, isoText } from '../../domain/instant.ts'
import { decodeStored } from '../../domain/lease-codec.ts'
import { addressText } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { holderAt, spansOf } from '../../projections/history.ts'
import type { Span } from '../../projections/history.ts'
import { fail } from './fail.ts'
import { instantArgument, orFail, streamArgument, withLedgerOptions, withReader } from './open.ts'
import type { LedgerArguments } from './open.ts'

interface Arguments extends LedgerArguments {
  readonly at?: string
  readonly events: boolean
  readonly json: boolean
}

const PAGE_MAX = 1_000

/** The command. */
export const historyCommand = (): Command =>
  withLedgerOptions(new Command('history'))
    .description('show who held an address or prefix, and when')
    .argument('<address>', 'IPv4 or IPv6 address, or a delegated prefix')
    .option('--at <time>', 'answer only who held it then')
    .option('--events', 'show every event, also offers', false)
    .option('--json', 'print JSON', false)
    .action((address: string, args: Arguments) => withReader(args, ({ reader }) => show(reader, address, args)))

const show = async (reader: EventReader, address: string, args: Arguments): Promise<void> => {
  const stream = streamArgument(address)
  const events = await readAll(reader, stream)
  const spans = spansOf(events, Date.now())
  if (args.at !== undefined) return showHolder(spans, stream, instantArgument(args.at), args)
  if (args.json) return print(JSON.stringify(args.events ? events : spans, null, 2))
  if (events.length === 0) return print(`${addressText(stream)}: nothing ever happened to it`)
  print(args.events ? events.map(eventLine).join('\n') : spans.map(spanLine).join('\n'))
  if (spans.length === 0 && !args.events) print(`${addressText(stream)}: offered, but never leased`)
}

/** All events of a stream, in order; ends the process with the reason when they cannot be read. */
export const readAll = async (reader: EventReader, stream: StreamName): Promise<Recorded[]> => {
  const events: Recorded[] = []
  for (;;) {
    const page = orFail(await reader.readStream(stream, events.length, PAGE_MAX)())
    for (const stored of page) {
      const recorded = decodeStored(stored)
      events.push(E.isRight(recorded) ? recorded.right : fail(recorded.left.reason))
    }
    if (page.length < PAGE_MAX) return events
  }
}

const showHolder = (spans: ReadonlyArray<Span>, stream: StreamName, at: number, args: Arguments): void => {
  const span = holderAt(spans, at)
  if (args.json) return print(JSON.stringify(span ?? null, null, 2))
  const when = isoText(at)
  print(span === undefined ? `nobody held ${addressText(stream)} at ${when}` : `at ${when}: ${spanLine(span)}`)
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const END_WORDS: Readonly<Record<Span['endedBy'], string>> = {
  held: 'still held',
  released: 'released',
  superseded: 'released for another address',
  expired: 'expired',
  declined: 'declined: in use by somebody else',
  revoked: 'revoked',
}

const untilText = (at: number): string => (at >= FOREVER ? 'for ever' : isoText(at))

/** One span on one line. */
export const spanLine = (span: Span): string => {
  const { lease } = span
  const parts = [
    `${isoText(span.from)} to ${untilText(span.until)} (${END_WORDS[span.endedBy]})`,
    clientText(lease.hwAddress, lease.clientId, lease.duid, lease.iaid),
  ]
  if (lease.hostname !== undefined) parts.push(`host ${lease.hostname}`)
  if (lease.relay?.address !== undefined) parts.push(`relay ${lease.relay.address}`)
  if (lease.relay?.circuitId !== undefined) parts.push(`circuit-id ${octetsText(lease.relay.circuitId)}`)
  if (lease.relay?.remoteId !== undefined) parts.push(`remote-id ${octetsText(lease.relay.remoteId)}`)
  parts.push(`lease ${lease.validLifetimeSec} s, renewed ${span.renewals} times, server ${span.server}`)
  return parts.join(', ')
}

const clientText = (
  hwAddress: string | undefined,
  clientId: string | undefined,
  duid: string | undefined,
  iaid: number | undefined,
): string => {
  const parts: string[] = []
  if (hwAddress !== undefined && hwAddress !== '') parts.push(hwAddress.match(/../g)?.join(':') ?? hwAddress)
  if (clientId !== undefined) parts.push(`client-id ${clientId}`)
  if (duid !== undefined) parts.push(`DUID ${duid} IAID ${iaid ?? 0}`)
  return parts.join(' ')
}

/** Octets in hex, and as text where they are text: access switches put port names there. */
const octetsText = (hex: string): string => {
  const text = Buffer.from(hex, 'hex').toString('latin1')
  return /^[\x20-\x7e]+$/.test(text) ? `"${text}"` : hex
}

const eventLine = ({ recordedAt, event, log, seq, revision }: Recorded): string => {
  const { lease } = event
  const client = clientText(lease.hwAddress, lease.clientId, lease.duid, lease.iaid)
  return `${isoText(recordedAt)} #${revision} ${event.type} ${client}, until ${untilText(lease.expiresAt)}, ${log}/${seq}`
}
