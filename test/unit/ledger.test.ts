import fc from 'fast-check'
import * as E from 'fp-ts/lib/Either.js'
import { describe, expect, it } from 'vitest'
import { makeMemoryLedger, openMemory } from '../../adapters/memory/memory-store.ts'
import type { Fault, MemoryLedger } from '../../adapters/memory/memory-store.ts'
import type { Command, Offer } from '../../domain/lease.ts'
import { lease4Stream } from '../../domain/stream.ts'
import { checkStream } from '../support/ledger-check.ts'
import { at, policy, T0, terms } from '../support/lease-spec.ts'
import { PATIENCE_MS } from '../support/process.ts'
import { makeServer } from '../support/servers.ts'
import type { TestServer } from '../support/servers.ts'

const stream = lease4Stream(0xc6336405)
const claim = (holder: string, transactionId = 1): Command => ({
  type: 'Claim',
  terms: terms(holder, { transactionId }),
  ownOnly: false,
})
const renew = (holder: string, transactionId: number): Command => ({
  type: 'Renew',
  terms: terms(holder, { transactionId }),
  reuseSec: 0,
})
const offer = (holder: string): Offer => ({ type: 'Offer', terms: terms(holder), offerLifetimeSec: 10 })

const eventually = async (condition: () => boolean): Promise<void> => {
  const deadline = performance.now() + PATIENCE_MS
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the condition did not come true in time')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('Ledger', () => {
  const clock = () => T0
  const open = (ledger: MemoryLedger, name: string, now = clock): TestServer =>
    makeServer(openMemory(ledger, name), now)

  it('answers when the event is in the store', async () => {
    const store = makeMemoryLedger(clock)
    const server = open(store, 'a')
    const answer = await server.ledger.execute(stream, claim('ann'))
    expect(answer).toMatchObject(E.right({ event: { type: 'LeaseClaimed' } }))
    expect(store.streams.get(stream)?.length).toBe(1)
    expect(server.replica.get(stream)).toMatchObject({ revision: 0, state: { status: 'bound' } })
  })

  it('puts commands that arrive together into one batch', async () => {
    const store = makeMemoryLedger(clock)
    const server = open(store, 'a')
    const answers = await Promise.all(
      [1, 2, 3, 4].map((i) => server.ledger.execute(lease4Stream(i), claim(`client ${i}`))),
    )
    expect(answers.every(E.isRight)).toBe(true)
    expect(server.ledger.counters.batches).toBe(1)
  })

  /** A server whose store keeps silent on a batch until `answer` is called, and a client whose claim waits for it. */
  const openSilent = async (now: () => number, hasPeers: boolean) => {
    const memory = openMemory(makeMemoryLedger(clock), 'a')
    let answer = (): void => undefined
    const answered = new Promise<void>((resolve) => (answer = resolve))
    const silentStore = {
      ...memory,
      append: (batch: Parameters<typeof memory.append>[0]) => async () => {
        await answered
        return memory.append(batch)()
      },
    }
    const { ledger } = makeServer(silentStore, now, { hasPeers: () => hasPeers })
    const claimed = ledger.execute(stream, claim('ann'))
    await eventually(() => ledger.counters.batches === 1)
    return { ledger, claimed, answer }
  }

  it('offers nothing while the store is silent on a batch and others could serve, and offers again when it has answered', async () => {
    let time = T0
    const { ledger, claimed, answer } = await openSilent(() => time, true)
    time = T0 + 300
    expect(ledger.offer(lease4Stream(1), offer('bob'), false)).toMatchObject(E.right({ status: 'offered' }))
    time = T0 + 301
    expect(ledger.offer(lease4Stream(2), offer('eve'), false)).toEqual(E.left({ _tag: 'Unavailable' }))
    answer()
    expect(E.isRight(await claimed)).toBe(true)
    expect(ledger.offer(lease4Stream(2), offer('eve'), false)).toMatchObject(E.right({ status: 'offered' }))
  })

  it('goes on offering while the store is silent on a batch and nobody else could serve', async () => {
    let time = T0
    const { ledger, claimed, answer } = await openSilent(() => time, false)
    time = T0 + 1_000
    expect(ledger.offer(lease4Stream(1), offer('bob'), false)).toMatchObject(E.right({ status: 'offered' }))
    answer()
    expect(E.isRight(await claimed)).toBe(true)
  })

  it('lets one of two clients have an address when both ask one server at once', async () => {
    const server = open(makeMemoryLedger(clock), 'a')
    const answers = await Promise.all(['ann', 'bob'].map((who) => server.ledger.execute(stream, claim(who))))
    expect(answers).toMatchObject([E.right({}), E.left({ _tag: 'HeldByAnother' })])
  })

  it('lets one of two clients have an address when they ask two servers at once', async () => {
    const store = makeMemoryLedger(clock)
    const [a, b] = [open(store, 'a'), open(store, 'b')]
    const answers = await Promise.all([a.ledger.execute(stream, claim('ann')), b.ledger.execute(stream, claim('bob'))])
    expect(answers.map((answer) => (E.isRight(answer) ? 'granted' : answer.left._tag)).sort()).toEqual([
      'HeldByAnother',
      'granted',
    ])
  })

  it('does not refuse from memory: what another server knows better counts', async () => {
    const store = makeMemoryLedger(clock)
    const [a, b] = [open(store, 'a'), open(store, 'b')]
    await a.ledger.execute(stream, claim('ann'))
    await b.follower.catchUp()
    await a.ledger.execute(stream, { type: 'Release', holder: 'ann', cause: 'client' })
    // b has not seen the release: it must find out before it refuses bob, and before it renews for ann from memory.
    expect(b.replica.get(stream).state.status).toBe('bound')
    expect(await b.ledger.execute(stream, claim('bob'))).toMatchObject(E.right({ event: { type: 'LeaseClaimed' } }))
  })

  it('does not confirm a lease from memory that another server has ended', async () => {
    const store = makeMemoryLedger(clock)
    const [a, b] = [open(store, 'a'), open(store, 'b')]
    await a.ledger.execute(stream, claim('ann'))
    await b.follower.catchUp()
    await a.ledger.execute(stream, { type: 'Revoke', reason: 'moved' })
    const cached: Command = { type: 'Renew', terms: terms('ann', { transactionId: 9 }), reuseSec: 900 }
    expect(await b.ledger.execute(stream, cached)).toMatchObject(E.left({ _tag: 'NotHolder' }))
  })

  it('counts renewals that it answered without an event in the next one that is recorded', async () => {
    let seconds = 0
    const store = makeMemoryLedger(() => at(seconds))
    const [a, b] = ['a', 'b'].map((name) => open(store, name, () => at(seconds))) as [TestServer, TestServer]
    const renewAt = async (server: TestServer, second: number, transactionId: number): Promise<unknown> => {
      seconds = second
      const asked = terms('ann', { transactionId })
      const answer = await server.ledger.execute(stream, { type: 'Renew', terms: asked, reuseSec: 900 })
      return E.isRight(answer) ? answer.right.event : answer
    }
    await a.ledger.execute(stream, claim('ann'))
    expect(await renewAt(a, 300, 2)).toBeUndefined()
    // Two relays carry the next one; that is one renewal all the same.
    expect(await renewAt(a, 600, 3)).toBeUndefined()
    expect(await renewAt(a, 600.2, 3)).toBeUndefined()
    expect(await renewAt(a, 900, 4)).toMatchObject({ type: 'LeaseRenewed', unrecorded: 2, lease: { renewals: 3 } })
    // Counted is counted; and what the other server has answered, it counts itself.
    expect(await renewAt(b, 1200, 5)).toBeUndefined()
    const plain = await renewAt(a, 1800, 6)
    expect(plain).toMatchObject({ type: 'LeaseRenewed', lease: { renewals: 4 } })
    expect(plain).not.toHaveProperty('unrecorded')
    expect(await renewAt(b, 2700, 7)).toMatchObject({ unrecorded: 1, lease: { renewals: 6 } })
    expect(store.streams.get(stream)).toHaveLength(4)
  })

  it('counts no renewals of a lease that is over into the one after it', async () => {
    let seconds = 0
    const store = makeMemoryLedger(() => at(seconds))
    const [a, b] = ['a', 'b'].map((name) => open(store, name, () => at(seconds))) as [TestServer, TestServer]
    const cached = (transactionId: number): Command => ({
      type: 'Renew',
      terms: terms('ann', { transactionId }),
      reuseSec: 900,
    })
    await a.ledger.execute(stream, claim('ann'))
    seconds = 300
    await a.ledger.execute(stream, cached(2))
    await b.follower.catchUp()
    await b.ledger.execute(stream, { type: 'Release', holder: 'ann', cause: 'client' })
    await b.ledger.execute(stream, claim('ann', 3))
    await a.follower.catchUp()
    seconds = 1200
    const answer = await a.ledger.execute(stream, cached(4))
    expect(answer).toMatchObject(E.right({ event: { type: 'LeaseRenewed', lease: { renewals: 1 } } }))
    expect(E.isRight(answer) && answer.right.event).not.toHaveProperty('unrecorded')
  })

  it('never sends what was decided on a state that has been overtaken', async () => {
    const store = makeMemoryLedger(clock)
    const [a, b] = [open(store, 'a'), open(store, 'b')]
    await a.ledger.execute(stream, claim('ann'))
    const bobs = b.ledger.execute(stream, claim('bob'))
    // bob's claim has been decided on an empty stream; ann's reaches b's replica before bob's is sent.
    await b.follower.catchUp()
    expect(await bobs).toMatchObject(E.left({ _tag: 'HeldByAnother' }))
    expect(checkStream(store.streams.get(stream) ?? [], policy.maxClockSkewMs)).toEqual([])
  })

  it('does not let its own offer hide what another server has granted since', async () => {
    const store = makeMemoryLedger(clock)
    const [a, b] = [open(store, 'a'), open(store, 'b')]
    b.ledger.offer(stream, offer('bob'), false)
    await a.ledger.execute(stream, claim('ann'))
    await b.follower.catchUp()
    expect(await b.ledger.execute(stream, claim('bob'))).toMatchObject(E.left({ _tag: 'HeldByAnother' }))
    expect(checkStream(store.streams.get(stream) ?? [], policy.maxClockSkewMs)).toEqual([])
  })

  it('writes an offer behind, and not at all when the claim comes first', async () => {
    const store = makeMemoryLedger(clock)
    const server = open(store, 'a')
    expect(server.ledger.offer(stream, offer('ann'), true)).toMatchObject(E.right({ status: 'offered' }))
    const other = lease4Stream(7)
    server.ledger.offer(other, offer('bob'), true)
    await server.ledger.execute(stream, claim('ann'))
    await server.ledger.drain()
    expect(store.streams.get(stream)?.map((event) => event.type)).toEqual(['LeaseClaimed'])
    expect(store.streams.get(stream)?.[0]?.data).toContain('"offered"')
    expect(store.streams.get(other)?.map((event) => event.type)).toEqual(['LeaseOffered'])
  })

  it('comes to its end also when all that is left is an offer that was overtaken', async () => {
    const store = makeMemoryLedger(clock)
    const a = makeServer(openMemory(store, 'a'), clock, { offerDelayMs: 250 })
    const b = open(store, 'b')
    a.ledger.offer(stream, offer('ann'), true)
    await b.ledger.execute(stream, claim('bob'))
    await a.follower.catchUp()
    expect(a.ledger.offersPending).toBe(1)
    await a.ledger.drain()
    expect(a.ledger.offersPending).toBe(0)
    expect(store.streams.get(stream)?.map(({ type }) => type)).toEqual(['LeaseClaimed'])
  })

  it('holds an offer that is not recorded against other clients until it lapses', () => {
    let now = T0
    const server = open(makeMemoryLedger(clock), 'a', () => now)
    server.ledger.offer(stream, offer('ann'), false)
    expect(server.ledger.offer(stream, offer('bob'), false)).toMatchObject(E.left({ _tag: 'HeldByAnother' }))
    now = at(10)
    server.ledger.lapse()
    expect(server.ledger.offer(stream, offer('bob'), false)).toMatchObject(E.right({ lease: { holder: 'bob' } }))
  })

  describe.each([true, false])('when the outcome of a commit is unknown (committed: %s)', (committed) => {
    it('settles it, answers nothing meanwhile, and goes on', async () => {
      let faults: Fault[] = [{ _tag: 'OutcomeUnknown', reason: 'connection lost', committed }]
      const store = makeMemoryLedger(clock, (call) => (call === 'append' ? Promise.resolve(faults.shift()) : undefined))
      const server = open(store, 'a')
      expect(await server.ledger.execute(stream, claim('ann'))).toMatchObject(E.left({ _tag: 'Unavailable' }))
      await eventually(() => server.ledger.health === 'up')
      expect(await server.ledger.execute(stream, claim('bob', 2))).toMatchObject(E.left({ _tag: 'HeldByAnother' }))
      expect(await server.ledger.execute(stream, renew('ann', 3))).toMatchObject(E.right({}))
      expect(store.streams.get(stream)?.map((event) => event.type)).toEqual(['LeaseClaimed', 'LeaseRenewed'])
      faults = []
    })
  })

  it('says at once that the store is away, and takes commands again when it is back', async () => {
    let away = true
    const store = makeMemoryLedger(clock, () =>
      away ? Promise.resolve({ _tag: 'StoreUnavailable', reason: 'no route' }) : undefined,
    )
    const server = open(store, 'a')
    expect(await server.ledger.execute(stream, claim('ann'))).toMatchObject(E.left({ _tag: 'Unavailable' }))
    expect(server.ledger.health).toBe('down')
    away = false
    await eventually(() => server.ledger.health === 'up')
    expect(await server.ledger.execute(stream, claim('ann'))).toMatchObject(E.right({}))
  })

  describe.each([
    ['in memory', false],
    ['that is to be recorded', true],
  ])('an offer %s whose claim the store did not take', (_kind, record) => {
    /** Ann has an offer, has claimed it in vain, and the store answers again. */
    const claimedInVain = async () => {
      const time = { now: T0 }
      const faults: Fault[] = []
      const store = makeMemoryLedger(
        () => time.now,
        async (call) => (call === 'append' ? faults[0] : undefined),
      )
      const { ledger } = makeServer(openMemory(store, 'a'), () => time.now, { offerDelayMs: 60_000 })
      expect(E.isRight(ledger.offer(stream, offer('ann'), record))).toBe(true)
      faults.push({ _tag: 'StoreUnavailable', reason: 'away' })
      expect(await ledger.execute(stream, claim('ann'))).toEqual(E.left({ _tag: 'Unavailable' }))
      faults.pop()
      await eventually(() => ledger.health === 'up')
      return { ledger, time }
    }

    it('holds the address for its client', async () => {
      const { ledger, time } = await claimedInVain()
      expect(ledger.offer(stream, offer('bob'), record)).toMatchObject(E.left({ _tag: 'HeldByAnother' }))
      time.now = T0 + 9_000
      expect(await ledger.execute(stream, claim('ann'))).toMatchObject(E.right({ event: { type: 'LeaseClaimed' } }))
    })

    it('lapses', async () => {
      const { ledger, time } = await claimedInVain()
      time.now = T0 + 10_000
      ledger.lapse()
      expect(ledger.offer(stream, offer('bob'), record)).toMatchObject(E.right({ lease: { holder: 'bob' } }))
    })
  })

  it('bounds what waits', async () => {
    const server = makeServer(openMemory(makeMemoryLedger(clock), 'a'), clock, { queueMax: 2 })
    const answers = await Promise.all([1, 2, 3].map((i) => server.ledger.execute(lease4Stream(i), claim(`c${i}`))))
    expect(answers[2]).toMatchObject(E.left({ _tag: 'Overloaded' }))
    expect(answers.slice(0, 2).every(E.isRight)).toBe(true)
  })
})

