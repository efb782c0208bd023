/** Resolves `Dhcp6`. */
import { ip6Last, ip6Text } from '../../domain/address.ts'
import { makeOptionRegistry } from '../options/registry.ts'
import { resolveClasses6 } from './classes.ts'
import { checkHooks, noticeUnused, sharedService, wantsFlexibleIds } from './global.ts'
import {
  checkTimers,
  classRules,
  inheritRules,
  nearest,
  preferredLifetimes,
  relayAddresses,
  sharedTerms,
  validLifetimes,
} from './inherit.ts'
import type { ClientClass, Dhcp6, Identifier6, ListenAddress, SharedNetwork6, Subnet6 } from './model.ts'
import { defineOptions, mergeOptions, NO_OPTIONS, resolveOptions } from './options.ts'
import type { Definitions } from './options.ts'
import { resolvePools } from './pools.ts'
import { refusePrefixOverlaps, resolvePdPools } from './prefixes.ts'
import { refuseOverlaps } from './ranges.ts'
import type { Range } from './ranges.ts'
import type { Report } from './report.ts'
import { resolveReservations6 } from './reservations.ts'
import { macSources, relaySuppliedOptions, resolveServerId } from './server6.ts'
import type { DhcpText6, NetworkText6, Scope6, SubnetText6 } from './shapes.ts'
import { noticeHostBits, subnetIds } from './subnet-ids.ts'

const HOST_IDENTIFIERS: readonly Identifier6[] = ['hw-address', 'duid']

/** What subnets are resolved with. */
interface Context {
  readonly global: DhcpText6
  readonly definitions: Definitions
  readonly classes: ReadonlyMap<string, ClientClass>
  readonly ids: ReadonlyMap<SubnetText6, number>
  readonly report: Report
}

/** The DHCPv6 service as configured. Every mistake is reported; the value is then of no use. */
export const resolveDhcp6 = (global: DhcpText6, listen: readonly ListenAddress[], report: Report): Dhcp6 => {
  const standard: Definitions = { universe: 6, registry: makeOptionRegistry(6), custom: [] }
  const definitions = defineOptions(global['option-def'], standard, report)
  const options = resolveOptions(global['option-data'], definitions, report)
  const valid = validLifetimes([global], report)
  const preferred = preferredLifetimes([global], valid, report)
  const classes = resolveClasses6(global['client-classes'], definitions, valid, preferred, report)
  const networks = global['shared-networks'] ?? []
  const written = [...(global.subnet6 ?? []), ...networks.flatMap((network) => network.subnet6 ?? [])]
  const byName = new Map(classes.map((each) => [each.name, each]))
  const context: Context = { global, definitions, classes: byName, ids: subnetIds(written, report), report }
  checkHooks(global['hooks-libraries'], report)
  noticeUnused(global, report)
  checkScope(global, report)
  refuseOverlaps(written.map(rangeOfSubnet), 'subnet', report)
  refusePrefixOverlaps(written, global.reservations ?? [], report)
  const subnets = [
    ...(global.subnet6 ?? []).map((subnet) => resolveSubnet(subnet, undefined, context)),
    ...networks.flatMap((network) => (network.subnet6 ?? []).map((subnet) => resolveSubnet(subnet, network, context))),
  ]
  return {
    subnets,
    sharedNetworks: resolveNetworks(networks, context),
    classes,
    globalReservations: resolveReservations6(global.reservations, { ...reservationsOf(context), within: undefined }),
    hostIdentifiers: hostIdentifiers(global, report),
    serverId: resolveServerId(global['server-id'], report),
    macSources: macSources(global),
    relaySuppliedOptions: relaySuppliedOptions(global, definitions, report),
    ...sharedService(global, 6, listen, report),
    options,
  }
}

const reservationsOf = ({ global, definitions, report }: Context) => ({
  definitions,
  report,
  flexible: wantsFlexibleIds(global['hooks-libraries']),
  unique: global['ip-reservations-unique'] ?? true,
})

