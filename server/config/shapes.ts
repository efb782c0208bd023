/** The objects of Kea's `Dhcp4` and `Dhcp6`: which keys each has, and what may stand there. */
import type * as t from 'io-ts'
import { list, scalar, shape } from './shape.ts'
import type { Fields, Placed } from './shape.ts'
import {
  flag,
  fraction,
  hardwareAddress,
  integer,
  ip4,
  ip6,
  octets,
  oneOf,
  orEmpty,
  port,
  prefix6,
  range4,
  range6,
  seconds,
  shortText,
  subnet4,
  subnet6,
  text,
  word,
} from './values.ts'
import { storeFields } from './store-shapes.ts'

const uint32 = integer(0, 0xffffffff)
const words = list(word())

const OptionData = shape(
  'option',
  {},
  {
    name: word(),
    code: integer(0, 65535),
    space: word(),
    data: text,
    'csv-format': flag,
    'always-send': flag,
    'never-send': flag,
  },
)
export type OptionData = t.TypeOf<typeof OptionData>

const OptionDef = shape(
  'option',
  { name: word(), code: integer(0, 65535), type: word() },
  { array: flag, 'record-types': text, space: word(), encapsulate: text },
)
export type OptionDef = t.TypeOf<typeof OptionDef>

const options = { 'option-data': list(OptionData) }

const validLifetime = { 'valid-lifetime': seconds, 'min-valid-lifetime': seconds, 'max-valid-lifetime': seconds }
const preferredLifetime = {
  'preferred-lifetime': seconds,
  'min-preferred-lifetime': seconds,
  'max-preferred-lifetime': seconds,
}
const allocator = oneOf('hashed', 'iterative', 'random')

/** What the global scope, shared networks and subnets of both protocols may say. */
const scope = {
  ...options,
  ...validLifetime,
  'renew-timer': seconds,
  'rebind-timer': seconds,
  'calculate-tee-times': flag,
  't1-percent': fraction,
  't2-percent': fraction,
  'cache-threshold': fraction,
  'cache-max-age': uint32,
  'reservations-global': flag,
  'reservations-in-subnet': flag,
  'reservations-out-of-pool': flag,
  'reservation-mode': oneOf('disabled', 'off', 'out-of-pool', 'global', 'all'),
  'store-extended-info': flag,
  'hostname-char-set': text,
  'hostname-char-replacement': text,
  'adaptive-lease-time-threshold': fraction,
  allocator,
}
export type ScopeFields = Placed & Fields<typeof scope>

/** Empty text says nothing, as in Kea: what is around the object counts. */
const boot4 = {
  'next-server': orEmpty(ip4),
  'server-hostname': orEmpty(shortText(63)),
  'boot-file-name': orEmpty(shortText(127)),
}
const scope4 = { ...scope, ...boot4, 'offer-lifetime': seconds, authoritative: flag, 'match-client-id': flag }
const scope6 = { ...scope, ...preferredLifetime, 'pd-allocator': allocator, 'rapid-commit': flag }
export type Scope4 = Placed & Fields<typeof scope4>
export type Scope6 = Placed & Fields<typeof scope6>

/** `client-class` and the two longer names are what older releases of Kea have. */
const classRules = {
  'client-class': text,
  'client-classes': words,
  'evaluate-additional-classes': words,
  'require-client-classes': words,
}
export type RuleFields = Placed & Fields<typeof classRules>

const link4 = {
  interface: text,
  relay: shape('part', {}, { 'ip-address': ip4, 'ip-addresses': list(ip4) }),
}
const link6 = {
  interface: text,
  'interface-id': text,
  relay: shape('part', {}, { 'ip-address': ip6, 'ip-addresses': list(ip6) }),
}

const reserved = { 'flex-id': text, hostname: shortText(255), 'client-classes': words, ...options }

const Reservation4 = shape(
  'reservation',
  {},
  {
    ...reserved,
    ...boot4,
    'hw-address': hardwareAddress,
    'client-id': octets(1, 255),
    'circuit-id': octets(1, 255),
    duid: octets(1, 130),
    'ip-address': ip4,
  },
)
export type ReservationText4 = t.TypeOf<typeof Reservation4>

