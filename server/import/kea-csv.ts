/**
 * Kea's memfile: leases as CSV, one line each time a lease changes, so the last line of an address counts. Columns are
 * found by their names in the header, which files of older releases have fewer of.
 */
import { existsSync } from 'node:fs'
import * as O from 'fp-ts/lib/Option.js'
import { parseHex } from '../../domain/address.ts'
import { FOREVER, INFINITE_SEC } from '../../domain/instant.ts'
import { addressText, streamFromText } from '../../domain/stream.ts'
import type { LeaseRow } from '../../projections/lease-row.ts'
import { prefixOf, leaseTypeOf } from '../../projections/lease-row.ts'
import { itemOf } from './item.ts'
import type { Bad, Item } from './item.ts'
import { contextTerms } from './kea-context.ts'

/** The header of a file of DHCPv4 leases, and of DHCPv6 leases. */
export const HEADER4 =
  'address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id'
export const HEADER6 =
  'address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,' +
  'hwaddr,state,user_context,hwtype,hwaddr_source,pool_id'

/**
 * The files that hold the leases of `file`, oldest first: what a clean-up of the file (LFC) left beside it is part of it.
 * A completed clean-up stands for the two files that it was made from.
 */
export const keaFiles = (file: string): ReadonlyArray<string> => {
  const completed = `${file}.completed`
  const before = existsSync(completed) ? [completed] : [`${file}.2`, `${file}.1`].filter((name) => existsSync(name))
  return [...before, ...(existsSync(file) ? [file] : [])]
}

/** Whether a first line is the header of such a file. */
export const isKeaHeader = (line: string): boolean => /^address,(hwaddr|duid),/.test(line.trim())

/** The items of a file, line by line; `name` stands in their places. */
export function* readKeaCsv(name: string, lines: Iterable<string>): Generator<Item> {
  let columns: ReadonlyArray<string> | undefined
  let number = 0
  for (const raw of lines) {
    number++
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    if (columns === undefined) {
      if (!isKeaHeader(line)) {
        yield {
          _tag: 'Bad',
          place: `${name}:${number}`,
          reason: 'the file does not begin with the header of a lease file',
        }
        return
      }
      columns = line.split(',')
      continue
    }
    yield keaItem(`${name}:${number}`, columns, line.split(','))
  }
}

/** A row's item from its columns, as text. */
export const keaItem = (place: string, columns: ReadonlyArray<string>, fields: ReadonlyArray<string>): Item => {
  const bad = (reason: string): Bad => ({ _tag: 'Bad', place, reason })
  if (fields.length > columns.length) return bad(`${fields.length} fields where the header has ${columns.length}`)
  if (fields.length < 5) return bad('the line ends early')
  const text = (column: string): string => fields[columns.indexOf(column)] ?? ''
  const isV6 = columns.includes('duid')
  const type = isV6 ? Number(text('lease_type')) : 0
  if (type !== 0 && type !== 2) return bad(`lease type ${text('lease_type')} is not served here`)
  const resource = streamFromText(type === 2 ? `${text('address')}/${text('prefix_len')}` : text('address'))
  if (O.isNone(resource) || isV6 === resource.value.startsWith('lease4/'))
    return bad(`${text('address')} is no address`)
  const numbers: Record<string, number> = {}
  for (const column of [
    'valid_lifetime',
    'expire',
    'subnet_id',
    'state',
    'pool_id',
    'pref_lifetime',
    'iaid',
    'hwtype',
    'hwaddr_source',
  ]) {
    const value = text(column)
    numbers[column] = value === '' ? 0 : Number(value)
    if (!/^-?\d*$/.test(value)) return bad(`${column} is ${value}`)
  }
  const status = (['bound', 'declined', 'expired', 'released'] as const)[numbers['state'] ?? 0]
  if (status === undefined) return bad(`state ${numbers['state']} has no meaning here`)
  const lifetime = (numbers['valid_lifetime'] ?? 0) >>> 0
  // Kea removes a lease by writing it once more with a lifetime of zero.
  if (lifetime === 0 && status === 'bound') return { _tag: 'Gone', place, stream: resource.value }
  const octets: Record<string, string | undefined> = {}
  for (const column of ['hwaddr', 'client_id', 'duid']) {
    const parsed = parseHex(text(column))
    if (O.isNone(parsed)) return bad(`${column} is ${text(column)}`)
    octets[column] = parsed.value.length === 0 ? undefined : Buffer.from(parsed.value).toString('hex')
  }
  const isEndless = lifetime === INFINITE_SEC
  const expire = numbers['expire'] ?? 0
  return itemOf({
    place,
    stream: resource.value,
    status,
    // Kea's file has the sum also of a lease without end; its databases have when the client was last served.
    startsAt: (isEndless && expire < lifetime ? expire : expire - lifetime) * 1000,
    expiresAt: isEndless ? FOREVER : expire * 1000,
    validLifetimeSec: lifetime,
    subnetId: numbers['subnet_id'] ?? 0,
    terms: {
      clientId: octets['client_id'],
      duid: isV6 ? (octets['duid'] ?? '000000') : undefined,
      hwAddress: octets['hwaddr'],
      hwType: isV6 ? numbers['hwtype'] || undefined : octets['hwaddr'] === undefined ? undefined : 1,
      hwSource: isV6 ? numbers['hwaddr_source'] || undefined : undefined,
      iaid: isV6 ? (numbers['iaid'] ?? 0) >>> 0 : undefined,
      preferredLifetimeSec: isV6 ? (numbers['pref_lifetime'] ?? 0) >>> 0 : undefined,
      poolId: numbers['pool_id'] ?? 0,
      // Kea writes names of DHCPv6 clients with the dot of the root; nobody looks for them so.
      hostname: unescaped(text('hostname')).replace(/\.$/, '') || undefined,
      fqdnForward: isTrue(text('fqdn_fwd')),
      fqdnReverse: isTrue(text('fqdn_rev')),
      ...contextTerms(unescaped(text('user_context'))),
    },
  })
}

