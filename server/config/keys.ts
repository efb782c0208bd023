/**
 * Keys that Kea knows and that mean nothing to Lease Ledger: those that are safe to pass over, each with the reason
 * that is logged as a warning, and those that would change what clients get and are therefore refused by name.
 */

/** Objects of a configuration, by the name under which {@link ignoredBecause} knows them. */
export type Scope =
  | 'top'
  | 'global'
  | 'shared-network'
  | 'subnet'
  | 'pool'
  | 'pd-pool'
  | 'reservation'
  | 'client-class'
  | 'option'
  | 'store'
  | 'part'

interface Ignored {
  readonly keys: readonly string[]
  /** Where the keys may stand; everywhere when absent. */
  readonly scopes?: readonly Scope[]
  readonly why: string
}

const DDNS_SCOPES: readonly Scope[] = ['global', 'shared-network', 'subnet', 'pool', 'pd-pool', 'client-class']

/** The whole list of what is passed over. Nothing else is. */
const IGNORED: readonly Ignored[] = [
  { keys: ['comment', 'user-context'], why: 'it is kept in the file only, as a note for people' },
  { keys: ['metadata'], why: 'it belongs to a configuration database' },
  {
    keys: ['control-socket', 'control-sockets'],
    scopes: ['global'],
    why: 'commands over a control socket are not served; SIGHUP reads the configuration anew',
  },
  {
    keys: ['multi-threading'],
    scopes: ['global'],
    why: 'one process serves; for more, start further servers on the same ledger',
  },
  { keys: ['dhcp-queue-control'], scopes: ['global'], why: 'queues are bounded by LeaseLedger.limits' },
  { keys: ['parked-packet-limit'], scopes: ['global'], why: 'queues are bounded by LeaseLedger.limits' },
  { keys: ['dhcp-ddns'], scopes: ['global'], why: 'DNS updates are not sent' },
  {
    keys: [
      'ddns-send-updates',
      'ddns-override-no-update',
      'ddns-override-client-update',
      'ddns-replace-client-name',
      'ddns-generated-prefix',
      'ddns-qualifying-suffix',
      'ddns-update-on-renew',
      'ddns-use-conflict-resolution',
      'ddns-conflict-resolution-mode',
      'ddns-ttl-percent',
      'ddns-ttl',
      'ddns-ttl-min',
      'ddns-ttl-max',
    ],
    scopes: DDNS_SCOPES,
    why: 'DNS updates are not sent',
  },
  {
    keys: ['hostname-char-set', 'hostname-char-replacement'],
    scopes: ['pool', 'pd-pool', 'client-class'],
    why: 'names are treated as the subnet says',
  },
  { keys: ['server-tag'], scopes: ['global'], why: 'it belongs to a configuration database' },
  {
    keys: ['statistic-default-sample-count', 'statistic-default-sample-age'],
    scopes: ['global'],
    why: 'statistics are folds of the ledger',
  },
  { keys: ['data-directory'], scopes: ['global'], why: 'the data folder is LeaseLedger.data-folder' },
  {
    keys: ['allow-address-registration'],
    scopes: ['global'],
    why: 'addresses that clients gave themselves are not registered',
  },
  { keys: ['lfc-interval'], scopes: ['store'], why: 'there is no lease file to clean up' },
  { keys: ['persist'], scopes: ['store'], why: 'leases are always kept' },
  { keys: ['max-row-errors'], scopes: ['store'], why: 'there is no lease file to read' },
  { keys: ['readonly'], scopes: ['store'], why: 'it is for databases of hosts' },
  {
    keys: ['read-timeout', 'write-timeout', 'tcp-user-timeout'],
    scopes: ['store'],
    why: 'set statement-timeout instead',
  },
  { keys: ['Control-agent', 'DhcpDdns', 'Netconf'], scopes: ['top'], why: 'it configures another program of Kea' },
]

/** Keys of Kea that have no counterpart here, wherever they may stand. */
const REFUSED: ReadonlySet<string> = new Set([
  'hosts-database',
  'hosts-databases',
  'config-control',
  'dhcp4o6-port',
  '4o6-interface',
  '4o6-interface-id',
  '4o6-subnet',
  'compatibility',
  'auth-key',
  'template-test',
  // Of an option; elsewhere it is supported.
  'client-classes',
  'contact-points',
  'keyspace',
  'Logging',
])

/** Why `key` of an object of this kind is passed over; undefined when it is not. */
export const ignoredBecause = (scope: Scope, key: string): string | undefined =>
  IGNORED.find(({ keys, scopes }) => keys.includes(key) && (scopes === undefined || scopes.includes(scope)))?.why

/**
 * Whether a refused key is switched off by its value, so that it may stand there: Kea writes many of its defaults into
 * a configuration that is read back from it.
 */
export const saysNothing = (key: string, value: unknown): boolean => REFUSED.has(key) && isEmpty(value)

const isEmpty = (value: unknown): boolean => {
  if (typeof value === 'object' && value !== null) return Object.values(value).every((each) => each === false)
  return value === '' || value === 0 || value === false
}

/** Whether Kea has this key and Lease Ledger has nothing for it anywhere. */
export const isRefused = (key: string): boolean => REFUSED.has(key) || IGNORED.some(({ keys }) => keys.includes(key))

/**
 * Kea's hook libraries by the name of their file, with what stands in for each here.
 */
const HOOKS: Readonly<Record<string, string>> = {
  libdhcp_mysql: 'lease-database reaches MySQL and MariaDB without it',
  libdhcp_pgsql: 'lease-database reaches PostgreSQL without it',
  libdhcp_lease_cmds: 'leases are looked up with SQL and with the ledger command',
  libdhcp_stat_cmds: 'statistics are in the lease tables',
  libdhcp_lease_query: 'leases are looked up with SQL and with the ledger command',
  libdhcp_bootp: 'BOOTP clients are not served',
  libdhcp_ha: 'every server that uses the same ledger answers; no pairing is needed',
  libdhcp_legal_log: 'the ledger itself tells who held what, and when',
  libdhcp_flex_option: 'its rules are not applied; client-classes can send options by expression',
  libdhcp_flex_id: 'reservations by flex-id are not supported',
  libdhcp_host_cmds: 'reservations are in the configuration',
  libdhcp_host_cache: 'reservations are in the configuration',
  libdhcp_class_cmds: 'classes are in the configuration',
  libdhcp_subnet_cmds: 'subnets are in the configuration',
  libdhcp_cb_cmds: 'there is no configuration database',
  libdhcp_mysql_cb: 'there is no configuration database',
  libdhcp_pgsql_cb: 'there is no configuration database',
  libdhcp_limits: 'rates are bounded by LeaseLedger.limits only',
  libdhcp_ping_check: 'addresses are not probed before they are offered',
  libdhcp_perfmon: 'the service measures itself',
  libdhcp_run_script: 'no script is run',
  libdhcp_user_chk: 'no registry of users is asked',
  libdhcp_radius: 'no RADIUS server is asked',
  libdhcp_rbac: 'there is no control channel to guard',
  libdhcp_ddns_tuning: 'DNS updates are not sent',
  libddns_gss_tsig: 'DNS updates are not sent',
}

/** What stands in for the hook library of this path; undefined when Kea has no such library. */
export const hookStandIn = (path: string): string | undefined => {
  const file = path.slice(path.lastIndexOf('/') + 1).replace(/\.(so|dylib)$/, '')
  return Object.hasOwn(HOOKS, file) ? HOOKS[file] : undefined
}
