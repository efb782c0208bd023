/**
 * Drivers for DHCPv4 clients in network namespaces: udhcpc, dhclient and dhcpcd, each with files of its own in a
 * temporary folder and a script that records what it was told.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeClient, words } from './client.ts'
import type { Client, Driver } from './client.ts'
import { makeHook } from './hooks.ts'
import type { Lab, Namespace } from './namespaces.ts'
import type { Running } from './process.ts'

/** A lease as a client reports it. Times in seconds; addresses dotted. */
export interface ClientLease4 {
  /** The client's own word for how it came by the lease now. */
  readonly reason: string
  readonly address: string
  /** Length of the subnet mask in bits. */
  readonly prefixLength: number
  readonly leaseTimeSec: number
  readonly serverId: string
  readonly router: string | undefined
  readonly dnsServers: readonly string[]
}

/** A DHCPv4 client. `again` is INIT-REBOOT (RFC 2131 §3.2) where it holds a valid lease. */
export interface Client4 extends Client<ClientLease4> {
  readonly program: Program4
  /** Makes the client renew now where it can be told to; dhclient and dhcpcd renew by themselves at T1. */
  readonly askRenewal: () => void
}

/** The clients there are drivers for. */
export type Program4 = 'udhcpc' | 'dhclient' | 'dhcpcd'

export interface Client4Options {
  readonly lab: Lab
  readonly namespace: Namespace
  readonly program: Program4
  readonly device: string
  /** Lease time to ask for, seconds; default none. */
  readonly leaseTimeSec?: number
}

/** Makes a client; nothing runs before its `acquire`. */
export const makeClient4 = async (options: Client4Options): Promise<Client4> => {
  const { lab, namespace, program, device } = options
  const driver = await drivers[program](options, await lab.folder(program))
  const flush = ['ip', '-4', 'addr', 'flush', 'dev', device]
  const client = makeClient({ name: program, namespace, driver, gather: ([first]) => first, flush })
  const askRenewal = (): void => {
    const running = client.running()
    if (running !== undefined) driver.askRenewal(running)
  }
  return { ...client, program, askRenewal }
}

/** What differs between the clients. */
interface Driver4 extends Driver<ClientLease4> {
  readonly askRenewal: (running: Running) => void
}

type MakeDriver = (options: Client4Options, folder: string) => Promise<Driver4>

/** Number of leading ones of a dotted subnet mask. */
const bitsOf = (mask: string | undefined): number =>
  (mask ?? '').split('.').reduce((bits, part) => bits + Number(part).toString(2).replaceAll('0', '').length, 0)

const makeUdhcpc: MakeDriver = async ({ device, leaseTimeSec }, folder) => {
  const hook = await makeHook(
    folder,
    `case "$event" in
  bound|renew)
    ip -4 addr replace "$ip/$mask" dev ${device}
    [ -z "$router" ] || ip -4 route replace default via "\${router%% *}" dev ${device} ;;
  deconfig) ip -4 addr flush dev ${device} ;;
esac`,
  )
  // Five discovers, one a second, and a second's rest before the next five.
  const patience = ['-t', '5', '-T', '1', '-A', '1']
  const wish = leaseTimeSec === undefined ? [] : ['-x', `lease:${leaseTimeSec}`]
  return {
    hook,
    command: () => ['udhcpc', '-f', '-i', device, '-s', hook.script, ...patience, ...wish],
    askRenewal: (running) => running.signal('SIGUSR1'),
    release: async (running) => {
      running.signal('SIGUSR2')
      await running.printed(/entering released state/)
      await running.stop('SIGTERM')
    },
    read: ({ reason, env }) =>
      reason !== 'bound' && reason !== 'renew'
        ? undefined
        : {
            reason,
            address: env.ip ?? '',
            prefixLength: Number(env.mask),
            leaseTimeSec: Number(env.lease),
            serverId: env.serverid ?? '',
            router: words(env.router)[0],
            dnsServers: words(env.dns),
          },
  }
}

