/** Numbers of the DHCPv6 protocol that the code speaks of by name; the full option table is server/options/standard6.ts. */

/** Message types (RFC 8415 §7.3). */
export const MESSAGE6 = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  reconfigure: 10,
  informationRequest: 11,
  relayForward: 12,
  relayReply: 13,
} as const

/** Option codes that the codec and the handlers treat specially (RFC 8415 §21 unless said otherwise). */
export const OPTION6 = {
  clientId: 1,
  serverId: 2,
  iaNa: 3,
  /** Deprecated with temporary addresses (RFC 9915). */
  iaTa: 4,
  iaAddress: 5,
  optionRequest: 6,
  preference: 7,
  elapsedTime: 8,
  relayMessage: 9,
  authentication: 11,
  /** Deprecated (RFC 9915). */
  serverUnicast: 12,
  statusCode: 13,
  rapidCommit: 14,
  userClass: 15,
  vendorClass: 16,
  vendorOptions: 17,
  interfaceId: 18,
  reconfigureMessage: 19,
  reconfigureAccept: 20,
  iaPd: 25,
  iaPrefix: 26,
  informationRefreshTime: 32,
  /** RFC 4649. */
  remoteId: 37,
  /** RFC 4580. */
  subscriberId: 38,
  /** RFC 4704. */
  clientFqdn: 39,
  /** RFC 4994. */
  echoRequest: 43,
  /** RFC 5460 §5.4.1. */
  relayId: 53,
  /** RFC 6422. */
  relaySuppliedOptions: 66,
  /** RFC 6603. */
  pdExclude: 67,
  /** RFC 6939. */
  clientLinkLayerAddress: 79,
  solMaxRt: 82,
  infMaxRt: 83,
  /** RFC 8357. */
  relaySourcePort: 135,
} as const

/** Status codes (RFC 8415 §21.13). */
export const STATUS6 = {
  success: 0,
  unspecFail: 1,
  noAddrsAvail: 2,
  noBinding: 3,
  notOnLink: 4,
  useMulticast: 5,
  noPrefixAvail: 6,
} as const
