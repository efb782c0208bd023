/** What a client class's `test` may ask of the packet that is being classified, in DHCPv4 and DHCPv6 alike. */

/** Fields of a packet; numbers are four octets in network order, addresses four or sixteen. */
export type PacketField =
  /** Name of the interface it came in by, and addresses of its sender and receiver. */
  | 'iface'
  | 'src'
  | 'dst'
  /** Octets of the datagram. */
  | 'len'
  /** DHCPv4: the hardware address without padding. */
  | 'mac'
  | 'hlen'
  | 'htype'
  | 'ciaddr'
  | 'giaddr'
  | 'yiaddr'
  | 'siaddr'
  | 'msgtype'
  | 'transid'

/** The packet under classification. Absent is undefined. */
export interface ClassAccessor {
  /** Content of a top-level option. */
  readonly option: (code: number) => Uint8Array | undefined
  /**
   * DHCPv4: suboption of the relay agent information option; `nesting` is 0. DHCPv6: option of a relay message, where
   * 0 is the relay nearest to the server and -1 the one nearest to the client.
   */
  readonly relayOption: (nesting: number, code: number) => Uint8Array | undefined
  /** DHCPv6: address fields of a relay message, counted in the same way; always undefined in DHCPv4. */
  readonly relayAddress: (nesting: number, field: 'peeraddr' | 'linkaddr') => Uint8Array | undefined
  readonly packetField: (field: PacketField) => Uint8Array | undefined
  /** Whether the client is in a class already. */
  readonly isMember: (name: string) => boolean
}
