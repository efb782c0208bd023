/** What a server must discard before it looks any further (RFC 8415 §16). */
import { clientDuid, hasOption, optionOf, serverDuid } from './option-access.ts'
import { MESSAGE6, OPTION6 } from './option-codes.ts'
import type { Option6, Packet6 } from './packet.ts'

/** Why a message is discarded; each is good as the name of a counter. */
export type Invalid6 =
  /** Advertise, Reply, Reconfigure: what servers send (§16.3, §16.10, §16.11). */
  | 'notForServers'
  /** No message of RFC 8415. */
  | 'unknownType'
  /** A client or server identifier that is no DUID by its length (§11.1). */
  | 'badIdentifier'
  /** Two client or two server identifiers; which one counts is anybody's guess (§21.2, §21.3: once). */
  | 'repeatedIdentifier'
  | 'noClientId'
  | 'noServerId'
  | 'unexpectedServerId'
  | 'unexpectedIa'
  /** One IAID twice among the IAs of a kind: two answers would claim one binding (§21.4, §21.21). */
  | 'repeatedIaid'

/** The rule that a message breaks; `undefined` when it may be processed. Whether it is addressed to us is another question. */
export const validate6 = ({ messageType, options }: Packet6): Invalid6 | undefined =>
  wrongType(messageType) ?? wrongIdentifiers(options) ?? wrongFor(messageType, options) ?? repeatedIaid(options)

const KNOWN: ReadonlySet<number> = new Set(Object.values(MESSAGE6))

const wrongType = (messageType: number): Invalid6 | undefined => {
  switch (messageType) {
    case MESSAGE6.advertise:
    case MESSAGE6.reply:
    case MESSAGE6.reconfigure:
    case MESSAGE6.relayForward:
    case MESSAGE6.relayReply:
      return 'notForServers'
    default:
      return KNOWN.has(messageType) ? undefined : 'unknownType'
  }
}

const wrongIdentifiers = (options: ReadonlyArray<Option6>): Invalid6 | undefined => {
  let clients = 0
  let servers = 0
  for (const { code } of options) {
    if (code === OPTION6.clientId) clients++
    else if (code === OPTION6.serverId) servers++
  }
  if (clients > 1 || servers > 1) return 'repeatedIdentifier'
  if (clients > 0 && clientDuid(options) === undefined) return 'badIdentifier'
  return servers > 0 && serverDuid(options) === undefined ? 'badIdentifier' : undefined
}

const wrongFor = (messageType: number, options: ReadonlyArray<Option6>): Invalid6 | undefined => {
  const hasServer = hasOption(options, OPTION6.serverId)
  // §16.12: an Information-request may lack identifiers and must not ask for leases.
  if (messageType === MESSAGE6.informationRequest) return options.some(isIa) ? 'unexpectedIa' : undefined
  if (optionOf(options, OPTION6.clientId) === undefined) return 'noClientId'
  switch (messageType) {
    // §16.2, §16.5, §16.7: Solicit, Confirm and Rebind go to any server.
    case MESSAGE6.solicit:
    case MESSAGE6.confirm:
    case MESSAGE6.rebind:
      return hasServer ? 'unexpectedServerId' : undefined
    // §16.4, §16.6, §16.8, §16.9: Request, Renew, Decline and Release go to one server.
    default:
      return hasServer ? undefined : 'noServerId'
  }
}

const isIa = ({ code }: Option6): boolean => code === OPTION6.iaNa || code === OPTION6.iaTa || code === OPTION6.iaPd

/** Most messages have one IA of a kind, so the set is made only for a second one. */
const repeatedIaid = (options: ReadonlyArray<Option6>): Invalid6 | undefined => {
  let ias = 0
  for (const option of options) if (isIa(option)) ias++
  if (ias < 2) return undefined
  const seen = new Set<number>()
  for (const option of options) {
    if (!isIa(option)) continue
    const [a = 0, b = 0, c = 0, d = 0] = option.data
    const key = option.code * 2 ** 32 + (((a << 24) | (b << 16) | (c << 8) | d) >>> 0)
    if (seen.has(key)) return 'repeatedIaid'
    seen.add(key)
  }
  return undefined
}
