/**
 * Drivers for DHCPv6 clients in network namespaces: dhclient, dhcpcd and, where busybox has it, udhcpc6; each asks for
 * an address, a delegated prefix or both, with files of its own and a script that records what it was told.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeClient, words } from './client.ts'
import type { Client, Driver } from './client.ts'
import { makeDhcpcdCommand } from './clients4.ts'
import { makeHook } from './hooks.ts'
import type { Lab, Namespace } from './namespaces.ts'
import { run, which } from './process.ts'

/** What a client asks for. */
export type Wanted6 = 'address' | 'prefix' | 'both'

/** An address or prefix as a client reports it. `value` is the address, or the prefix with its length; seconds. */
export interface ClientBinding6 {
  readonly value: string
  readonly preferredSec: number
  readonly validSec: number
}

/** All that a client holds. */
export interface ClientLease6 {
  /** The client's own word for how it came by the lease now. */
  readonly reason: string
  readonly address: ClientBinding6 | undefined
  readonly prefix: ClientBinding6 | undefined
  readonly dnsServers: readonly string[]
}

/** The clients there are drivers for. */
export type Program6 = 'dhclient' | 'dhcpcd' | 'udhcpc6'

/** A DHCPv6 client. `again` is Confirm, or Rebind when there is a prefix (RFC 8415 §18.2.3, §18.2.12). */
export interface Client6 extends Client<ClientLease6> {
  readonly program: Program6
  readonly wanted: Wanted6
}

export interface Client6Options {
  readonly lab: Lab
  readonly namespace: Namespace
  readonly program: Program6
  readonly device: string
  readonly wanted: Wanted6
}

/** Why a client cannot be run here, or undefined when it can. */
export const client6Missing = async (program: Program6): Promise<string | undefined> => {
  if (program !== 'udhcpc6') return which(program) === undefined ? `needs ${program}` : undefined
  if (which('busybox') === undefined) return 'needs busybox'
  const { stdout } = await run(['busybox', '--list'])
  return stdout.split('\n').includes('udhcpc6') ? undefined : 'this busybox is built without udhcpc6'
}

/** Makes a client; nothing runs before its `acquire`. */
export const makeClient6 = async (options: Client6Options): Promise<Client6> => {
  const { lab, namespace, program, device, wanted } = options
  const driver = await drivers[program](options, await lab.folder(`${program}-6`))
  const client = makeClient({
    name: `${program} (${wanted})`,
    namespace,
    driver,
    gather: (reports: readonly ClientLease6[]) => gather(reports, wanted),
    flush: ['ip', '-6', 'addr', 'flush', 'dev', device, 'scope', 'global'],
  })
  return { ...client, program, wanted }
}

/** Clients report address and prefix together or one after the other: the last of each, once all wanted are there. */
const gather = (reports: readonly ClientLease6[], wanted: Wanted6): ClientLease6 | undefined => {
  const address = reports.findLast((report) => report.address !== undefined)?.address
  const prefix = reports.findLast((report) => report.prefix !== undefined)?.prefix
  const last = reports.at(-1)
  if (last === undefined || (wanted !== 'prefix' && address === undefined)) return undefined
  if (wanted !== 'address' && prefix === undefined) return undefined
  return { reason: last.reason, address, prefix, dnsServers: last.dnsServers }
}

type MakeDriver = (options: Client6Options, folder: string) => Promise<Driver<ClientLease6>>

const reasons = ['BOUND6', 'RENEW6', 'REBIND6', 'REBOOT6']

