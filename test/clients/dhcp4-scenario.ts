/**
 * What real DHCPv4 clients go through, the same on the link and behind a relay: all clients take every step at the same
 * time, so that the waiting for T1 and T2 is done once.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startCapture } from '../support/capture.ts'
import type { Capture, Seen4 } from '../support/capture.ts'
import { makeClient4 } from '../support/clients4.ts'
import type { Client4, ClientLease4, Program4 } from '../support/clients4.ts'
import { keaMissing } from '../support/kea.ts'
import { Lab, labMissing, misdirect } from '../support/namespaces.ts'
import type { Network } from '../support/namespaces.ts'
import { which } from '../support/process.ts'
import { makeServerUnderTest, serverKind } from '../support/server-under-test.ts'
import type { ServerUnderTest } from '../support/server-under-test.ts'

/** Where the scenario takes place. */
export interface Place4 {
  readonly name: string
  /** Programs needed beside the clients. */
  readonly needs: readonly string[]
  /** First three octets of the clients' /24, whose .1 is router and, on the link, server. */
  readonly net: string
  /** Makes the network, with its relay running where there is one. */
  readonly open: (lab: Lab, clientCount: number) => Promise<Network>
}

const SERVER_ID = '198.18.0.1'
const LEASE_SEC = 60
const RENEW_SEC = 3
const REBIND_SEC = 6
/**
 * A lease that was really prolonged has more than this left: at T1 an old one would have this. Not the full time, since
 * a server may take a request right after the grant for its repetition: udhcpc and dhclient keep their transaction id.
 */
const EXTENDED_SEC = LEASE_SEC - RENEW_SEC

const config4 = (net: string) => ({
  Dhcp4: {
    'interfaces-config': { interfaces: ['lan0'], 'dhcp-socket-type': 'raw' },
    'lease-database': { type: 'embedded' },
    'valid-lifetime': LEASE_SEC,
    'renew-timer': RENEW_SEC,
    'rebind-timer': REBIND_SEC,
    'option-data': [{ name: 'domain-name-servers', data: '198.18.0.53, 198.18.0.54' }],
    subnet4: [
      {
        id: 1,
        subnet: `${net}.0/24`,
        pools: [{ pool: `${net}.100 - ${net}.199` }],
        'option-data': [{ name: 'routers', data: `${net}.1` }],
      },
    ],
  },
})

interface Actor {
  readonly client: Client4
  readonly capture: Capture
  held: ClientLease4
}

/** Runs the scenario as a test suite; skipped, with the reason in its name, where it cannot run. */
export const describeClients4 = (place: Place4): void => {
  const missing = labMissing(...place.needs) ?? (serverKind() === 'kea' ? keaMissing() : undefined)
  const programs = (['udhcpc', 'dhclient', 'dhcpcd'] as const).filter((program) => which(program) !== undefined)
  const absent = (['udhcpc', 'dhclient', 'dhcpcd'] as const).filter((program) => which(program) === undefined)
  const title = `DHCPv4 clients ${place.name}${missing === undefined ? '' : ` (skipped: ${missing})`}`
  describe.skipIf(missing !== undefined)(title, () => {
    steps(place, programs)
    it.skip.each(absent)('%s is not installed, so it takes no part', () => undefined)
  })
}

