/**
 * The standard DHCPv6 options: Kea's names and types, one row an option. Those that Kea has no definition of bear
 * IANA's name and are replaceable, as are those that Kea learned after 2.2, so that older configurations stay valid.
 */
import type { OptionDefinition } from './definition.ts'
import { replaceable, rowsOf } from './row.ts'

const { one, many, record, recordMany } = rowsOf('dhcp6', 6)

/** Options of the space `dhcp6`, in the order of their codes. */
export const dhcp6Options: readonly OptionDefinition[] = [
  one(1, 'clientid', 'binary', 'RFC 8415 §21.2'),
  one(2, 'serverid', 'binary', 'RFC 8415 §21.3'),
  record(3, 'ia-na', ['uint32', 'uint32', 'uint32'], 'RFC 8415 §21.4', { encapsulates: 'dhcp6' }),
  one(4, 'ia-ta', 'uint32', 'RFC 8415 §21.5', { encapsulates: 'dhcp6' }),
  record(5, 'iaaddr', ['ipv6-address', 'uint32', 'uint32'], 'RFC 8415 §21.6', { encapsulates: 'dhcp6' }),
  many(6, 'oro', 'uint16', 'RFC 8415 §21.7'),
  one(7, 'preference', 'uint8', 'RFC 8415 §21.8'),
  one(8, 'elapsed-time', 'uint16', 'RFC 8415 §21.9'),
  one(9, 'relay-msg', 'binary', 'RFC 8415 §21.10'),
  one(11, 'auth', 'binary', 'RFC 8415 §21.11'),
  one(12, 'unicast', 'ipv6-address', 'RFC 8415 §21.12'),
  record(13, 'status-code', ['uint16', 'string'], 'RFC 8415 §21.13'),
  one(14, 'rapid-commit', 'empty', 'RFC 8415 §21.14'),
  one(15, 'user-class', 'binary', 'RFC 8415 §21.15'),
  record(16, 'vendor-class', ['uint32', 'binary'], 'RFC 8415 §21.16'),
  one(17, 'vendor-opts', 'uint32', 'RFC 8415 §21.17', { encapsulates: 'vendor-opts-space' }),
  one(18, 'interface-id', 'binary', 'RFC 8415 §21.18'),
  one(19, 'reconf-msg', 'uint8', 'RFC 8415 §21.19'),
  one(20, 'reconf-accept', 'empty', 'RFC 8415 §21.20'),
  many(21, 'sip-server-dns', 'fqdn', 'RFC 3319 §3.1'),
  many(22, 'sip-server-addr', 'ipv6-address', 'RFC 3319 §3.2'),
  many(23, 'dns-servers', 'ipv6-address', 'RFC 3646 §3'),
  many(24, 'domain-search', 'fqdn', 'RFC 3646 §4'),
  record(25, 'ia-pd', ['uint32', 'uint32', 'uint32'], 'RFC 8415 §21.21', { encapsulates: 'dhcp6' }),
  record(26, 'iaprefix', ['uint32', 'uint32', 'uint8', 'ipv6-address'], 'RFC 8415 §21.22', { encapsulates: 'dhcp6' }),
  many(27, 'nis-servers', 'ipv6-address', 'RFC 3898 §3'),
  many(28, 'nisp-servers', 'ipv6-address', 'RFC 3898 §4'),
  many(29, 'nis-domain-name', 'fqdn', 'RFC 3898 §5'),
  many(30, 'nisp-domain-name', 'fqdn', 'RFC 3898 §6'),
  many(31, 'sntp-servers', 'ipv6-address', 'RFC 4075 §4'),
  one(32, 'information-refresh-time', 'uint32', 'RFC 8415 §21.23'),
  many(33, 'bcmcs-server-dns', 'fqdn', 'RFC 4280 §4.2'),
  many(34, 'bcmcs-server-addr', 'ipv6-address', 'RFC 4280 §4.4'),
  record(36, 'geoconf-civic', ['uint8', 'uint16', 'binary'], 'RFC 4776 §3.2'),
  record(37, 'remote-id', ['uint32', 'binary'], 'RFC 4649 §3'),
  one(38, 'subscriber-id', 'binary', 'RFC 4580 §2'),
  record(39, 'client-fqdn', ['uint8', 'fqdn'], 'RFC 4704 §4'),
  many(40, 'pana-agent', 'ipv6-address', 'RFC 5192 §4'),
  one(41, 'new-posix-timezone', 'string', 'RFC 4833 §3'),
  one(42, 'new-tzdb-timezone', 'string', 'RFC 4833 §3'),
  many(43, 'ero', 'uint16', 'RFC 4994 §3'),
  record(44, 'lq-query', ['uint8', 'ipv6-address'], 'RFC 5007 §4.1.2.1', { encapsulates: 'dhcp6' }),
  one(45, 'client-data', 'empty', 'RFC 5007 §4.1.2.2', { encapsulates: 'dhcp6' }),
  one(46, 'clt-time', 'uint32', 'RFC 5007 §4.1.2.3'),
  record(47, 'lq-relay-data', ['ipv6-address', 'binary'], 'RFC 5007 §4.1.2.4'),
  many(48, 'lq-client-link', 'ipv6-address', 'RFC 5007 §4.1.2.5'),
  one(51, 'v6-lost', 'fqdn', 'RFC 5223 §4'),
  many(52, 'capwap-ac-v6', 'ipv6-address', 'RFC 5417 §4'),
  one(53, 'relay-id', 'binary', 'RFC 5460 §5.4.1'),
  one(54, 'mos-addresses', 'binary', 'RFC 5678 §4', replaceable),
  one(55, 'mos-domain-names', 'binary', 'RFC 5678 §5', replaceable),
  one(56, 'ntp-server', 'empty', 'RFC 5908 §4', { encapsulates: 'v6-ntp-server-suboptions', replaceable: true }),
  one(57, 'v6-access-domain', 'fqdn', 'RFC 5986 §3.4'),
  many(58, 'sip-ua-cs-list', 'fqdn', 'RFC 6011 §4.2'),
  one(59, 'bootfile-url', 'string', 'RFC 5970 §3.1'),
  many(60, 'bootfile-param', 'tuple', 'RFC 5970 §3.2'),
  many(61, 'client-arch-type', 'uint16', 'RFC 5970 §3.3'),
  record(62, 'nii', ['uint8', 'uint8', 'uint8'], 'RFC 5970 §3.4'),
  one(64, 'aftr-name', 'fqdn', 'RFC 6334 §3'),
  one(65, 'erp-local-domain-name', 'fqdn', 'RFC 6440 §3.1'),
  one(66, 'rsoo', 'empty', 'RFC 6422 §4', { encapsulates: 'rsoo-opts' }),
  one(67, 'pd-exclude', 'ipv6-prefix', 'RFC 6603 §4.2'),
  one(68, 'virtual-subnet-selection', 'binary', 'RFC 6607 §3.3', replaceable),
  recordMany(74, 'rdnss-selection', ['ipv6-address', 'uint8', 'fqdn'], 'RFC 6731 §4.2'),
  one(79, 'client-linklayer-addr', 'binary', 'RFC 6939 §4'),
  one(80, 'link-address', 'ipv6-address', 'RFC 6977 §6.1'),
  one(82, 'solmax-rt', 'uint32', 'RFC 8415 §21.24'),
  one(83, 'inf-max-rt', 'uint32', 'RFC 8415 §21.25'),
  one(84, 'addrsel', 'binary', 'RFC 7078 §2', replaceable),
  one(86, 'pcp-server', 'binary', 'RFC 7291 §3', replaceable),
  one(87, 'dhcpv4-message', 'binary', 'RFC 7341 §7.1'),
  many(88, 'dhcp4o6-server-addr', 'ipv6-address', 'RFC 7341 §7.2'),
  one(94, 's46-cont-mape', 'empty', 'RFC 7598 §5.1', { encapsulates: 's46-cont-mape-options' }),
  one(95, 's46-cont-mapt', 'empty', 'RFC 7598 §5.2', { encapsulates: 's46-cont-mapt-options' }),
  one(96, 's46-cont-lw', 'empty', 'RFC 7598 §5.3', { encapsulates: 's46-cont-lw-options' }),
  one(103, 'v6-captive-portal', 'string', 'RFC 8910 §2.2'),
  one(112, 'mud-url', 'string', 'RFC 8520 §10', replaceable),
  one(113, 'v6-prefix64', 'binary', 'RFC 8115 §3', replaceable),
  one(135, 'relay-source-port', 'uint16', 'RFC 8357 §5.2'),
  many(136, 'v6-sztp-redirect', 'tuple', 'RFC 8572 §8.2', replaceable),
  one(141, 'dots-ri', 'fqdn', 'RFC 8973 §5.1', replaceable),
  many(142, 'dots-address', 'ipv6-address', 'RFC 8973 §5.1', replaceable),
  many(143, 'ipv6-address-andsf', 'ipv6-address', 'RFC 6153 §3'),
  one(144, 'v6-dnr', 'internal', 'RFC 9463 §4.1', replaceable),
  one(148, 'addr-reg-enable', 'empty', 'RFC 9686 §4.1', replaceable),
]

