/**
 * The configuration as the packet path sees it: one immutable value in which everything that Kea lets a pool, subnet
 * or shared network inherit has been resolved. IPv4 addresses are uint32 numbers, IPv6 addresses and prefixes 128-bit
 * bigints, times are in the unit their name ends in. Absent is `undefined`, never a missing key, so that all values of
 * a type have one shape.
 */
import type { ClassTest } from './class-expression.ts'

/** One DHCP option ready for the wire. `bytes` is the payload without code and length. */
export interface OptionValue {
  readonly space: string
  readonly code: number
  readonly name: string
  readonly bytes: Uint8Array
  /** Send it whether or not the client asked for it. */
  readonly alwaysSend: boolean
  /** Never send it, whatever else is configured; wins over `alwaysSend`. */
  readonly neverSend: boolean
}

/**
 * The options of one scope. `standard` holds the space `dhcp4` or `dhcp6` by code, with the sub-options of encapsulated
 * spaces already packed into the option that carries them. `vendor` holds the spaces `vendor-<enterprise number>` by
 * enterprise number and code (options 125 and 124 of DHCPv4, 17 and 16 of DHCPv6). `always` lists the codes in
 * `standard` that go out unasked and are not suppressed.
 */
export interface OptionSet {
  readonly standard: ReadonlyMap<number, OptionValue>
  readonly vendor: ReadonlyMap<number, ReadonlyMap<number, OptionValue>>
  readonly always: readonly number[]
}

/** Bounds and default of a lifetime. Seconds, uint32; 0xffffffff is infinite. `min <= default <= max`. */
export interface Lifetimes {
  readonly min: number
  readonly default: number
  readonly max: number
}

/** How T1 and T2 come about. Explicit seconds win over the percentages (fractions between 0 and 1). */
export interface Timers {
  readonly renewSec: number | undefined
  readonly rebindSec: number | undefined
  readonly calculateTeeTimes: boolean
  readonly t1Percent: number
  readonly t2Percent: number
}

/** How an address is chosen: by the client's hash (the default), or by Kea's two other ways. */
export type Allocator = 'hashed' | 'iterative' | 'random'

/** Which reservations count for a client of a subnet (Kea's `reservations-*` keys). */
export interface ReservationModes {
  readonly global: boolean
  readonly inSubnet: boolean
  /** All reserved addresses lie outside the pools, so that an address of a pool need not be looked up. */
  readonly outOfPool: boolean
}

/**
 * Lease caching (Kea's `cache-threshold`, `cache-max-age`). `threshold` is a fraction below 1; 0 is
 * off, the default.
 */
export interface LeaseCache {
  readonly threshold: number
  readonly maxAgeSec: number | undefined
}

/** What pools, subnets and networks ask of a client's classes. */
export interface ClassRules {
  /** The client must be in one of these; empty lets everyone in. */
  readonly clientClasses: readonly string[]
  /** Classes marked `only-in-additional-list` that are evaluated once this scope has been selected, in order. */
  readonly additionalClasses: readonly string[]
}

/** A range of IPv4 addresses, both ends included. `options` is pool > subnet > shared network, merged. */
export interface Pool4 extends ClassRules {
  /** Kea's `pool-id`; 0 when not given. */
  readonly id: number
  readonly first: number
  readonly last: number
  readonly options: OptionSet
}

export type Identifier4 = 'hw-address' | 'client-id' | 'circuit-id' | 'duid'
export type Identifier6 = 'duid' | 'hw-address'

/** What an operator fixed for one DHCPv4 client. `options` are its own only; they stand above all other scopes. */
export interface Reservation4 {
  readonly identifierType: Identifier4
  readonly identifier: Uint8Array
  readonly address: number | undefined
  readonly hostname: string | undefined
  readonly nextServer: number | undefined
  readonly serverHostname: string | undefined
  readonly bootFileName: string | undefined
  readonly clientClasses: readonly string[]
  readonly options: OptionSet
}

