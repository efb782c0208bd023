import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Timer } from '../../projections/timer.ts'
import { ALONE_MS_FIRST, ALONE_MS_MOST, STAND_BACK_MS, Turns, VAIN_MAX } from '../../server/turns.ts'
import type { LinkName } from '../../server/turns.ts'

/** Time that passes when the test says so. */
const makeClock = () => {
  let now = 1_000
  let waiting: { readonly at: number; readonly act: () => void }[] = []
  const soon: (() => void)[] = []
  const timer: Timer = {
    after: (ms, act) => {
      const entry = { at: now + ms, act }
      waiting.push(entry)
      return () => void (waiting = waiting.filter((each) => each !== entry))
    },
    soon: (act) => void soon.push(act),
  }
  /** Time goes on; then what waits at the sockets is heard, and then comes what was to come soon. */
  const pass = (ms: number, hear: () => void = () => undefined): void => {
    now += ms
    const due = waiting.filter(({ at }) => at <= now)
    waiting = waiting.filter(({ at }) => at > now)
    for (const { act } of due) act()
    hear()
    for (const act of soon.splice(0)) act()
  }
  return { now: () => now, timer, pass }
}

const ALIVE = ['a', 'b', 'c']
const linkOf = (relay: string, interfaceName?: string): LinkName => ({ relay, interfaceName })
const client = (n: number): Uint8Array => Uint8Array.of(1, 2, n >> 8, n & 255)

/** The three servers on one clock, and a link on which `a` is first, so that `b` and `c` follow it. */
const given = () => {
  const clock = makeClock()
  const turnsOf = (own: string, alive: ReadonlyArray<string> = ALIVE): Turns =>
    new Turns({ share: () => ({ own, alive }), now: clock.now, timer: clock.timer })
  const link = Array.from({ length: 100 }, (_, n) => linkOf(`link ${n}`)).find(
    (each) => !turnsOf('a').standsBack(client(0), each, () => undefined),
  ) as LinkName
  return { ...clock, turnsOf, link }
}

/** How long a server stands back from a client that chooses nobody; 0 when not at all. ms. */
const waitOf = ({ now, pass }: ReturnType<typeof makeClock>, turns: Turns, link: LinkName): number => {
  const from = now()
  let answeredAt = from
  if (!turns.standsBack(client(1), link, () => (answeredAt = now()))) return 0
  for (let step = 0; step < 10; step++) pass(STAND_BACK_MS)
  return answeredAt - from
}

