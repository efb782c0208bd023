/** Random clients say random things to two servers: nothing throws, and every grant is in the ledger. */
import * as E from 'fp-ts/lib/Either.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { makeMemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { Fault, MemoryLedger } from '../../adapters/memory/memory-store.ts'
import { statusAfter } from '../../domain/lease.ts'
import { decodeEvent } from '../../domain/lease-codec.ts'
import { dhcp4Config, hear4, makeServer4, say4, serverAddressOf } from '../support/dhcp4.ts'
import type { Heard4, Said4 } from '../support/dhcp4.ts'
import { checkStream } from '../support/ledger-check.ts'
import { at, policy } from '../support/lease-spec.ts'

const config = dhcp4Config({
  'valid-lifetime': 60,
  'min-valid-lifetime': 10,
  'max-valid-lifetime': 200,
  'decline-probation-period': 30,
  'stash-agent-options': true,
  'reservations-global': true,
  reservations: [{ 'hw-address': '02:00:00:00:00:02', 'ip-address': '198.51.100.12', hostname: 'two' }],
  'client-classes': [{ name: 'odd', test: 'substring(pkt4.mac,5,1) == 0x03' }],
  'option-data': [{ name: 'rapid-commit', code: 80, 'csv-format': false, data: '' }],
  'shared-networks': [
    {
      name: 'net',
      authoritative: true,
      subnet4: [
        { id: 1, subnet: '198.51.100.0/28', pools: [{ pool: '198.51.100.10 - 198.51.100.13' }] },
        {
          id: 2,
          subnet: '198.51.100.16/28',
          pools: [{ pool: '198.51.100.20 - 198.51.100.21', 'client-classes': ['odd'] }],
        },
      ],
    },
  ],
  subnet4: [
    { id: 3, subnet: '203.0.113.0/24', 'match-client-id': false, pools: [{ pool: '203.0.113.10 - 203.0.113.11' }] },
  ],
})

const addresses = fc.constantFrom(
  ...[10, 11, 12, 13, 20, 21, 25].map((last) => `198.51.100.${last}`),
  '203.0.113.10',
  '203.0.113.11',
  '192.0.2.9',
  '0.0.0.0',
  '255.255.255.255',
)
const hexOctets = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString('hex'))

/** Sometimes there. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

const said: fc.Arbitrary<Said4> = fc
  .record({
    type: fc.constantFrom<Said4['type']>(
      'discover',
      'discover',
      'request',
      'request',
      'request',
      'decline',
      'release',
      'inform',
      'offer',
    ),
    client: fc.integer({ min: 1, max: 5 }),
    xid: fc.integer({ min: 1, max: 4 }),
    clientId: maybe(fc.constantFrom('0102', '01', 'ff00000001000300010200', '')),
    broadcast: fc.boolean(),
    ciaddr: maybe(addresses),
    giaddr: fc.constantFrom('198.51.100.1', '198.51.100.1', '203.0.113.1', null, '192.0.2.1'),
    server: maybe(fc.constantFrom(serverAddressOf(1), serverAddressOf(2), '198.51.100.9')),
    wants: maybe(addresses),
    leaseSec: maybe(fc.constantFrom(0, 30, 1000, 0xffffffff)),
    asks: maybe(fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 6 })),
    agent: maybe(fc.dictionary(fc.constantFrom('1', '2', '5', '11', '19'), hexOctets(5), { maxKeys: 3 })),
    more: maybe(
      fc.dictionary(fc.constantFrom('12', '57', '60', '80', '81', '118', '124', '125'), hexOctets(9), { maxKeys: 3 }),
    ),
    from: maybe(addresses),
    chaddr: maybe(fc.constantFrom('', '02', '02000000000000ff02000000000000ff')),
  })
  .map(
    (record) =>
      Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as unknown as Said4,
  )

type Step =
  | {
      readonly do: 'say'
      readonly to: 0 | 1
      readonly said: Said4
      readonly flip: readonly [number, number] | undefined
    }
  | { readonly do: 'follow'; readonly to: 0 | 1 }
  | { readonly do: 'pass'; readonly seconds: number }
  | { readonly do: 'catchUp'; readonly server: 0 | 1 }
  | { readonly do: 'cut'; readonly away: boolean }

const which = fc.constantFrom<0 | 1>(0, 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('say' as const),
      to: which,
      said,
      flip: maybe(fc.tuple(fc.nat({ max: 320 }), fc.nat({ max: 255 }))),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('follow' as const), to: which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.constantFrom(1, 9, 40, 100) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('catchUp' as const), server: which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const), away: fc.boolean() }) },
)

/** What is wrong with an ACK that grants an address: it is not what the last event of the address says. */
const wrongGrant = (store: MemoryLedger, heard: Heard4, now: number): string | undefined => {
  const last = [...store.streams].find(([name]) => name === `lease4/${heard.yiaddr}`)?.[1].at(-1)
  if (last === undefined) return `${heard.yiaddr} was granted without an event`
  const event = decodeEvent(last.type, last.schemaVersion, last.data)
  if (E.isLeft(event)) return event.left.reason
  const { lease } = event.right
  if (statusAfter(event.right) !== 'bound') return `${heard.yiaddr} was granted after ${last.type}`
  const hardware = `hw:${heard.packet.htype}:${Buffer.from(heard.packet.chaddr).toString('hex')}`
  const client = [hardware, `id:${heard.option(61)}`]
  if (!client.includes(lease.holder)) return `${heard.yiaddr} of ${lease.holder} was granted to ${client.join(' or ')}`
  const until = now + (heard.leaseSec ?? Infinity) * 1000
  return until > lease.expiresAt ? `${heard.yiaddr} was granted beyond its end` : undefined
}

