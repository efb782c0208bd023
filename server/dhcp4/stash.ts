/** What a relay said when a lease was made, for messages that come past the relay (Kea's `stash-agent-options`). */
import * as O from 'fp-ts/lib/Option.js'
import { parseHex } from '../../domain/address.ts'
import { lease4Stream } from '../../domain/stream.ts'
import type { Replica } from '../replica.ts'
import { clientKey4 } from './client.ts'
import type { Client4 } from './exchange.ts'
import { RELAY_SUBOPTION } from './option-codes.ts'
import type { RelayAgent } from './option-relay.ts'
import type { Packet4 } from './packet.ts'

/**
 * The relay agent information of the lease that the client uses, as far as the ledger keeps it: circuit, remote, relay and
 * subscriber identifiers. `undefined` for a message that has its own, was relayed, or comes from somebody else. It counts
 * for the choice of subnet, classes and reservation, and is never echoed.
 */
export const stashedAgent = (replica: Replica, packet: Packet4, client: Client4): RelayAgent | undefined => {
  if (packet.giaddr !== 0 || packet.ciaddr === 0 || client.relay !== undefined) return undefined
  const { state } = replica.get(lease4Stream(packet.ciaddr))
  if (state.status !== 'bound' || state.lease.relay === undefined) return undefined
  const { holder, relay } = state.lease
  if (holder !== clientKey4(client, true) && holder !== clientKey4(client, false)) return undefined
  const agent = new Map<number, Uint8Array>()
  const keep = (code: number, text: string | undefined): void => {
    const octets = text === undefined ? O.none : parseHex(text)
    if (O.isSome(octets)) agent.set(code, octets.value)
  }
  keep(RELAY_SUBOPTION.circuitId, relay.circuitId)
  keep(RELAY_SUBOPTION.remoteId, relay.remoteId)
  keep(RELAY_SUBOPTION.subscriberId, relay.subscriberId)
  keep(RELAY_SUBOPTION.relayId, relay.relayId)
  return agent.size === 0 ? undefined : agent
}
