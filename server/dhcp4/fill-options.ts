/** The options of a reply: which are sent, and whose value counts. */
import { ip4Bytes } from '../../domain/address.ts'
import type { Dhcp4, OptionSet, OptionValue, Subnet4, Timers } from '../config/model.ts'
import { classesIn } from '../classes.ts'
import { scrubbedDomain } from '../hostnames.ts'
import { valueIn } from '../options/scopes.ts'
import { teeTimes } from '../tee-times.ts'
import { Writer } from '../wire/writer.ts'
import { clientFqdn, encodeClientFqdn, parameterRequestList } from './option-access.ts'
import { MESSAGE_TYPE, OPTION4 } from './option-codes.ts'
import type { Exchange4, Reply4 } from './exchange.ts'

/** Options that Kea sends whenever they are configured, asked for or not: nearly every client needs them. */
const BASIC = [OPTION4.routers, OPTION4.domainNameServers, OPTION4.domainName] as const

/** Codes that the server writes itself; a configured value does not replace them. */
const OWN: ReadonlySet<number> = new Set([
  OPTION4.pad,
  OPTION4.requestedAddress,
  OPTION4.leaseTime,
  OPTION4.overload,
  OPTION4.messageType,
  OPTION4.serverIdentifier,
  OPTION4.parameterRequestList,
  OPTION4.maxMessageSize,
  OPTION4.clientIdentifier,
  OPTION4.relayAgent,
  OPTION4.rapidCommit,
  OPTION4.subnetSelection,
  OPTION4.end,
])

/** Options that mean nothing without a lease (RFC 2131 §4.3.5). */
const OF_LEASES: ReadonlySet<number> = new Set([OPTION4.renewalTime, OPTION4.rebindingTime])

/**
 * Options that go back as they came: subnet selection (RFC 3011 §2), and what a relay said (RFC 3046 §2.2), also one that
 * leaves giaddr empty, as switches that watch DHCP do.
 */
const ECHOED = [OPTION4.subnetSelection, OPTION4.relayAgent] as const

/**
 * Options of a reply in the order in which they are wanted (RFC 2131 §4.3.1, table 3): those of the protocol, what the
 * client asked for in its order, then what is sent regardless. Scopes in Kea's precedence: reservation, pool, subnet and
 * network, classes in the order of the configuration, global.
 */
export const fillOptions4 = (config: Dhcp4, reply: Reply4): Map<number, Uint8Array> => {
  const { exchange, subnet } = reply
  const options = new Map<number, Uint8Array>()
  options.set(OPTION4.messageType, Uint8Array.of(reply.messageType))
  options.set(OPTION4.serverIdentifier, ip4Bytes(exchange.serverId))
  const identifier = exchange.packet.options.get(OPTION4.clientIdentifier)
  if (identifier !== undefined && config.echoClientId) options.set(OPTION4.clientIdentifier, identifier)
  if (reply.messageType === MESSAGE_TYPE.nak) {
    if (reply.message !== undefined) options.set(OPTION4.message, new TextEncoder().encode(reply.message))
  } else {
    if (reply.leaseTimeSec !== undefined) addTimes(options, subnet.timers, reply.leaseTimeSec)
    if (isRapidCommit(reply)) options.set(OPTION4.rapidCommit, new Uint8Array(0))
    addConfigured(options, scopesOf(config, reply), reply)
    addNames(options, reply)
  }
  for (const code of ECHOED) {
    const value = exchange.packet.options.get(code)
    if (value !== undefined) options.set(code, value)
  }
  return options
}

/** An ACK for a DISCOVER says so (RFC 4039 §4). */
const isRapidCommit = ({ messageType, exchange }: Reply4): boolean =>
  messageType === MESSAGE_TYPE.ack && exchange.messageType === MESSAGE_TYPE.discover

const maskOf = (subnet: Subnet4): Uint8Array =>
  ip4Bytes(subnet.prefixLength === 0 ? 0 : (-1 << (32 - subnet.prefixLength)) >>> 0)

/** A uint32 of seconds in network order, as an address would stand. */
const seconds = ip4Bytes

/** Lease time and, where configured, T1 and T2 as long as they are below it (RFC 2131 §4.4.5). */
const addTimes = (options: Map<number, Uint8Array>, timers: Timers, leaseTimeSec: number): void => {
  options.set(OPTION4.leaseTime, seconds(leaseTimeSec))
  const { renew, rebind } = teeTimes(timers, leaseTimeSec)
  if (renew !== undefined) options.set(OPTION4.renewalTime, seconds(renew))
  if (rebind !== undefined) options.set(OPTION4.rebindingTime, seconds(rebind))
}

/** Where the options of a reply come from, by precedence. */
export type Sources4 = Pick<Reply4, 'exchange' | 'subnet' | 'poolOptions' | 'classes'>