const Reservation6 = shape(
  'reservation',
  {},
  {
    ...reserved,
    'hw-address': hardwareAddress,
    duid: octets(1, 130),
    'ip-addresses': list(ip6),
    prefixes: list(prefix6),
    'excluded-prefixes': list(
      scalar('an IPv6 prefix, or empty text where nothing is excluded', (value) =>
        value === '' ? null : prefixOrNothing(value),
      ),
    ),
  },
)
export type ReservationText6 = t.TypeOf<typeof Reservation6>

const prefixOrNothing = (value: unknown) => {
  const decoded = prefix6.decode(value)
  return decoded._tag === 'Right' ? decoded.right : undefined
}

const poolFields = { ...options, ...classRules, 'pool-id': uint32 }
const Pool4 = shape('pool', { pool: range4 }, poolFields)
const Pool6 = shape('pool', { pool: range6 }, poolFields)
const PdPool = shape(
  'pd-pool',
  { prefix: ip6, 'prefix-len': integer(1, 128), 'delegated-len': integer(1, 128) },
  { ...poolFields, 'excluded-prefix': ip6, 'excluded-prefix-len': integer(0, 128) },
)
export type PoolText4 = t.TypeOf<typeof Pool4>
export type PoolText6 = t.TypeOf<typeof Pool6>
export type PdPoolText = t.TypeOf<typeof PdPool>

const subnetId = integer(0, 0xfffffffe)
const Subnet4 = shape(
  'subnet',
  { subnet: subnet4 },
  { ...scope4, ...classRules, ...link4, id: subnetId, pools: list(Pool4), reservations: list(Reservation4) },
)
const Subnet6 = shape(
  'subnet',
  { subnet: subnet6 },
  {
    ...scope6,
    ...classRules,
    ...link6,
    id: subnetId,
    pools: list(Pool6),
    'pd-pools': list(PdPool),
    reservations: list(Reservation6),
  },
)
export type SubnetText4 = t.TypeOf<typeof Subnet4>
export type SubnetText6 = t.TypeOf<typeof Subnet6>

const Network4 = shape(
  'shared-network',
  { name: word() },
  { ...scope4, ...classRules, ...link4, subnet4: list(Subnet4) },
)
const Network6 = shape(
  'shared-network',
  { name: word() },
  { ...scope6, ...classRules, ...link6, subnet6: list(Subnet6) },
)
export type NetworkText4 = t.TypeOf<typeof Network4>
export type NetworkText6 = t.TypeOf<typeof Network6>

const classFields = {
  ...options,
  ...validLifetime,
  test: text,
  'only-in-additional-list': flag,
  'only-if-required': flag,
  'option-def': list(OptionDef),
}
const Class4 = shape('client-class', { name: word() }, { ...classFields, ...boot4, 'offer-lifetime': seconds })
const Class6 = shape('client-class', { name: word() }, { ...classFields, ...preferredLifetime })
export type ClassText4 = t.TypeOf<typeof Class4>
export type ClassText6 = t.TypeOf<typeof Class6>

const Interfaces = shape(
  'part',
  {},
  {
    interfaces: words,
    'dhcp-socket-type': oneOf('raw', 'udp'),
    'outbound-interface': oneOf('same-as-inbound', 'use-routing'),
    're-detect': flag,
    'service-sockets-max-retries': uint32,
    'service-sockets-retry-wait-time': uint32,
    'service-sockets-require-all': flag,
  },
)
export type InterfacesText = t.TypeOf<typeof Interfaces>

const Expired = shape(
  'part',
  {},
  {
    'reclaim-timer-wait-time': integer(0, 65535),
    'flush-reclaimed-timer-wait-time': integer(0, 65535),
    'hold-reclaimed-time': uint32,
    'max-reclaim-leases': uint32,
    'max-reclaim-time': integer(0, 10_000),
    'unwarned-reclaim-cycles': integer(0, 65535),
  },
)
export type ExpiredText = t.TypeOf<typeof Expired>

const Sanity = shape(
  'part',
  {},
  {
    'lease-checks': oneOf('none', 'warn', 'fix', 'fix-del', 'del'),
    'extended-info-checks': oneOf('none', 'fix', 'strict', 'pedantic'),
  },
)
export type SanityText = t.TypeOf<typeof Sanity>

/** What a hook library wants is its own affair; only its name is looked at. */
const anything = scalar('anything', (value) => ({ value }))
const Hook = shape('part', { library: word(4096) }, { parameters: anything })

