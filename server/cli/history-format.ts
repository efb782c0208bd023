/** Answers about history for people and programs: lines, JSON, NDJSON and CSV. */
import type { Recorded } from '../../domain/event-store.ts'
import { FOREVER, isoText } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import { addressText, categoryOf } from '../../domain/stream.ts'
import type { Place, Span } from '../../projections/history.ts'
import { UTC, zonedText } from './time.ts'
import type { Zone } from './time.ts'

/** One span as it is printed: fields that are not there are undefined; times are RFC 3339 in UTC. */
export type Answer = Readonly<Record<string, string | number | boolean | undefined>>

/** The span as flat fields, in the order in which they are printed; all of them always there, for CSV. */
export const answerOf = (span: Span, zone: Zone, graceOnly: boolean): Answer => {
  const { lease, first, last, end } = span
  const { relay } = lease
  return {
    address: addressText(span.stream),
    kind: categoryOf(span.stream) === 'prefix6' ? 'prefix' : 'address',
    from: isoText(span.from),
    until: utcText(span.until),
    endedBy: span.endedBy,
    fromZone: zonedText(span.from, zone),
    untilZone: zonedText(span.until, zone),
    graceOnly,
    hwType: lease.hwType,
    mac: colons(lease.hwAddress),
    clientId: lease.clientId,
    duid: lease.duid,
    iaid: lease.iaid,
    hostname: lease.hostname,
    relayAddress: relay?.address,
    relayPeer: relay?.peer,
    circuitId: relay?.circuitId,
    circuitIdText: textOf(relay?.circuitId),
    remoteId: relay?.remoteId,
    remoteIdText: textOf(relay?.remoteId),
    interfaceId: relay?.interfaceId,
    interfaceIdText: textOf(relay?.interfaceId),
    relayId: relay?.relayId,
    subscriberId: relay?.subscriberId,
    formerly: span.formerly.length === 0 ? undefined : span.formerly.join(' '),
    validLifetimeSec: lease.validLifetimeSec,
    renewals: span.renewals,
    renewedAt: span.renewedAt === undefined ? undefined : isoText(span.renewedAt),
    server: span.server,
    subnetId: lease.subnetId,
    poolId: lease.poolId,
    firstEvent: placeText(first),
    lastEvent: placeText(end ?? last),
    revisions: `${first.revision}-${(end ?? last).revision}`,
  }
}

/** The fields of an answer as CSV has them: a header does not depend on what was found. */
export const ANSWER_FIELDS: ReadonlyArray<string> = [
  'address',
  'kind',
  'from',
  'until',
  'endedBy',
  'fromZone',
  'untilZone',
  'graceOnly',
  'hwType',
  'mac',
  'clientId',
  'duid',
  'iaid',
  'hostname',
  'relayAddress',
  'relayPeer',
  'circuitId',
  'circuitIdText',
  'remoteId',
  'remoteIdText',
  'interfaceId',
  'interfaceIdText',
  'relayId',
  'subscriberId',
  'formerly',
  'validLifetimeSec',
  'renewals',
  'renewedAt',
  'server',
  'subnetId',
  'poolId',
  'firstEvent',
  'lastEvent',
  'revisions',
]

/** `alpha/12`: the log of a server and the place in it. */
const placeText = ({ log, seq }: Place): string => `${log}/${seq}`

const utcText = (at: Instant): string => (at >= FOREVER ? 'for ever' : isoText(at))

const colons = (hex: string | undefined): string | undefined =>
  hex === undefined || hex === '' ? undefined : hex.replace(/..(?=.)/g, '$&:')

/** Octets as text where they are text: access switches put port names there. */
const textOf = (hex: string | undefined): string | undefined => {
  if (hex === undefined || hex === '') return undefined
  const text = Buffer.from(hex, 'hex').toString('latin1')
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined
}

const END_WORDS: Readonly<Record<Span['endedBy'], string>> = {
  held: 'still held',
  released: 'released',
  superseded: 'released for another address',
  expired: 'expired',
  declined: 'declined: in use by somebody else',
  revoked: 'revoked',
}

