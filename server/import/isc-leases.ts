/**
 * ISC dhcpd's lease file (dhcpd.leases(5)): a log of declarations, of which the last one for an address counts. DHCPv4
 * leases, and addresses and prefixes of DHCPv6 identity associations.
 */
import * as O from 'fp-ts/lib/Option.js'
import { parseHex } from '../../domain/address.ts'
import { FOREVER, INFINITE_SEC } from '../../domain/instant.ts'
import type { Instant } from '../../domain/instant.ts'
import type { LeaseImported } from '../../domain/lease.ts'
import { streamFromText } from '../../domain/stream.ts'
import type { StreamName } from '../../domain/stream.ts'
import { itemOf } from './item.ts'
import type { Item } from './item.ts'

/** A word, a string in quotes, a number of octets in colons, or one of `{};`, and the line it stands on. */
interface Token {
  readonly text: string
  /** The octets of a string in quotes. */
  readonly octets: Buffer | undefined
  readonly line: number
}

/** `name words… ;` or `name words… { statements }`. */
interface Statement {
  readonly words: ReadonlyArray<Token>
  readonly body: ReadonlyArray<Statement> | undefined
  readonly line: number
}

const TOKEN = /#[^\n]*|"(?:\\.|[^"\\])*"|[{};]|[^\s{};"]+|\n/g

const tokensOf = (text: string): Token[] => {
  const tokens: Token[] = []
  let line = 1
  for (const [match] of text.matchAll(TOKEN)) {
    if (match === '\n') line++
    else if (!match.startsWith('#')) {
      tokens.push({ text: match, octets: match.startsWith('"') ? octetsOf(match) : undefined, line })
      line += match.split('\n').length - 1
    }
  }
  return tokens
}

const ESCAPES: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, b: 8 }

/** Octets that are no text are written in octal: `\377`. */
const octetsOf = (quoted: string): Buffer => {
  const octets: number[] = []
  const text = Buffer.from(quoted.slice(1, -1), 'latin1').toString('latin1')
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '\\') {
      octets.push(text.charCodeAt(i))
      continue
    }
    const octal = /^[0-7]{1,3}/.exec(text.slice(i + 1, i + 4))?.[0]
    const next = text[i + 1] ?? ''
    octets.push(octal === undefined ? (ESCAPES[next] ?? next.charCodeAt(0)) : parseInt(octal, 8) & 255)
    i += octal?.length ?? 1
  }
  return Buffer.from(octets)
}

const parseStatements = (tokens: ReadonlyArray<Token>, at: { index: number }): Statement[] => {
  const statements: Statement[] = []
  let words: Token[] = []
  while (at.index < tokens.length) {
    const token = tokens[at.index++] as Token
    if (token.text === '}') break
    if (token.text !== ';' && token.text !== '{') {
      words.push(token)
      continue
    }
    const body = token.text === '{' ? parseStatements(tokens, at) : undefined
    if (words.length > 0) statements.push({ words, body, line: words[0]?.line ?? token.line })
    words = []
  }
  return statements
}

/** Which subnet an address or prefix belongs to; undefined when the configuration has none for it. */
export type SubnetOf = (stream: StreamName) => number | undefined

/** The items of a file; `name` stands in their places. */
export function* readIscLeases(name: string, text: string, subnetOf: SubnetOf): Generator<Item> {
  for (const statement of parseStatements(tokensOf(text), { index: 0 })) {
    const [kind, what] = statement.words
    if (kind?.text === 'lease') yield lease4(name, statement, subnetOf)
    if (kind?.text === 'ia-na' || kind?.text === 'ia-pd') yield* association(name, statement, what, subnetOf)
  }
}

const find = (body: ReadonlyArray<Statement>, ...names: ReadonlyArray<string>): ReadonlyArray<Token> | undefined =>
  body.findLast(({ words }) => names.every((part, index) => words[index]?.text === part))?.words.slice(names.length)

/** `3 2026/03/04 14:05:00` in UTC, `epoch 1234567890`, `never`. */
const timeOf = (words: ReadonlyArray<Token> | undefined): Instant | undefined => {
  const [first, second, third] = (words ?? []).map(({ text }) => text)
  if (first === 'never') return FOREVER
  if (first === 'epoch') return Number(second) * 1000
  const at = Date.parse(`${(second ?? '').replaceAll('/', '-')}T${third ?? ''}Z`)
  return Number.isNaN(at) ? undefined : at
}

const STATUS: Readonly<Record<string, LeaseImported['status'] | 'none'>> = {
  active: 'bound',
  expired: 'expired',
  released: 'released',
  free: 'expired',
  backup: 'expired',
  abandoned: 'declined',
  reset: 'none',
}

/** Octets in quotes or as hex with colons. */
const hexOf = (token: Token | undefined): string | undefined => {
  if (token === undefined) return undefined
  if (token.octets !== undefined) return token.octets.toString('hex')
  // dhcpd writes 1:2:3 as well as 01:02:03.
  const parsed = parseHex(token.text.replace(/\b[0-9a-f]\b/gi, '0$&'))
  return O.isSome(parsed) ? Buffer.from(parsed.value).toString('hex') : undefined
}

