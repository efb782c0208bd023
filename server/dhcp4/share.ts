/** Which DHCPv4 messages are shared among servers, and by what. */
import { inShare } from '../load-share.ts'
import type { Share } from '../load-share.ts'
import { clientIdentifier, messageType, serverIdentifier } from './option-access.ts'
import { MESSAGE_TYPE } from './option-codes.ts'
import type { Packet4 } from './packet.ts'

/**
 * Whether this server answers. Shared are DISCOVER and the REQUEST of a client that reboots, by client identifier or
 * hardware address (RFC 3074 §5.2); what names a server, or comes from a client that uses its address, is for whoever
 * hears it.
 */
export const answers4 = (share: Share, packet: Packet4): boolean => {
  const type = messageType(packet)
  const reboots = type === MESSAGE_TYPE.request && packet.ciaddr === 0 && serverIdentifier(packet) === undefined
  if (type !== MESSAGE_TYPE.discover && !reboots) return true
  return inShare(share, sharedBy4(packet), packet.secs)
}

/** What servers share DHCPv4 clients by (RFC 3074 §5.2). */
export const sharedBy4 = (packet: Packet4): Uint8Array => clientIdentifier(packet) ?? packet.chaddr