const mapE = rowsOf('s46-cont-mape-options', 6)
const mapT = rowsOf('s46-cont-mapt-options', 6)
const lightweight = rowsOf('s46-cont-lw-options', 6)
const mapRule = rowsOf('s46-rule-options', 6)
const binding = rowsOf('s46-v4v6bind-options', 6)

const RULE = ['uint8', 'uint8', 'uint8', 'ipv4-address', 'ipv6-prefix'] as const

/** Options inside the three softwire containers (RFC 7598). */
export const softwireOptions: readonly OptionDefinition[] = [
  mapE.record(89, 's46-rule', RULE, 'RFC 7598 §4.1', { encapsulates: 's46-rule-options' }),
  mapE.one(90, 's46-br', 'ipv6-address', 'RFC 7598 §4.2'),
  mapT.record(89, 's46-rule', RULE, 'RFC 7598 §4.1', { encapsulates: 's46-rule-options' }),
  mapT.one(91, 's46-dmr', 'ipv6-prefix', 'RFC 7598 §4.3'),
  lightweight.one(90, 's46-br', 'ipv6-address', 'RFC 7598 §4.2'),
  lightweight.record(92, 's46-v4v6bind', ['ipv4-address', 'ipv6-prefix'], 'RFC 7598 §4.4', {
    encapsulates: 's46-v4v6bind-options',
  }),
  mapRule.record(93, 's46-portparams', ['uint8', 'psid'], 'RFC 7598 §4.5'),
  binding.record(93, 's46-portparams', ['uint8', 'psid'], 'RFC 7598 §4.5'),
]

