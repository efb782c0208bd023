import * as E from 'fp-ts/lib/Either.js'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { hexText, ip4Text, ip6Text } from '../../domain/address.ts'
import { loadConfig } from '../../server/config/load.ts'
import type { Config, Dhcp4, Dhcp6, OptionSet } from '../../server/config/model.ts'
import { good, good4, good6 } from './config-support.ts'

const load = (name: string): Config => {
  const config = loadConfig([fileURLToPath(new URL(name, import.meta.url))])
  if (E.isLeft(config)) throw new Error(JSON.stringify(config.left))
  return config.right
}

const hexOf = (options: OptionSet | undefined, code: number): string | undefined => {
  const value = options?.standard.get(code)
  return value === undefined ? undefined : hexText(value.bytes)
}

describe('a configuration as for Kea’s DHCPv4 server', () => {
  const config = load('./fixtures/config/campus4.conf')
  const dhcp4 = config.dhcp4 as Dhcp4
  const subnet = (id: number) => dhcp4.subnets.find((each) => each.id === id)

  it('says where and how to listen', () => {
    expect(dhcp4.interfaces).toEqual({
      choices: [
        { name: 'eth0', address: undefined },
        { name: 'eth1', address: '198.51.100.1' },
      ],
      socketType: 'udp',
      outbound: 'use-routing',
      reDetect: false,
      retriesMax: 5,
      retryWaitMs: 2000,
      requireAll: true,
      listen: [],
    })
  })

  it('names its database, hosts in order of preference', () => {
    expect(config.store).toEqual({
      _tag: 'mysql',
      hosts: [
        { host: 'db1', port: 3306 },
        { host: 'db2', port: 3307 },
        { host: '2001:db8::5', port: 3308 },
      ],
      name: 'leases',
      user: 'kea',
      password: { _tag: 'File', path: '/etc/kea/db.pw' },
      tls: {
        mode: 'verify-ca',
        ca: '/etc/kea/ca.pem',
        cert: '/etc/kea/db.pem',
        key: '/etc/kea/db.key',
        cipherList: 'AES',
      },
      connectTimeoutMs: 3000,
      statementTimeoutMs: 2000,
      preferAgainMs: 5000,
      reconnect: { triesMax: 3, waitMs: 5000, onFail: 'serve-retry-continue', retryOnStartup: true },
      tableEngine: 'InnoDB',
    })
  })

  it('has the settings of the whole service', () => {
    expect(dhcp4).toMatchObject({
      expiredProcessing: {
        reclaimTimerWaitSec: 11,
        flushReclaimedTimerWaitSec: 26,
        holdReclaimedSec: 3601,
        reclaimLeasesMax: 101,
        reclaimTimeMsMax: 251,
        unwarnedReclaimCycles: 6,
      },
      sanityChecks: { leaseChecks: 'fix-del', extendedInfoChecks: 'strict' },
      declineProbationSec: 1800,
      hostIdentifiers: ['circuit-id', 'hw-address', 'duid', 'client-id'],
      echoClientId: false,
      stashAgentOptions: true,
      authoritative: true,
      earlyGlobalReservationsLookup: true,
      reservationsLookupFirst: true,
      ipReservationsUnique: false,
    })
    expect(dhcp4.globalReservations).toMatchObject([{ hostname: 'everywhere', clientClasses: ['by-reservation'] }])
  })

  it('resolves what subnets inherit', () => {
    expect(subnet(20)).toMatchObject({
      sharedNetwork: 'dormitory',
      interface: 'eth1',
      validLifetime: { min: 900, default: 900, max: 900 },
      timers: { renewSec: undefined, rebindSec: undefined, calculateTeeTimes: true, t1Percent: 0.4, t2Percent: 0.8 },
      cache: { threshold: 0.25, maxAgeSec: 600 },
      allocator: 'iterative',
      matchClientId: true,
      authoritative: true,
      recordOffers: false,
      offerLifetimeSec: 10,
      storeExtendedInfo: true,
      serverHostname: 'boot',
      bootFileName: '/dev/null',
      additionalClasses: ['late'],
    })
    expect(ip4Text(subnet(20)?.nextServer ?? 0)).toBe('198.18.0.7')
    expect(subnet(20)?.relayAddresses.map(ip4Text)).toEqual(['198.18.0.1'])
    expect(subnet(21)?.relayAddresses.map(ip4Text)).toEqual(['198.18.1.1'])
    expect(subnet(21)?.clientClasses).toEqual(['by-reservation'])
    expect(subnet(10)).toMatchObject({
      validLifetime: { min: 600, default: 4000, max: 8000 },
      timers: { renewSec: 1000, rebindSec: 2000 },
      allocator: 'random',
      matchClientId: false,
      authoritative: false,
      recordOffers: true,
      offerLifetimeSec: 20,
      adaptiveLeaseTimeThreshold: 0.9,
      reservationModes: { global: true, inSubnet: true, outOfPool: true },
      additionalClasses: ['late'],
    })
    expect(dhcp4.sharedNetworks).toMatchObject([{ name: 'dormitory', interface: 'eth1', subnetIds: [20, 21] }])
  })

  it('has pools in both notations, with options of pool over subnet over network', () => {
    const ends = subnet(10)?.pools.map(({ first, last }) => `${ip4Text(first)} ${ip4Text(last)}`)
    expect(ends).toEqual(['198.51.100.10 198.51.100.99', '198.51.100.128 198.51.100.255'])
    const pool = subnet(20)?.pools[0]
    expect(pool).toMatchObject({ id: 5, clientClasses: ['voip'] })
    expect(hexOf(pool?.options, 3)).toBe('c61200fe')
    expect(hexOf(pool?.options, 4)).toBe('c6120003')
    expect(hexOf(subnet(20)?.options, 4)).toBe('c6120002')
    expect(hexOf(subnet(20)?.options, 6)).toBeUndefined()
  })

  it('has reservations by every identifier but flex-id', () => {
    const rows = subnet(10)?.reservations.map((each) => [
      each.identifierType,
      hexText(each.identifier),
      each.address === undefined ? undefined : ip4Text(each.address),
    ])
    expect(rows).toEqual([
      ['hw-address', '1a1b1c1d1e1f', '198.51.100.201'],
      ['client-id', '010a0b0c0d0e0f', '198.51.100.202'],
      ['duid', '0a0b0c', '198.51.100.203'],
      ['circuit-id', '706f72742d37', '198.51.100.203'],
    ])
    expect(subnet(10)?.reservations[0]).toMatchObject({
      serverHostname: 'hal',
      bootFileName: '/x',
      nextServer: 3325256708,
    })
    expect(hexOf(subnet(10)?.reservations[0]?.options, 3)).toBe('c6336401')
  })

  it('has its global options as octets', () => {
    const { options } = dhcp4
    expect(hexOf(options, 6)).toBe('c6336402c6336403')
    expect(hexOf(options, 15)).toBe(Buffer.from('example.org').toString('hex'))
    expect(hexOf(options, 67)).toBe(Buffer.from('EST5EDT4,M3.2.0/02:00,M11.1.0/02:00').toString('hex'))
    expect(hexOf(options, 222)).toBe('03e8')
    expect(hexOf(options, 223)).toBe('020507c63364090103726564')
    expect(hexOf(options, 230)).toBe('01020a')
    expect(hexOf(options, 125)).toBe('0000118b060204c6336408')
    expect(options.standard.get(42)).toMatchObject({ neverSend: true })
    expect(options.always).toEqual([23])
    expect([...(options.vendor.get(4491)?.keys() ?? [])]).toEqual([2])
  })

  it('has its classes in order', () => {
    expect(dhcp4.classes.map(({ name, onlyInAdditionalList }) => [name, onlyInAdditionalList])).toEqual([
      ['voip', false],
      ['late', true],
      ['by-reservation', false],
    ])
    const [voip, late] = dhcp4.classes
    expect(voip).toMatchObject({
      serverHostname: 'hal9000',
      bootFileName: '/tftp/phone',
      validLifetime: { default: 300 },
    })
    expect(hexOf(voip?.options, 43)).toBe('0108687474703a2f2f78')
    expect(late?.offerLifetimeSec).toBe(60)
    expect(dhcp4.classes[2]?.test).toBeUndefined()
  })

  it('has the ledger’s own settings and the loggers', () => {
    expect(config.ledger).toMatchObject({
      serverName: 'west',
      dataFolder: '/var/lib/lease-ledger',
      maxClockSkewSec: 3,
      loadBalancing: true,
      workers: 4,
      limits: { queueMax: 10, batchMax: 20, offerBatchMax: 30, attemptsMax: 5, packetAgeMsMax: 600 },
      http: { address: '127.0.0.1', port: 8080 },
    })
    expect(config.ledger.projections).toMatchObject([
      {
        name: 'reports',
        store: {
          hosts: [{ host: '/run/postgresql', port: 5432 }],
          password: { _tag: 'Environment', variable: 'REPORTS' },
          statementTimeoutMs: 500,
          tls: { mode: 'prefer' },
        },
      },
    ])
    const output = { output: '/var/log/kea4.log', flush: false, sizeMax: 1000, versionsMax: 4, pattern: '%m\n' }
    expect(config.loggers).toEqual([{ name: 'kea-dhcp4', severity: 'DEBUG', debugLevel: 40, outputs: [output] }])
  })

  it('has the key that signs evidence, from the working directory on', () => {
    const { ledger } = good('{"Dhcp4": {}, "LeaseLedger": {"evidence-key": "keys/evidence.pem"}}')
    expect(ledger.evidenceKey).toBe(resolve('keys/evidence.pem'))
    expect(good('{"Dhcp4": {}}').ledger.evidenceKey).toBeUndefined()
  })

  it('warns once of each key that has no effect', () => {
    expect(config.warnings.map((warning) => warning.split(' has no effect')[0])).toEqual([
      'the hook library libdhcp_lease_cmds.so is not loaded: leases are looked up with SQL and with the ledger command',
      'the hook library libdhcp_ha.so is not loaded: every server that uses the same ledger answers; no pairing is needed',
      'reservations by flex-id are passed over: no client matches them without the hook library flex_id',
      'host-reservation-identifiers: flex-id is passed over',
      'control-socket',
      'lfc-interval',
      'max-row-errors',
      'multi-threading',
      'dhcp-ddns',
      'ddns-send-updates',
      'ddns-qualifying-suffix',
      'user-context',
      'outbound-interface',
      'early-global-reservations-lookup',
      'pattern',
    ])
  })
})

