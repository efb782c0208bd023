/** Options of a scope: from names and text to the octets that go on the wire. */
import * as E from 'fp-ts/lib/Either.js'
import { encodeOptionText } from '../options/definition.ts'
import type { OptionDefinition, OptionType } from '../options/definition.ts'
import type { FieldType, Universe } from '../options/fields.ts'
import { parseBinary, splitFields } from '../options/fields.ts'
import { OPTION_CODE_MAX, checkDefinition, makeOptionRegistry } from '../options/registry.ts'
import type { OptionRegistry } from '../options/registry.ts'
import { encodeSuboptions } from '../options/suboptions.ts'
import { Writer } from '../wire/writer.ts'
import type { OptionSet, OptionValue } from './model.ts'
import type { Report } from './report.ts'
import type { OptionData, OptionDef } from './shapes.ts'

/** The definitions in force in a scope. */
export interface Definitions {
  readonly universe: Universe
  readonly registry: OptionRegistry
  readonly custom: readonly OptionDefinition[]
}

export const NO_OPTIONS: OptionSet = { standard: new Map(), vendor: new Map(), always: [] }

/** Option that carries the options of vendors (RFC 3925 §4, RFC 8415 §21.17). */
const VENDOR_OPTIONS_CODE = { 4: 125, 6: 17 } as const

/** Lays `option-def` over the definitions of an outer scope. */
export const defineOptions = (
  written: readonly OptionDef[] | undefined,
  outer: Definitions,
  report: Report,
): Definitions => {
  const custom = [...outer.custom]
  let registry = outer.registry
  for (const each of written ?? []) {
    const definition = definitionOf(each, outer.universe, report)
    if (definition === undefined) continue
    const checked = checkDefinition(registry, outer.universe, definition)
    if (E.isLeft(checked)) {
      report.error(each.at, checked.left)
      continue
    }
    custom.push(definition)
    registry = makeOptionRegistry(outer.universe, custom)
  }
  return { universe: outer.universe, registry, custom }
}

const FIELD_TYPES: ReadonlySet<string> = new Set<FieldType>([
  'binary',
  'boolean',
  'uint8',
  'uint16',
  'uint32',
  'int8',
  'int16',
  'int32',
  'ipv4-address',
  'ipv6-address',
  'ipv6-prefix',
  'psid',
  'string',
  'tuple',
  'fqdn',
])

const definitionOf = (written: OptionDef, universe: Universe, report: Report): OptionDefinition | undefined => {
  const known = (type: string): boolean => FIELD_TYPES.has(type)
  if (!known(written.type) && !['empty', 'record', 'internal'].includes(written.type)) {
    report.error([...written.at, 'type'], `expected a type of options, found "${written.type}"`)
    return undefined
  }
  const recordTypes = splitFields(written['record-types'] ?? '')
  const bad = recordTypes.find((type) => !known(type))
  if (bad !== undefined) {
    report.error([...written.at, 'record-types'], `expected types of fields separated by commas, found "${bad}"`)
    return undefined
  }
  return {
    code: written.code,
    name: written.name,
    space: written.space ?? `dhcp${universe}`,
    type: written.type as OptionType,
    array: written.array ?? false,
    recordTypes: recordTypes as FieldType[],
    ...(written.encapsulate ? { encapsulates: written.encapsulate } : {}),
    rfc: '',
    universe,
  }
}

/** Resolves the `option-data` of one scope. */
export const resolveOptions = (
  written: readonly OptionData[] | undefined,
  definitions: Definitions,
  report: Report,
): OptionSet => {
  const spaces = new Map<string, Map<number, Placed>>()
  for (const data of written ?? []) {
    const value = valueOf(data, definitions, report)
    if (value === undefined) continue
    const space = spaces.get(value.space) ?? new Map<number, Placed>()
    spaces.set(value.space, space)
    const before = space.get(value.code)
    if (before === undefined) space.set(value.code, { value, data, others: [] })
    else if (isOtherVendor(value, before, definitions.universe)) {
      space.set(value.code, { ...before, others: [...before.others, enterpriseOf(value)] })
    } else {
      const line = report.line(before.data.at)
      report.error(data.at, `the option ${value.name} is given twice in this scope, first on line ${line}`)
    }
  }
  return spaces.size === 0 ? NO_OPTIONS : assemble(spaces, definitions, report)
}