const steps = (place: Place4, programs: readonly Program4[]): void => {
  let lab: Lab
  let server: ServerUnderTest
  let actors: readonly Actor[] = []

  beforeAll(async () => {
    lab = await Lab.open()
    const network = await place.open(lab, programs.length)
    const home = await lab.folder('server')
    server = makeServerUnderTest({ folder: home, start: network.server.start })
    lab.defer('stop the server', () => server.stop())
    await server.start(config4(place.net))
    actors = await Promise.all(
      programs.map(async (program, index) => {
        const namespace = network.clients[index] as Network['server']
        const capture = await startCapture(lab, namespace, network.clientDevice)
        const client = await makeClient4({ lab, namespace, program, device: network.clientDevice })
        return { client, capture, held: {} as ClientLease4 }
      }),
    )
  })

  afterAll(() => lab?.close())

  /** One step for every client at once; a failure names the client and shows what server and client printed. */
  const all = (act: (actor: Actor) => Promise<void>): Promise<unknown> =>
    Promise.all(
      actors.map((actor) =>
        act(actor).catch((error: unknown) => {
          const said = `${actor.client.output()}\n--- the server:\n${server.logs().split('\n').slice(-40).join('\n')}`
          throw new Error(`${actor.client.program}: ${String(error)}\n${said}`, { cause: error })
        }),
      ),
    )

  it('get addresses and options', async () => {
    await all(async (actor) => {
      actor.held = await actor.client.acquire()
      expect(actor.held).toMatchObject({
        prefixLength: 24,
        leaseTimeSec: LEASE_SEC,
        serverId: SERVER_ID,
        router: `${place.net}.1`,
        dnsServers: ['198.18.0.53', '198.18.0.54'],
      })
    })
    const addresses = actors.map(({ held }) => held.address)
    expect(new Set(addresses).size).toBe(actors.length)
    for (const address of addresses)
      expect(address).toMatch(new RegExp(`^${place.net.replaceAll('.', '\\.')}\\.1\\d\\d$`))
  })

  it('renew by unicast', () => all((actor) => renew(actor)))

  it('keep their addresses when the server is killed and started again', async () => {
    await server.sigkill()
    await server.restart()
    await all((actor) => renew(actor))
  })

  it('rebind by broadcast when the server is out of reach', async () => {
    await all(async (actor) => {
      const { client, capture, held } = actor
      const restore = await misdirect(client.namespace, 'eth0', `${place.net}.1`)
      const from = capture.seen4().length
      const mark = client.mark()
      client.askRenewal()
      const renewed = await client.lease(mark)
      expect(renewed.address).toBe(held.address)
      expect(renewed.leaseTimeSec).toBeGreaterThan(EXTENDED_SEC)
      const unicast = await capture.wait4('a REQUEST in vain', isRenewing(held.address, SERVER_ID), from)
      const broadcast = await capture.wait4('REBINDING', isRenewing(held.address, '255.255.255.255'), from)
      expect([unicast.serverId, broadcast.serverId]).toEqual([undefined, undefined])
      await capture.wait4('its ACK', ({ type, xid }) => type === 'ACK' && xid === broadcast.xid, from)
      await restore()
    })
  })

  it('come back to their addresses after a power failure', () =>
    all(async ({ client, capture, held }) => {
      await client.crash()
      const from = capture.seen4().length
      const again = await client.again()
      if (client.program === 'udhcpc') return // it remembers nothing: what it gets is seen at the next step
      expect(again.address).toBe(held.address)
      const reboot = await capture.wait4(
        'INIT-REBOOT',
        ({ requestedAddress }) => requestedAddress === held.address,
        from,
      )
      // RFC 2131 §4.3.2: a REQUEST from INIT-REBOOT has no server identifier and no ciaddr.
      expect(reboot).toMatchObject({ type: 'REQUEST', serverId: undefined, ciaddr: '0.0.0.0' })
    }))

  it('release their addresses and get them again', () =>
    all(async ({ client, capture, held }) => {
      const from = capture.seen4().length
      await client.release()
      const released = await capture.wait4('RELEASE', ({ type }) => type === 'RELEASE', from)
      expect(released).toMatchObject({ ciaddr: held.address, serverId: SERVER_ID })
      const again = await client.again()
      if (server.kind === 'lease-ledger')
        expect(again.address).toBe(held.address) // others promise no such thing
      else expect(again.address).toMatch(/^198\.18\./)
      await client.release()
    }))
}

const isRenewing =
  (address: string, destination: string) =>
  (seen: Seen4): boolean =>
    seen.type === 'REQUEST' && seen.ciaddr === address && seen.destination === destination

/** Waits for the next renewal, which must have come about by a unicast REQUEST with `ciaddr` (RFC 2131 §4.3.2). */
const renew = async ({ client, capture, held }: Actor): Promise<void> => {
  const from = capture.seen4().length
  const mark = client.mark()
  client.askRenewal()
  const renewed = await client.lease(mark)
  expect(renewed).toMatchObject({ address: held.address, serverId: SERVER_ID })
  expect(renewed.leaseTimeSec).toBeGreaterThan(EXTENDED_SEC)
  const request = await capture.wait4('a unicast REQUEST', isRenewing(held.address, SERVER_ID), from)
  expect(request).toMatchObject({ serverId: undefined, requestedAddress: undefined, giaddr: '0.0.0.0' })
  await capture.wait4('its ACK', ({ type, xid }) => type === 'ACK' && xid === request.xid, from)
}