const makeDhclient: MakeDriver = async ({ namespace, device, leaseTimeSec }, folder) => {
  const hook = await makeHook(
    folder,
    `case "$event" in
  PREINIT) ip link set ${device} up ;;
  BOUND|RENEW|REBIND|REBOOT)
    ip -4 addr replace "$new_ip_address/$new_subnet_mask" dev ${device}
    [ -z "$new_routers" ] || ip -4 route replace default via "\${new_routers%% *}" dev ${device} ;;
  EXPIRE|FAIL|RELEASE|STOP) ip -4 addr flush dev ${device} ;;
esac`,
  )
  const config = join(folder, 'dhclient.conf')
  const settings = [
    'initial-delay 0;',
    'initial-interval 1;',
    'backoff-cutoff 2;',
    'reboot 5;',
    'retry 1;',
    'timeout 15;',
  ]
  if (leaseTimeSec !== undefined) settings.push(`send dhcp-lease-time ${leaseTimeSec};`)
  await writeFile(config, settings.join('\n'))
  const files = ['-cf', config, '-lf', join(folder, 'leases'), '-pf', join(folder, 'pid'), '-sf', hook.script]
  const reasons = ['BOUND', 'RENEW', 'REBIND', 'REBOOT']
  return {
    hook,
    command: () => ['dhclient', '-4', '-d', '-v', ...files, device],
    askRenewal: () => undefined, // it has no such command; it renews at T1
    release: async (running) => {
      await namespace.must(['dhclient', '-4', '-v', '-r', ...files, device])
      await running.exited
    },
    read: ({ reason, env }) => (reasons.includes(reason) ? readPrefixed(reason, env) : undefined),
  }
}

const makeDhcpcd: MakeDriver = async ({ device, leaseTimeSec }, folder) => {
  const hook = await makeHook(folder, '')
  const config = join(folder, 'dhcpcd.conf')
  const settings = [
    'ipv4only',
    'noarp', // its address conflict detection takes five seconds
    'noipv4ll',
    'clientid',
    'nodelay',
    'reboot 5',
    'option subnet_mask, routers, domain_name_servers, dhcp_lease_time, dhcp_server_identifier',
    ...(leaseTimeSec === undefined ? [] : [`leasetime ${leaseTimeSec}`]),
  ]
  await writeFile(config, settings.join('\n') + '\n')
  const reasons = ['BOUND', 'RENEW', 'REBIND', 'REBOOT']
  return {
    hook,
    command: await makeDhcpcdCommand(folder, ['-4', '-B', '-d', '-f', config, '-c', hook.script, device]),
    askRenewal: () => undefined, // its -n asks for a rebind; it renews at T1
    release: (running) => running.stop('SIGALRM'), // what its own -k sends
    read: ({ reason, env }) => (reasons.includes(reason) ? readPrefixed(reason, env) : undefined),
  }
}

/**
 * dhcpcd keeps leases, DUID and sockets at fixed paths. `ip netns exec` gives it a mount namespace of its own, in which
 * folders of the test stand in their places.
 */
export const makeDhcpcdCommand = async (folder: string, args: readonly string[]): Promise<() => readonly string[]> => {
  const mounts = [
    ['db', '/var/lib/dhcpcd'],
    ['run', '/run/dhcpcd'],
  ] as const
  for (const [name] of mounts) await mkdir(join(folder, name), { recursive: true })
  const mount = mounts.map(([name, path]) => `mkdir -p ${path} && mount --bind ${join(folder, name)} ${path}`)
  return () => ['sh', '-c', `${mount.join(' && ')} && exec dhcpcd "$@"`, 'dhcpcd', ...args]
}

/** The lease in the environment that dhclient and dhcpcd share. */
const readPrefixed = (reason: string, env: Readonly<Record<string, string>>): ClientLease4 => ({
  reason,
  address: env.new_ip_address ?? '',
  prefixLength: bitsOf(env.new_subnet_mask),
  leaseTimeSec: Number(env.new_dhcp_lease_time),
  serverId: env.new_dhcp_server_identifier ?? '',
  router: words(env.new_routers)[0],
  dnsServers: words(env.new_domain_name_servers),
})

const drivers: Readonly<Record<Program4, MakeDriver>> = {
  udhcpc: makeUdhcpc,
  dhclient: makeDhclient,
  dhcpcd: makeDhcpcd,
}