const makeDhclient: MakeDriver = async ({ namespace, device, wanted }, folder) => {
  const hook = await makeHook(
    folder,
    `case "$event" in
  PREINIT6) ip link set ${device} up ;;
  BOUND6|RENEW6|REBIND6)
    [ -z "$new_ip6_address" ] || ip -6 addr replace "$new_ip6_address/128" dev ${device} nodad ;;
  EXPIRE6|RELEASE6|STOP6|DEPREF6)
    [ -z "$old_ip6_address" ] || ip -6 addr del "$old_ip6_address/128" dev ${device} ;;
esac`,
  )
  const config = join(folder, 'dhclient.conf')
  await writeFile(config, 'also request dhcp6.name-servers;\n')
  const kind = { address: ['-N'], prefix: ['-P'], both: ['-N', '-P'] }[wanted]
  const files = ['-cf', config, '-lf', join(folder, 'leases'), '-pf', join(folder, 'pid'), '-sf', hook.script]
  return {
    hook,
    command: () => ['dhclient', '-6', '-d', '-v', ...kind, ...files, device],
    release: async (running) => {
      await namespace.must(['dhclient', '-6', '-v', '-r', ...kind, ...files, device])
      await running.exited
    },
    read: ({ reason, env }) => {
      if (!reasons.includes(reason)) return undefined
      const times = { preferredSec: Number(env.new_preferred_life), validSec: Number(env.new_max_life) }
      const address = env.new_ip6_address === undefined ? undefined : { value: env.new_ip6_address, ...times }
      const prefix = env.new_ip6_prefix === undefined ? undefined : { value: env.new_ip6_prefix, ...times }
      return { reason, address, prefix, dnsServers: words(env.new_dhcp6_name_servers) }
    },
  }
}

const makeDhcpcd: MakeDriver = async ({ device, wanted }, folder) => {
  const hook = await makeHook(folder, '')
  const config = join(folder, 'dhcpcd.conf')
  const settings = [
    'ipv6only',
    'noipv6rs', // no router is announced here: DHCPv6 is to start by itself
    'duid ll',
    'nodelay',
    'option dhcp6_name_servers',
    `interface ${device}`,
    ...(wanted === 'prefix' ? [] : ['ia_na 1']),
    ...(wanted === 'address' ? [] : ['ia_pd 2 -']), // the prefix is asked for and given to no interface
  ]
  await writeFile(config, settings.join('\n') + '\n')
  return {
    hook,
    command: await makeDhcpcdCommand(folder, ['-6', '-B', '-d', '-f', config, '-c', hook.script, device]),
    release: (running) => running.stop('SIGALRM'), // what its own -k sends
    read: ({ reason, env }) => {
      if (!reasons.includes(reason)) return undefined
      const times = (name: string) => ({
        preferredSec: Number(env[`${name}_pltime`]),
        validSec: Number(env[`${name}_vltime`]),
      })
      const address = env.new_dhcp6_ia_na1_ia_addr1
      const prefix = env.new_dhcp6_ia_pd1_prefix1
      return {
        reason,
        address: address === undefined ? undefined : { value: address, ...times('new_dhcp6_ia_na1_ia_addr1') },
        prefix:
          prefix === undefined
            ? undefined
            : { value: `${prefix}/${env.new_dhcp6_ia_pd1_prefix1_length}`, ...times('new_dhcp6_ia_pd1_prefix1') },
        dnsServers: words(env.new_dhcp6_name_servers),
      }
    },
  }
}

const makeUdhcpc6: MakeDriver = async ({ device, wanted }, folder) => {
  const hook = await makeHook(
    folder,
    `case "$event" in
  bound|renew) [ -z "$ipv6" ] || ip -6 addr replace "$ipv6/128" dev ${device} nodad ;;
  deconfig) ip -6 addr flush dev ${device} scope global ;;
esac`,
  )
  const kind = { address: [], prefix: ['-r', 'no', '-d'], both: ['-d'] }[wanted]
  const patience = ['-t', '5', '-T', '1', '-A', '1']
  return {
    hook,
    command: () => ['busybox', 'udhcpc6', '-f', '-i', device, '-s', hook.script, ...patience, ...kind],
    release: async (running) => {
      running.signal('SIGUSR2')
      await running.printed(/entering released state/)
      await running.stop('SIGTERM')
    },
    read: ({ reason, env }) => {
      if (reason !== 'bound' && reason !== 'renew') return undefined
      const times = { preferredSec: Number(env.lease), validSec: Number(env.lease) }
      return {
        reason,
        address: env.ipv6 === undefined ? undefined : { value: env.ipv6, ...times },
        prefix: env.ipv6prefix === undefined ? undefined : { value: env.ipv6prefix, ...times },
        dnsServers: words(env.dns),
      }
    },
  }
}

const drivers: Readonly<Record<Program6, MakeDriver>> = {
  dhclient: makeDhclient,
  dhcpcd: makeDhcpcd,
  udhcpc6: makeUdhcpc6,
}