describe('a configuration as for Kea’s DHCPv6 server', () => {
  const config = load('./fixtures/config/isp6.conf')
  const dhcp6 = config.dhcp6 as Dhcp6
  const subnet = (id: number) => dhcp6.subnets.find((each) => each.id === id)

  it('has the settings of the whole service', () => {
    expect(dhcp6.serverId).toMatchObject({ type: 'EN', enterpriseId: 2495, time: undefined, persist: false })
    expect(hexText(dhcp6.serverId?.identifier ?? new Uint8Array(0))).toBe('87abef7a5bb545')
    expect(dhcp6.macSources).toEqual(['client-link-addr-option', 'duid'])
    expect(dhcp6.relaySuppliedOptions).toEqual([65, 110, 37])
    expect(dhcp6.hostIdentifiers).toEqual(['duid'])
    expect(hexOf(dhcp6.options, 17)).toBe('0000118b0020001020010db8000000000000000000000009')
    expect(config.store).toMatchObject({
      _tag: 'eventstore',
      hosts: [
        { host: 'es1', port: 2113 },
        { host: 'es2', port: 2114 },
      ],
    })
  })

  it('resolves what subnets inherit', () => {
    expect(subnet(1)).toMatchObject({
      preferredLifetime: { min: 1000, default: 3000, max: 4000 },
      timers: { renewSec: 1000, rebindSec: 2000, calculateTeeTimes: true, t2Percent: 0.8 },
      rapidCommit: false,
      pdAllocator: 'random',
      allocator: 'hashed',
    })
    expect(subnet(2)).toMatchObject({ rapidCommit: true, preferredLifetime: { min: 500, default: 500, max: 500 } })
    expect(subnet(2)?.interfaceId).toEqual(new TextEncoder().encode('olt-2'))
    expect(subnet(3)?.interfaceId).toEqual(new TextEncoder().encode('olt-1'))
    expect(subnet(3)?.relayAddresses.map(ip6Text)).toEqual(['2001:db8:2::1'])
  })

  it('has pools of addresses and of prefixes', () => {
    expect(subnet(2)?.pools.map(({ first, last }) => [ip6Text(first), ip6Text(last)])).toEqual([
      ['2001:db8:2::', '2001:db8:2::ffff:ffff:ffff'],
    ])
    const [pool] = subnet(1)?.pdPools ?? []
    expect(pool).toMatchObject({ id: 9, prefixLength: 36, delegatedLength: 56, excluded: { length: 72 } })
    expect(hexOf(subnet(1)?.pools[0]?.options, 23)).toBe('20010db8000100000000000000000003')
  })

  it('has reservations of addresses and prefixes', () => {
    const [first, second] = subnet(1)?.reservations ?? []
    expect(first?.prefixes.map(({ prefix, length, excluded }) => [ip6Text(prefix), length, excluded?.length])).toEqual([
      ['2001:db8:8000:100::', 56, 64],
    ])
    expect(second?.addresses.map(ip6Text)).toEqual(['2001:db8:1::101', '2001:db8:1::102'])
    expect(second?.identifierType).toBe('hw-address')
  })
})

