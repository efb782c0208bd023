/**
 * Networks of the tests' own: network namespaces joined by veth pairs and a bridge, with everything that runs in them.
 *
 * A `Lab` owns what a test file makes and takes it down in reverse order, whatever failed before. Nothing appears in
 * the machine's own namespace: switches live in namespaces too. Addresses come from 198.18.0.0/15 (RFC 2544) and
 * 2001:db8::/32 (RFC 3849).
 */
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAlive, isRoot, must, run, signalOne, start, until, which } from './process.ts'
import type { Finished, Running, RunOptions, StartOptions } from './process.ts'

/** A network namespace with the ways to run programs in it. */
export interface Namespace {
  readonly name: string
  /** The words that, before a command, run it inside. */
  readonly inside: readonly string[]
  /** Runs a program inside to its end, whatever its exit code. */
  readonly run: (command: readonly string[], options?: RunOptions) => Promise<Finished>
  /** Runs a program inside and gives its standard output; rejects unless it exits with 0. */
  readonly must: (command: readonly string[], options?: RunOptions) => Promise<string>
  /** Starts a program that keeps running inside; the lab ends it at the latest. */
  readonly start: (command: readonly string[], options?: StartOptions) => Promise<Running>
  /** Runs lines of `ip` commands (without the word `ip`) inside, all in one process. */
  readonly ip: (...lines: readonly string[]) => Promise<void>
  /** Process ids of all that runs inside, also of what has detached itself from its parent. */
  readonly pids: () => Promise<readonly number[]>
}

/** Why no namespaces can be made here, or undefined when they can. `programs` are what a test needs beside them. */
export const labMissing = (...programs: readonly string[]): string | undefined => {
  if (!isRoot()) return 'needs root for network namespaces'
  const missing = ['ip', 'setpriv', 'unshare', 'tcpdump', ...programs].filter((program) => which(program) === undefined)
  return missing.length > 0 ? `needs ${missing.join(', ')}, which test/setup.sh installs` : undefined
}

let made = 0

/** Owns namespaces, processes and temporary folders, and takes all down in reverse order of their making. */
export class Lab {
  readonly #undo: { readonly what: string; readonly act: () => Promise<unknown> }[] = []

  /** Opens an empty lab. Removes the empty namespaces that a killed test run left behind. */
  static async open(): Promise<Lab> {
    const names = existsSync('/run/netns') ? readdirSync('/run/netns') : []
    for (const name of names) {
      const owner = /^ll-(\d+)-/.exec(name)?.[1]
      if (owner === undefined || isAlive(Number(owner))) continue
      // One in which something still runs is left alone: that may be somebody's after all.
      if ((await pidsIn(name)).length === 0) await run(['ip', 'netns', 'del', name])
    }
    return new Lab()
  }

  /** Adds something to take down at the close, before all that was added earlier. */
  defer(what: string, act: () => Promise<unknown>): void {
    this.#undo.push({ what, act })
  }

