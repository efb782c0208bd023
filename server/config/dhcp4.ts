/** Resolves `Dhcp4`. */
import { ip4Text } from '../../domain/address.ts'
import { makeOptionRegistry } from '../options/registry.ts'
import { resolveClasses4 } from './classes.ts'
import { checkHooks, noticeUnused, sharedService, wantsFlexibleIds } from './global.ts'
import {
  checkTimers,
  classRules,
  inheritRules,
  nearest,
  relayAddresses,
  sharedTerms,
  validLifetimes,
} from './inherit.ts'
import type { ClientClass, Dhcp4, Identifier4, ListenAddress, SharedNetwork4, Subnet4 } from './model.ts'
import { defineOptions, mergeOptions, NO_OPTIONS, resolveOptions } from './options.ts'
import type { Definitions } from './options.ts'
import { resolvePools } from './pools.ts'
import { refuseOverlaps } from './ranges.ts'
import type { Range } from './ranges.ts'
import type { Report } from './report.ts'
import { resolveReservations4 } from './reservations.ts'
import type { DhcpText4, NetworkText4, SubnetText4 } from './shapes.ts'
import { noticeHostBits, subnetIds } from './subnet-ids.ts'
import { ip4Last } from './values.ts'

/** How long an offer holds its address where nothing is said. Seconds. */
const OFFER_LIFETIME_SEC = 10
const HOST_IDENTIFIERS: readonly Identifier4[] = ['hw-address', 'duid', 'circuit-id', 'client-id']

/** What subnets are resolved with. */
interface Context {
  readonly global: DhcpText4
  readonly definitions: Definitions
  readonly classes: ReadonlyMap<string, ClientClass>
  readonly ids: ReadonlyMap<SubnetText4, number>
  readonly report: Report
}

/** The DHCPv4 service as configured. Every mistake is reported; the value is then of no use. */
export const resolveDhcp4 = (global: DhcpText4, listen: readonly ListenAddress[], report: Report): Dhcp4 => {
  const standard: Definitions = { universe: 4, registry: makeOptionRegistry(4), custom: [] }
  const definitions = defineOptions(global['option-def'], standard, report)
  const options = resolveOptions(global['option-data'], definitions, report)
  const classes = resolveClasses4(global['client-classes'], definitions, validLifetimes([global], report), report)
  const networks = global['shared-networks'] ?? []
  const written = [...(global.subnet4 ?? []), ...networks.flatMap((network) => network.subnet4 ?? [])]
  const byName = new Map(classes.map((each) => [each.name, each]))
  const context: Context = { global, definitions, classes: byName, ids: subnetIds(written, report), report }
  checkHooks(global['hooks-libraries'], report)
  noticeUnused(global, report)
  checkTimers(global, report)
  refuseOverlaps(written.map(rangeOfSubnet), 'subnet', report)
  const subnets = [
    ...(global.subnet4 ?? []).map((subnet) => resolveSubnet(subnet, undefined, context)),
    ...networks.flatMap((network) => (network.subnet4 ?? []).map((subnet) => resolveSubnet(subnet, network, context))),
  ]
  const fixed = reservationsOf(context)
  return {
    subnets,
    sharedNetworks: resolveNetworks(networks, context),
    classes,
    globalReservations: resolveReservations4(global.reservations, {
      ...fixed,
      within: undefined,
    }),
    hostIdentifiers: hostIdentifiers(global, report),
    echoClientId: global['echo-client-id'] ?? true,
    stashAgentOptions: global['stash-agent-options'] ?? false,
    authoritative: global.authoritative ?? false,
    ...sharedService(global, 4, listen, report),
    options,
  }
}

const reservationsOf = ({ global, definitions, report }: Context) => ({
  definitions,
  report,
  flexible: wantsFlexibleIds(global['hooks-libraries']),
  unique: global['ip-reservations-unique'] ?? true,
})

const hostIdentifiers = (global: DhcpText4, report: Report): readonly Identifier4[] => {
  const written = global['host-reservation-identifiers']
  if (written === undefined) return HOST_IDENTIFIERS
  if (written.includes('flex-id')) report.warn('host-reservation-identifiers: flex-id is passed over')
  return written.filter((identifier) => identifier !== 'flex-id')
}

const rangeOfSubnet = ({ at, subnet }: SubnetText4): Range<number> => ({
  first: subnet.prefix,
  last: ip4Last(subnet.prefix, subnet.length),
  at: [...at, 'subnet'],
  text: subnet.text,
})

const resolveNetworks = (networks: readonly NetworkText4[], context: Context): readonly SharedNetwork4[] => {
  const { ids, classes, report } = context
  const seen = new Set<string>()
  return networks.map((network) => {
    if (seen.has(network.name)) report.error([...network.at, 'name'], `the name ${network.name} is given twice`)
    seen.add(network.name)
    checkTimers(network, report)
    return {
      name: network.name,
      interface: network.interface || undefined,
      relayAddresses: relayAddresses(network.relay),
      subnetIds: (network.subnet4 ?? []).map((subnet) => ids.get(subnet) ?? 0),
      ...classRules(network, classes, report),
    }
  })
}

const resolveSubnet = (subnet: SubnetText4, network: NetworkText4 | undefined, context: Context): Subnet4 => {
  const { global, definitions, classes, ids, report } = context
  const chain = network === undefined ? [subnet, global] : [subnet, network, global]
  checkTimers(subnet, report)
  noticeHostBits(subnet, report)
  const own = resolveOptions(subnet['option-data'], definitions, report)
  const outer = network === undefined ? NO_OPTIONS : resolveOptions(network['option-data'], definitions, report)
  const options = mergeOptions(own, outer)
  const offerLifetime = nearest(chain, 'offer-lifetime') ?? OFFER_LIFETIME_SEC
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
    relayAddresses: relays.length > 0 ? relays : relayAddresses(network?.relay),
    ...(network === undefined ? rules : inheritRules(rules, classRules(network, classes, report))),
    options,
    pools: resolvePools(subnet.pools, { within, outer: options, textOf: ip4Text, definitions, classes, report }),
    reservations: resolveReservations4(subnet.reservations, { ...reservationsOf(context), within }),
    ...sharedTerms(chain, 4, report),
    authoritative: nearest(chain, 'authoritative') ?? false,
    matchClientId: nearest(chain, 'match-client-id') ?? true,
    offerLifetimeSec: offerLifetime === 0 ? OFFER_LIFETIME_SEC : offerLifetime,
    recordOffers: offerLifetime !== 0,
    nextServer: nearest(chain, 'next-server') ?? 0,
    serverHostname: nearest(chain, 'server-hostname') ?? '',
    bootFileName: nearest(chain, 'boot-file-name') ?? '',
  }
}
