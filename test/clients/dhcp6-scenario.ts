/**
 * What real DHCPv6 clients go through for addresses and delegated prefixes, the same on the link and behind a relay: all
 * clients take every step at the same time, so that the waiting for T1 and T2 is done once.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startCapture } from '../support/capture.ts'
import type { Capture, Seen6 } from '../support/capture.ts'
import { client6Missing, makeClient6 } from '../support/clients6.ts'
import type { Client6, ClientLease6, Program6, Wanted6 } from '../support/clients6.ts'
import { keaMissing } from '../support/kea.ts'
import { Lab, labMissing } from '../support/namespaces.ts'
import type { Network } from '../support/namespaces.ts'
import { makeServerUnderTest, serverKind } from '../support/server-under-test.ts'
import type { ServerUnderTest } from '../support/server-under-test.ts'

/** Where the scenario takes place. */
export interface Place6 {
  readonly name: string
  /** Programs needed beside the clients. */
  readonly needs: readonly string[]
  /** First groups of the clients' /64, such as `2001:db8:1`. */
  readonly net: string
  /** The key that ties the subnet to the link; behind a relay its link-address does. */
  readonly select: Readonly<Record<string, unknown>>
  /** Makes the network, with its relay running where there is one. */
  readonly open: (lab: Lab, clientCount: number) => Promise<Network>
}

const PREFERRED_SEC = 50
const VALID_SEC = 60
const RENEW_SEC = 3
const REBIND_SEC = 6

/** `serverId`: hexadecimal end of the server's DUID, of the type EN, with the enterprise number for examples (RFC 5612). */
const config6 = (place: Place6, serverId: string) => ({
  Dhcp6: {
    'interfaces-config': { interfaces: ['lan0'] },
    'lease-database': { type: 'embedded' },
    'server-id': { type: 'EN', 'enterprise-id': 32473, identifier: serverId, persist: false },
    'preferred-lifetime': PREFERRED_SEC,
    'valid-lifetime': VALID_SEC,
    'renew-timer': RENEW_SEC,
    'rebind-timer': REBIND_SEC,
    'option-data': [{ name: 'dns-servers', data: '2001:db8::53, 2001:db8::54' }],
    subnet6: [
      {
        id: 1,
        subnet: `${place.net}::/64`,
        ...place.select,
        pools: [{ pool: `${place.net}::1:0/112` }],
        'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 40, 'delegated-len': 56 }],
      },
    ],
  },
})

const casts: ReadonlyArray<{ readonly program: Program6; readonly wanted: Wanted6 }> = [
  { program: 'dhclient', wanted: 'address' },
  { program: 'dhclient', wanted: 'prefix' },
  { program: 'dhclient', wanted: 'both' },
  { program: 'dhcpcd', wanted: 'address' },
  { program: 'dhcpcd', wanted: 'both' },
  { program: 'udhcpc6', wanted: 'both' },
]

interface Actor {
  readonly client: Client6
  readonly capture: Capture
  held: ClientLease6
}

/** Runs the scenario as a test suite; skipped, with the reason in its name, where it cannot run. */
export const describeClients6 = async (place: Place6): Promise<void> => {
  const missing = labMissing(...place.needs) ?? (serverKind() === 'kea' ? keaMissing() : undefined)
  const reasons = new Map<Program6, string | undefined>()
  for (const { program } of casts) reasons.set(program, await client6Missing(program))
  const title = `DHCPv6 clients ${place.name}${missing === undefined ? '' : ` (skipped: ${missing})`}`
  describe.skipIf(missing !== undefined)(title, () => {
    steps(
      place,
      casts.filter(({ program }) => reasons.get(program) === undefined),
    )
    for (const [program, reason] of reasons) {
      if (reason !== undefined) it.skip(`${program} takes no part: ${reason}`, () => undefined)
    }
  })
}

