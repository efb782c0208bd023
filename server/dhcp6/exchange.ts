/** What is known of a DHCPv6 message on its way through the server, and what can become of it. */
import type { Relay } from '../../domain/lease.ts'
import type { OptionSet, Reservation6, Subnet6 } from '../config/model.ts'
import type { IaNa, IaPd, Status6 } from './option-access.ts'
import type { Invalid6 } from './packet-validate.ts'
import type { Packet6 } from './packet.ts'

/** Where a message came in. */
export interface Arrival6 {
  /** Textual address that it came from; a link-local one may end in `%interface`. */
  readonly sourceAddress: string
  readonly sourcePort: number
  /** Interface, where the socket is bound to one. */
  readonly interfaceName: string | undefined
  /** Textual address that it was sent to, where the socket listens on one. */
  readonly localAddress?: string
  /** Length of the datagram. */
  readonly octets?: number
}

/** Who sent the message. Octet strings are lower-case hex. */
export interface Client6 {
  /** Empty in an Information-request without one. */
  readonly duid: string
  readonly hwType: number | undefined
  readonly hwAddress: string | undefined
  /** Kea's number for where the hardware address comes from. */
  readonly hwSource: number | undefined
  readonly hostname: string | undefined
  readonly relay: Relay | undefined
}

/** A message that has passed the first checks. */
export interface Exchange6 {
  readonly packet: Packet6
  readonly arrival: Arrival6
  readonly client: Client6
  /** The subnets of the client's link, the selected one first; empty where no link is known. */
  readonly subnets: ReadonlyArray<Subnet6>
  readonly iaNas: ReadonlyArray<IaNa>
  readonly iaPds: ReadonlyArray<IaPd>
  readonly classes: ReadonlySet<string>
  readonly reservation: Reservation6 | undefined
}

/** The reply to send. */
export interface Reply6 {
  readonly messageType: number
  readonly exchange: Exchange6
  /** The subnet whose options are sent. */
  readonly subnet: Subnet6 | undefined
  readonly iaNas: ReadonlyArray<IaNa>
  readonly iaPds: ReadonlyArray<IaPd>
  readonly status: Status6 | undefined
  readonly rapidCommit: boolean
  /** Whether configured options belong into it: not in the answers to Confirm, Release and Decline. */
  readonly configured: boolean
  /** Options of the pool of the first lease, which stand above those of the subnet. */
  readonly poolOptions: OptionSet | undefined
  /** Classes of the client, those included that only count once its places are known. */
  readonly classes: ReadonlySet<string>
}

/** Why a message gets no reply; each is a counter. */
export type Drop6 =
  | Invalid6
  | 'badOption'
  | 'notForUs'
  | 'noSubnet'
  | 'classDrop'
  | 'anotherServersShare'
  | 'choseAnother'
  | 'nothingToConfirm'
  | 'overloaded'
  | 'storeUnavailable'
  | 'contended'
  | 'tooLate'
  /** The reply with all that relays want echoed fits into no datagram. */
  | 'tooLarge'

/** A reply, or the reason for silence. */
export type Verdict6 = { readonly reply: Reply6 } | { readonly drop: Drop6 }
