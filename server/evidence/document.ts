/**
 * A self-contained answer to "who held it then": what the ledger answers, the events that the answer rests on, and the
 * piece of the hash chain that holds each of them in its place. Of the events between, which are other people's, it has
 * the digests alone. Whoever has the document can check it without the ledger.
 */
import { createPrivateKey, createPublicKey, hash, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import * as t from 'io-ts'
import { PathReporter } from 'io-ts/lib/PathReporter.js'
import { erasedData, GENESIS, hashAfter } from '../../adapters/chain.ts'
import { canonicalJson } from '../../domain/canonical-json.ts'
import type { LogName, Recorded, Seq, Stored, Unsealed } from '../../domain/event-store.ts'
import { isoText } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import { decodeEvent } from '../../domain/lease-codec.ts'
import { addressText } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { holderAt, spansOf } from '../../projections/history.ts'
import type { Span } from '../../projections/history.ts'

/** The name of this form of document. A change of form is another name. */
export const FORMAT = 'lease-ledger-evidence/1'

const Event = t.strict({
  log: t.string,
  seq: t.number,
  stream: t.string,
  revision: t.number,
  type: t.string,
  schemaVersion: t.number,
  recordedAt: t.number,
  data: t.unknown,
  /** Hex. */
  hash: t.string,
})

const Chain = t.strict({
  log: t.string,
  /** Position of the first event of the segment, and the hash before it, hex. */
  from: t.number,
  previous: t.string,
  /** The digests of its events, 32 octets each, base64. */
  digests: t.string,
  /** The hash after the last of them, hex. */
  hash: t.string,
})

const Body = {
  format: t.literal(FORMAT),
  question: t.strict({ stream: t.string, at: t.number, askedAt: t.number }),
  /** For people: what the answer is. Checked against the events. */
  statement: t.string,
  /** How far the whole ledger was checked when it was asked, one `LOG/SEQ HASH` a log; what was missing. */
  ledger: t.strict({ heads: t.array(t.string), missing: t.array(t.string) }),
  events: t.array(Event),
  chains: t.array(Chain),
}

const Document = t.exact(
  t.intersection([
    t.type(Body),
    t.partial({ signature: t.strict({ algorithm: t.literal('Ed25519'), publicKey: t.string, value: t.string }) }),
  ]),
)

/** The document. Instants are milliseconds since 1970. */
export type Evidence = t.TypeOf<typeof Document>

/** A piece of a log: all of its events from one position to another, and the hash before the first. */
export interface Segment {
  readonly log: LogName
  readonly previous: Uint8Array
  readonly stored: ReadonlyArray<Stored>
}

/** What the ledger says of a moment, in one sentence. Spans of one stream. */
export const statementOf = (stream: StreamName, at: Instant, span: Span | undefined): string => {
  const what = addressText(stream)
  if (span === undefined) return `nobody held ${what} at ${isoText(at)}`
  const { holder, lease } = span
  const mac = lease.hwAddress === undefined ? '' : `, hardware address ${lease.hwAddress}`
  return (
    `${holder}${mac} held ${what} at ${isoText(at)}: from ${isoText(span.from)} to ${isoText(span.until)} ` +
    `(${span.endedBy}), given by ${span.server}`
  )
}

/** Puts a document together; `events` are those of the stream that the answer rests on, and stand in `segments`. */
export const makeEvidence = (
  question: { readonly stream: StreamName; readonly at: Instant; readonly askedAt: Instant },
  events: ReadonlyArray<Stored>,
  segments: ReadonlyArray<Segment>,
  ledger: Evidence['ledger'],
): Evidence => {
  const shown = events.map(({ data, hash: own, ...rest }) => ({
    ...rest,
    data: JSON.parse(data) as unknown,
    hash: hexOf(own),
  }))
  const span = holderAt(spansOf(decodeAll(shown), question.askedAt), question.at)
  return {
    format: FORMAT,
    question,
    statement: statementOf(question.stream, question.at, span),
    ledger,
    events: shown,
    chains: segments.map(({ log, previous, stored }) => ({
      log,
      from: stored[0]?.seq ?? 0,
      previous: hexOf(previous),
      digests: Buffer.concat(stored.map((one) => Buffer.from(digestHex(one), 'hex'))).toString('base64'),
      hash: hexOf(stored.at(-1)?.hash ?? GENESIS),
    })),
  }
}

/** The document with a signature over its canonical JSON (RFC 8785) by an Ed25519 key. */
export const signEvidence = (evidence: Evidence, key: KeyObject): Evidence => {
  const { signature: _, ...body } = evidence
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64')
  const value = sign(null, Buffer.from(canonicalJson(body)), key).toString('base64')
  return { ...body, signature: { algorithm: 'Ed25519', publicKey, value } }
}

/** Reads a private key, PEM; `Left` is one sentence. */
export const signingKey = (pem: string): Either<string, KeyObject> => {
  try {
    const key = createPrivateKey(pem)
    return key.asymmetricKeyType === 'ed25519' ? E.right(key) : E.left('the key is no Ed25519 key')
  } catch (error) {
    return E.left(`the key cannot be read: ${(error as Error).message}`)
  }
}

/** What was found about a document. It can be relied on when nothing is wrong. */
export interface Checked {
  readonly statement: string
  readonly events: number
  /** Events that the segments of the chain span. */
  readonly links: number
  /** SHA-256 of the public key that signed it, hex; undefined when nobody did. */
  readonly signedBy: string | undefined
  readonly wrong: ReadonlyArray<string>
}

/** The name of a public key (SPKI, DER): its SHA-256, hex. */
export const fingerprint = (publicKey: Uint8Array): string => hash('sha256', publicKey, 'hex')

/** Checks a document by itself; `Left` when the text is none. */
export const checkEvidence = (text: string): Either<string, Checked> => {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return E.left('the file is not JSON')
  }
  const decoded = Document.decode(parsed)
  if (E.isLeft(decoded)) return E.left(`the file is no evidence: ${PathReporter.report(decoded)[0] ?? ''}`)
  const evidence = decoded.right
  const wrong: string[] = []
  const links = evidence.chains.reduce((sum, chain) => sum + checkChain(evidence, chain, wrong), 0)
  checkEvents(evidence, wrong)
  return E.right({
    statement: evidence.statement,
    events: evidence.events.length,
    links,
    signedBy: checkSignature(evidence, parsed as object, wrong),
    wrong,
  })
}

