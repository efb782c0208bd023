/** Reservations: identifiers, what is fixed for the client, and whether they agree with one another. */
import { hexText, ip4Text, ip6Network, ip6Text } from '../../domain/address.ts'
import type { Identifier4, Identifier6, Reservation4, Reservation6, ReservedPrefix } from './model.ts'
import { resolveOptions } from './options.ts'
import type { Definitions } from './options.ts'
import type { Report } from './report.ts'
import type { Placed } from './shape.ts'
import type { ReservationText4, ReservationText6 } from './shapes.ts'

/** What reservations are resolved with. */
export interface ReservationContext<A> {
  readonly definitions: Definitions
  readonly report: Report
  /** Whether Kea's library that makes flexible identifiers is asked for. */
  readonly flexible: boolean
  /** Ends of the subnet; undefined for global reservations, whose addresses may be anywhere. */
  readonly within: { readonly first: A; readonly last: A; readonly text: string } | undefined
  /** Whether an address may be reserved only once. */
  readonly unique: boolean
}

/** Resolves the reservations of one DHCPv4 subnet, or the global ones. */
export const resolveReservations4 = (
  written: readonly ReservationText4[] | undefined,
  context: ReservationContext<number>,
): readonly Reservation4[] => {
  const { definitions, report, within } = context
  const reservations: Reservation4[] = []
  const seen = new Seen(report)
  for (const each of written ?? []) {
    if (isFlexible(each, context)) continue
    const identifier = identifierOf(each, ['hw-address', 'client-id', 'circuit-id', 'duid'], report)
    const options = resolveOptions(each['option-data'], definitions, report)
    if (identifier === undefined) continue
    seen.once(each, `${identifier.type} ${hexText(identifier.bytes)}`)
    const address = each['ip-address']
    if (address !== undefined) {
      if (within !== undefined) inside(address, within, [...each.at, 'ip-address'], ip4Text, report)
      if (context.unique) seen.once(each, `address ${ip4Text(address)}`)
    }
    reservations.push({
      identifierType: identifier.type,
      identifier: identifier.bytes,
      address,
      hostname: each.hostname || undefined,
      // Kea writes a zero address where nothing is configured.
      nextServer: each['next-server'] || undefined,
      serverHostname: each['server-hostname'],
      bootFileName: each['boot-file-name'],
      clientClasses: each['client-classes'] ?? [],
      options,
    })
  }
  return reservations
}

/** Resolves the reservations of one DHCPv6 subnet, or the global ones. */
export const resolveReservations6 = (
  written: readonly ReservationText6[] | undefined,
  context: ReservationContext<bigint>,
): readonly Reservation6[] => {
  const { definitions, report, within } = context
  const reservations: Reservation6[] = []
  const seen = new Seen(report)
  for (const each of written ?? []) {
    if (isFlexible(each, context)) continue
    const identifier = identifierOf(each, ['duid', 'hw-address'], report)
    const options = resolveOptions(each['option-data'], definitions, report)
    if (identifier === undefined) continue
    seen.once(each, `${identifier.type} ${hexText(identifier.bytes)}`)
    const addresses = each['ip-addresses'] ?? []
    for (const [index, address] of addresses.entries()) {
      if (within !== undefined) inside(address, within, [...each.at, 'ip-addresses', index], ip6Text, report)
      if (context.unique) seen.once(each, `address ${ip6Text(address)}`)
    }
    reservations.push({
      identifierType: identifier.type,
      identifier: identifier.bytes,
      addresses,
      prefixes: prefixesOf(each, report),
      hostname: each.hostname || undefined,
      clientClasses: each['client-classes'] ?? [],
      options,
    })
  }
  return reservations
}

/**
 * Reservations by `flex-id` are for Kea's library of that name. Without it no client ever matches one, in Kea as here;
 * Kea ships an example of that in its default configuration.
 */
const isFlexible = <A>(
  written: Placed & { readonly 'flex-id'?: string | undefined },
  { flexible, report }: ReservationContext<A>,
): boolean => {
  if (written['flex-id'] === undefined) return false
  if (flexible)
    report.error([...written.at, 'flex-id'], 'flex-id is known to Kea, not supported by Lease Ledger', 'key')
  else report.warn('reservations by flex-id are passed over: no client matches them without the hook library flex_id')
  return true
}

const identifierOf = <T extends Identifier4 | Identifier6>(
  written: Placed & { readonly [K in T]?: Uint8Array | undefined },
  types: readonly T[],
  report: Report,
): { readonly type: T; readonly bytes: Uint8Array } | undefined => {
  const given = types.filter((type) => written[type] !== undefined)
  const type = given[0]
  const bytes = type === undefined ? undefined : written[type]
  if (type !== undefined && bytes !== undefined && given.length === 1) return { type, bytes }
  const found = given.length === 0 ? 'none' : given.join(' and ')
  report.error(written.at, `expected exactly one of ${types.join(', ')}, found ${found}`)
  return undefined
}

const inside = <A extends number | bigint>(
  address: A,
  within: { readonly first: A; readonly last: A; readonly text: string },
  at: Placed['at'],
  textOf: (address: A) => string,
  report: Report,
): void => {
  if (address >= within.first && address <= within.last) return
  report.error(at, `expected an address of the subnet ${within.text}, found ${textOf(address)}`)
}

const prefixesOf = (written: ReservationText6, report: Report): readonly ReservedPrefix[] => {
  const excluded = written['excluded-prefixes'] ?? []
  const prefixes = written.prefixes ?? []
  if (excluded.length > prefixes.length) {
    report.error([...written.at, 'excluded-prefixes'], 'expected no more entries than prefixes has')
  }
  return prefixes.map(({ prefix, length }, index) => {
    const inner = excluded[index] ?? undefined
    const fits = inner === undefined || (inner.length > length && ip6Network(inner.prefix, length) === prefix)
    if (!fits) {
      report.error([...written.at, 'excluded-prefixes', index], `expected a prefix inside ${ip6Text(prefix)}/${length}`)
    }
    return {
      prefix,
      length,
      excluded: inner === undefined ? undefined : { prefix: inner.prefix, length: inner.length },
    }
  })
}

/** Finds what two reservations of one scope both claim. */
class Seen {
  readonly #first = new Map<string, Placed>()
  readonly #report: Report

  constructor(report: Report) {
    this.#report = report
  }

  once(owner: Placed, what: string): void {
    const before = this.#first.get(what)
    if (before === undefined) this.#first.set(what, owner)
    else this.#report.error(owner.at, `the ${what} is reserved twice, first on line ${this.#report.line(before.at)}`)
  }
}
