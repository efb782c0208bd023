/** The server's sockets on real links: two namespaces, joined by two veth pairs, made and deleted here. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isRoot, must, run, start, until, which } from '../support/process.ts'
import type { Running } from '../support/process.ts'
import type { ProbeLine, ProbePlan } from './net-probe.ts'

const missing = ['ip', 'tcpdump', 'udhcpc', 'setpriv'].filter((program) => which(program) === undefined)
const reason = !isRoot() ? 'needs root' : missing.length > 0 ? `needs ${missing.join(', ')}` : undefined

const SERVER = `ll-${process.pid}-s`
const CLIENT = `ll-${process.pid}-c`
const inside = (namespace: string): string[] => ['ip', 'netns', 'exec', namespace]
const probeFile = fileURLToPath(new URL('net-probe.ts', import.meta.url))

/** Addresses: the server has one on each link, the client none but its link-local ones. */
const makeLinks = async (): Promise<void> => {
  for (const namespace of [SERVER, CLIENT]) {
    await must(['ip', 'netns', 'add', namespace])
    // Without duplicate address detection the link-local addresses can be used at once.
    const noDetection = 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up'
    await must([...inside(namespace), 'sh', '-c', noDetection])
  }
  for (const n of [0, 1]) {
    const pair = ['link', 'add', 'name', `srv${n}`, 'type', 'veth', 'peer', 'name', `cli${n}`, 'netns', CLIENT]
    await must(['ip', '-n', SERVER, ...pair])
    await must(['ip', '-n', SERVER, 'addr', 'add', `198.18.${n}.1/24`, 'dev', `srv${n}`])
    await must(['ip', '-n', SERVER, 'link', 'set', `srv${n}`, 'up'])
    await must(['ip', '-n', CLIENT, 'link', 'set', `cli${n}`, 'up'])
  }
  await must(['ip', '-n', SERVER, 'link', 'add', 'name', 'idle0', 'type', 'veth', 'peer', 'name', 'idle1'])
  for (const namespace of [SERVER, CLIENT]) {
    await until(`link-local addresses in ${namespace}`, async () => {
      const shown = await must(['ip', '-n', namespace, '-6', '-o', 'addr', 'show', 'scope', 'link'])
      return shown.split('\n').filter((line) => /fe80:/.test(line) && !/tentative/.test(line)).length >= 2
    })
  }
}

const running: Running[] = []

const startProbe = async (namespace: string, plan: ProbePlan): Promise<Running> => {
  const command = [process.execPath, probeFile, JSON.stringify(plan)]
  const probe = await start(command, { prefix: inside(namespace) })
  running.push(probe)
  await probe.printed(/"event":"ready"/)
  return probe
}

const linesOf = (probe: Running): readonly ProbeLine[] =>
  probe
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as ProbeLine)

const eventsOf = <T extends ProbeLine['event']>(probe: Running, event: T) =>
  linesOf(probe).filter((line): line is Extract<ProbeLine, { event: T }> => line.event === event)

const datagrams = (probe: Running, what: string) => eventsOf(probe, 'datagram').filter((line) => line.what === what)

const textOf = (line: { readonly hex: string }): string => Buffer.from(line.hex, 'hex').toString()

const hardwareAddressOf = async (namespace: string, name: string): Promise<string> => {
  const shown = await must([...inside(namespace), 'cat', `/sys/class/net/${name}/address`])
  return shown.trim().replaceAll(':', '')
}

/** The link-local address of an interface, without prefix length. */
const linkLocalOf = async (namespace: string, name: string): Promise<string> => {
  const shown = await must(['ip', '-n', namespace, '-6', '-o', 'addr', 'show', 'dev', name, 'scope', 'link'])
  return /inet6 ([^/]+)/.exec(shown)?.[1] as string
}

/** Captures one frame that matches, in full, while `act` runs; gives tcpdump's verbose text with the frame in hex. */
const capture = async (namespace: string, name: string, filter: string, act: () => Promise<unknown>) => {
  const options = ['-i', name, '-nn', '-e', '-vv', '-xx', '-c', '1', '--immediate-mode', '-Z', 'root']
  const dump = await start(['tcpdump', ...options, filter], { prefix: inside(namespace) })
  running.push(dump)
  await dump.printed(/listening on/)
  await act()
  await dump.exited
  const hexLines = dump.output().matchAll(/^\s+0x[0-9a-f]{4}:\s+((?:[0-9a-f]{2,4} ?)+)/gm)
  const frame = Buffer.from([...hexLines].map((line) => line[1]?.replaceAll(' ', '')).join(''), 'hex')
  return { frame, text: dump.output() }
}

const nameOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim()

