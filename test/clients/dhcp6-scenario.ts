/**
 * What real DHCPv6 clients go through with addresses and delegated prefixes, the same on the link and behind a relay:
 * all take every step at the same time, so that the waiting for T1 and T2 is done once.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { client6Missing, makeClient6 } from '../support/clients6.ts'
import type { Client6, ClientLease6, Program6, Wanted6 } from '../support/clients6.ts'
import { openScene, sceneMissing } from './scenario.ts'
import type { Place, Scene, Seat } from './scenario.ts'

/** Where the scenario takes place. */
export interface Place6 extends Place {
  /** The clients' /64 without its colons at the end, such as `2001:db8:1`. */
  readonly net: string
  /** The interface by which the subnet is known, for clients on the link. */
  readonly interface?: string
}

const PREFERRED_SEC = 50
const VALID_SEC = 60
const RENEW_SEC = 3
const REBIND_SEC = 6
/** A lease that was really prolonged has more than this left: at T1 an old one would have this. */
const EXTENDED_SEC = VALID_SEC - RENEW_SEC

const config6 = ({ net, interface: device }: Place6) => ({
  Dhcp6: {
    // On the link by multicast; relays send to the address by unicast, which has to be named beside the interface.
    'interfaces-config': { interfaces: device === undefined ? ['lan0', 'lan0/2001:db8::1'] : ['lan0'] },
    'lease-database': { type: 'embedded' },
    'preferred-lifetime': PREFERRED_SEC,
    'valid-lifetime': VALID_SEC,
    'renew-timer': RENEW_SEC,
    'rebind-timer': REBIND_SEC,
    'option-data': [{ name: 'dns-servers', data: '2001:db8::53' }],
    subnet6: [
      {
        id: 1,
        subnet: `${net}::/64`,
        ...(device === undefined ? {} : { interface: device }),
        pools: [{ pool: `${net}::1000 - ${net}::1fff` }],
        'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 40, 'delegated-len': 56 }],
      },
    ],
  },
})

const cast: readonly { readonly program: Program6; readonly wanted: Wanted6 }[] = [
  { program: 'dhclient', wanted: 'address' },
  { program: 'dhclient', wanted: 'prefix' },
  { program: 'dhclient', wanted: 'both' },
  { program: 'dhcpcd', wanted: 'address' },
  { program: 'dhcpcd', wanted: 'both' },
  { program: 'udhcpc6', wanted: 'address' },
  { program: 'udhcpc6', wanted: 'both' },
]

/** Runs the scenario as a test suite; skipped, with the reason in its name, where it cannot run. */
export const describeClients6 = async (place: Place6): Promise<void> => {
  const missing = sceneMissing(place)
  const reasons = await Promise.all(cast.map(({ program }) => client6Missing(program)))
  const title = `DHCPv6 clients ${place.name}${missing === undefined ? '' : ` (skipped: ${missing})`}`
  describe.skipIf(missing !== undefined)(title, () => {
    steps(
      place,
      cast.filter((_, index) => reasons[index] === undefined),
    )
    const absent = cast.map(({ program }, index) => `${program} takes no part: ${reasons[index]}`)
    it.skip.each([...new Set(absent.filter((_, index) => reasons[index] !== undefined))])('%s', () => undefined)
  })
}

