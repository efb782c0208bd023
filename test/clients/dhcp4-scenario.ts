/**
 * What real DHCPv4 clients go through, the same on the link and behind a relay: all clients take every step at the same
 * time, so that the waiting for T1 and T2 is done once.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Seen4 } from '../support/capture.ts'
import { makeClient4 } from '../support/clients4.ts'
import type { Client4, ClientLease4, Program4 } from '../support/clients4.ts'
import { misdirect } from '../support/namespaces.ts'
import { which } from '../support/process.ts'
import { openScene, sceneMissing } from './scenario.ts'
import type { Actor, Place, Scene, Seat } from './scenario.ts'

/** Where the scenario takes place. */
export interface Place4 extends Place {
  /** First three octets of the clients' /24, whose .1 is router and, on the link, server. */
  readonly net: string
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

type Actor4 = Actor<Client4, ClientLease4>

/** Runs the scenario as a test suite; skipped, with the reason in its name, where it cannot run. */
export const describeClients4 = (place: Place4): void => {
  const missing = sceneMissing(place)
  const programs = (['udhcpc', 'dhclient', 'dhcpcd'] as const).filter((program) => which(program) !== undefined)
  const absent = (['udhcpc', 'dhclient', 'dhcpcd'] as const).filter((program) => which(program) === undefined)
  const title = `DHCPv4 clients ${place.name}${missing === undefined ? '' : ` (skipped: ${missing})`}`
  describe.skipIf(missing !== undefined)(title, () => {
    steps(place, programs)
    it.skip.each(absent)('%s is not installed, so it takes no part', () => undefined)
  })
}

const steps = (place: Place4, programs: readonly Program4[]): void => {
  let scene: Scene<Client4, ClientLease4>
  beforeAll(async () => {
    const make = (program: Program4, seat: Seat) => makeClient4({ ...seat, program })
    scene = await openScene(place, config4(place.net), programs, make, ({ program }) => program)
  })
  afterAll(() => scene?.lab.close())
  const all: (typeof scene)['all'] = (act) => scene.all(act)

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
    const addresses = scene.actors.map(({ held }) => held.address)
    expect(new Set(addresses).size).toBe(scene.actors.length)
    for (const address of addresses)
      expect(address).toMatch(new RegExp(`^${place.net.replaceAll('.', '\\.')}\\.1\\d\\d$`))
  })

  it('renew by unicast', () => all((actor) => renew(actor)))

  it('keep their addresses when the server is killed and started again', async () => {
    await scene.server.sigkill()
    await scene.server.restart()
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
      if (scene.server.kind === 'lease-ledger')
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
const renew = async ({ client, capture, held }: Actor4): Promise<void> => {
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