describe('whatever several servers do over one store', () => {
  const command = fc.oneof(
    fc.record({ type: fc.constant('claim' as const), who: fc.nat(3), what: fc.nat(2), xid: fc.nat(5) }),
    fc.record({ type: fc.constant('renew' as const), who: fc.nat(3), what: fc.nat(2), xid: fc.nat(5) }),
    fc.record({ type: fc.constant('release' as const), who: fc.nat(3), what: fc.nat(2), xid: fc.constant(0) }),
    fc.record({ type: fc.constant('offer' as const), who: fc.nat(3), what: fc.nat(2), xid: fc.constant(0) }),
    fc.record({ type: fc.constant('expire' as const), who: fc.constant(0), what: fc.nat(2), xid: fc.constant(0) }),
  )
  const step = fc.record({ server: fc.nat(2), command, wait: fc.boolean(), seconds: fc.nat(120), fault: fc.nat(20) })

  it('an address is never bound to two clients, and every grant has its event', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        let seconds = 0
        let fault = 20
        // The clocks of the three servers are apart by less than max-clock-skew.
        const clocks = [0, 2000, -2500].map((skew) => () => at(seconds) + skew)
        const store = makeMemoryLedger(
          () => at(seconds),
          (call) => {
            const now = fault
            if (call === 'append') fault = 20
            return call !== 'append' || now > 1
              ? undefined
              : Promise.resolve({ _tag: 'OutcomeUnknown', reason: 'lost', committed: now === 0 })
          },
        )
        const servers = clocks.map((now, i) => makeServer(openMemory(store, `s${i}`), now))
        const grants: Promise<unknown>[] = []
        for (const { server, command: what, wait, seconds: passed, fault: next } of steps) {
          seconds += passed
          fault = next
          const { ledger } = servers[server] as TestServer
          const address = lease4Stream(what.what)
          const asked = terms(`client ${what.who}`, { transactionId: what.xid, validLifetimeSec: 100 })
          if (what.type === 'offer') ledger.offer(address, { type: 'Offer', terms: asked, offerLifetimeSec: 10 }, true)
          else grants.push(ledger.execute(address, commandOf(what.type, asked)))
          if (wait) await Promise.all(grants)
        }
        await Promise.all(grants)
        for (const { ledger } of servers) await eventually(() => ledger.health === 'up')
        const problems = [...store.streams.values()].flatMap((events) => checkStream(events, policy.maxClockSkewMs))
        expect(problems).toEqual([])
        for (const server of servers) {
          await server.follower.catchUp()
          expect(server.fatal).toEqual([])
        }
        const states = servers.map(({ replica }) => [0, 1, 2].map((i) => replica.get(lease4Stream(i))))
        expect(states[1]).toEqual(states[0])
        expect(states[2]).toEqual(states[0])
      }),
      { numRuns: 150 },
    )
  })
})

const commandOf = (type: 'claim' | 'renew' | 'release' | 'expire', asked: ReturnType<typeof terms>): Command => {
  switch (type) {
    case 'claim':
      return { type: 'Claim', terms: asked, ownOnly: false }
    case 'renew':
      return { type: 'Renew', terms: asked, reuseSec: 0 }
    case 'release':
      return { type: 'Release', holder: asked.holder, cause: 'client' }
    case 'expire':
      return { type: 'Expire' }
  }
}
