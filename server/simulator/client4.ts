/** One simulated DHCPv4 client behind a relay: the messages it sends, and what it makes of the replies (RFC 2131 §4.4). */
import * as E from 'fp-ts/lib/Either.js'
import { ip4Bytes } from '../../domain/address.ts'
import { lease4Stream } from '../../domain/stream.ts'
import { encodeRelayAgent } from '../dhcp4/option-relay.ts'
import { BOOT_OP, MESSAGE_TYPE, OPTION4, RELAY_SUBOPTION } from '../dhcp4/option-codes.ts'
import { decodePacket4, encodePacket4 } from '../dhcp4/packet.ts'
import { leaseTime, messageType, serverIdentifier } from '../dhcp4/option-access.ts'
import type { Packet4 } from '../dhcp4/packet.ts'
import type { Reaction, SimulatedClient, Task } from './client.ts'

/** The relay that the clients pretend to be behind. Addresses are uint32. */
export interface Relay4 {
  /** giaddr: where replies come back to, at the port that the relay sends from (RFC 8357). */
  readonly address: number
  /** The clients' link, for link selection (RFC 3527); undefined leaves it to giaddr. */
  readonly link: number | undefined
}

const ASKED = Uint8Array.of(
  OPTION4.subnetMask,
  OPTION4.routers,
  OPTION4.domainNameServers,
  OPTION4.domainName,
  OPTION4.leaseTime,
  OPTION4.serverIdentifier,
)

/** A client with this hardware address, 6 octets. */
export const makeClient4 = (hardwareAddress: Uint8Array, relay: Relay4): SimulatedClient => {
  const agent = relayAgentOption(relay)
  // Transactions whose offer is awaited: when several servers offer, the first is taken and the others are left alone.
  const selecting = new Set<number>()
  let address = 0
  let server = 0

  const build = (type: number, xid: number, ciaddr: number, more: ReadonlyArray<[number, Uint8Array]>): Uint8Array => {
    const packet: Packet4 = {
      op: BOOT_OP.request,
      htype: 1,
      hops: 1,
      xid,
      secs: 0,
      flags: 0,
      ciaddr,
      yiaddr: 0,
      siaddr: 0,
      giaddr: relay.address,
      chaddr: hardwareAddress,
      sname: new Uint8Array(0),
      file: new Uint8Array(0),
      options: new Map([[OPTION4.messageType, Uint8Array.of(type)], ...more, [OPTION4.relayAgent, agent]]),
    }
    return encodePacket4(packet)
  }

  const begin = (task: Task, xid: number): Uint8Array => {
    switch (task) {
      case 'acquire':
        selecting.add(xid)
        return build(MESSAGE_TYPE.discover, xid, 0, [[OPTION4.parameterRequestList, ASKED]])
      case 'renew':
      case 'rebind':
        return build(MESSAGE_TYPE.request, xid, address, [[OPTION4.parameterRequestList, ASKED]])
      case 'release':
        return build(MESSAGE_TYPE.release, xid, address, [[OPTION4.serverIdentifier, ip4Bytes(server)]])
    }
  }

  return {
    begin,
    bound: () => address !== 0,
    lease: () => (address === 0 ? [] : [lease4Stream(address)]),
    react: (bytes, xid): Reaction => {
      const decoded = decodePacket4(bytes)
      if (E.isLeft(decoded)) return { _tag: 'Ignored' }
      const packet = decoded.right
      switch (messageType(packet)) {
        case MESSAGE_TYPE.offer: {
          if (!selecting.delete(xid)) return { _tag: 'Ignored' }
          server = serverIdentifier(packet) ?? 0
          const more: [number, Uint8Array][] = [
            [OPTION4.requestedAddress, ip4Bytes(packet.yiaddr)],
            [OPTION4.serverIdentifier, ip4Bytes(server)],
            [OPTION4.parameterRequestList, ASKED],
          ]
          return { _tag: 'Next', transactionId: xid, bytes: build(MESSAGE_TYPE.request, xid, 0, more) }
        }
        case MESSAGE_TYPE.ack:
          address = packet.yiaddr
          return { _tag: 'Granted', leaseTimeSec: leaseTime(packet) ?? 0 }
        case MESSAGE_TYPE.nak:
          address = 0
          return { _tag: 'Refused' }
        default:
          return { _tag: 'Ignored' }
      }
    },
  }
}

/** The transaction id of a datagram, whatever else it is; undefined when it is too short to have one. */
export const transactionOf4 = (bytes: Uint8Array): number | undefined =>
  bytes.length < 8 ? undefined : new DataView(bytes.buffer, bytes.byteOffset).getUint32(4)

const relayAgentOption = (relay: Relay4): Uint8Array => {
  const suboptions = new Map<number, Uint8Array>([[RELAY_SUBOPTION.circuitId, new TextEncoder().encode('simulator')]])
  if (relay.link !== undefined) suboptions.set(RELAY_SUBOPTION.linkSelection, ip4Bytes(relay.link))
  suboptions.set(RELAY_SUBOPTION.sourcePort, new Uint8Array(0))
  const encoded = encodeRelayAgent(suboptions)
  return E.isRight(encoded) ? encoded.right : new Uint8Array(0)
}