describe('what is not given', () => {
  it('is the embedded database in the folder data, and Kea’s defaults', () => {
    const config = good(
      '{"Dhcp4": {"subnet4": [{"subnet": "198.51.100.0/24"}, {"subnet": "203.0.113.0/24", "id": 1}]}}',
    )
    expect(config.store).toEqual({ _tag: 'embedded', port: 0 })
    expect(config.ledger.dataFolder).toBe(resolve('data'))
    expect(config.ledger.serverName).toBeUndefined()
    expect(config.dhcp4?.subnets.map(({ id }) => id)).toEqual([2, 1])
    expect(config.dhcp4?.subnets[0]).toMatchObject({
      validLifetime: { min: 7200, default: 7200, max: 7200 },
      cache: { threshold: 0 },
      reservationModes: { global: false, inSubnet: true, outOfPool: false },
      offerLifetimeSec: 10,
      recordOffers: true,
    })
    expect(config.warnings[0]).toMatch(/^the subnet 198.51.100.0\/24 has no id and gets 2:/)
  })

  it('makes the preferred lifetime five eighths of the valid one', () => {
    const { subnets } = good6('"valid-lifetime": 800, "subnet6": [{"id": 1, "subnet": "2001:db8::/64"}]')
    expect(subnets[0]?.preferredLifetime.default).toBe(500)
  })

  it('in bounds of lifetimes follows the default', () => {
    const of = (members: string) => good4(`${members}, "subnet4": [{"id": 1, "subnet": "198.51.100.0/24"}]`).subnets[0]
    expect(of('"max-valid-lifetime": 9000')?.validLifetime).toEqual({ min: 7200, default: 7200, max: 9000 })
    expect(of('"max-valid-lifetime": 100')?.validLifetime).toEqual({ min: 100, default: 100, max: 100 })
  })

  it('is taken from the command line where that has it', () => {
    const config = good('{"Dhcp4": {}, "LeaseLedger": {"server-name": "a"}}', { serverName: 'b', dataFolder: '/d' })
    expect(config.ledger).toMatchObject({ serverName: 'b', dataFolder: '/d' })
  })
})

describe('the quick start', () => {
  const path = fileURLToPath(new URL('../../server/config/quick-start.json', import.meta.url))
  it('listens on loopback only and is explained', () => {
    const config = load('../../server/config/quick-start.json')
    expect(config.warnings).toEqual([])
    expect(config.dhcp4?.interfaces).toMatchObject({ choices: [], listen: [{ address: '127.0.0.1', port: 6767 }] })
    expect(config.dhcp6?.interfaces).toMatchObject({ choices: [], listen: [{ address: '::1', port: 5470 }] })
    expect(readFileSync(path, 'utf8').match(/\/\//g)?.length).toBeGreaterThan(8)
  })
})
