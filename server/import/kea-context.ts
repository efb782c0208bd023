/**
 * What Kea keeps in the user context of a lease about the relays that the client is behind (its `store-extended-info`):
 * the agent's options in DHCPv4, one entry a relay in DHCPv6.
 */
import * as O from 'fp-ts/lib/Option.js'
import { ip6Text, parseHex, parseIp6 } from '../../domain/address.ts'
import type { Relay, Terms } from '../../domain/lease.ts'

type Fields = { -readonly [K in keyof Relay]: Relay[K] }

/** What a user context says, JSON text or empty: it is the operator's as a whole, and what it tells of relays is read. */
export const contextTerms = (text: string): Pick<Partial<Terms>, 'userContext' | 'relay'> => {
  if (text === '') return {}
  const kea = recordOf(recordOf(parsed(text))?.['ISC'])
  const relay = relay4(kea?.['relay-agent-info']) ?? relay6(kea?.['relay-info'] ?? kea?.['relays'])
  return relay === undefined ? { userContext: text } : { userContext: text, relay }
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // an operator may write there what he likes
  }
}

const recordOf = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined

const octetsOf = (value: unknown): Uint8Array | undefined =>
  typeof value === 'string' ? O.toUndefined(parseHex(value.replace(/^0x/i, ''))) : undefined

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')

/** By code of the sub-option (RFC 3046 §3.1 and §3.2, RFC 3993, RFC 6925). */
const SUBOPTIONS: Readonly<Record<number, keyof Relay>> = {
  1: 'circuitId',
  2: 'remoteId',
  6: 'subscriberId',
  12: 'relayId',
}

/** The agent's sub-options (RFC 3046 §2.0: code, length, octets), which later releases put one level deeper. */
const relay4 = (info: unknown): Relay | undefined => {
  const octets = octetsOf(recordOf(info)?.['sub-options'] ?? info)
  if (octets === undefined) return undefined
  const relay: Fields = {}
  for (let at = 0; at + 2 <= octets.length;) {
    const [code = 0, length = 0] = [octets[at], octets[at + 1]]
    const field = SUBOPTIONS[code]
    if (field !== undefined) relay[field] = hex(octets.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  return Object.keys(relay).length === 0 ? undefined : relay
}

/** By code of the option (RFC 8415 §21.18, RFC 4649, RFC 4580, RFC 5460 §5.4.1). */
const OPTIONS: Readonly<Record<number, keyof Relay>> = {
  18: 'interfaceId',
  37: 'remoteId',
  38: 'subscriberId',
  53: 'relayId',
}

/**
 * `[{"hop": 0, "link": address, "peer": address, "options": "0x…"}, …]`: what the relay nearest to the client said, which
 * is the one with the fewest hops before it, and where it did not say a thing, the next one.
 */
const relay6 = (relays: unknown): Relay | undefined => {
  if (!Array.isArray(relays)) return undefined
  const entries = (relays as ReadonlyArray<unknown>).map(recordOf).filter((entry) => entry !== undefined)
  const byHop = entries.sort((one, other) => hopOf(one) - hopOf(other))
  const relay: Fields = {}
  for (const one of [...byHop].reverse()) readOptions6(relay, octetsOf(one['options']))
  const [link, peer] = [addressOf(byHop[0]?.['link']), addressOf(byHop[0]?.['peer'])]
  if (link !== undefined && link !== '::') relay.address = link
  if (peer !== undefined) relay.peer = peer
  return Object.keys(relay).length === 0 ? undefined : relay
}

const hopOf = (relay: Readonly<Record<string, unknown>>): number => Number(relay['hop'] ?? 0)

const addressOf = (value: unknown): string | undefined => {
  const parsedAddress = typeof value === 'string' ? parseIp6(value) : O.none
  return O.isSome(parsedAddress) ? ip6Text(parsedAddress.value) : undefined
}

/** DHCPv6 options: code and length of two octets each (RFC 8415 §21.1). */
const readOptions6 = (relay: Fields, octets: Uint8Array | undefined): void => {
  if (octets === undefined) return
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength)
  for (let at = 0; at + 4 <= octets.length;) {
    const [code, length] = [view.getUint16(at), view.getUint16(at + 2)]
    const field = OPTIONS[code]
    if (field !== undefined) relay[field] = hex(octets.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
}