const steps = (place: Place6, players: typeof cast): void => {
  let scene: Scene<Client6, ClientLease6>
  beforeAll(async () => {
    const make = (part: (typeof cast)[number], seat: Seat) => makeClient6({ ...seat, ...part })
    const nameOf = ({ program, wanted }: Client6) => `${program} (${wanted})`
    scene = await openScene(place, config6(place), players, make, nameOf)
  })
  afterAll(() => scene?.lab.close())
  const all: (typeof scene)['all'] = (act) => scene.all(act)

  it('get addresses and prefixes', async () => {
    await all(async (actor) => {
      actor.held = await actor.client.acquire()
      const { address, prefix, dnsServers } = actor.held
      const times = { preferredSec: PREFERRED_SEC, validSec: VALID_SEC }
      if (actor.client.wanted !== 'prefix') {
        expect(address).toMatchObject(times)
        expect(address?.value).toMatch(new RegExp(`^${place.net}::1[0-9a-f]{3}$`))
      }
      if (actor.client.wanted !== 'address') {
        expect(prefix).toMatchObject(times)
        expect(prefix?.value).toMatch(/^2001:db8:80[0-9a-f]{2}:([0-9a-f]{1,2}00)?:?:\/56$/)
      }
      expect(dnsServers).toEqual(['2001:db8::53'])
    })
    const values = scene.actors.flatMap(({ held }) => [held.address?.value, held.prefix?.value].filter(Boolean))
    expect(new Set(values).size).toBe(values.length)
  })

  it('renew', () =>
    all(async ({ client, capture, held }) => {
      const from = capture.seen6().length
      const renewed = await client.lease(client.mark())
      expectKept(renewed, held)
      const request = await capture.wait6('Renew', ({ type }) => type === 'Renew', from)
      expect(request.hasServerId).toBe(true)
    }))

  it('rebind after the server was killed, and keep what they have', async () => {
    await scene.server.sigkill()
    // A Renew that nobody answers is sent again after some ten seconds (REN_TIMEOUT); before that, at T2, comes a Rebind.
    await all(async ({ capture }) => {
      await capture.wait6('a Renew in vain', ({ type }) => type === 'Renew', capture.seen6().length)
    })
    const marks = scene.actors.map(({ client, capture }) => ({ calls: client.mark(), packets: capture.seen6().length }))
    await scene.server.restart()
    await all(async (actor) => {
      const { client, capture, held } = actor
      const mark = marks[scene.actors.indexOf(actor)] as (typeof marks)[number]
      expectKept(await client.lease(mark.calls), held)
      const rebind = await capture.wait6('Rebind', ({ type }) => type === 'Rebind', mark.packets)
      expect(rebind.hasServerId).toBe(false)
    })
  })

  it('come back to what they have after a power failure', () =>
    all(async ({ client, capture, held }) => {
      await client.crash()
      const from = capture.seen6().length
      const again = await client.again()
      if (client.program === 'udhcpc6') return // it remembers nothing
      expect([again.address?.value, again.prefix?.value]).toEqual([held.address?.value, held.prefix?.value])
      // RFC 8415 §18.2.3 and §18.2.12: Confirm is for addresses; who also has a prefix sends Rebind.
      const first = client.wanted === 'address' ? 'Confirm' : 'Rebind'
      await capture.wait6(first, ({ type }) => type === first, from)
    }))

  it('release what they have and get it again', () =>
    all(async ({ client, capture, held }) => {
      // dhcpcd that is told to release while its Renew is under way ends without a Release: just after one, none is for T1.
      await client.lease(client.mark())
      const from = capture.seen6().length
      await client.release()
      const released = await capture.wait6('Release', ({ type }) => type === 'Release', from)
      const confirmed = ({ type, transaction }: { type: string; transaction: number }) =>
        type === 'Reply' && transaction === released.transaction
      await capture.wait6('its Reply', confirmed, from)
      const again = await client.again()
      if (scene.server.kind === 'lease-ledger') {
        expect([again.address?.value, again.prefix?.value]).toEqual([held.address?.value, held.prefix?.value])
      }
      await capture.wait6('a new Request', ({ type }) => type === 'Request', from)
      await client.release()
    }))
}

const expectKept = (now: ClientLease6, held: ClientLease6): void => {
  expect([now.address?.value, now.prefix?.value]).toEqual([held.address?.value, held.prefix?.value])
  for (const binding of [now.address, now.prefix]) if (binding) expect(binding.validSec).toBeGreaterThan(EXTENDED_SEC)
}
