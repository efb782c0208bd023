/** Vendor options of a packet, for class expressions (RFC 3925; RFC 8415 §21.16, §21.17). */
import type { Universe } from '../options/fields.ts'
import { decodeSuboptions, decodeVendorOptions4 } from '../options/suboptions.ts'
import type { Suboptions } from '../options/suboptions.ts'
import { Reader } from '../wire/reader.ts'
import type { ClassAccessor } from './class-accessor.ts'

const VENDOR_OPTIONS = { 4: 125, 6: 17 } as const
const VENDOR_CLASS = { 4: 124, 6: 16 } as const

/** Enterprise number (uint32) with what belongs to it. */
export interface Vendor<A> {
  readonly enterprise: number
  readonly content: A
}

/** The first vendor's options that the packet has, or those of `enterprise`. */
export const vendorOptions = (
  universe: Universe,
  packet: ClassAccessor,
  enterprise: number | undefined,
): Vendor<Suboptions> | undefined => {
  const bytes = packet.option(VENDOR_OPTIONS[universe])
  if (bytes === undefined) return undefined
  if (universe === 4) {
    for (const [number, content] of decodeVendorOptions4(bytes) ?? []) {
      if (enterprise === undefined || enterprise === number) return { enterprise: number, content }
    }
    return undefined
  }
  const input = new Reader(bytes)
  const number = input.u32()
  const content = decodeSuboptions(6, input.rest())
  if (content === null || input.finish() === 'short') return undefined
  return enterprise === undefined || enterprise === number ? { enterprise: number, content } : undefined
}

/** The same for the vendor class option; its content is a list of values. */
export const vendorClass = (
  universe: Universe,
  packet: ClassAccessor,
  enterprise: number | undefined,
): Vendor<readonly Uint8Array[]> | undefined => {
  const input = new Reader(packet.option(VENDOR_CLASS[universe]) ?? new Uint8Array(0))
  while (input.left > 0) {
    const number = input.u32()
    const content = universe === 4 ? input.take(input.u8()) : input.rest()
    const values = tuples(universe, content)
    if (input.finish() === 'short' || values === undefined) return undefined
    if (enterprise === undefined || enterprise === number) return { enterprise: number, content: values }
  }
  return undefined
}

const tuples = (universe: Universe, bytes: Uint8Array): readonly Uint8Array[] | undefined => {
  const input = new Reader(bytes)
  const values: Uint8Array[] = []
  while (input.left > 0) {
    values.push(input.take(universe === 4 ? input.u8() : input.u16()))
    if (input.finish() === 'short') return undefined
  }
  return values
}