/** A span for people, on a few lines. */
export const spanText = (span: Span, zone: Zone, graceOnly: boolean): string => {
  const { lease } = span
  const lines = [
    `${addressText(span.stream)}  ${isoText(span.from)} to ${utcText(span.until)}, ${END_WORDS[span.endedBy]}` +
      (graceOnly ? ' (over, but within the grace time)' : ''),
  ]
  if (zone !== UTC) lines.push(`${zonedText(span.from, zone)} to ${zonedText(span.until, zone)} (${zone.name})`)
  lines.push(clientText(span))
  const way = wayText(span)
  if (way !== '') lines.push(way)
  if (span.formerly.length > 0) lines.push(`earlier in this time ${span.formerly.join(', ')}`)
  const renewed = span.renewedAt === undefined ? '' : `, last at ${isoText(span.renewedAt)}`
  lines.push(
    `lease of ${lease.validLifetimeSec} s, renewed ${span.renewals} times${renewed}; subnet ${lease.subnetId}, ` +
      `server ${span.server}, events ${placeText(span.first)} to ${placeText(span.end ?? span.last)}`,
  )
  return lines.join('\n    ')
}

const clientText = ({ lease }: Pick<Span, 'lease'>): string => {
  const parts: string[] = []
  const mac = colons(lease.hwAddress)
  if (mac !== undefined) parts.push(`MAC ${mac} (type ${lease.hwType ?? 'unknown'})`)
  if (lease.clientId !== undefined) parts.push(`client-id ${lease.clientId}`)
  if (lease.duid !== undefined) parts.push(`DUID ${lease.duid}`)
  if (lease.iaid !== undefined) parts.push(`IAID ${lease.iaid}`)
  if (lease.hostname !== undefined) parts.push(`host ${lease.hostname}`)
  return parts.join(', ')
}

const wayText = ({ lease: { relay } }: Span): string => {
  if (relay === undefined) return ''
  const octets = (name: string, hex: string | undefined): string[] => {
    const text = textOf(hex)
    return hex === undefined ? [] : [`${name} ${hex}${text === undefined ? '' : ` "${text}"`}`]
  }
  return [
    ...(relay.address === undefined ? [] : [`relay ${relay.address}`]),
    ...(relay.peer === undefined ? [] : [`peer ${relay.peer}`]),
    ...octets('circuit-id', relay.circuitId),
    ...octets('remote-id', relay.remoteId),
    ...octets('interface-id', relay.interfaceId),
    ...octets('relay-id', relay.relayId),
    ...octets('subscriber-id', relay.subscriberId),
  ].join(', ')
}

/** One event on one line. */
export const eventText = ({ stream, recordedAt, event, log, seq, revision }: Recorded): string => {
  const until = utcText(event.lease.expiresAt)
  const client = clientText({ lease: event.lease })
  return `${isoText(recordedAt)} ${addressText(stream)} #${revision} ${event.type} ${client}, until ${until}, ${log}/${seq}`
}

/** The fields of an event as CSV has them. */
export const EVENT_FIELDS: ReadonlyArray<string> = [
  'recordedAt',
  'address',
  'revision',
  'type',
  'startsAt',
  'expiresAt',
  'mac',
  'clientId',
  'duid',
  'iaid',
  'hostname',
  'relayAddress',
  'circuitId',
  'remoteId',
  'event',
]

/** One event as flat fields; times are RFC 3339 in UTC. */
export const eventAnswerOf = ({ stream, recordedAt, event, log, seq, revision }: Recorded): Answer => {
  const { lease } = event
  return {
    recordedAt: isoText(recordedAt),
    address: addressText(stream),
    revision,
    type: event.type,
    startsAt: isoText(lease.startsAt),
    expiresAt: utcText(lease.expiresAt),
    mac: colons(lease.hwAddress),
    clientId: lease.clientId,
    duid: lease.duid,
    iaid: lease.iaid,
    hostname: lease.hostname,
    relayAddress: lease.relay?.address,
    circuitId: lease.relay?.circuitId,
    remoteId: lease.relay?.remoteId,
    event: `${log}/${seq}`,
  }
}

/** Lines of CSV (RFC 4180), the first one the names of the fields of `header`. */
export const csvLines = (header: ReadonlyArray<string>, rows: ReadonlyArray<Answer>): ReadonlyArray<string> => [
  header.join(','),
  ...rows.map((row) => header.map((name) => csvField(row[name])).join(',')),
]

const csvField = (value: string | number | boolean | undefined): string => {
  const text = value === undefined ? '' : String(value)
  // A spreadsheet takes what a client called itself for a formula when it begins like one.
  const safe = typeof value === 'string' && /^[=+@\t\r-]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
