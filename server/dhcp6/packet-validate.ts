/** What a server must discard before it looks any further (RFC 8415 §16). */
import { MESSAGE6, OPTION6 } from './option-codes.ts'
import { clientDuid, hasOption, serverDuid } from './option-access.ts'
import type { Packet6 } from './packet.ts'

/** Why a message is discarded; each is good as the name of a counter. */
export type Invalid6 = 'notForServers' | 'noClientId' | 'noServerId' | 'unexpectedServerId' | 'unexpectedIa'

/** The rule that a message breaks; `undefined` when it may be processed. Whether it is addressed to us is another question. */
export const validate6 = ({ messageType, options }: Packet6): Invalid6 | undefined => {
  const client = clientDuid(options) !== undefined
  const server = hasOption(options, OPTION6.serverId)
  switch (messageType) {
    // §16.2, §16.5, §16.7: Solicit, Confirm and Rebind go to any server and must say who asks.
    case MESSAGE6.solicit:
    case MESSAGE6.confirm:
    case MESSAGE6.rebind:
      return !client ? 'noClientId' : server ? 'unexpectedServerId' : undefined
    // §16.4, §16.6, §16.8, §16.9: Request, Renew, Decline and Release go to one server.
    case MESSAGE6.request:
    case MESSAGE6.renew:
    case MESSAGE6.decline:
    case MESSAGE6.release:
      return !client ? 'noClientId' : serverDuid(options) === undefined ? 'noServerId' : undefined
    // §16.12: an Information-request must not ask for addresses.
    case MESSAGE6.informationRequest:
      return hasOption(options, OPTION6.iaNa) || hasOption(options, OPTION6.iaPd) ? 'unexpectedIa' : undefined
    // §16.3, §16.10, §16.11, §16.13, §16.14: what servers and relays send.
    default:
      return 'notForServers'
  }
}
