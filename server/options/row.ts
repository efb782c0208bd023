/** Short forms of {@link OptionDefinition}, so that an option table has one line an option. */
import type { OptionDefinition, OptionType } from './definition.ts'
import type { FieldType, Universe } from './fields.ts'

type Extra = Pick<OptionDefinition, 'encapsulates' | 'replaceable'>

/** Makers of definitions of one option space: a single value, a list to the end, and a record. */
export interface Rows {
  readonly one: (code: number, name: string, type: OptionType, rfc: string, extra?: Extra) => OptionDefinition
  readonly many: (code: number, name: string, type: FieldType, rfc: string, extra?: Extra) => OptionDefinition
  readonly record: (
    code: number,
    name: string,
    fields: readonly FieldType[],
    rfc: string,
    extra?: Extra,
  ) => OptionDefinition
  /** A record whose last field repeats to the end. */
  readonly recordMany: Rows['record']
}

/** The makers for `space`, whose options travel inside DHCPv4 or DHCPv6 messages. */
export const rowsOf = (space: string, universe: Universe): Rows => {
  const make =
    (array: boolean) =>
    (code: number, name: string, type: OptionType, rfc: string, extra: Extra = {}): OptionDefinition => ({
      code,
      name,
      space,
      type,
      array,
      recordTypes: [],
      rfc,
      universe,
      ...extra,
    })
  const makeRecord =
    (array: boolean): Rows['record'] =>
    (code, name, recordTypes, rfc, extra = {}) => ({
      code,
      name,
      space,
      type: 'record',
      array,
      recordTypes,
      rfc,
      universe,
      ...extra,
    })
  return { one: make(false), many: make(true), record: makeRecord(false), recordMany: makeRecord(true) }
}

/** Marks a row that `option-def` may define anew. */
export const replaceable: Extra = { replaceable: true }