/** A reserved prefix; `excluded` is RFC 6603's prefix that stays on the delegating link. */
export interface ReservedPrefix {
  readonly prefix: bigint
  readonly length: number
  readonly excluded: Prefix6 | undefined
}

/** An IPv6 prefix whose host bits are zero. */
export interface Prefix6 {
  readonly prefix: bigint
  readonly length: number
}

/** What an operator fixed for one DHCPv6 client. `options` are its own only; they stand above all other scopes. */
export interface Reservation6 {
  readonly identifierType: Identifier6
  readonly identifier: Uint8Array
  readonly addresses: readonly bigint[]
  readonly prefixes: readonly ReservedPrefix[]
  readonly hostname: string | undefined
  readonly clientClasses: readonly string[]
  readonly options: OptionSet
}

/** Which characters of clients' names are replaced (Kea's `hostname-char-set` and `hostname-char-replacement`). */
export interface HostnameRules {
  /** What is replaced, everywhere in the name; a global expression. */
  readonly invalid: RegExp
  /** What stands in its place; may be empty. */
  readonly replacement: string
}

/** What subnets of both protocols share. */
interface SubnetBase extends ClassRules {
  readonly id: number
  /** As written in the configuration, for logs. */
  readonly text: string
  readonly prefixLength: number
  readonly sharedNetwork: string | undefined
  /** Serves clients on the link of this interface. */
  readonly interface: string | undefined
  readonly allocator: Allocator
  readonly validLifetime: Lifetimes
  readonly timers: Timers
  readonly cache: LeaseCache
  /** Above this used share of the subnet new leases get `validLifetime.min`; undefined is off. A fraction. */
  readonly adaptiveLeaseTimeThreshold: number | undefined
  readonly reservationModes: ReservationModes
  readonly storeExtendedInfo: boolean
  /** Undefined: names are recorded as clients give them. */
  readonly hostnameRules: HostnameRules | undefined
  /** Subnet > shared network, merged; global options are in `Dhcp4.options`, because client classes stand between. */
  readonly options: OptionSet
}

/** One DHCPv4 subnet with everything inherited resolved. */
export interface Subnet4 extends SubnetBase {
  readonly prefix: number
  readonly relayAddresses: readonly number[]
  readonly pools: readonly Pool4[]
  readonly reservations: readonly Reservation4[]
  readonly authoritative: boolean
  readonly matchClientId: boolean
  /** How long an offer holds its address. Seconds; default 10. */
  readonly offerLifetimeSec: number
  /** False (`offer-lifetime: 0`): the offer is held in memory only, for the default time, and not recorded. */
  readonly recordOffers: boolean
  /** `siaddr`, uint32; 0 when not configured. */
  readonly nextServer: number
  /** `sname`, at most 63 bytes; empty when not configured. */
  readonly serverHostname: string
  /** `file`, at most 127 bytes; empty when not configured. */
  readonly bootFileName: string
}

/** A range of IPv6 addresses, both ends included. `options` is pool > subnet > shared network, merged. */
export interface Pool6 extends ClassRules {
  readonly id: number
  readonly first: bigint
  readonly last: bigint
  readonly options: OptionSet
}

/** A prefix from which prefixes of `delegatedLength` are delegated. */
export interface PdPool extends ClassRules {
  readonly id: number
  readonly prefix: bigint
  readonly prefixLength: number
  readonly delegatedLength: number
  /** RFC 6603; lies inside the first delegated prefix, and is meant alike in every other, as in Kea. */
  readonly excluded: Prefix6 | undefined
  readonly options: OptionSet
}

