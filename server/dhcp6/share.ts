/** Which DHCPv6 messages are shared among servers, and by what. */
import { inShare } from '../load-share.ts'
import type { Share } from '../load-share.ts'
import { clientDuid, elapsedTime } from './option-access.ts'
import { MESSAGE6 } from './option-codes.ts'
import type { Packet6 } from './packet.ts'

const SHARED: ReadonlySet<number> = new Set([MESSAGE6.solicit, MESSAGE6.confirm, MESSAGE6.informationRequest])

/** Whether this server answers. Shared is what begins an exchange, by DUID; a Rebind is for whoever hears it. */
export const answers6 = (share: Share, packet: Packet6): boolean => {
  const duid = clientDuid(packet.options)
  if (duid === undefined || !SHARED.has(packet.messageType)) return true
  return inShare(share, duid, waitedSec6(packet))
}

/** Seconds since the client began the exchange, by its own account (RFC 8415 §21.9). */
export const waitedSec6 = (packet: Packet6): number => (elapsedTime(packet.options) ?? 0) / 100