const checkSignature = ({ signature }: Evidence, parsed: object, wrong: string[]): string | undefined => {
  if (signature === undefined) return undefined
  // What was signed is the document as it came, with whatever else somebody put into it.
  const { signature: _, ...body } = parsed as { signature?: unknown }
  const der = Buffer.from(signature.publicKey, 'base64')
  try {
    const key = createPublicKey({ key: der, type: 'spki', format: 'der' })
    const fits = verify(null, Buffer.from(canonicalJson(body)), key, Buffer.from(signature.value, 'base64'))
    if (!fits) wrong.push('the signature does not fit the document')
  } catch {
    wrong.push('the signature cannot be checked: its key is none')
  }
  return fingerprint(der)
}

/** Recomputes a segment link by link; gives the number of its links. */
const checkChain = (evidence: Evidence, chain: Evidence['chains'][number], wrong: string[]): number => {
  const digests = Buffer.from(chain.digests, 'base64')
  const events = new Map(evidence.events.filter(({ log }) => log === chain.log).map((event) => [event.seq, event]))
  const count = digests.length / 32
  let previous: Uint8Array = Buffer.from(chain.previous, 'hex')
  for (let i = 0; i < count; i++) {
    const seq: Seq = chain.from + i
    const event = events.get(seq)
    const digest = digests.subarray(i * 32, i * 32 + 32).toString('hex')
    const place = `event ${chain.log}/${seq}`
    if (event !== undefined && digestHex(storedOf(event)) !== digest)
      wrong.push(`${place} is not what was chained there`)
    const next = hashAfter(previous, linkOf(chain.log, seq, digest))
    if (next === undefined) return count
    previous = next
    if (event !== undefined && event.hash !== hexOf(previous)) wrong.push(`${place} has another place in the chain`)
    events.delete(seq)
  }
  if (hexOf(previous) !== chain.hash)
    wrong.push(`the chain of ${chain.log} does not lead from its first hash to its last`)
  for (const seq of events.keys()) wrong.push(`event ${chain.log}/${seq} stands in no chain`)
  return count
}

/** The events must be neighbours in their stream, and the answer must be what they say. */
const checkEvents = (evidence: Evidence, wrong: string[]): void => {
  const { question, events, chains } = evidence
  const stream = question.stream as StreamName
  const logs = new Set(chains.map(({ log }) => log))
  events.forEach((event, index) => {
    const before = events[index - 1]
    if (event.stream !== stream) wrong.push(`event ${event.log}/${event.seq} is about ${event.stream}`)
    if (before !== undefined && event.revision !== before.revision + 1) {
      wrong.push(`${stream}: revision ${before.revision + 1} is missing`)
    }
    if (!logs.has(event.log)) wrong.push(`event ${event.log}/${event.seq} stands in no chain`)
    const decoded = decodeEvent(event.type, event.schemaVersion, JSON.stringify(event.data))
    if (E.isLeft(decoded)) wrong.push(`event ${event.log}/${event.seq}: ${decoded.left.reason}`)
  })
  const span = holderAt(spansOf(decodeAll(events), question.askedAt), question.at)
  if (statementOf(stream, question.at, span) !== evidence.statement) wrong.push('the events say something else')
}

const decodeAll = (events: Evidence['events']): ReadonlyArray<Recorded> =>
  events.flatMap((event) => {
    const { log, seq, stream, revision, recordedAt } = event
    const decoded = decodeEvent(event.type, event.schemaVersion, JSON.stringify(event.data))
    if (E.isLeft(decoded)) return []
    return [{ log, seq, stream: stream as StreamName, revision, recordedAt, event: decoded.right }]
  })

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const storedOf = (event: Evidence['events'][number]): Stored => ({
  ...event,
  stream: event.stream as StreamName,
  data: JSON.stringify(event.data),
  hash: Buffer.from(event.hash, 'hex'),
})

/** The digest of an event, of one that was erased too. */
const digestHex = (stored: Stored): string => {
  const { erased } = JSON.parse(erasedData(stored)) as { readonly erased: string }
  return erased
}

/** An event of which only the digest is known, as the chain sees it. */
const linkOf = (log: LogName, seq: Seq, digest: string): Unsealed => ({
  log,
  seq,
  stream: '' as StreamName,
  revision: 0,
  type: '',
  schemaVersion: 1,
  recordedAt: 0,
  data: `{"erased":"${digest}"}`,
})
