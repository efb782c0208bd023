/**
 * Numbers of the DHCPv4 protocol that the code speaks of by name; the full option table is
 * server/options/standard4.ts.
 */

/** Field `op` (RFC 2131 §2). */
export const BOOT_OP = { request: 1, reply: 2 } as const

/** Value of option 53 (RFC 2132 §9.6, RFC 3203, RFC 4388, RFC 6926, RFC 7724). */
export const MESSAGE_TYPE = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
  forceRenew: 9,
  leaseQuery: 10,
  leaseUnassigned: 11,
  leaseUnknown: 12,
  leaseActive: 13,
  bulkLeaseQuery: 14,
  leaseQueryDone: 15,
  activeLeaseQuery: 16,
  leaseQueryStatus: 17,
  tls: 18,
} as const

/** Option codes that the codec and the handlers treat specially. */
export const OPTION4 = {
  pad: 0,
  subnetMask: 1,
  routers: 3,
  domainNameServers: 6,
  hostName: 12,
  domainName: 15,
  broadcastAddress: 28,
  vendorEncapsulated: 43,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverIdentifier: 54,
  parameterRequestList: 55,
  message: 56,
  maxMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  vendorClassIdentifier: 60,
  clientIdentifier: 61,
  tftpServerName: 66,
  bootFileName: 67,
  userClass: 77,
  rapidCommit: 80,
  clientFqdn: 81,
  relayAgent: 82,
  v6OnlyPreferred: 108,
  autoConfigure: 116,
  subnetSelection: 118,
  domainSearch: 119,
  classlessStaticRoute: 121,
  vendorIdentifyingClass: 124,
  vendorIdentifyingOptions: 125,
  end: 255,
} as const

/** Suboptions of option 82 (RFC 3046 and the RFC beside each). */
export const RELAY_SUBOPTION = {
  circuitId: 1,
  remoteId: 2,
  /** RFC 3256. */
  docsisDeviceClass: 4,
  /** RFC 3527. */
  linkSelection: 5,
  /** RFC 3993. */
  subscriberId: 6,
  /** RFC 4014. */
  radius: 7,
  /** RFC 4030. */
  authentication: 8,
  /** RFC 4243. */
  vendorSpecific: 9,
  /** RFC 5010. */
  flags: 10,
  /** RFC 5107. */
  serverIdOverride: 11,
  /** RFC 6925. */
  relayId: 12,
  /** RFC 8357; its presence is all that counts. */
  sourcePort: 19,
  /** RFC 6607. */
  virtualSubnetSelection: 151,
  /** RFC 6607. */
  virtualSubnetSelectionControl: 152,
} as const