/** One DHCPv6 subnet with everything inherited resolved. */
export interface Subnet6 extends SubnetBase {
  readonly prefix: bigint
  readonly relayAddresses: readonly bigint[]
  /** Serves clients whose relay sent this interface-id option (RFC 8415 §21.18). */
  readonly interfaceId: Uint8Array | undefined
  readonly pools: readonly Pool6[]
  readonly pdPools: readonly PdPool[]
  readonly pdAllocator: Allocator
  readonly reservations: readonly Reservation6[]
  readonly preferredLifetime: Lifetimes
  readonly rapidCommit: boolean
}

/** Shared network: the ids of the subnets that stand for one another on a link. */
export interface SharedNetwork extends ClassRules {
  readonly name: string
  readonly interface: string | undefined
  readonly subnetIds: readonly number[]
}
export interface SharedNetwork4 extends SharedNetwork {
  readonly relayAddresses: readonly number[]
}
export interface SharedNetwork6 extends SharedNetwork {
  readonly relayAddresses: readonly bigint[]
  readonly interfaceId: Uint8Array | undefined
}

/** A client class, in the order of the configuration, in which they are evaluated. */
export interface ClientClass {
  readonly name: string
  /** Undefined: only reservations, or nobody, put a client in it. */
  readonly test: ClassTest | undefined
  /** Evaluated only when the selected pool, subnet or network lists it. */
  readonly onlyInAdditionalList: boolean
  readonly options: OptionSet
  /** A class's lifetimes stand above those of the subnet. */
  readonly validLifetime: Lifetimes | undefined
}
export interface ClientClass4 extends ClientClass {
  /** These three stand above those of the subnet and below those of a reservation. */
  readonly nextServer: number | undefined
  readonly serverHostname: string | undefined
  readonly bootFileName: string | undefined
  readonly offerLifetimeSec: number | undefined
}
export interface ClientClass6 extends ClientClass {
  readonly preferredLifetime: Lifetimes | undefined
}

/** One entry of `interfaces-config.interfaces`: `eth0`, `eth0/198.18.0.1`, or `*` for all. */
export interface InterfaceChoice {
  readonly name: string
  /** Textual address on that interface; undefined for the interface's own. */
  readonly address: string | undefined
}

/** An explicit UDP socket (`LeaseLedger.listen`). */
export interface ListenAddress {
  readonly address: string
  readonly port: number
}

/** Where and how to listen. `listen`, when not empty, comes beside the sockets that `interfaces` ask for. */
export interface Interfaces {
  readonly choices: readonly InterfaceChoice[]
  readonly socketType: 'raw' | 'udp'
  readonly outbound: 'same-as-inbound' | 'use-routing'
  readonly reDetect: boolean
  readonly retriesMax: number
  readonly retryWaitMs: number
  /** Stop when a chosen interface cannot be opened, instead of warning. */
  readonly requireAll: boolean
  readonly listen: readonly ListenAddress[]
}

/** Kea's `expired-leases-processing`. */
export interface ExpiredProcessing {
  readonly reclaimTimerWaitSec: number
  readonly flushReclaimedTimerWaitSec: number
  readonly holdReclaimedSec: number
  /** Leases a round; 0 is without bound. */
  readonly reclaimLeasesMax: number
  /** Milliseconds a round; 0 is without bound. */
  readonly reclaimTimeMsMax: number
  readonly unwarnedReclaimCycles: number
}

/** Kea's `sanity-checks`: what happens to a stored lease that does not fit its subnet. */
export interface SanityChecks {
  readonly leaseChecks: 'none' | 'warn' | 'fix' | 'fix-del' | 'del'
  readonly extendedInfoChecks: 'none' | 'fix' | 'strict' | 'pedantic'
}

interface DhcpBase {
  readonly interfaces: Interfaces
  readonly expiredProcessing: ExpiredProcessing
  readonly sanityChecks: SanityChecks
  /** How long a declined address stays away. Seconds; default 86400. */
  readonly declineProbationSec: number
  /** Reservations are looked up before free leases of the pool; Kea's `reservations-lookup-first`. */
  readonly reservationsLookupFirst: boolean
  /** A global reservation's classes count already for the choice of the subnet. */
  readonly earlyGlobalReservationsLookup: boolean
  /** False lets several reservations of a subnet name one address. */
  readonly ipReservationsUnique: boolean
  /** The global options: below those of classes. */
  readonly options: OptionSet
}

