import { describe, expect, it } from 'vitest'
import { Counters } from '../../server/counters.ts'
import { Exchanges } from '../../server/exchanges.ts'
import { dhcp6Config, makeServer6, say } from '../support/dhcp6.ts'
import { makeMemoryLedger } from '../../adapters/memory/memory-store.ts'
import { T0 } from '../support/lease-spec.ts'
import { silent } from '../support/servers.ts'

type Verdict = { readonly reply: string } | { readonly drop: string }

/** Exchanges with a clock, and what was sent, counted and logged. */
const given = () => {
  const state = { now: 0, sent: [] as string[], errors: [] as object[] }
  const counters = new Counters()
  const exchanges = new Exchanges<Verdict>('dhcp4', {
    now: () => state.now,
    counters,
    log: { ...silent, error: (fields) => void state.errors.push(fields) },
    queueMax: 4,
    packetAgeMsMax: 1_000,
  })
  const send = ({ reply }: { readonly reply: string }): void => {
    if (reply === 'broken') throw new Error('no such option')
    state.sent.push(reply)
  }
  return {
    state,
    counters,
    exchanges,
    settle: (verdict: Verdict | Promise<Verdict>) => exchanges.settle(verdict, send),
  }
}

/** A verdict that the test gives when it likes. */
const pending = () => Promise.withResolvers<Verdict>()

describe('exchanges', () => {
  it('are over at once when nothing had to be asked', () => {
    const { state, counters, exchanges, settle } = given()
    settle({ reply: 'ack' })
    settle({ drop: 'notForUs' })
    expect(state.sent).toEqual(['ack'])
    expect(counters.all()).toEqual({ 'dhcp4.drop.notForUs': 1 })
    expect(exchanges.waiting).toBe(0)
  })

  it('that wait fill the queue: first messages are turned away at three quarters of it', async () => {
    const { state, exchanges, settle } = given()
    const waiting = [pending(), pending(), pending(), pending()]
    const full = waiting.map(({ promise }) => {
      settle(promise)
      return [exchanges.isFull(true), exchanges.isFull(false)]
    })
    expect(full).toEqual([
      [false, false],
      [false, false],
      [true, false],
      [true, true],
    ])
    for (const { promise, resolve } of waiting) {
      resolve({ reply: 'ack' })
      await promise
    }
    expect(exchanges.waiting).toBe(0)
    expect(state.sent).toHaveLength(4)
  })

  it('that took too long send no reply, but count a drop as what it is', async () => {
    const { state, counters, settle } = given()
    for (const verdict of [{ reply: 'ack' }, { drop: 'released' }]) {
      const { promise, resolve } = pending()
      settle(promise)
      state.now += 1_001
      resolve(verdict)
      await promise
    }
    expect(state.sent).toEqual([])
    expect(counters.all()).toEqual({ 'dhcp4.drop.released': 1, 'dhcp4.drop.tooLate': 1 })
  })

  it('that hit a defect are counted and logged with its place, whenever it shows, and nothing is thrown', async () => {
    const { state, counters, exchanges, settle } = given()
    exchanges.guard(() => {
      throw new Error('while it was read')
    })
    exchanges.guard(() => settle({ reply: 'broken' }))
    for (const end of ['reject', 'resolve'] as const) {
      const { promise, resolve, reject } = pending()
      settle(promise)
      if (end === 'reject') reject(new Error('while it was decided'))
      else resolve({ reply: 'broken' })
      await promise.catch(() => undefined)
    }
    expect(counters.all()).toEqual({ 'dhcp4.drop.defect': 4 })
    expect(state.errors.map((each) => (each as { error: string }).error)).toEqual([
      'Error: while it was read',
      'Error: no such option',
      'Error: while it was decided',
      'Error: no such option',
    ])
    expect(exchanges.waiting).toBe(0)
  })
})

describe('a DHCPv6 server', () => {
  it('turns away Solicits before Renews when too many wait, and counts both', async () => {
    const pools = [{ pool: '2001:db8:1::1000 - 2001:db8:1::1fff' }]
    const config = dhcp6Config({ subnet6: [{ id: 1, subnet: '2001:db8:1::/64', pools }] })
    const server = makeServer6(
      config,
      makeMemoryLedger(() => T0),
      () => T0,
      1,
      { queueMax: 4 },
    )
    const message = (type: 'solicit' | 'rebind', client: number) =>
      server.push(say({ type, client, na: { 1: [`2001:db8:1::100${client}`] } }))
    const waiting = [1, 2, 3].map((client) => message('rebind', client))
    expect(waiting).toEqual([1, 2, 3])
    expect(message('solicit', 4)).toBe(3)
    expect(message('rebind', 5)).toBe(4)
    expect(message('rebind', 6)).toBe(4)
    expect(server.counters.get('dhcp6.drop.overloaded')).toBe(2)
    await server.ledger.drain()
  })
})
