/** Which sockets the DHCPv4 server opens, in a namespace made here. */
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { Lab, labMissing } from '../support/namespaces.ts'
import type { Namespace } from '../support/namespaces.ts'
import { until } from '../support/process.ts'
import type { Running } from '../support/process.ts'

const reason = labMissing()
const probeFile = fileURLToPath(new URL('dhcp4-listen-probe.ts', import.meta.url))
const SEND = `
  const [address, text] = process.argv.slice(1)
  const socket = require('node:dgram').createSocket('udp4')
  socket.send(text, 67, address, () => socket.close())
`

type Line = { readonly event: string } & Readonly<Record<string, unknown>>

const linesOf = (probe: Running): Line[] =>
  probe
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line)

const eventOf = (probe: Running, event: string): Line | undefined => linesOf(probe).find((line) => line.event === event)

describe.skipIf(reason !== undefined)(
  `sockets of the DHCPv4 server${reason === undefined ? '' : `: ${reason}`}`,
  () => {
    let lab: Lab | undefined

    const place = async (): Promise<Namespace> => {
      lab = await Lab.open()
      const namespace = await lab.namespace('listen')
      await namespace.ip('link add name one0 type veth peer name one1', 'addr add 198.18.0.1/24 dev one0')
      await namespace.ip('link set one0 up', 'link set one1 up')
      return namespace
    }

    const open = async (namespace: Namespace, interfaces: object): Promise<Running> => {
      const probe = await namespace.start([process.execPath, probeFile, JSON.stringify(interfaces)])
      await probe.printed(/"event":"(ready|refused)"/)
      return probe
    }

    const heard = async (namespace: Namespace, probe: Running, address: string): Promise<Line | undefined> => {
      const text = `to ${address}`
      await namespace.must([process.execPath, '-e', SEND, address, text])
      const found = (): Line | undefined =>
        linesOf(probe).find((line) => line.event === 'datagram' && line['text'] === text)
      await until(`a datagram to ${address}`, async () => found() !== undefined)
      return found()
    }

    afterEach(async () => {
      await lab?.close()
      lab = undefined
    })

    it('hear loopback beside an interface on the same port', async () => {
      const namespace = await place()
      const probe = await open(namespace, { interfaces: ['one0', 'lo'], 'dhcp-socket-type': 'udp' })
      expect(eventOf(probe, 'ready')).toMatchObject({ addresses: ['198.18.0.1', '127.0.0.1'] })
      expect(await heard(namespace, probe, '127.0.0.1')).toMatchObject({ to: '127.0.0.1', interfaceName: 'lo' })
    })

    it('hear an explicit address beside an interface on the same port', async () => {
      const namespace = await place()
      const listen = [{ address: '127.0.0.2', port: 67 }]
      const probe = await open(namespace, { interfaces: ['one0'], 'dhcp-socket-type': 'udp', listen })
      expect(eventOf(probe, 'ready')).toMatchObject({ addresses: ['198.18.0.1', '127.0.0.2'] })
      expect(await heard(namespace, probe, '127.0.0.2')).toMatchObject({ to: '127.0.0.2' })
    })

    it('on all addresses name one that clients can reach', async () => {
      const namespace = await place()
      const probe = await open(namespace, { listen: [{ address: '0.0.0.0', port: 67 }] })
      expect(eventOf(probe, 'ready')).toMatchObject({ addresses: ['198.18.0.1'], where: ['0.0.0.0 port 67'] })
    })

    it('wait for an interface that comes late, beside the service or before its start', async () => {
      const namespace = await place()
      const retries = {
        'service-sockets-max-retries': 1_000,
        'service-sockets-retry-wait-time': 50,
        'dhcp-socket-type': 'udp',
      }
      const beside = await open(namespace, { interfaces: ['one0', 'late0'], ...retries })
      expect(eventOf(beside, 'ready')).toMatchObject({ addresses: ['198.18.0.1'] })
      const before = await namespace.start([
        process.execPath,
        probeFile,
        JSON.stringify({ interfaces: ['late1'], 'service-sockets-require-all': true, ...retries }),
      ])
      await before.printed(/could not be opened/)
      await namespace.ip('link add name late0 type veth peer name late1', 'addr add 198.18.1.1/24 dev late0')
      await namespace.ip('addr add 198.18.2.1/24 dev late1', 'link set late0 up', 'link set late1 up')
      await beside.printed(/opened late/)
      await before.printed(/"event":"ready"/)
      expect(eventOf(before, 'ready')).toMatchObject({ addresses: ['198.18.2.1'] })
    })

    it('end the start where one of them is missing for good and all are required', async () => {
      const namespace = await place()
      const interfaces = { interfaces: ['one0', 'none0'], 'service-sockets-require-all': true }
      expect(eventOf(await open(namespace, interfaces), 'refused')).toMatchObject({ tag: 'NoSuchInterface' })
    })
  },
)