const hostIdentifiers = (global: DhcpText6, report: Report): readonly Identifier6[] => {
  const written = global['host-reservation-identifiers']
  if (written === undefined) return HOST_IDENTIFIERS
  const identifiers: Identifier6[] = []
  for (const [index, identifier] of written.entries()) {
    if (identifier === 'duid' || identifier === 'hw-address') identifiers.push(identifier)
    else if (identifier === 'flex-id') report.warn('host-reservation-identifiers: flex-id is passed over')
    else {
      const at = [...global.at, 'host-reservation-identifiers', index]
      report.error(at, `expected duid or hw-address, found ${identifier}, which is for DHCPv4`)
    }
  }
  return identifiers
}

/** Timers of one scope, and the preferred lifetime that must not outlive the valid one (RFC 8415 §21.6). */
const checkScope = (scope: Scope6, report: Report): void => {
  checkTimers(scope, report)
  const valid = scope['valid-lifetime']
  const preferred = scope['preferred-lifetime']
  if (valid === undefined || preferred === undefined || preferred <= valid) return
  const message = `expected at most valid-lifetime, which is ${valid}, found ${preferred}`
  report.error([...scope.at, 'preferred-lifetime'], message)
}

const rangeOfSubnet = ({ at, subnet }: SubnetText6): Range<bigint> => ({
  first: subnet.prefix,
  last: ip6Last(subnet.prefix, subnet.length),
  at: [...at, 'subnet'],
  text: subnet.text,
})

const interfaceIdOf = (link: { readonly 'interface-id'?: string | undefined } | undefined): Uint8Array | undefined =>
  link?.['interface-id'] ? new TextEncoder().encode(link['interface-id']) : undefined

const resolveNetworks = (networks: readonly NetworkText6[], context: Context): readonly SharedNetwork6[] => {
  const { ids, classes, report } = context
  const seen = new Set<string>()
  return networks.map((network) => {
    if (seen.has(network.name)) report.error([...network.at, 'name'], `the name ${network.name} is given twice`)
    seen.add(network.name)
    checkScope(network, report)
    return {
      name: network.name,
      interface: network.interface || undefined,
      interfaceId: interfaceIdOf(network),
      relayAddresses: relayAddresses(network.relay),
      subnetIds: (network.subnet6 ?? []).map((subnet) => ids.get(subnet) ?? 0),
      ...classRules(network, classes, report),
    }
  })
}

const resolveSubnet = (subnet: SubnetText6, network: NetworkText6 | undefined, context: Context): Subnet6 => {
  const { global, definitions, classes, ids, report } = context
  const chain: readonly Scope6[] = network === undefined ? [subnet, global] : [subnet, network, global]
  checkScope(subnet, report)
  noticeHostBits(subnet, report)
  const own = resolveOptions(subnet['option-data'], definitions, report)
  const outer = network === undefined ? NO_OPTIONS : resolveOptions(network['option-data'], definitions, report)
  const options = mergeOptions(own, outer)
  const terms = sharedTerms(chain, 6, report)
  const rules = classRules(subnet, classes, report)
  const relays = relayAddresses(subnet.relay)
  const within = rangeOfSubnet(subnet)
  return {
    id: ids.get(subnet) ?? 0,
    text: subnet.subnet.text,
    prefix: subnet.subnet.prefix,
    prefixLength: subnet.subnet.length,
    sharedNetwork: network?.name,
    interface: subnet.interface || network?.interface || undefined,
    interfaceId: interfaceIdOf(subnet) ?? interfaceIdOf(network),
    relayAddresses: relays.length > 0 ? relays : relayAddresses(network?.relay),
    ...(network === undefined ? rules : inheritRules(rules, classRules(network, classes, report))),
    options,
    pools: resolvePools(subnet.pools, { within, outer: options, textOf: ip6Text, definitions, classes, report }),
    pdPools: resolvePdPools(subnet, options, definitions, classes, report),
    reservations: resolveReservations6(subnet.reservations, { ...reservationsOf(context), within }),
    ...terms,
    preferredLifetime: preferredLifetimes(chain, terms.validLifetime, report),
    pdAllocator: nearest(chain, 'pd-allocator') ?? 'hashed',
    rapidCommit: nearest(chain, 'rapid-commit') ?? false,
  }
}