interface Placed {
  readonly value: OptionValue
  readonly data: OptionData
  /** Further enterprise numbers, when the option only names vendors and stands there for each of them. */
  readonly others: readonly number[]
}

const namesVendor = ({ space, code, bytes }: OptionValue, universe: Universe): boolean =>
  space === `dhcp${universe}` && code === VENDOR_OPTIONS_CODE[universe] && bytes.length === 4

const enterpriseOf = ({ bytes }: OptionValue): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0)

const isOtherVendor = (value: OptionValue, { value: first, others }: Placed, universe: Universe): boolean =>
  namesVendor(value, universe) &&
  namesVendor(first, universe) &&
  ![enterpriseOf(first), ...others].includes(enterpriseOf(value))

type Spaces = ReadonlyMap<string, ReadonlyMap<number, Placed>>

const valueOf = (data: OptionData, definitions: Definitions, report: Report): OptionValue | undefined => {
  const { registry, universe } = definitions
  const space = data.space ?? `dhcp${universe}`
  if (data.name === undefined && data.code === undefined) {
    report.error(data.at, 'expected the name or the code of the option')
    return undefined
  }
  const definition =
    data.code !== undefined ? registry.byCode(space, data.code) : registry.byName(space, data.name ?? '')
  if (data.name !== undefined && data.code !== undefined && definition !== undefined && definition.name !== data.name) {
    report.error(data.at, `the option ${data.code} of the space ${space} is ${definition.name}, not ${data.name}`)
    return undefined
  }
  const code = data.code ?? definition?.code
  if (code === undefined) {
    report.error([...data.at, 'name'], `no option ${data.name} is defined in the space ${space}; give its code`)
    return undefined
  }
  // A vendor may use all codes of its own space (RFC 2132 §8.4).
  const most = universe === 6 ? OPTION_CODE_MAX[6] : space === 'dhcp4' ? OPTION_CODE_MAX[4] : 255
  if (code > most || (code === 0 && space === `dhcp${universe}`)) {
    report.error([...data.at, 'code'], `expected a code from 1 to ${most}`)
    return undefined
  }
  const bytes = bytesOf(data, definition, report)
  if (bytes === undefined) return undefined
  const name = definition?.name ?? data.name ?? `option-${code}`
  const alwaysSend = data['always-send'] ?? false
  return { space, code, name, bytes, alwaysSend, neverSend: data['never-send'] ?? false }
}

const EMPTY = new Uint8Array(0)

const bytesOf = (
  data: OptionData,
  definition: OptionDefinition | undefined,
  report: Report,
): Uint8Array | undefined => {
  const text = data.data ?? ''
  if (text === '' && data['never-send']) return EMPTY
  const csv = data['csv-format'] ?? definition !== undefined
  if (definition === undefined && csv) {
    report.error(
      [...data.at, 'csv-format'],
      'the option has no definition: csv-format must be false, the data hexadecimal',
    )
    return undefined
  }
  if (text === '' && !csv) return EMPTY
  const encoded = definition === undefined ? parseBinary(text) : encodeOptionText(definition, text, csv)
  if (E.isRight(encoded)) return encoded.right
  report.error(data.data === undefined ? data.at : [...data.at, 'data'], encoded.left)
  return undefined
}

/** Puts encapsulated options into those that carry them, and sorts out vendors. */
const assemble = (spaces: Spaces, definitions: Definitions, report: Report): OptionSet => {
  const { universe, registry } = definitions
  const top = `dhcp${universe}`
  const used = new Set<string>([top])
  const standard = new Map<number, OptionValue>()
  for (const [code, placed] of spaces.get(top) ?? []) {
    standard.set(code, pack(placed, spaces, definitions, used, report))
  }
  const vendor = new Map<number, ReadonlyMap<number, OptionValue>>()
  for (const [space, placed] of spaces) {
    const enterprise = /^vendor-(\d{1,10})$/.exec(space)?.[1]
    if (enterprise === undefined) continue
    used.add(space)
    const values = [...placed].map(([code, each]) => [code, pack(each, spaces, definitions, used, report)] as const)
    vendor.set(Number(enterprise), new Map(values))
  }
  for (const [space, placed] of spaces) {
    if (used.has(space)) continue
    const { data } = [...placed.values()][0] as Placed
    if (!registry.hasSpace(space)) report.error([...data.at, 'space'], `no option carries the space ${space}`)
    else report.warn(`options of the space ${space} are not sent: the option that carries it is not in the same scope`)
  }
  const others = spaces.get(top)?.get(VENDOR_OPTIONS_CODE[universe])?.others ?? []
  const complete = withVendors(standard, vendor, others, universe)
  return { standard: complete, vendor, always: alwaysOf(complete) }
}

