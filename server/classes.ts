/** The classes of a client and the reservation made for it: what is the same in DHCPv4 and DHCPv6. */
import { hexText } from '../domain/address.ts'
import type { ClassAccessor } from './config/class-accessor.ts'
import type { ClassRules, ClientClass, ReservationModes } from './config/model.ts'

/** Whether a client of these classes is let into a pool or subnet. */
export const admits = (rules: ClassRules, classes: ReadonlySet<string>): boolean =>
  rules.clientClasses.length === 0 || rules.clientClasses.some((name) => classes.has(name))

/** The configured ones of a client's classes, in the order of the configuration. */
export const classesIn = <C extends ClientClass>(configured: ReadonlyArray<C>, names: ReadonlySet<string>): C[] =>
  configured.filter(({ name }) => names.has(name))

/** What puts a client into classes before any test: its vendor, by the text or number that it gives, and its reservation. */
export interface ClassifiedBy {
  readonly vendor: string | number | undefined
  readonly reservation: { readonly clientClasses: ReadonlyArray<string> } | undefined
}

/** What expressions may ask of a message, given the classes that its sender is in so far. */
export type AccessorOf = (classes: ReadonlySet<string>) => ClassAccessor

/**
 * The classes of a client, in Kea's order: those of every client and of its vendor class, those of its reservation, and
 * those whose test it passes. They decide which subnets and pools it may use.
 */
export const classify = (
  configured: ReadonlyArray<ClientClass>,
  { vendor, reservation }: ClassifiedBy,
  accessorOf: AccessorOf,
): ReadonlySet<string> => {
  const classes = new Set<string>(['ALL'])
  if (vendor !== undefined) classes.add(`VENDOR_CLASS_${vendor}`)
  classes.add(reservation === undefined ? 'UNKNOWN' : 'KNOWN')
  for (const name of reservation?.clientClasses ?? []) classes.add(name)
  if (configured.length === 0) return classes
  const accessor = accessorOf(classes)
  for (const { name, test, onlyInAdditionalList } of configured) {
    if (!onlyInAdditionalList && test?.(accessor)) classes.add(name)
  }
  return classes
}

/**
 * The classes of a client that has been given its place: those from before, and the additional ones that its subnet and
 * its pool list. These decide no place any more, only what the client is told.
 */
export const classifyAdditional = (
  configured: ReadonlyArray<ClientClass>,
  before: ReadonlySet<string>,
  scopes: ReadonlyArray<ClassRules | undefined>,
  accessorOf: AccessorOf,
): ReadonlySet<string> => {
  const names = scopes.flatMap((scope) => scope?.additionalClasses ?? [])
  if (names.length === 0) return before
  const classes = new Set(before)
  const accessor = accessorOf(classes)
  for (const name of names) {
    const listed = configured.find((candidate) => candidate.name === name)
    if (listed !== undefined && (listed.test === undefined || listed.test(accessor))) classes.add(name)
  }
  return classes
}

interface Reserved {
  readonly identifierType: string
  readonly identifier: Uint8Array
}

interface Reserving<R extends Reserved> {
  readonly id: number
  readonly reservationModes: ReservationModes
  readonly reservations: ReadonlyArray<R>
}

/**
 * Indexes reservations. What comes back finds that for a client of a link: of the link's subnets in their order, else a
 * global one. `keysOf` gives the client's identifiers, see {@link reservationKey}, in the order in which they count.
 */
export const indexReservations = <R extends Reserved, S extends Reserving<R>>(config: {
  readonly subnets: ReadonlyArray<S>
  readonly globalReservations: ReadonlyArray<R>
}): ((link: ReadonlyArray<S>, keysOf: () => ReadonlyArray<string>) => R | undefined) => {
  const bySubnet = new Map<number, ReadonlyMap<string, R>>()
  for (const subnet of config.subnets) {
    if (subnet.reservationModes.inSubnet) bySubnet.set(subnet.id, byKey(subnet.reservations))
  }
  const global = byKey(config.globalReservations)
  const none = global.size === 0 && [...bySubnet.values()].every((index) => index.size === 0)
  if (none) return () => undefined
  return (link, keysOf) => {
    const keys = keysOf()
    for (const subnet of link) {
      const found = firstOf(bySubnet.get(subnet.id), keys)
      if (found !== undefined) return found
    }
    return link[0]?.reservationModes.global ? firstOf(global, keys) : undefined
  }
}

/** An identifier of a client, lower-case hex, as reservations are looked up by it. */
export const reservationKey = (type: string, identifier: string): string => `${type}/${identifier}`

const byKey = <R extends Reserved>(reservations: ReadonlyArray<R>): ReadonlyMap<string, R> =>
  new Map(reservations.map((one) => [reservationKey(one.identifierType, hexText(one.identifier)), one]))

const firstOf = <R>(index: ReadonlyMap<string, R> | undefined, keys: ReadonlyArray<string>): R | undefined => {
  for (const key of keys) {
    const found = index?.get(key)
    if (found !== undefined) return found
  }
  return undefined
}