describe('turns', () => {
  it('are of all servers on each link: one offers at once, each of the others later than the one before it', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 6 }), (link, count) => {
        const { turnsOf, ...clock } = given()
        const alive = Array.from({ length: count }, (_, n) => `server ${n}`)
        const waits = alive.map((own) => waitOf(clock, turnsOf(own, alive), linkOf(link)))
        expect(waits.toSorted((one, other) => one - other)).toEqual(alive.map((_, place) => place * STAND_BACK_MS))
      }),
    )
  })

  it('are the same whatever a server calls its interface, which tells the links apart that nobody else serves', () => {
    const { turnsOf, link, pass } = given()
    for (const name of ['eth0', 'ens3']) {
      expect(turnsOf('a').standsBack(client(1), { ...link, interfaceName: name }, () => undefined)).toBe(false)
    }
    const turns = turnsOf('b')
    const standsBack = (n: number, interfaceName: string): boolean =>
      turns.standsBack(client(n), { ...link, interfaceName }, () => undefined)
    for (let n = 1; n <= VAIN_MAX; n++) {
      expect(standsBack(n, 'eth0')).toBe(true)
      pass(STAND_BACK_MS)
    }
    expect(standsBack(100, 'eth0')).toBe(false)
    expect(standsBack(101, 'eth1')).toBe(true)
  })

  it('end for a client that has chosen another server, and for nobody else', () => {
    const { turnsOf, link, pass } = given()
    const turns = turnsOf('b')
    const answered: number[] = []
    for (const n of [1, 2]) expect(turns.standsBack(client(n), link, () => answered.push(n))).toBe(true)
    expect(turns.chosen(client(1))).toBe(true)
    expect(turns.chosen(client(1))).toBe(false)
    expect(turns.chosen(client(3))).toBe(false)
    pass(STAND_BACK_MS)
    expect(answered).toEqual([2])
    expect(turns.chosen(client(2))).toBe(false)
  })

  it('end for a client whose choice had come when the time was over, and was heard after that', () => {
    const { turnsOf, link, pass } = given()
    const turns = turnsOf('b')
    const answered: number[] = []
    const standsBack = (n: number): boolean => turns.standsBack(client(n), link, () => answered.push(n))
    for (let n = 1; n <= 2 * VAIN_MAX; n++) expect(standsBack(n)).toBe(true)
    pass(2 * STAND_BACK_MS, () => {
      for (let n = 1; n <= 2 * VAIN_MAX; n++) expect(turns.chosen(client(n))).toBe(true)
      expect(standsBack(100)).toBe(true)
    })
    expect(answered).toEqual([])
    pass(STAND_BACK_MS)
    expect(answered).toEqual([100])
  })

  it('answer a client once that came by two relays at once', () => {
    const { turnsOf, link, pass } = given()
    const turns = turnsOf('b')
    let answers = 0
    for (let copy = 0; copy < 2; copy++) expect(turns.standsBack(client(1), link, () => answers++)).toBe(true)
    pass(STAND_BACK_MS)
    expect(answers).toBe(1)
  })

  it('are not waited for where nobody else answers, until that is tried again', () => {
    const { turnsOf, link, pass } = given()
    const turns = turnsOf('b')
    const standsBack = (n: number, on = link): boolean => turns.standsBack(client(n), on, () => undefined)
    const inVain = (n: number): void => {
      expect(standsBack(n)).toBe(true)
      pass(STAND_BACK_MS)
    }
    for (let n = 1; n < VAIN_MAX; n++) inVain(n)
    expect(standsBack(100)).toBe(true)
    expect(turns.chosen(client(100))).toBe(true) // so the count begins anew
    for (let n = 1; n <= VAIN_MAX; n++) inVain(n)
    expect(standsBack(101)).toBe(false)
    const other = Array.from({ length: 100 }, (_, n) => linkOf(`other ${n}`)).find((on) => standsBack(102, on))
    expect(other).toBeDefined()
    pass(ALONE_MS_FIRST)
    expect(standsBack(103)).toBe(true)
    expect(turns.chosen(client(103))).toBe(true)
    inVain(104)
    expect(standsBack(105)).toBe(true)
  })

  it('are tried again as soon when many clients came at one moment', () => {
    const { turnsOf, link, pass } = given()
    const turns = turnsOf('b')
    const standsBack = (n: number): boolean => turns.standsBack(client(n), link, () => undefined)
    for (let n = 1; n <= 8 * VAIN_MAX; n++) expect(standsBack(n)).toBe(true)
    pass(STAND_BACK_MS)
    expect(standsBack(100)).toBe(false)
    pass(ALONE_MS_FIRST)
    expect(standsBack(101)).toBe(true)
  })

  it('are tried again the less often, the longer nobody else answers', () => {
    const { turnsOf, link, now, pass } = given()
    const turns = turnsOf('b')
    /** After one client in vain, how long it does not stand back. ms. */
    const aloneMs = (n: number): number => {
      expect(turns.standsBack(client(n), link, () => undefined)).toBe(true)
      pass(STAND_BACK_MS)
      const from = now()
      while (!turns.standsBack(client(n + 10_000), link, () => undefined)) pass(ALONE_MS_FIRST / 2)
      turns.stop()
      return now() - from
    }
    const untilAlone = (): void => {
      for (let n = 1; n < VAIN_MAX; n++) {
        expect(turns.standsBack(client(n), link, () => undefined)).toBe(true)
        pass(STAND_BACK_MS)
      }
    }
    untilAlone()
    const first = ALONE_MS_FIRST
    expect([20, 21, 22, 23, 24, 25, 26].map(aloneMs)).toEqual([
      first,
      2 * first,
      4 * first,
      8 * first,
      ALONE_MS_MOST,
      ALONE_MS_MOST,
      ALONE_MS_MOST,
    ])
    turns.standsBack(client(30), link, () => undefined)
    expect(turns.chosen(client(30))).toBe(true)
    untilAlone()
    expect(aloneMs(31)).toBe(first)
  })

  it('are nobody’s where a server is alone or does not see itself', () => {
    const { turnsOf, link } = given()
    for (const alive of [[], ['b'], ['a', 'c']]) {
      expect(turnsOf('b', alive).standsBack(client(1), link, () => undefined)).toBe(false)
    }
  })

  it('end with the server', () => {
    const { turnsOf, link, pass } = given()
    const turns = turnsOf('b')
    let answers = 0
    turns.standsBack(client(1), link, () => answers++)
    turns.stop()
    pass(10 * STAND_BACK_MS)
    expect(answers).toBe(0)
  })
})