const Output = shape(
  'part',
  { output: word(4096) },
  { flush: flag, maxsize: integer(0, Number.MAX_SAFE_INTEGER), maxver: integer(0, 65535), pattern: text },
)
const SEVERITIES = ['FATAL', 'ERROR', 'WARN', 'INFO', 'DEBUG', 'NONE'] as const
const severity = scalar(`one of ${SEVERITIES.join(', ')}`, (value) =>
  SEVERITIES.find((each) => typeof value === 'string' && value.toUpperCase() === each),
)

const Logger = shape(
  'part',
  { name: word() },
  {
    severity,
    debuglevel: integer(0, 99),
    'output-options': list(Output),
    output_options: list(Output),
  },
)
export type LoggerText = t.TypeOf<typeof Logger>

const LeaseDatabase = shape('store', storeFields.required, storeFields.optional)

const global = {
  'interfaces-config': Interfaces,
  'lease-database': LeaseDatabase,
  'option-def': list(OptionDef),
  'hooks-libraries': list(Hook),
  loggers: list(Logger),
  'expired-leases-processing': Expired,
  'sanity-checks': Sanity,
  'decline-probation-period': uint32,
  'early-global-reservations-lookup': flag,
  'ip-reservations-unique': flag,
  'reservations-lookup-first': flag,
}
export type GlobalFields = ScopeFields & Fields<typeof global>

const identifiers = oneOf('hw-address', 'client-id', 'circuit-id', 'duid', 'flex-id')

const Dhcp4 = shape(
  'global',
  {},
  {
    ...global,
    ...scope4,
    subnet4: list(Subnet4),
    'shared-networks': list(Network4),
    'client-classes': list(Class4),
    reservations: list(Reservation4),
    'host-reservation-identifiers': list(identifiers),
    'echo-client-id': flag,
    'stash-agent-options': flag,
  },
)
export type DhcpText4 = t.TypeOf<typeof Dhcp4>

const ServerId = shape(
  'part',
  {},
  {
    type: oneOf('LLT', 'LL', 'EN', 'UUID'),
    identifier: text,
    time: uint32,
    htype: integer(0, 65535),
    'enterprise-id': uint32,
    persist: flag,
  },
)

const macSource = oneOf(
  'any',
  'raw',
  'duid',
  'ipv6-link-local',
  'client-link-addr-option',
  'rfc6939',
  'remote-id',
  'rfc4649',
  'subscriber-id',
  'rfc4580',
  'docsis-cmts',
  'docsis-modem',
)

const Dhcp6 = shape(
  'global',
  {},
  {
    ...global,
    ...scope6,
    subnet6: list(Subnet6),
    'shared-networks': list(Network6),
    'client-classes': list(Class6),
    reservations: list(Reservation6),
    'host-reservation-identifiers': list(identifiers),
    'server-id': ServerId,
    'mac-sources': list(macSource),
    'relay-supplied-options': words,
  },
)
export type DhcpText6 = t.TypeOf<typeof Dhcp6>

const listenAddress4 = shape('part', { address: ip4, port }, {})
const listenAddress6 = shape('part', { address: ip6, port }, {})

const LeaseLedger = shape(
  'part',
  {},
  {
    'server-name': word(64),
    'data-folder': word(4096),
    'evidence-key': word(4096),
    'max-clock-skew': seconds,
    'load-balancing': flag,
    workers: integer(1, 256),
    listen: shape('part', {}, { dhcp4: list(listenAddress4), dhcp6: list(listenAddress6) }),
    projections: list(shape('part', { name: word(64), database: LeaseDatabase }, {})),
    limits: shape(
      'part',
      {},
      {
        'queue-max': integer(1, 1_000_000),
        'batch-max': integer(1, 1000),
        'offer-batch-max': integer(1, 1000),
        'attempts-max': integer(1, 100),
        'packet-age-max': integer(1, 600_000),
      },
    ),
    http: shape('part', { port: integer(0, 65535) }, { address: text }),
  },
)
export type LedgerText = t.TypeOf<typeof LeaseLedger>

/** All that the files may hold. */
export const Top = shape('top', {}, { Dhcp4, Dhcp6, LeaseLedger })
export type Top = t.TypeOf<typeof Top>