/** Plays the steps; what went wrong, and how many addresses were granted. */
const play = async (steps: ReadonlyArray<Step>): Promise<{ readonly problems: string[]; readonly grants: number }> => {
  let seconds = 0
  const faults: Fault[] = []
  const now = (): number => at(seconds)
  const store = makeMemoryLedger(now, () => (faults.length === 0 ? undefined : Promise.resolve(faults[0])))
  const servers = [1, 2].map((i) => makeServer4(config, store, now, i))
  const problems: string[] = []
  let grants = 0
  let offer: Heard4 | undefined
  const hear = (bytes: Uint8Array | undefined): void => {
    if (bytes === undefined) return
    const heard = hear4(bytes, { address: '', port: 0, unicastHardware: undefined })
    if (heard.type === 'offer') offer = heard
    if (heard.type === 'nak' && faults.length > 0) problems.push('refused while the store was away')
    if (heard.type !== 'ack' || heard.leaseSec === undefined) return
    grants++
    const problem = wrongGrant(store, heard, now())
    if (problem !== undefined) problems.push(problem)
  }
  for (const one of steps) {
    switch (one.do) {
      case 'say': {
        const bytes = say4(one.said)
        if (one.flip !== undefined) bytes[one.flip[0] % bytes.length] = one.flip[1]
        hear(await servers[one.to]?.exchange(bytes))
        break
      }
      case 'follow':
        if (offer !== undefined) {
          const { packet, yiaddr, server } = offer
          const chaddr = Buffer.from(packet.chaddr).toString('hex')
          const clientId = offer.option(61)
          const giaddr =
            packet.giaddr === 0 ? null : [24, 16, 8, 0].map((bit) => (packet.giaddr >>> bit) & 255).join('.')
          const request: Said4 = {
            type: 'request',
            client: 0,
            chaddr,
            htype: packet.htype,
            server,
            wants: yiaddr,
            giaddr,
          }
          hear(await servers[one.to]?.exchange(say4(clientId === undefined ? request : { ...request, clientId })))
        }
        break
      case 'pass':
        seconds += one.seconds
        for (const { ledger } of servers) ledger.lapse()
        break
      case 'catchUp':
        await servers[one.server]?.follower.catchUp()
        break
      case 'cut':
        faults.length = 0
        if (one.away) faults.push({ _tag: 'StoreUnavailable', reason: 'cut off' })
        else for (const { ledger } of servers) await expect.poll(() => ledger.health, { interval: 1 }).toBe('up')
    }
  }
  faults.length = 0
  for (const { ledger, fatal } of servers) {
    await expect.poll(() => ledger.health, { interval: 1 }).toBe('up')
    await ledger.drain()
    ledger.stop()
    problems.push(...fatal)
  }
  for (const events of store.streams.values()) problems.push(...checkStream(events, policy.maxClockSkewMs))
  return { problems, grants }
}

describe('random clients over random packets', () => {
  it('make no server throw, grant nothing that is not in the ledger, and refuse nobody while the store is away', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        expect((await play(steps)).problems).toEqual([])
      }),
      { numRuns: 150, endOnFailure: true },
    )
  })

  it('and such plays do grant leases', async () => {
    const steps: Step[] = [
      { do: 'say', to: 0, said: { type: 'discover', client: 1 }, flip: undefined },
      { do: 'follow', to: 0 },
    ]
    expect(await play(steps)).toEqual({ problems: [], grants: 1 })
  })
})
