/** What is known of a DHCPv4 message on its way through the server, and what can become of it. */
import type { Relay } from '../../domain/lease.ts'
import type { OptionSet, Reservation4, Subnet4 } from '../config/model.ts'
import type { RelayAgent } from './option-relay.ts'
import type { Packet4 } from './packet.ts'

/** Where a message came in. Addresses are uint32. */
export interface Arrival4 {
  readonly sourceAddress: number
  readonly sourcePort: number
  /** Address of the server on the link it came in by; the server identifier unless something else is asked for. */
  readonly localAddress: number
  /** Interface, where the socket is bound to one. */
  readonly interfaceName: string | undefined
  /** Length of the datagram. */
  readonly octets?: number
}

/** A message that has passed the first checks. */
export interface Exchange4 {
  readonly packet: Packet4
  readonly messageType: number
  readonly arrival: Arrival4
  readonly agent: RelayAgent | undefined
  readonly serverId: number
  /** The subnets of the client's link that admit it, the selected one first: one, or those of a shared network. */
  readonly subnets: ReadonlyArray<Subnet4>
  readonly client: Client4
  readonly classes: ReadonlySet<string>
  readonly reservation: Reservation4 | undefined
}

/** Who sent the message, independent of subnets. Octet strings are lower-case hex. */
export interface Client4 {
  readonly hwType: number
  readonly hwAddress: string
  readonly clientId: string | undefined
  readonly hostname: string | undefined
  readonly relay: Relay | undefined
}

/** The reply to send: what goes into the fixed fields and how long the lease is. */
export interface Reply4 {
  readonly messageType: number
  readonly exchange: Exchange4
  readonly subnet: Subnet4
  /** Address for the client, uint32; 0 in a NAK and in the answer to an INFORM. */
  readonly yiaddr: number
  /** Seconds, uint32; undefined where no lease is granted. */
  readonly leaseTimeSec: number | undefined
  readonly poolOptions: OptionSet | undefined
  /** Classes of the client, those included that only count once its place is known. */
  readonly classes: ReadonlySet<string>
  /** Text of option 56 in a NAK. */
  readonly message: string | undefined
}

/**
 * Why a message gets no reply. Each is a counter. First what is wrong with the message, then what the protocol has, last
 * the server's own troubles.
 */
export type Drop4 =
  | 'notRequest'
  | 'noMessageType'
  | 'unknownMessageType'
  | 'noClientIdentity'
  | 'badRelayAgent'
  | 'noSubnet'
  | 'classDrop'
  | 'notForUs'
  | 'anotherServersShare'
  | 'choseAnother'
  | 'badRequest'
  | 'noRecord'
  | 'noFreeAddress'
  | 'released'
  | 'declined'
  | 'notHolder'
  | 'overloaded'
  | 'storeUnavailable'
  | 'contended'
  | 'tooLate'

/** A reply, or the reason for silence. */
export type Verdict4 = { readonly reply: Reply4 } | { readonly drop: Drop4 }