const steps = (place: Place6, present: typeof casts): void => {
  let lab: Lab
  let server: ServerUnderTest
  let actors: readonly Actor[] = []

  beforeAll(async () => {
    lab = await Lab.open()
    const network = await place.open(lab, present.length)
    server = makeServerUnderTest({ folder: await lab.folder('server'), start: network.server.start })
    lab.defer('stop the server', () => server.stop())
    await server.start(config6(place, '01'))
    actors = await Promise.all(
      present.map(async ({ program, wanted }, index) => {
        const namespace = network.clients[index] as Network['server']
        const capture = await startCapture(lab, namespace, network.clientDevice)
        const client = await makeClient6({ lab, namespace, program, device: network.clientDevice, wanted })
        return { client, capture, held: {} as ClientLease6 }
      }),
    )
  }, 60_000)

  afterAll(() => lab?.close(), 30_000)

  /** One step for every client at once; a failure names the client and shows what server and client printed. */
  const all = (act: (actor: Actor) => Promise<void>): Promise<unknown> =>
    Promise.all(
      actors.map((actor) =>
        act(actor).catch((error: unknown) => {
          const { program, wanted, output } = actor.client
          const said = `${output()}\n--- the server:\n${server.logs().split('\n').slice(-40).join('\n')}`
          throw new Error(`${program} (${wanted}): ${String(error)}\n${said}`, { cause: error })
        }),
      ),
    )

  it('get addresses, prefixes and options', async () => {
    await all(async (actor) => {
      actor.held = await actor.client.acquire()
      expectTimes(actor.held)
      expect(actor.held.dnsServers).toEqual(['2001:db8::53', '2001:db8::54'])
    })
    const addresses = actors.flatMap(({ held }) => held.address?.value ?? [])
    const prefixes = actors.flatMap(({ held }) => held.prefix?.value ?? [])
    expect(addresses.length).toBe(actors.filter(({ client }) => client.wanted !== 'prefix').length)
    expect(prefixes.length).toBe(actors.filter(({ client }) => client.wanted !== 'address').length)
    expect(new Set([...addresses, ...prefixes]).size).toBe(addresses.length + prefixes.length)
    for (const address of addresses) expect(address).toMatch(new RegExp(`^${place.net}::1:[0-9a-f]{1,4}$`))
    for (const prefix of prefixes)
      expect(prefix).toMatch(/^2001:db8:80[0-9a-f]{2}:[0-9a-f]{1,2}00::\/56$|^2001:db8:80[0-9a-f]{2}::\/56$/)
  }, 30_000)

  it('renew', () => all((actor) => extend(actor, 'Renew')), 30_000)

  it('keep what they have when the server is killed and started again', async () => {
    await server.sigkill()
    await server.restart()
    await all((actor) => extend(actor, 'Renew'))
  }, 60_000)

  it('rebind when a server with another DUID answers instead', async () => {
    await server.stop()
    await server.start(config6(place, '02'))
    await all((actor) => extend(actor, 'Rebind'))
    await all((actor) => extend(actor, 'Renew')) // with the new server from then on
  }, 60_000)

  it(
    'come back to what they had after a power failure',
    () =>
      all(async ({ client, capture, held }) => {
        await client.crash()
        const from = capture.seen6().length
        const again = await client.again()
        expect(valuesOf(again)).toEqual(valuesOf(held))
        if (client.program === 'udhcpc6') return // it remembers nothing
        const asked = await capture.wait6('Confirm or Rebind', isOneOf('Confirm', 'Rebind'), from)
        expect(asked.hasServerId).toBe(false) // RFC 8415 §18.2.3, §18.2.5
      }),
    30_000,
  )

  it(
    'release what they have and get it again',
    () =>
      all(async ({ client, capture, held }) => {
        const from = capture.seen6().length
        await client.release()
        const released = await capture.wait6('Release', isOneOf('Release'), from)
        const reply = answerTo(released)
        await capture.wait6('its Reply', reply, from)
        const again = await client.again()
        expectTimes(again)
        // Others promise no such thing.
        if (server.kind === 'lease-ledger') expect(valuesOf(again)).toEqual(valuesOf(held))
        await client.release()
      }),
    30_000,
  )
}

/** What a client holds, without the times. */
const valuesOf = (lease: ClientLease6) => ({ address: lease.address?.value, prefix: lease.prefix?.value })

const expectTimes = ({ address, prefix }: ClientLease6): void => {
  for (const binding of [address, prefix]) {
    if (binding !== undefined) expect(binding).toMatchObject({ preferredSec: PREFERRED_SEC, validSec: VALID_SEC })
  }
}

const isOneOf =
  (...types: readonly string[]) =>
  (seen: Seen6): boolean =>
    types.includes(seen.type)

const answerTo =
  (asked: Seen6) =>
  (seen: Seen6): boolean =>
    seen.type === 'Reply' && seen.transaction === asked.transaction

/** Waits for the next extension, which must have come about by such a message, with a server's DUID only in Renew. */
const extend = async ({ client, capture, held }: Actor, type: 'Renew' | 'Rebind'): Promise<void> => {
  const from = capture.seen6().length
  const mark = client.mark()
  const extended = await client.lease(mark)
  expect(valuesOf(extended)).toEqual(valuesOf(held))
  expectTimes(extended)
  const asked = await capture.wait6(`a ${type}`, isOneOf(type), from)
  expect(asked.hasServerId).toBe(type === 'Renew')
  await capture.wait6('its Reply', answerTo(asked), from)
}