/** Sends a DHCPDISCOVER, broadcast from 0.0.0.0, and does not wait for an answer. */
const discover = (interfaceName: string, namespace = CLIENT) => {
  const once = ['-n', '-q', '-f', '-t', '1', '-T', '1', '-A', '0', '-s', '/bin/true']
  return run([...inside(namespace), 'udhcpc', '-i', interfaceName, ...once])
}

const onBothLinks = (port: number, family: 4 | 6, echo = false) =>
  ['srv0', 'srv1'].map((interfaceName) => ({ family, port, interfaceName, echo }))

describe.skipIf(reason !== undefined)(`sockets on links${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  beforeAll(makeLinks)
  afterEach(async () => {
    await Promise.all(running.splice(0).map((program) => program.stop()))
  })
  afterAll(async () => {
    for (const namespace of [SERVER, CLIENT]) await run(['ip', 'netns', 'del', namespace])
  })

  it('hear the broadcast of a client without address, on its own interface only', async () => {
    const server = await startProbe(SERVER, { listen: onBothLinks(67, 4) })
    await discover('cli1')
    await until('a DHCPDISCOVER on srv1', () => datagrams(server, 'srv1').length > 0)
    await discover('cli0')
    await until('a DHCPDISCOVER on srv0', () => datagrams(server, 'srv0').length > 0)
    for (const n of [0, 1]) {
      const [first, ...more] = datagrams(server, `srv${n}`)
      expect(more).toEqual([])
      expect(first?.from).toEqual({ address: '0.0.0.0', port: 68 })
      // op 1, Ethernet, and the client's own hardware address at octet 28 (chaddr)
      expect(first?.hex.slice(0, 6)).toBe('010106')
      expect(first?.hex.slice(56, 68)).toBe(await hardwareAddressOf(CLIENT, `cli${n}`))
    }
  })

  it('hear a client even where the server has no address', async () => {
    const server = await startProbe(CLIENT, { listen: [{ family: 4, port: 67, interfaceName: 'cli0' }] })
    await discover('srv0', SERVER)
    await until('a DHCPDISCOVER', () => datagrams(server, 'cli0').length > 0)
  })

  it('broadcast out of the interface they are kept to', async () => {
    const plan: ProbePlan = {
      listen: [{ ...onBothLinks(67, 4)[1]!, send: { text: 'to all', to: { address: '255.255.255.255', port: 68 } } }],
    }
    const { frame, text } = await capture(CLIENT, 'cli1', 'udp port 68', () => startProbe(SERVER, plan))
    expect(frame.subarray(0, 6).toString('hex')).toBe('ffffffffffff')
    expect(text).toContain('198.18.1.1.67 > 255.255.255.255.68')
    expect(frame.subarray(42, 48).toString()).toBe('to all')
  })

  it('reach the hardware address of a client without address, with right headers and checksums', async () => {
    const hardwareAddress = await hardwareAddressOf(CLIENT, 'cli0')
    const message = { text: 'an offer', source: 0xc6120001, destination: 0xc6120063 }
    const plan: ProbePlan = { raw: [{ ...message, interfaceName: 'srv0', hardwareAddress }] }
    const { frame, text } = await capture(CLIENT, 'cli0', 'udp port 68', () => startProbe(SERVER, plan))
    const source = await hardwareAddressOf(SERVER, 'srv0')
    expect(frame.subarray(0, 14).toString('hex')).toBe(`${hardwareAddress}${source}0800`)
    expect(text).toContain('198.18.0.1.67 > 198.18.0.99.68')
    expect(text).toMatch(/\[udp sum ok\]/)
    expect(text).not.toMatch(/bad cksum|bad udp/)
    expect(frame.subarray(42).toString()).toBe('an offer')
  })

  it('send a packet socket broadcast, and refuse what the interface cannot carry', async () => {
    const message = { interfaceName: 'srv1', source: 0xc6120101, destination: 0xffffffff }
    const raw = [
      { ...message, text: 'x'.repeat(1473) },
      { ...message, text: 'x'.repeat(1472) },
    ]
    let probe: Running | undefined
    const { frame, text } = await capture(CLIENT, 'cli1', 'udp port 68', async () => {
      probe = await startProbe(SERVER, { raw })
    })
    expect(eventsOf(probe as Running, 'raw').map(({ sent, lastError }) => ({ sent, lastError }))).toEqual([
      { sent: 0, lastError: '1473 octets do not fit the MTU of srv1, 1500' },
      { sent: 1, lastError: '' },
    ])
    expect(frame.length).toBe(14 + 1500)
    expect(frame.subarray(0, 6).toString('hex')).toBe('ffffffffffff')
    expect(text).toMatch(/\[udp sum ok\]/)
  })

  for (const native of [undefined, false] as const) {
    const how = native === false ? ' without native calls' : ''
    it(`hear DHCPv6 multicasts and answer link-local clients on their interface${how}`, async () => {
      const without = native === undefined ? {} : { native }
      const server = await startProbe(SERVER, { ...without, listen: onBothLinks(547, 6, true) })
      if (native === false) expect(eventsOf(server, 'ready')[0]?.notices).toHaveLength(2)
      const listen = [0, 1].map((n) => ({
        family: 6 as const,
        interfaceName: `cli${n}`,
        port: 546,
        groups: [],
        send: { text: `solicit ${n}`, to: { address: 'ff02::1:2', port: 547 } },
      }))
      const client = await startProbe(CLIENT, { listen })
      await until('both answers', () => eventsOf(client, 'datagram').length === 2)
      await until('both questions', () => eventsOf(server, 'datagram').length === 2) // told later than answered
      for (const n of [0, 1]) {
        const asked = datagrams(server, `srv${n}`)
        expect(asked.map(textOf)).toEqual([`solicit ${n}`])
        const address = `${await linkLocalOf(CLIENT, `cli${n}`)}%srv${n}`
        expect(asked[0]?.from).toEqual({ address, port: 546 })
        const answers = datagrams(client, `cli${n}`)
        expect(answers.map(textOf)).toEqual([`echo solicit ${n}`])
        const server0 = `${await linkLocalOf(SERVER, `srv${n}`)}%cli${n}`
        expect(answers[0]?.from).toEqual({ address: server0, port: 547 })
      }
    })
  }

  it('hear the group of all DHCPv6 servers and a unicast to a global address', async () => {
    await must(['ip', '-n', SERVER, 'addr', 'add', '2001:db8::1/64', 'dev', 'srv0', 'nodad'])
    await must(['ip', '-n', CLIENT, 'addr', 'add', '2001:db8::2/64', 'dev', 'cli0', 'nodad'])
    const server = await startProbe(SERVER, { listen: onBothLinks(547, 6, true) })
    const relay = { family: 6 as const, interfaceName: 'cli0', groups: [] }
    const client = await startProbe(CLIENT, {
      listen: [
        { ...relay, port: 546, send: { text: 'all servers', to: { address: 'ff05::1:3', port: 547 } } },
        // A relay with a source port of its own (RFC 8357) gets its answer there.
        { ...relay, port: 5470, send: { text: 'one server', to: { address: '2001:db8::1', port: 547 } } },
      ],
    })
    await until('both answers', () => datagrams(client, 'cli0').length === 2)
    await until('both questions', () => eventsOf(server, 'datagram').length === 2)
    expect(datagrams(client, 'cli0').map(textOf).sort()).toEqual(['echo all servers', 'echo one server'])
    const ports = datagrams(server, 'srv0').map((line) => `${textOf(line)} from ${line.from.port}`)
    expect(ports.sort()).toEqual(['all servers from 546', 'one server from 5470'])
    expect(datagrams(server, 'srv1')).toEqual([])
  })

  it('of an address alone answer link-local and other peers, many at a time', async () => {
    await must(['ip', '-n', SERVER, 'addr', 'replace', '2001:db8::1/64', 'dev', 'srv0', 'nodad'])
    await must(['ip', '-n', CLIENT, 'addr', 'replace', '2001:db8::2/64', 'dev', 'cli0', 'nodad'])
    const server = await startProbe(SERVER, { listen: [{ family: 6, address: '2001:db8::1', port: 547, echo: true }] })
    const times = 30
    const send = { to: { address: '2001:db8::1', port: 547 }, times }
    const local = await linkLocalOf(CLIENT, 'cli0')
    const of = { family: 6 as const, interfaceName: 'cli0', groups: [] }
    const client = await startProbe(CLIENT, {
      listen: [
        { ...of, address: local, port: 546, send: { ...send, text: 'near' } },
        { ...of, address: '2001:db8::2', port: 5470, send: { ...send, text: 'far' } },
      ],
    })
    await until('all answers', () => datagrams(client, 'cli0').length === 2 * times)
    await until('all questions', () => eventsOf(server, 'datagram').length === 2 * times)
    const from = (address: string, port: number) => Array.from({ length: times }, () => ({ address, port }))
    const heard = eventsOf(server, 'datagram')
    const peers = heard.map((line) => line.from).sort((a, b) => a.port - b.port)
    expect(peers).toEqual([...from(`${local}%srv0`, 546), ...from('2001:db8::2', 5470)])
    const answers = datagrams(client, 'cli0').map((line) => textOf(line))
    expect(answers.filter((text) => text === 'echo near')).toHaveLength(times)
    expect(answers.filter((text) => text === 'echo far')).toHaveLength(times)
  })

  it('have the same port on a link and on loopback, when both are kept to their interface', async () => {
    const link = { family: 4 as const, port: 67, interfaceName: 'srv0' }
    const loopback = { family: 4 as const, port: 67, address: '127.0.0.1' }
    const server = await startProbe(SERVER, { listen: [link, loopback, { ...loopback, interfaceName: 'lo' }] })
    const refused = eventsOf(server, 'refused').map(({ what, tag }) => `${what} ${tag}`)
    expect(refused).toEqual(['127.0.0.1 AddressInUse'])
  })

  it('list interfaces with and without addresses', async () => {
    const probe = await startProbe(SERVER, { interfaces: true })
    const interfaces = eventsOf(probe, 'interfaces')[0]?.interfaces ?? []
    const named = Object.fromEntries(interfaces.map((one) => [one.name, one]))
    expect(Object.keys(named)).toEqual(expect.arrayContaining(['idle0', 'lo', 'srv0', 'srv1']))
    expect(named['idle0']).toMatchObject({ up: false, running: false, ipv4: [], ipv6: [], hardwareType: 1 })
    const shown = await must([...inside(SERVER), 'cat', '/sys/class/net/srv1/ifindex'])
    expect(named['srv1']).toMatchObject({
      index: Number(shown),
      hardwareAddress: await hardwareAddressOf(SERVER, 'srv1'),
      mtu: 1500,
      up: true,
      running: true,
      loopback: false,
      broadcast: true,
      ipv4: [{ address: '198.18.1.1', prefixLength: 24 }],
      ipv6: [{ address: await linkLocalOf(SERVER, 'srv1'), prefixLength: 64 }],
    })
    expect(named['lo']).toMatchObject({ loopback: true, up: true, running: true })
  })

  it('refuse a taken port, an interface that is down, and one that does not exist, each in one sentence', async () => {
    const first = await startProbe(SERVER, { listen: [onBothLinks(67, 4)[0]!, onBothLinks(547, 6)[0]!] })
    const holder = (await must(['ip', 'netns', 'pids', SERVER])).trim().split('\n')
    const listen = [...onBothLinks(67, 4), ...onBothLinks(547, 6)]
    const idle = { family: 4 as const, port: 67, interfaceName: 'idle0' }
    const second = await startProbe(SERVER, {
      listen: [...listen, idle, { ...idle, interfaceName: 'nosuch0' }],
      raw: [{ interfaceName: 'idle0', text: '', source: 0, destination: 0 }],
    })
    const refusals = eventsOf(second, 'refused').map(({ tag, message }) => `${tag}: ${message}`)
    expect(holder).toContain(String(first.pid))
    const taken = (port: number): string =>
      `AddressInUse: UDP port ${port} on srv0 is taken by ${nameOf(first.pid)} (pid ${first.pid}); ` +
      'stop it or choose another port with -p'
    const down = 'InterfaceDown: the interface idle0 is down; switch it on (ip link set idle0 up)'
    expect(refusals.slice(0, 3)).toEqual([taken(67), taken(547), down])
    expect(refusals[3]).toMatch(/^NoSuchInterface: there is no interface nosuch0; there are .*\bsrv0, srv1/)
    expect(refusals[4]).toBe(down)
    expect(refusals).toHaveLength(5)
  })

  it('say which privilege is missing', async () => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--']
    const plan: ProbePlan = {
      listen: [...onBothLinks(67, 4).slice(0, 1), { family: 6, address: '::1', port: 547 }],
      raw: [{ interfaceName: 'srv0', text: '', source: 0, destination: 0 }],
    }
    const command = [process.execPath, probeFile, JSON.stringify(plan)]
    const probe = await start(command, { prefix: [...inside(SERVER), ...nobody] })
    running.push(probe)
    await probe.printed(/"event":"ready"/)
    expect(eventsOf(probe, 'refused').map(({ tag, message }) => `${tag}: ${message}`)).toEqual([
      'PermissionDenied: listening on UDP port 67 on srv0 needs root or the capability CAP_NET_BIND_SERVICE; ' +
        'run as root, grant the capability, or choose a port above 1023 with -p',
      'PermissionDenied: listening on UDP [::1]:547 needs root or the capability CAP_NET_BIND_SERVICE; ' +
        'run as root, grant the capability, or choose a port above 1023 with -p',
      'PermissionDenied: dhcp-socket-type raw on srv0 needs root or the capability CAP_NET_RAW; ' +
        'grant it or set dhcp-socket-type to udp',
    ])
  })
})
