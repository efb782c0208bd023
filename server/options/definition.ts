/** What an option means: its definition in Kea's terms, and its content between configuration text and octets. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import { parseBinary, readField, splitFields, toHex, writeField } from './fields.ts'
import type { FieldType, Universe } from './fields.ts'
import { encodeInternal, formatInternal } from './internal.ts'

/** Type of an option's content, under Kea's names. `internal` is a layout of its own, found by space and code. */
export type OptionType = FieldType | 'empty' | 'record' | 'internal'

/** One row of an option table: a standard option, or one of `option-def`. */
export interface OptionDefinition {
  /** 1 to 254 in DHCPv4, 1 to 65535 in DHCPv6. */
  readonly code: number
  /** Kea's name for it; unique within the space. */
  readonly name: string
  /** `dhcp4`, `dhcp6`, the space of an encapsulating option, `vendor-ENTERPRISE`, or one of `option-def`. */
  readonly space: string
  readonly type: OptionType
  /** Whether the value repeats to the end; in a record, whether its last field does. */
  readonly array: boolean
  /** Fields of a record in order; empty for every other type. */
  readonly recordTypes: readonly FieldType[]
  /** Space of the options that follow the fields inside this one. */
  readonly encapsulates?: string
  /** Where it is specified, such as `RFC 2132 §3.3`; empty for a custom one. */
  readonly rfc: string
  /** Wire conventions; where absent, DHCPv6 for the space `dhcp6` and DHCPv4 for every other. */
  readonly universe?: Universe
  /** Whether `option-def` may define the option anew: Kea had no definition of it, or has come to one only lately. */
  readonly replaceable?: true
}

/**
 * Octets of an option whose `option-data.data` is `text`. With `csvFormat` the text is Kea's comma separated fields
 * (`\,` is a comma inside a field); without it, hexadecimal digits, or text in single quotes for its own octets. The
 * left side is one sentence without a full stop. Deviates from Kea, which silently drops surplus fields: here they are
 * refused.
 */
export const encodeOptionText = (
  definition: OptionDefinition,
  text: string,
  csvFormat: boolean,
): Either<string, Uint8Array> => {
  if (!csvFormat) return encodeHexText(definition, text)
  if (definition.type === 'internal') return encodeInternal(definition, text)
  const fields = splitFields(text)
  const types = fieldTypes(definition, fields.length)
  if (E.isLeft(types)) return types
  const out = new Writer(64)
  for (let at = 0; at < fields.length; at++) {
    const written = writeField(out, types.right[at] as FieldType, fields[at] as string, universeOf(definition))
    if (E.isLeft(written)) return written
  }
  return E.right(out.finish())
}

/**
 * Content of an option for humans, in the form that {@link encodeOptionText} takes with csvFormat true; octets that do
 * not fit the definition, or that hold encapsulated options behind the fields, are given as hexadecimal with `0x`.
 */
export const formatOption = (definition: OptionDefinition, bytes: Uint8Array): string => {
  const fields = readFields(definition, bytes)
  return fields === null || fields.suboptionsAt < bytes.length ? `0x${toHex(bytes)}` : fields.text
}

/** Whether `bytes` have the form that `definition` gives, encapsulated options left aside. */
export const fitsDefinition = (definition: OptionDefinition, bytes: Uint8Array): boolean =>
  readFields(definition, bytes) !== null

/** DHCPv4 or DHCPv6 conventions for the option's content. */
export const universeOf = (definition: OptionDefinition): Universe =>
  definition.universe ?? (definition.space === 'dhcp6' ? 6 : 4)

const encodeHexText = (definition: OptionDefinition, text: string): Either<string, Uint8Array> => {
  const bytes = parseBinary(text)
  if (E.isRight(bytes) && !fitsDefinition(definition, bytes.right)) {
    return E.left(`"${text}" does not have the form of ${definition.name} (${describeType(definition)})`)
  }
  return bytes
}

/** Types of `count` fields of a text, or why there cannot be so many. */
const fieldTypes = (definition: OptionDefinition, count: number): Either<string, FieldType[]> => {
  if (definition.type === 'empty') return count === 0 ? E.right([]) : E.left(emptyReason(definition))
  const types = [...elementTypes(definition)]
  if (definition.array) {
    const repeated = types.at(-1) as FieldType
    while (types.length < count) types.push(repeated)
  }
  if (types.length === count) return E.right(types)
  return E.left(
    `${definition.name} takes ${types.length} ${types.length === 1 ? 'value' : 'values'} ` +
      `(${describeType(definition)}) and ${count} are given; a comma inside a value is written \\,`,
  )
}

const emptyReason = (definition: OptionDefinition): string =>
  definition.encapsulates === undefined
    ? `${definition.name} takes no value`
    : `${definition.name} takes no value of its own; set the options of the space ${definition.encapsulates} instead`

const elementTypes = (definition: OptionDefinition): readonly FieldType[] =>
  definition.type === 'record' ? definition.recordTypes : [definition.type as FieldType]

const describeType = (definition: OptionDefinition): string => {
  const base = definition.type === 'record' ? definition.recordTypes.join(', ') : definition.type
  return definition.array ? `${base}, repeated` : base
}

interface FieldsRead {
  readonly text: string
  /** Offset where encapsulated options begin: the length of the content when there are none. */
  readonly suboptionsAt: number
}

const readFields = (definition: OptionDefinition, bytes: Uint8Array): FieldsRead | null => {
  if (definition.type === 'internal') {
    const text = formatInternal(definition, bytes)
    return text === null ? null : { text, suboptionsAt: bytes.length }
  }
  const input = new Reader(bytes)
  const fields: string[] = []
  const types = definition.type === 'empty' ? [] : elementTypes(definition)
  for (const type of types) {
    const field = readField(input, type, bytes, universeOf(definition))
    if (field === null) return null
    fields.push(field)
  }
  const repeated = types.at(-1)
  while (definition.array && repeated !== undefined && input.left > 0) {
    const field = readField(input, repeated, bytes, universeOf(definition))
    if (field === null) return null
    fields.push(field)
  }
  if (input.left > 0 && !carriesSuboptions(definition)) return null
  return { text: fields.join(', '), suboptionsAt: input.offset }
}

/**
 * Kea names no space for option 125 because its suboptions live in `vendor-ENTERPRISE`; they are there all the same.
 */
const carriesSuboptions = (definition: OptionDefinition): boolean =>
  definition.encapsulates !== undefined || (definition.space === 'dhcp4' && definition.code === 125)
