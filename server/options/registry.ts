/** Finds option definitions by space and code or name: the standard ones, with those of `option-def` laid over them. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { OptionDefinition } from './definition.ts'
import type { Universe } from './fields.ts'
import { hasInternalLayout } from './internal.ts'
import { standardOptions4 } from './standard4.ts'
import { standardOptions6 } from './standard6.ts'

/** An immutable set of definitions; absence is `undefined`. */
export interface OptionRegistry {
  readonly byCode: (space: string, code: number) => OptionDefinition | undefined
  readonly byName: (space: string, name: string) => OptionDefinition | undefined
  /** The definitions of one space in the order of their codes. */
  readonly inSpace: (space: string) => readonly OptionDefinition[]
  /** Whether anything is defined in `space`, or an option encapsulates it. */
  readonly hasSpace: (space: string) => boolean
}

/** Greatest code of an option: 255 ends a DHCPv4 message and is no option. */
export const OPTION_CODE_MAX = { 4: 254, 6: 65535 } as const

/** The standard definitions of DHCPv4 or DHCPv6 with `custom` ones laid over them; a later one replaces an earlier. */
export const makeOptionRegistry = (universe: Universe, custom: readonly OptionDefinition[] = []): OptionRegistry => {
  const codes = new Map<string, OptionDefinition>()
  const names = new Map<string, OptionDefinition>()
  for (const definition of [...(universe === 4 ? standardOptions4 : standardOptions6), ...custom]) {
    const { space, code, name } = definition
    const replaced = codes.get(`${space}/${code}`)
    if (replaced !== undefined) names.delete(`${space}/${replaced.name}`)
    codes.set(`${space}/${code}`, definition)
    names.set(`${space}/${name}`, definition)
  }
  const spaces = new Map<string, OptionDefinition[]>()
  for (const definition of [...codes.values()].sort((a, b) => a.code - b.code)) {
    spaces.set(definition.space, [...(spaces.get(definition.space) ?? []), definition])
  }
  const encapsulated = new Set([...codes.values()].map((definition) => definition.encapsulates))
  return {
    byCode: (space, code) => codes.get(`${space}/${code}`),
    byName: (space, name) => names.get(`${space}/${name}`),
    inSpace: (space) => spaces.get(space) ?? [],
    hasSpace: (space) => spaces.has(space) || encapsulated.has(space),
  }
}

/**
 * Why a definition of `option-def` cannot be had beside the standard ones and those before it, as a sentence without a
 * full stop on the left; otherwise the definition.
 */
export const checkDefinition = (
  registry: OptionRegistry,
  universe: Universe,
  definition: OptionDefinition,
): Either<string, OptionDefinition> => {
  const reason =
    codeReason(universe, definition) ?? typeReason(definition) ?? clashReason(registry, universe, definition)
  return reason === undefined ? E.right(definition) : E.left(reason)
}

const codeReason = (universe: Universe, { name, code, space }: OptionDefinition): string | undefined => {
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?$/.test(name)) return `"${name}" is not a name for an option`
  // A vendor may use every code of its own space (RFC 2132 §8.4), and 0 there as well.
  const top = space === 'dhcp4' || space === 'dhcp6'
  const least = top ? 1 : 0
  const most = universe === 6 ? OPTION_CODE_MAX[6] : top ? OPTION_CODE_MAX[4] : 255
  if (Number.isInteger(code) && code >= least && code <= most) return undefined
  return `the code of ${name} must be a whole number from ${least} to ${most}`
}

const typeReason = (definition: OptionDefinition): string | undefined => {
  const { name, type, array, recordTypes } = definition
  if (type === 'record' && recordTypes.length < 2) return `the record ${name} needs at least two types of fields`
  if (type !== 'record' && recordTypes.length > 0) return `${name} has record-types but is not of type record`
  if (type === 'internal' && !hasInternalLayout(definition)) return `${name} cannot be of the type internal`
  if (array && type === 'empty') return `an array of the type empty is not possible for ${name}`
  const last = type === 'record' ? recordTypes.at(-1) : type
  const early = recordTypes.slice(0, -1).find((field) => field === 'string' || field === 'binary')
  if (early !== undefined) return `in the record ${name} only the last field can be of the type ${early}`
  if (array && (last === 'string' || last === 'binary')) {
    return `an array of the type ${last} is not possible for ${name}: where one ends could not be seen`
  }
  if (array && definition.encapsulates !== undefined) return `the array ${name} cannot encapsulate options`
  if (definition.encapsulates === definition.space) return `${name} cannot encapsulate its own space`
  return undefined
}

const clashReason = (
  registry: OptionRegistry,
  universe: Universe,
  { space, code, name }: OptionDefinition,
): string | undefined => {
  const standard = standardOf(universe)
  const sameCode = registry.byCode(space, code)
  const sameName = registry.byName(space, name)
  for (const other of [sameCode, sameName]) {
    if (other === undefined) continue
    // Kea looks for options of vendors among those of option-def first.
    if (standard.has(other) && (other.replaceable || space.startsWith('vendor-'))) continue
    return `${name} (${code}) clashes with ${other.name} (${other.code}) in the space ${space}`
  }
  return undefined
}

const standard4 = new Set(standardOptions4)
const standard6 = new Set(standardOptions6)
const standardOf = (universe: Universe): ReadonlySet<OptionDefinition> => (universe === 4 ? standard4 : standard6)