/** The DHCPv4 service. Precedence of options: reservation > pool > subnet > network > classes > global. */
export interface Dhcp4 extends DhcpBase {
  readonly subnets: readonly Subnet4[]
  readonly sharedNetworks: readonly SharedNetwork4[]
  readonly classes: readonly ClientClass4[]
  readonly globalReservations: readonly Reservation4[]
  /** In the order in which identifiers are looked up. */
  readonly hostIdentifiers: readonly Identifier4[]
  /** Echo option 61 in replies (RFC 6842). */
  readonly echoClientId: boolean
  /** Keep option 82 of the last exchange for renewals that come without it. */
  readonly stashAgentOptions: boolean
  /** Used when no subnet was chosen, e.g. for a NAK. */
  readonly authoritative: boolean
}

/** Kea's `server-id`. Undefined members are filled in by whoever creates the DUID. */
export interface ServerId {
  readonly type: 'LLT' | 'LL' | 'EN' | 'UUID'
  /** Link-layer address, vendor identifier or UUID. */
  readonly identifier: Uint8Array | undefined
  /** Seconds since 2000-01-01 UTC, uint32. */
  readonly time: number | undefined
  readonly htype: number | undefined
  readonly enterpriseId: number | undefined
  readonly persist: boolean
}

export type MacSource =
  | 'any'
  | 'raw'
  | 'duid'
  | 'ipv6-link-local'
  | 'client-link-addr-option'
  | 'remote-id'
  | 'subscriber-id'
  | 'docsis-cmts'
  | 'docsis-modem'

/** The DHCPv6 service. Precedence of options: reservation > pool > subnet > network > classes > global. */
export interface Dhcp6 extends DhcpBase {
  readonly subnets: readonly Subnet6[]
  readonly sharedNetworks: readonly SharedNetwork6[]
  readonly classes: readonly ClientClass6[]
  readonly globalReservations: readonly Reservation6[]
  readonly hostIdentifiers: readonly Identifier6[]
  /** Undefined: the server makes a DUID-LLT of its own and keeps it in the store. */
  readonly serverId: ServerId | undefined
  /** Where a client's link-layer address may be learnt from, in order. */
  readonly macSources: readonly MacSource[]
  /** Codes of options that a relay may supply for the client (RFC 6422). */
  readonly relaySuppliedOptions: readonly number[]
}

/** Where a password comes from. Files and variables are read when a connection is made, never logged. */
export type PasswordSource =
  | { readonly _tag: 'None' }
  | { readonly _tag: 'Literal'; readonly password: string }
  | { readonly _tag: 'File'; readonly path: string }
  | { readonly _tag: 'Environment'; readonly variable: string }

/** A database host; `host` starting with `/` is the folder of a Unix socket. */
export interface Host {
  readonly host: string
  readonly port: number
}

/**
 * TLS to a database. Paths of PEM files. `prefer` is TLS to whoever offers it, and else none; `require` checks the
 * certificate only where there is a `ca`; `verify-full` checks the name as well.
 */
export interface TlsConfig {
  readonly mode: 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly cipherList: string | undefined
}

