/** The configured options of a DHCPv6 reply: which are sent, and whose value counts. */
import { classesIn } from '../classes.ts'
import type { Dhcp6, OptionSet, OptionValue } from '../config/model.ts'
import { valueIn } from '../options/scopes.ts'
import { Writer } from '../wire/writer.ts'
import type { Exchange6, Reply6 } from './exchange.ts'
import { requestedOptions } from './option-access.ts'
import { MESSAGE6, OPTION6 } from './option-codes.ts'
import { writeOptions } from './packet.ts'
import type { Option6 } from './packet.ts'

/** Codes that the server writes itself; a configured value does not replace them. */
const OWN: ReadonlySet<number> = new Set([
  OPTION6.clientId,
  OPTION6.serverId,
  OPTION6.iaNa,
  OPTION6.iaTa,
  OPTION6.iaPd,
  OPTION6.optionRequest,
  OPTION6.elapsedTime,
  OPTION6.relayMessage,
  OPTION6.statusCode,
  OPTION6.rapidCommit,
  OPTION6.interfaceId,
  OPTION6.pdExclude,
])

/**
 * What the client asked for, in its order, and what is sent regardless (RFC 8415 §18.3.9, §18.3.10). Scopes in Kea's
 * precedence: reservation, pool of the first lease, subnet and network, classes in the order of the configuration, global.
 * An option that relays supply for the client comes last, if it is allowed and nothing else has it (RFC 6422).
 */
export const fillOptions6 = (config: Dhcp6, reply: Reply6, poolOptions: OptionSet | undefined): Option6[] => {
  const { exchange, subnet } = reply
  const scopes: OptionSet[] = []
  if (exchange.reservation !== undefined) scopes.push(exchange.reservation.options)
  const ofLink = poolOptions ?? subnet?.options
  if (ofLink !== undefined) scopes.push(ofLink)
  for (const one of classesIn(config.classes, reply.classes)) scopes.push(one.options)
  scopes.push(config.options)
  const options = new Map<number, Uint8Array>()
  const add = (code: number): void => {
    if (OWN.has(code) || options.has(code)) return
    const value = valueIn(scopes, code)
    if (value !== undefined) options.set(code, value.bytes)
  }
  for (const code of requestedOptions(exchange.packet.options)) add(code)
  if (reply.messageType === MESSAGE6.advertise) add(OPTION6.preference)
  for (const scope of scopes) for (const code of scope.always) add(code)
  addVendor(options, scopes, exchange)
  addRelaySupplied(options, config, exchange)
  return [...options].map(([code, data]) => ({ code, data }))
}

/** Vendor options of the first enterprise that the client named in its vendor class or vendor options (RFC 8415 §21.17). */
const addVendor = (options: Map<number, Uint8Array>, scopes: ReadonlyArray<OptionSet>, exchange: Exchange6): void => {
  for (const { code, data } of exchange.packet.options) {
    if ((code !== OPTION6.vendorClass && code !== OPTION6.vendorOptions) || data.length < 4) continue
    const enterprise = new DataView(data.buffer, data.byteOffset).getUint32(0)
    const values = new Map<number, OptionValue>()
    for (const scope of scopes) {
      for (const [inner, value] of scope.vendor.get(enterprise) ?? []) {
        if (!values.has(inner) || value.neverSend) values.set(inner, value)
      }
    }
    const sent = [...values.values()].filter((value) => !value.neverSend)
    if (sent.length === 0 || options.has(OPTION6.vendorOptions)) continue
    const out = new Writer(64).u32(enterprise)
    options.set(
      OPTION6.vendorOptions,
      writeOptions(
        out,
        sent.map(({ code: inner, bytes }) => ({ code: inner, data: bytes })),
      ).finish(),
    )
  }
}

const addRelaySupplied = (options: Map<number, Uint8Array>, config: Dhcp6, exchange: Exchange6): void => {
  const allowed = new Set(config.relaySuppliedOptions)
  for (const relay of [...exchange.packet.relays].reverse()) {
    for (const { code, data } of relay.options) {
      if (code !== OPTION6.relaySuppliedOptions) continue
      for (let at = 0; at + 4 <= data.length;) {
        const inner = ((data[at] as number) << 8) | (data[at + 1] as number)
        const length = ((data[at + 2] as number) << 8) | (data[at + 3] as number)
        if (at + 4 + length > data.length) break
        if (allowed.has(inner) && !options.has(inner)) options.set(inner, data.subarray(at + 4, at + 4 + length))
        at += 4 + length
      }
    }
  }
}