const ntp = rowsOf('v6-ntp-server-suboptions', 6)

/** Suboptions of the NTP server option (56). */
export const ntpOptions6: readonly OptionDefinition[] = [
  ntp.one(1, 'ntp-server-address', 'ipv6-address', 'RFC 5908 §4.1', replaceable),
  ntp.one(2, 'ntp-server-multicast', 'ipv6-address', 'RFC 5908 §4.2', replaceable),
  ntp.one(3, 'ntp-server-fqdn', 'fqdn', 'RFC 5908 §4.3', replaceable),
]

const docsis = rowsOf('vendor-4491', 6)

/** CableLabs' vendor options inside option 17, as far as Kea knows them (DOCSIS 3.0, CL-SP-CANN-DHCP-Reg). */
export const docsisOptions6: readonly OptionDefinition[] = [
  docsis.many(1, 'oro', 'uint16', 'CL-SP-CANN-DHCP-Reg'),
  docsis.one(2, 'device-type', 'string', 'CL-SP-CANN-DHCP-Reg'),
  docsis.one(10, 'vendor-type', 'string', 'CL-SP-CANN-DHCP-Reg'),
  docsis.many(32, 'tftp-servers', 'ipv6-address', 'CL-SP-CANN-DHCP-Reg'),
  docsis.one(33, 'config-file', 'string', 'CL-SP-CANN-DHCP-Reg'),
  docsis.many(34, 'syslog-servers', 'ipv6-address', 'CL-SP-CANN-DHCP-Reg'),
  docsis.one(36, 'device-id', 'binary', 'CL-SP-CANN-DHCP-Reg'),
  docsis.many(37, 'time-servers', 'ipv6-address', 'CL-SP-CANN-DHCP-Reg'),
  docsis.one(38, 'time-offset', 'int32', 'CL-SP-CANN-DHCP-Reg'),
  docsis.one(1026, 'cmts-cm-mac', 'binary', 'CL-SP-CANN-DHCP-Reg'),
]

/** Every standard option that may travel in a DHCPv6 message, of all spaces. */
export const standardOptions6: readonly OptionDefinition[] = [
  ...dhcp6Options,
  ...softwireOptions,
  ...ntpOptions6,
  ...docsisOptions6,
]
