/**
 * The relay agent information option (82, RFC 3046): suboptions of one octet code and one octet length. They are read
 * one level deep; a suboption with options of its own (vendor specific, RFC 4243) stays as octets, so nothing here
 * recurses.
 */
import type { Either } from 'fp-ts/lib/Either.js'
import { decodeSuboptions, encodeSuboptions } from '../options/suboptions.ts'
import type { Suboptions } from '../options/suboptions.ts'
import { OPTION4, RELAY_SUBOPTION } from './option-codes.ts'
import type { Packet4 } from './packet.ts'

/** Content by code of suboption, in the order received; views of the option. */
export type RelayAgent = Suboptions

/**
 * The suboptions of option 82; `null` when they are malformed (one reaches past the end, or there are too many). Unlike
 * options they have no pad and no end, and of a repeated one the first counts: RFC 3046 §2.0 does not join them.
 */
export const decodeRelayAgent = (option: Uint8Array): RelayAgent | null => decodeSuboptions(4, option)

/** Octets of option 82 with the suboptions in the given order; the left side says which is longer than 255 octets. */
export const encodeRelayAgent = (suboptions: RelayAgent): Either<string, Uint8Array> => encodeSuboptions(4, suboptions)

/**
 * The suboptions of a packet; `undefined` without option 82 or when that is malformed (it is still echoed as it is).
 */
export const relayAgentOf = (packet: Packet4): RelayAgent | undefined => {
  const option = packet.options.get(OPTION4.relayAgent)
  return option === undefined ? undefined : (decodeRelayAgent(option) ?? undefined)
}

/** Address on the link of the client, uint32, in place of `giaddr` for choosing the subnet (RFC 3527 §3). */
export const linkSelection = (agent: RelayAgent): number | undefined => address(agent, RELAY_SUBOPTION.linkSelection)

/** Address to give as server identifier, uint32, so that renewals pass the relay (RFC 5107 §4). */
export const serverIdOverride = (agent: RelayAgent): number | undefined =>
  address(agent, RELAY_SUBOPTION.serverIdOverride)

/** Whether replies go to the port that the relay sent from, and not to port 67 (RFC 8357 §5.1). */
export const wantsSourcePort = (agent: RelayAgent): boolean => agent.has(RELAY_SUBOPTION.sourcePort)

/**
 * Whether the relay says that it got the client's message by unicast (RFC 5010 §3); `undefined` when it says nothing.
 */
export const receivedByUnicast = (agent: RelayAgent): boolean | undefined => {
  const flags = agent.get(RELAY_SUBOPTION.flags)
  return flags?.length === 1 ? ((flags[0] as number) & 0x80) !== 0 : undefined
}

const address = (agent: RelayAgent, code: number): number | undefined => {
  const value = agent.get(code)
  if (value?.length !== 4) return undefined
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0)
}