const pack = (
  { value, data }: Placed,
  spaces: Spaces,
  definitions: Definitions,
  used: Set<string>,
  report: Report,
): OptionValue => {
  const inner = definitions.registry.byCode(value.space, value.code)?.encapsulates
  // An option that carries its own space, as those of DHCPv6 that hold any other, is not packed with its siblings.
  if (inner === undefined || used.has(inner)) return value
  used.add(inner)
  const suboptions = new Map<number, Uint8Array>()
  for (const [code, each] of spaces.get(inner) ?? []) {
    if (!each.value.neverSend) suboptions.set(code, pack(each, spaces, definitions, used, report).bytes)
  }
  const encoded = encodeSuboptions(definitions.universe, suboptions)
  if (E.isLeft(encoded)) {
    report.error(data.at, encoded.left)
    return value
  }
  return { ...value, bytes: Buffer.concat([value.bytes, encoded.right]) }
}

/**
 * An option that only names vendors is completed with their options, so that a client who asks gets them. In DHCPv6 one
 * option holds one vendor: where there are several, only a client that names its own gets that one's.
 */
const withVendors = (
  standard: Values,
  vendor: OptionSet['vendor'],
  others: readonly number[],
  universe: Universe,
): Values => {
  const carrier = standard.get(VENDOR_OPTIONS_CODE[universe])
  if (carrier === undefined || !namesVendor(carrier, universe)) return standard
  const complete = new Map(standard)
  if (universe === 6 && others.length > 0) {
    complete.delete(carrier.code)
    return complete
  }
  const blocks = [enterpriseOf(carrier), ...others].map((enterprise) => vendorBlock(enterprise, vendor, universe))
  if (blocks.includes(undefined)) return standard
  const bytes = Buffer.concat(blocks.filter((block) => block !== undefined))
  return complete.set(carrier.code, { ...carrier, bytes })
}

/** Enterprise number and its options, with their length in DHCPv4; undefined when they are too long for it. */
const vendorBlock = (enterprise: number, vendor: OptionSet['vendor'], universe: Universe): Uint8Array | undefined => {
  const values = [...(vendor.get(enterprise) ?? [])].filter(([, value]) => !value.neverSend)
  const packed = encodeSuboptions(universe, new Map(values.map(([code, value]) => [code, value.bytes])))
  if (E.isLeft(packed) || (universe === 4 && packed.right.length > 255)) return undefined
  const head = new Writer(5).u32(enterprise)
  if (universe === 4) head.u8(packed.right.length)
  return head.bytes(packed.right).finish()
}

type Values = ReadonlyMap<number, OptionValue>

const alwaysOf = (standard: Values): readonly number[] =>
  [...standard.values()].filter((value) => value.alwaysSend && !value.neverSend).map(({ code }) => code)

/** Options of an inner scope over those of the scope around it. */
export const mergeOptions = (inner: OptionSet, outer: OptionSet): OptionSet => {
  if (inner === NO_OPTIONS) return outer
  if (outer === NO_OPTIONS) return inner
  const standard = mergeValues(inner.standard, outer.standard)
  const vendor = new Map(outer.vendor)
  for (const [enterprise, values] of inner.vendor) {
    vendor.set(enterprise, mergeValues(values, outer.vendor.get(enterprise) ?? new Map()))
  }
  return { standard, vendor, always: alwaysOf(standard) }
}

/** The inner value counts; the two flags stay set once they are set in any scope, as in Kea. */
const mergeValues = (inner: Values, outer: Values): Values => {
  const merged = new Map(outer)
  for (const [code, value] of inner) {
    const around = outer.get(code)
    const alwaysSend = value.alwaysSend || around?.alwaysSend === true
    const neverSend = value.neverSend || around?.neverSend === true
    merged.set(code, { ...value, alwaysSend, neverSend })
  }
  return merged
}
