/** DHCP Unique Identifiers (RFC 8415 §11; RFC 6355 for UUIDs). */
import { Writer } from '../wire/writer.ts'

/** Types of DUIDs. */
export const DUID_TYPE = { linkLayerTime: 1, enterprise: 2, linkLayer: 3, uuid: 4 } as const

/** Octets of a DUID, its type included (RFC 8415 §11.1). */
export const DUID_OCTETS_MAX = 130

/** Seconds between the Unix epoch and 2000-01-01T00:00:00Z, from which DUID-LLT counts (RFC 8415 §11.2). */
export const DUID_EPOCH_SEC = 946_684_800

/** DUID-LLT: hardware type, time in seconds since 2000 (uint32, wraps), link-layer address. */
export const makeDuidLlt = (hardwareType: number, time: number, address: Uint8Array): Uint8Array =>
  new Writer(32)
    .u16(DUID_TYPE.linkLayerTime)
    .u16(hardwareType)
    .u32(time >>> 0)
    .bytes(address)
    .finish()

/** DUID-LL: hardware type and link-layer address. */
export const makeDuidLl = (hardwareType: number, address: Uint8Array): Uint8Array =>
  new Writer(32).u16(DUID_TYPE.linkLayer).u16(hardwareType).bytes(address).finish()

/** DUID-EN: enterprise number (uint32) and an identifier of the vendor's. */
export const makeDuidEn = (enterprise: number, identifier: Uint8Array): Uint8Array =>
  new Writer(32).u16(DUID_TYPE.enterprise).u32(enterprise).bytes(identifier).finish()

/** DUID-UUID: 16 octets. */
export const makeDuidUuid = (uuid: Uint8Array): Uint8Array => new Writer(32).u16(DUID_TYPE.uuid).bytes(uuid).finish()

/** A link-layer address and its hardware type. */
export interface HardwareAddress {
  readonly type: number
  readonly address: Uint8Array
}

/** The link-layer address in a DUID-LLT or DUID-LL; `undefined` for other types and what is too short. */
export const hardwareAddressOf = (duid: Uint8Array): HardwareAddress | undefined => {
  const type = ((duid[0] ?? 0) << 8) | (duid[1] ?? 0)
  const from = type === DUID_TYPE.linkLayerTime ? 8 : type === DUID_TYPE.linkLayer ? 4 : undefined
  if (from === undefined || duid.length <= from || duid.length > from + 20) return undefined
  return { type: ((duid[2] as number) << 8) | (duid[3] as number), address: duid.subarray(from) }
}