const isTrue = (text: string): true | undefined => (text === '1' || text === 't' || text === 'true' ? true : undefined)

/** Kea writes a character that would end a field as `&#x2c`. */
const unescaped = (text: string): string =>
  text.replace(/&#x([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))

const escaped = (text: string): string =>
  text
    .replace(/&#x/g, '&#x26#x')
    .replace(/[,\r\n]/g, (char) => `&#x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)

// ---------------------------------------------------------------- The way out

/** A row of the lease tables as a line of Kea's file, without line end; undefined for what Kea has no word for. */
export const keaLine = (row: LeaseRow): string | undefined => keaFields(row)?.map(escaped).join(',')

/** The texts of a row in the columns of {@link HEADER4} or {@link HEADER6}. */
export const keaFields = (row: LeaseRow): ReadonlyArray<string> | undefined => {
  // An offer and a revocation are nobody's lease; Kea would not have a line of them.
  if (row.status === 'offered' || row.status === 'revoked') return undefined
  const flag = (value: boolean): string => (value ? '1' : '0')
  // Kea finds when the client was last served as the difference, also of a lease without end.
  const isEndless = row.status === 'bound' && row.validLifetime === INFINITE_SEC
  const expire = isEndless ? Math.floor(row.startsAt / 1000) + INFINITE_SEC : row.expire
  const name = row.hostname ?? ''
  const context = row.userContext ?? ''
  if (!row.stream.startsWith('lease4/')) {
    const [address, length] = prefixOf(row.stream)
    return [
      address,
      colons(row.duid),
      row.validLifetime,
      expire,
      row.subnetId,
      row.preferredLifetime ?? 0,
      leaseTypeOf(row.stream),
      row.iaid ?? 0,
      length,
      flag(row.fqdnForward),
      flag(row.fqdnReverse),
      name,
      colons(row.hwaddr),
      row.state,
      context,
      row.hwaddr === null ? '' : (row.hwType ?? 1),
      row.hwaddr === null ? '' : (row.hwSource ?? 0),
      row.poolId,
    ].map(String)
  }
  return [
    addressText(row.stream),
    colons(row.hwaddr),
    colons(row.clientId),
    row.validLifetime,
    expire,
    row.subnetId,
    flag(row.fqdnForward),
    flag(row.fqdnReverse),
    name,
    row.state,
    context,
    row.poolId,
  ].map(String)
}

const colons = (hex: string | null): string => (hex ?? '').replace(/..(?=.)/g, '$&:')
