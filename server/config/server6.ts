/** What only the DHCPv6 service has: its own DUID, where hardware addresses come from, options that relays supply. */
import * as E from 'fp-ts/lib/Either.js'
import { parseBinary } from '../options/fields.ts'
import type { MacSource, ServerId } from './model.ts'
import type { Definitions } from './options.ts'
import type { Report } from './report.ts'
import type { DhcpText6 } from './shapes.ts'

/** Octets that an identifier may have, with the rest of the DUID at most 130 (RFC 8415 §11.1). */
const IDENTIFIER_OCTETS_MAX = 122
const UUID_OCTETS = 16

/** Resolves `server-id`; zeros and empty text mean that the server chooses, as in Kea. */
export const resolveServerId = (written: DhcpText6['server-id'], report: Report): ServerId | undefined => {
  if (written === undefined) return undefined
  const type = written.type ?? 'LLT'
  const identifier = written.identifier ? identifierOf(written.identifier) : undefined
  const wrong = (message: string): void => report.error([...written.at, 'identifier'], message)
  if (written.identifier && identifier === undefined) {
    wrong(`expected 1 to ${IDENTIFIER_OCTETS_MAX} octets in hexadecimal, found "${written.identifier}"`)
  } else if (type === 'UUID' && identifier !== undefined && identifier.length !== UUID_OCTETS) {
    wrong(`expected the ${UUID_OCTETS} octets of a UUID, found ${identifier.length}`)
  }
  return {
    type,
    identifier,
    time: written.time || undefined,
    htype: written.htype || undefined,
    enterpriseId: written['enterprise-id'] || undefined,
    persist: written.persist ?? true,
  }
}

/** Hexadecimal, a UUID with its dashes too. */
const identifierOf = (text: string): Uint8Array | undefined => {
  const bytes = parseBinary(text.replaceAll('-', ''))
  return E.isRight(bytes) && bytes.right.length > 0 && bytes.right.length <= IDENTIFIER_OCTETS_MAX
    ? bytes.right
    : undefined
}

const OTHER_NAMES: Readonly<Record<string, MacSource>> = {
  rfc6939: 'client-link-addr-option',
  rfc4649: 'remote-id',
  rfc4580: 'subscriber-id',
}

/** Resolves `mac-sources` under one name each. */
export const macSources = (global: DhcpText6): readonly MacSource[] =>
  (global['mac-sources'] ?? ['any']).map((source) => OTHER_NAMES[source] ?? (source as MacSource))

/** The option that a relay may always supply: the ERP local domain name (RFC 6440 §3.1, RFC 6422 §5). */
const ERP_LOCAL_DOMAIN_NAME = 65

/** Resolves `relay-supplied-options`: codes, or names of options. */
export const relaySuppliedOptions = (
  global: DhcpText6,
  { registry }: Definitions,
  report: Report,
): readonly number[] => {
  const codes = [ERP_LOCAL_DOMAIN_NAME]
  for (const [index, entry] of (global['relay-supplied-options'] ?? []).entries()) {
    const code = /^\d{1,5}$/.test(entry) ? Number(entry) : registry.byName('dhcp6', entry)?.code
    if (code !== undefined && code > 0 && code <= 65535) codes.push(code)
    else {
      const at = [...global.at, 'relay-supplied-options', index]
      report.error(at, `expected the name or code of an option of DHCPv6, found "${entry}"`)
    }
  }
  return [...new Set(codes)]
}