const textOf = (words: ReadonlyArray<Token> | undefined): string | undefined => words?.[0]?.octets?.toString('utf8')

const HARDWARE: Readonly<Record<string, number>> = { ethernet: 1, 'token-ring': 6, infiniband: 32 }

const lease4 = (name: string, { words, body = [], line }: Statement, subnetOf: SubnetOf): Item => {
  const place = `${name}:${line}`
  const bad = (reason: string): Item => ({ _tag: 'Bad', place, reason })
  const stream = streamFromText(words[1]?.text ?? '')
  if (O.isNone(stream) || !stream.value.startsWith('lease4/')) return bad(`${words[1]?.text ?? ''} is no address`)
  const state = find(body, 'binding', 'state')?.[0]?.text ?? 'active'
  const status = STATUS[state]
  if (status === undefined) return bad(`binding state ${state} has no meaning here`)
  if (status === 'none') return { _tag: 'Gone', place, stream: stream.value }
  const [starts, ends] = [timeOf(find(body, 'starts')), timeOf(find(body, 'ends'))]
  if (starts === undefined || ends === undefined) return bad('when it starts or ends cannot be read')
  const subnetId = subnetOf(stream.value)
  if (subnetId === undefined) return bad(`no subnet of the configuration holds ${words[1]?.text ?? ''}`)
  const hardware = find(body, 'hardware')
  const clientId = hexOf(find(body, 'uid')?.[0])
  const hwAddress = hexOf(hardware?.[1])
  // An address that nobody ever had stands in the file too.
  if (status === 'expired' && clientId === undefined && hwAddress === undefined)
    return { _tag: 'Gone', place, stream: stream.value }
  const circuitId = hexOf(find(body, 'option', 'agent.circuit-id')?.[0])
  const remoteId = hexOf(find(body, 'option', 'agent.remote-id')?.[0])
  const relay = { ...(circuitId === undefined ? {} : { circuitId }), ...(remoteId === undefined ? {} : { remoteId }) }
  return itemOf({
    place,
    stream: stream.value,
    status,
    startsAt: starts,
    expiresAt: ends,
    validLifetimeSec: ends >= FOREVER ? INFINITE_SEC : Math.max(0, Math.round((ends - starts) / 1000)),
    subnetId,
    terms: {
      clientId,
      hwAddress,
      hwType: hardware === undefined ? undefined : (HARDWARE[hardware[0]?.text ?? ''] ?? 1),
      hostname: textOf(find(body, 'client-hostname')),
      ...(Object.keys(relay).length === 0 ? {} : { relay }),
    },
  })
}

/** The name of an association is the IAID in the byte order of the machine, little-endian on all that run it, and the DUID. */
function* association(
  name: string,
  { words, body = [], line }: Statement,
  key: Token | undefined,
  subnetOf: SubnetOf,
): Generator<Item> {
  const octets = key?.octets ?? Buffer.from(hexOf(key) ?? '', 'hex')
  if (octets.length < 5) {
    yield { _tag: 'Bad', place: `${name}:${line}`, reason: 'an identity association without IAID and DUID' }
    return
  }
  const [iaid, duid] = [octets.readUInt32LE(0), octets.subarray(4).toString('hex')]
  const seen = timeOf(find(body, 'cltt'))
  for (const part of body) {
    const kind = part.words[0]?.text
    if (kind !== 'iaaddr' && kind !== 'iaprefix') continue
    yield lease6(`${name}:${part.line}`, part, { iaid, duid, seen, isPrefix: words[0]?.text === 'ia-pd' }, subnetOf)
  }
}

const lease6 = (
  place: string,
  { words, body = [] }: Statement,
  client: { iaid: number; duid: string; seen: Instant | undefined; isPrefix: boolean },
  subnetOf: SubnetOf,
): Item => {
  const bad = (reason: string): Item => ({ _tag: 'Bad', place, reason })
  const stream = streamFromText(words[1]?.text ?? '')
  const category = client.isPrefix ? 'prefix6/' : 'lease6/'
  if (O.isNone(stream) || !stream.value.startsWith(category))
    return bad(`${words[1]?.text ?? ''} is no address or prefix`)
  const state = find(body, 'binding', 'state')?.[0]?.text ?? 'active'
  const status = STATUS[state]
  if (status === undefined || status === 'none') return bad(`binding state ${state} has no meaning here`)
  const ends = timeOf(find(body, 'ends'))
  if (ends === undefined) return bad('when it ends cannot be read')
  const subnetId = subnetOf(stream.value)
  if (subnetId === undefined) return bad(`no subnet of the configuration holds ${words[1]?.text ?? ''}`)
  const lifetime = Number(find(body, 'max-life')?.[0]?.text ?? 0)
  return itemOf({
    place,
    stream: stream.value,
    status,
    startsAt: client.seen ?? ends - lifetime * 1000,
    expiresAt: ends,
    validLifetimeSec: lifetime,
    subnetId,
    terms: {
      duid: client.duid,
      iaid: client.iaid,
      preferredLifetimeSec: Number(find(body, 'preferred-life')?.[0]?.text ?? 0),
    },
  })
}