const scopesOf = (config: Dhcp4, { exchange, subnet, poolOptions, classes }: Sources4): OptionSet[] => {
  const scopes: OptionSet[] = []
  if (exchange.reservation !== undefined) scopes.push(exchange.reservation.options)
  scopes.push(poolOptions ?? subnet.options)
  for (const clientClass of classesIn(config.classes, classes)) scopes.push(clientClass.options)
  scopes.push(config.options)
  return scopes
}

/** Whether an option is configured for a client, and not suppressed. */
export const isConfigured = (config: Dhcp4, sources: Sources4, code: number): boolean =>
  valueIn(scopesOf(config, sources), code) !== undefined

const addConfigured = (
  options: Map<number, Uint8Array>,
  scopes: ReadonlyArray<OptionSet>,
  { exchange, subnet, leaseTimeSec }: Reply4,
): void => {
  const add = (code: number): void => {
    if (OWN.has(code) || options.has(code)) return
    if (leaseTimeSec === undefined && OF_LEASES.has(code)) return
    const value = valueIn(scopes, code)
    if (value !== undefined) options.set(code, value.bytes)
    else if (code === OPTION4.subnetMask && !isSuppressed(scopes, code)) options.set(code, maskOf(subnet))
  }
  // The mask stands before the routers, whatever the client's order (RFC 2132 §3.3).
  add(OPTION4.subnetMask)
  const asked = parameterRequestList(exchange.packet)
  for (const code of asked ?? []) add(code)
  for (const code of BASIC) add(code)
  for (const scope of scopes) for (const code of scope.always) add(code)
  if (!options.has(OPTION4.vendorIdentifyingOptions)) {
    addVendor(options, scopes, enterprisesOf(exchange), asked?.includes(OPTION4.vendorIdentifyingOptions) ?? false)
  }
}

const isSuppressed = (scopes: ReadonlyArray<OptionSet>, code: number): boolean =>
  scopes.some((scope) => scope.standard.get(code)?.neverSend)

/**
 * Vendor-identifying options (RFC 3925) of the enterprises that the client named in option 124 or 125, or of all where it
 * lists option 125; of the others those that are always sent.
 */
const addVendor = (
  options: Map<number, Uint8Array>,
  scopes: ReadonlyArray<OptionSet>,
  named: ReadonlySet<number>,
  all: boolean,
): void => {
  if (scopes.every((scope) => scope.vendor.size === 0)) return
  const out = new Writer(64)
  for (const enterprise of new Set(scopes.flatMap((scope) => [...scope.vendor.keys()]))) {
    const values = new Map<number, OptionValue>()
    for (const scope of scopes) {
      for (const [code, value] of scope.vendor.get(enterprise) ?? []) {
        if (!values.has(code) || value.neverSend) values.set(code, value)
      }
    }
    const inner = new Writer(64)
    for (const [code, { neverSend, alwaysSend, bytes }] of values) {
      const sent = !neverSend && (all || alwaysSend || named.has(enterprise))
      if (sent && bytes.length < 256) inner.u8(code).u8(bytes.length).bytes(bytes)
    }
    if (inner.length > 0 && inner.length < 256) out.u32(enterprise).u8(inner.length).bytes(inner.finish())
  }
  if (out.length > 0) options.set(OPTION4.vendorIdentifyingOptions, out.finish())
}

const enterprisesOf = ({ packet }: Exchange4): ReadonlySet<number> => {
  const found = new Set<number>()
  for (const code of [OPTION4.vendorIdentifyingOptions, OPTION4.vendorIdentifyingClass]) {
    const bytes = packet.options.get(code)
    if (bytes === undefined) continue
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let at = 0; at + 5 <= bytes.length; at += 5 + view.getUint8(at + 4)) found.add(view.getUint32(at))
  }
  return found
}

/** The name that the client has here: option 81 is answered in its form, without updates done (RFC 4702 §4); else option 12. */
const addNames = (options: Map<number, Uint8Array>, reply: Reply4): void => {
  const { exchange, subnet } = reply
  const asked = clientFqdn(exchange.packet)
  const reserved = exchange.reservation?.hostname
  if (asked !== undefined) {
    const name = reserved ?? scrubbedDomain(asked.name, subnet.hostnameRules)
    const partial = reserved === undefined ? asked.partial : !reserved.includes('.')
    const overridden = asked.server
    const answer = encodeClientFqdn({ ...asked, name, partial, server: false, overridden, noUpdate: true })
    if (answer !== undefined) options.set(OPTION4.clientFqdn, answer)
  } else if (reserved !== undefined) options.set(OPTION4.hostName, new TextEncoder().encode(reserved))
}