/** What every remote store has. `hosts` in order of preference, never empty. */
export interface ServerStore {
  readonly hosts: readonly Host[]
  /** Database name. */
  readonly name: string
  readonly user: string | undefined
  readonly password: PasswordSource
  readonly tls: TlsConfig
  /** Default 1000. */
  readonly connectTimeoutMs: number
  /** Default 2000. */
  readonly statementTimeoutMs: number
  /** How long to stay with another host before the preferred one is tried again. Default 5000. */
  readonly preferAgainMs: number
  /**
   * Kea's reconnection keys, honoured at the start: whether to wait for a store that cannot be reached yet, how often,
   * undefined for ever, and how long between two tries.
   */
  readonly reconnect: {
    readonly triesMax: number | undefined
    readonly waitMs: number
    readonly onFail: 'stop-retry-exit' | 'serve-retry-exit' | 'serve-retry-continue'
    readonly retryOnStartup: boolean
  }
}

export interface PostgresStore extends ServerStore {
  readonly _tag: 'postgresql'
}
export interface MysqlStore extends ServerStore {
  readonly _tag: 'mysql'
  readonly tableEngine: 'InnoDB' | 'NDBCLUSTER'
}
export interface EventStoreStore extends ServerStore {
  readonly _tag: 'eventstore'
  /** A whole `esdb://` or `kurrentdb://` URL; then `hosts` are those of the URL. */
  readonly connectionString: string | undefined
}
/** A PostgreSQL of our own in the data folder; `port` 0 takes a free one. */
export interface EmbeddedStore {
  readonly _tag: 'embedded'
  readonly port: number
}
export interface MemoryStore {
  readonly _tag: 'memory'
}

export type StoreConfig = EmbeddedStore | PostgresStore | MysqlStore | EventStoreStore | MemoryStore

/** One more target for lease tables, each with a checkpoint of its own. */
export interface ProjectionTarget {
  readonly name: string
  readonly store: PostgresStore | MysqlStore
}

/** Bounds of queues and batches. */
export interface Limits {
  /** Packets waiting for a decision; beyond it DISCOVER/SOLICIT go first. */
  readonly queueMax: number
  /** Events in one append. */
  readonly batchMax: number
  /** Offers written behind in one batch. */
  readonly offerBatchMax: number
  /** Appends of one command before the packet is dropped. */
  readonly attemptsMax: number
  /** A packet older than this is not answered any more. Milliseconds. */
  readonly packetAgeMsMax: number
}

/** Top-level `LeaseLedger`. */
export interface LedgerConfig {
  /** Undefined: the machine's host name. */
  readonly serverName: string | undefined
  readonly dataFolder: string
  /** File of the Ed25519 key that signs evidence, absolute; undefined: that in the data folder, if there is one. */
  readonly evidenceKey: string | undefined
  readonly maxClockSkewSec: number
  readonly loadBalancing: boolean
  readonly workers: number
  readonly projections: readonly ProjectionTarget[]
  readonly limits: Limits
  readonly http: ListenAddress | undefined
}

/** Kea's `loggers`. Sizes in bytes. */
export interface LoggerConfig {
  readonly name: string
  readonly severity: 'FATAL' | 'ERROR' | 'WARN' | 'INFO' | 'DEBUG' | 'NONE'
  readonly debugLevel: number
  readonly outputs: readonly LoggerOutput[]
}
export interface LoggerOutput {
  /** `stdout`, `stderr`, `syslog`, `syslog:facility`, or the path of a file. */
  readonly output: string
  readonly flush: boolean
  readonly sizeMax: number
  readonly versionsMax: number
  readonly pattern: string | undefined
}

/** Everything that the files say. */
export interface Config {
  readonly dhcp4: Dhcp4 | undefined
  readonly dhcp6: Dhcp6 | undefined
  readonly store: StoreConfig
  readonly ledger: LedgerConfig
  readonly loggers: readonly LoggerConfig[]
  /** One sentence each, to be logged at the start. */
  readonly warnings: readonly string[]
}

/**
 * One thing that is wrong with a configuration. `line` and `column` count from 1; `path` is like
 * `/Dhcp4/subnet4[0]/id`.
 */
export interface ConfigError {
  readonly file: string
  readonly path: string
  readonly line: number
  readonly column: number
  /** What was expected, and what was found. */
  readonly message: string
}