  /** Makes a temporary folder that anyone may enter. */
  async folder(label: string): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-${label}-`))
    this.defer(`remove ${folder}`, () => rm(folder, { recursive: true, force: true }))
    await must(['chmod', '755', folder])
    return folder
  }

  /** Makes a namespace with its loopback up, IPv6 without duplicate address detection, and no router discovery. */
  async namespace(label: string): Promise<Namespace> {
    const name = `ll-${process.pid}-${++made}-${label}`
    await must(['ip', 'netns', 'add', name])
    this.defer(`remove namespace ${name}`, () => removeNamespace(name))
    const inside = ['ip', 'netns', 'exec', name]
    const namespace: Namespace = {
      name,
      inside,
      run: (command, options) => run([...inside, ...command], options),
      must: (command, options) => must([...inside, ...command], options),
      start: (command, options) => start(command, { ...options, prefix: [...inside, ...(options?.prefix ?? [])] }),
      ip: async (...lines) => {
        await must(['ip', '-n', name, '-batch', '-'], { input: lines.join('\n') + '\n' })
      },
      pids: () => pidsIn(name),
    }
    const settings = ['accept_dad', 'accept_ra', 'router_solicitations'].flatMap((key) =>
      ['all', 'default'].map((scope) => `echo 0 > /proc/sys/net/ipv6/conf/${scope}/${key}`),
    )
    await namespace.must(['sh', '-c', [...settings, 'ip link set lo up'].join('; ')])
    return namespace
  }

  /** Takes everything down. Goes on after a failure and rejects at the end with all that failed. */
  async close(): Promise<void> {
    const failures: unknown[] = []
    for (let step = this.#undo.pop(); step !== undefined; step = this.#undo.pop()) {
      const { what, act } = step
      await act().catch((error: unknown) => failures.push(new Error(what, { cause: error })))
    }
    if (failures.length > 0) throw new AggregateError(failures, 'the lab could not be taken down completely')
  }
}

const pidsIn = async (name: string): Promise<readonly number[]> => {
  const { stdout } = await run(['ip', 'netns', 'pids', name])
  return stdout.split('\n').filter(Boolean).map(Number)
}

const removeNamespace = async (name: string): Promise<void> => {
  // A client may start a script between the list and the signal, so the list is read until it is empty.
  await until(`end of the processes in ${name}`, async () => {
    const pids = await pidsIn(name)
    pids.forEach((pid) => signalOne(pid, 'SIGKILL'))
    return pids.length === 0
  })
  await must(['ip', 'netns', 'del', name])
}

/** A namespace's place on a network: the name of its interface there. */
export interface Port {
  readonly namespace: Namespace
  readonly device: string
  /** Addresses with prefix length, IPv4 or IPv6. */
  readonly addresses?: readonly string[]
}

/** Connects ports by one switch. All come up with carrier and a usable link-local address. */
export const connect = async (lab: Lab, label: string, ports: readonly Port[]): Promise<void> => {
  const wire = await lab.namespace(label)
  // Without multicast snooping: it would hold back ff02::1:2 until a querier has asked who listens.
  await wire.ip('link add br0 type bridge forward_delay 0 mcast_snooping 0', 'link set br0 up')
  for (const [index, { namespace, device, addresses = [] }] of ports.entries()) {
    await wire.ip(
      `link add port${index} type veth peer name ${device} netns ${namespace.name}`,
      `link set port${index} master br0 up`,
    )
    const assign = addresses.map(
      (address) => `addr add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`,
    )
    await namespace.ip(`link set ${device} up`, ...assign)
  }
  for (const { namespace, device } of ports) {
    await until(`carrier and link-local address on ${device} in ${namespace.name}`, async () => {
      const shown = await namespace.must(['ip', '-6', '-o', 'addr', 'show', 'dev', device, 'up', 'scope', 'link'])
      return shown.includes('fe80:') && !shown.includes('tentative')
    })
  }
}

/** The server's and the clients' namespaces of a network; `relay` where there is one. */
export interface Network {
  readonly lab: Lab
  readonly server: Namespace
  /** Name of the server's interface towards clients or relay. */
  readonly serverDevice: string
  readonly clients: readonly Namespace[]
  /** Name of the interface in every client's namespace. */
  readonly clientDevice: string
  readonly relay?: Namespace
}

/** Server and clients on one link: the server is 198.18.0.1/24 and 2001:db8:0:0::1/64. */
export const makeLinkNetwork = async (lab: Lab, clientCount: number): Promise<Network> => {
  const server = await lab.namespace('server')
  const clients = await makeClients(lab, clientCount)
  await connect(lab, 'link', [
    { namespace: server, device: 'lan0', addresses: ['198.18.0.1/24', '2001:db8::1/64'] },
    ...clients.map((namespace) => ({ namespace, device: 'eth0' })),
  ])
  return { lab, server, serverDevice: 'lan0', clients, clientDevice: 'eth0' }
}

/**
 * Server, relay and clients: the server is 198.18.0.1/24 and 2001:db8::1/64, the relay 198.18.0.2 and 2001:db8::2
 * towards it and 198.18.1.1/24 and 2001:db8:1::1/64 towards the clients. The relay forwards packets, so clients reach
 * the server by unicast too. No relay program runs yet: see `startRelay4` and `startRelay6`.
 */
export const makeRelayNetwork = async (lab: Lab, clientCount: number): Promise<Network & { relay: Namespace }> => {
  const server = await lab.namespace('server')
  const relay = await lab.namespace('relay')
  const clients = await makeClients(lab, clientCount)
  await relay.must([
    'sh',
    '-c',
    'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
  ])
  await connect(lab, 'core', [
    { namespace: server, device: 'lan0', addresses: ['198.18.0.1/24', '2001:db8::1/64'] },
    { namespace: relay, device: 'up0', addresses: ['198.18.0.2/24', '2001:db8::2/64'] },
  ])
  await connect(lab, 'edge', [
    { namespace: relay, device: 'lan0', addresses: ['198.18.1.1/24', '2001:db8:1::1/64'] },
    ...clients.map((namespace) => ({ namespace, device: 'eth0' })),
  ])
  await server.ip('route add 198.18.1.0/24 via 198.18.0.2', 'route add 2001:db8:1::/64 via 2001:db8::2')
  return { lab, server, serverDevice: 'lan0', clients, clientDevice: 'eth0', relay }
}

const makeClients = async (lab: Lab, count: number): Promise<readonly Namespace[]> => {
  const clients: Namespace[] = []
  for (let index = 1; index <= count; index++) clients.push(await lab.namespace(`client${index}`))
  return clients
}

/** Starts ISC's relay agent for DHCPv4 in the relay's namespace; it adds option 82 (RFC 3046). */
export const startRelay4 = async ({ relay }: { readonly relay: Namespace }): Promise<Running> => {
  const relaying = await relay.start([
    'dhcrelay',
    '-4',
    '-d',
    '--no-pid',
    '-a',
    '-id',
    'lan0',
    '-iu',
    'up0',
    '198.18.0.1',
  ])
  await relaying.printed(/Sending on +Socket\/fallback/)
  return relaying
}

/** Starts ISC's relay agent for DHCPv6 in the relay's namespace, with the interface-id option (RFC 8415 §21.18). */
export const startRelay6 = async ({ relay }: { readonly relay: Namespace }): Promise<Running> => {
  const relaying = await relay.start(['dhcrelay', '-6', '-d', '--no-pid', '-I', '-l', 'lan0', '-u', '2001:db8::1%up0'])
  await relaying.printed(/Sending on +Socket\/up0/)
  return relaying
}

/**
 * Loses what a namespace sends to a neighbour by unicast, while broadcast and multicast still work: how a client that
 * renews is brought to rebind. Frames go to the sender's own hardware address, which a switch never sends back; one
 * that nobody has would be flooded, and packet sockets would see it. Gives the way back.
 */
export const misdirect = async (
  namespace: Namespace,
  device: string,
  address: string,
): Promise<() => Promise<void>> => {
  const mac = (await namespace.must(['cat', `/sys/class/net/${device}/address`])).trim()
  await namespace.ip(`neigh replace ${address} lladdr ${mac} dev ${device} nud permanent`)
  return () => namespace.ip(`neigh del ${address} dev ${device}`)
}
