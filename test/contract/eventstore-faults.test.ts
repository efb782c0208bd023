/** Faults of EventStoreDB: lost connections, and what only this store can suffer. On the double of its protocol. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as E from 'fp-ts/lib/Either.js'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { thisProcess } from '../../adapters/identity.ts'
import { openEventStore, openEventStoreReader } from '../../adapters/eventstore/open.ts'
import { connectionStringOf } from '../../adapters/eventstore/options.ts'
import type { EventStoreOptions } from '../../adapters/eventstore/options.ts'
import { START } from '../../domain/event-store.ts'
import type { EventStore, Unsealed } from '../../domain/event-store.ts'
import { makeDatabase } from '../support/kurrent/database.ts'
import type { Expected } from '../support/kurrent/database.ts'
import { startKurrent } from '../support/kurrent/server.ts'
import type { Arrived, KurrentOptions, Mishap, TestKurrent } from '../support/kurrent/server.ts'
import { must as run, until } from '../support/process.ts'
import { eventStoreFaults } from './event-store-faults.ts'
import type { RemoteLedger } from './event-store-faults.ts'
import { batchOf, claim, claims, must, streamAt } from './proposals.ts'
import { carriedOut, settled } from './settling.ts'
import { expectSoundLogs } from './sound-logs.ts'

const quick = { connectTimeoutMs: 1_000, callTimeoutMs: 1_000 }
const patient = { connectTimeoutMs: 30_000, callTimeoutMs: 30_000 }
const optionsAt = (port: number, limits = quick): EventStoreOptions => ({
  connectionString: `kurrentdb://127.0.0.1:${port}?tls=false`,
  ...limits,
})

const onDouble = async (): Promise<RemoteLedger> => {
  const node = await startKurrent()
  return {
    upstream: { host: node.host, port: node.port },
    open: (log, port) => openEventStore(port === undefined ? optionsAt(node.port, patient) : optionsAt(port), log),
    dispose: node.stop,
  }
}
eventStoreFaults('eventstore (test double of the wire protocol)', onDouble, 'one')

describe('eventstore (test double of the wire protocol)', () => {
  let nodes: TestKurrent[]
  let opened: { close: () => Promise<void> }[]
  let mishap: (append: Arrived) => Mishap | undefined | Promise<Mishap | undefined>
  beforeEach(() => {
    nodes = []
    opened = []
    mishap = () => undefined
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    for (const each of opened) await each.close()
    for (const node of nodes) await node.stop()
  })
  const startNode = async (options: KurrentOptions = {}): Promise<TestKurrent> => {
    const node = await startKurrent({ mishap: (append) => mishap(append), ...options })
    nodes.push(node)
    return node
  }
  const keep = <A extends { close: () => Promise<void> }>(one: A): A => {
    opened.push(one)
    return one
  }
  const open = async (node: TestKurrent, log = 'alpha'): Promise<EventStore> =>
    keep(await must(openEventStore(optionsAt(node.port), log)))
  /** Puts an event into a stream past all clients. */
  const plant = (node: TestKurrent, stream: string, type: string, data: object | string, expected: Expected = 'any') =>
    node.database.append(stream, expected, [
      {
        id: randomUUID(),
        type,
        contentType: typeof data === 'string' ? 'application/octet-stream' : 'application/json',
        data: Buffer.from(typeof data === 'string' ? data : JSON.stringify(data)),
        metadata: Buffer.from('{}'),
      },
    ])
  /** Makes it look as if a process that is dead now had the name. */
  const bury = (node: TestKurrent, log = 'alpha') =>
    plant(node, `server/${log}`, 'ServerOpened', {
      identity: JSON.stringify({ ...thisProcess(), pid: 2 ** 22 + 1, started: '1' }),
    })
  /** Lets the time that is measured, not that of the clock, go on. */
  const later = (ms: number): void => {
    const real = performance.now.bind(performance)
    vi.spyOn(performance, 'now').mockImplementation(() => real() + ms)
  }
  const isEntry = ({ stream }: Arrived): boolean => stream.startsWith('log/')
  const isLease = ({ stream }: Arrived): boolean => stream.startsWith('lease4/')

  const expectLog = async (store: EventStore, streams: ReadonlyArray<string>): Promise<void> => {
    const events: ReadonlyArray<Unsealed> = (await must(store.readAfter(START, 10_000))).events
    expect(events.map(({ stream }) => stream)).toEqual(streams)
    await expectSoundLogs(store, events)
  }

  describe('between the two steps of an append', () => {
    it('the server dies: the next start enters what it left, once, and goes on behind it', async () => {
      const node = await startNode()
      const first = await open(node)
      await must(first.append(claims(0, 2)))
      mishap = (append) => (isEntry(append) ? 'break before' : undefined)
      const lost = await first.append(claims(10, 3))()
      expect(lost).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
      mishap = () => undefined
      bury(node)
      const second = await open(node)
      await must(second.append(claims(20, 1)))
      bury(node)
      const third = await open(node)
      await must(third.append(batchOf(claim(streamAt(10), 0))))
      await expectLog(third, [0, 1, 10, 11, 12, 20, 10].map(streamAt))
      expect(await first.settle()()).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
    })

    it('the server dies, and its events arrive when the next start has looked: they are entered later', async () => {
      const node = await startNode()
      const first = await open(node)
      await must(first.append(claims(0, 1)))
      let release: () => void = () => undefined
      const held = new Promise<void>((resolve) => (release = resolve))
      mishap = (append) => (isLease(append) && append.stream !== streamAt(20) ? held.then(() => undefined) : undefined)
      const lost = await first.append(claims(10, 2))()
      expect(lost).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
      bury(node)
      const second = await open(node)
      await must(second.append(claims(20, 1)))
      release()
      await until('they have arrived', () => node.database.last(streamAt(11)) === 0)
      await must(second.heartbeat(''))
      await expectLog(second, [0, 20].map(streamAt))
      later(16_000)
      mishap = (append) => (isEntry(append) ? 'timeout' : undefined)
      expect(await second.heartbeat('')()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      mishap = () => undefined
      await must(second.append(claims(30, 1)))
      await must(second.heartbeat(''))
      await must(second.heartbeat(''))
      await expectLog(second, [0, 20, 10, 11, 30].map(streamAt))
    })

    it('another process takes the name: the server stops, and its events are entered by the other', async () => {
      const node = await startNode()
      const first = await open(node)
      await must(first.append(claims(0, 1)))
      let second: EventStore | undefined
      mishap = async (append) => {
        if (!isEntry(append) || second !== undefined) return undefined
        mishap = () => undefined
        bury(node)
        second = await open(node)
        await must(second.append(claims(20, 1)))
        return undefined
      }
      expect(await first.append(claims(10, 2))()).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
      expect(await first.append(claims(30, 1))()).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
      await expectLog(second as unknown as EventStore, [0, 10, 11, 20].map(streamAt))
    })

    it('the last entries of the process before come late: the chain goes on behind them', async () => {
      const node = await startNode()
      const store = await open(node)
      await must(store.append(claims(0, 1)))
      // Entries that nobody but the process before could have written; their hashes are its own affair.
      const stray = node.database.append(streamAt(40), 'no_stream', [
        { ...node.database.all.find(({ stream }) => stream === streamAt(0))!, id: randomUUID() },
      ])
      expect(stray._tag).toBe('Success')
      plant(node, 'log/alpha', '$>', `0@${streamAt(40)}`)
      expect(await must(store.append(claims(10, 2)))).toMatchObject([{ seq: 3 }, { seq: 4 }])
    })
  })

  it('shows the events of a stream with their places in the logs, losers beside them or not', async () => {
    const node = await startNode()
    const [a, b] = [await open(node), await open(node, 'beta')]
    await must(b.append(claims(0, 2)))
    await must(a.append(claims(0, 4)))
    await must(b.append(batchOf(claim(streamAt(9)), claim(streamAt(3), 0))))
    const seen = await must(a.readStream(streamAt(3), 0, 10))
    const logs = [...(await must(a.readLog('alpha', 0, 10))), ...(await must(a.readLog('beta', 0, 10)))]
    expect(seen.map(({ log, seq }) => `${log}/${seq}`)).toEqual(['alpha/2', 'beta/4'])
    expect(seen).toEqual(logs.filter(({ stream }) => stream === streamAt(3)))
  })

  it('looks who has the name before it writes after a long sleep', async () => {
    const node = await startNode()
    const sleeper = await open(node)
    await must(sleeper.append(claims(0, 1)))
    bury(node)
    const other = await open(node)
    later(60_000)
    expect(await sleeper.append(claims(10, 2))()).toMatchObject({ _tag: 'Left', left: { _tag: 'LogTaken' } })
    expect(node.database.last(streamAt(10))).toBe(-1)
    await expectLog(other, [streamAt(0)])
  })

  it('settles a batch that was cut off in the middle, without an error that nobody can catch', async () => {
    const node = await startNode()
    const store = await open(node)
    for (const how of ['break before', 'break after'] as const) {
      const from = how === 'break before' ? 0 : 1_000
      let seen = 0
      mishap = (append) => (isLease(append) && ++seen === 70 ? how : undefined)
      expect(await store.append(claims(from, 200))()).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
      mishap = () => undefined
      expect((await settled(store)).map(({ _tag }) => _tag)).toEqual(new Array(200).fill('Appended'))
    }
    expect(await must(store.heads())).toEqual({ alpha: 400 })
    expect((await must(store.readLatest([streamAt(1)])))[0]?.revision).toBe(0)
  })

  it('does not believe a time-out of the database, which may commit yet', async () => {
    const node = await startNode()
    const store = await open(node)
    mishap = (append) => (isLease(append) ? 'timeout' : undefined)
    expect(await store.append(claims(0, 2))()).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
    mishap = (append) => (isEntry(append) ? 'timeout' : undefined)
    expect(await store.settle()()).toMatchObject({ _tag: 'Left' })
    mishap = () => undefined
    expect((await settled(store)).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended'])
    await expectLog(store, [0, 1].map(streamAt))
  })

  it('stops when the account may not write', async () => {
    const node = await startNode()
    const store = await open(node)
    mishap = (append) => (isLease(append) ? 'denied' : undefined)
    expect(await store.append(claims(0, 2))()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
  })

  it('refuses to read a log whose events were removed, and events that are not ours', async () => {
    const node = await startNode()
    const store = await open(node)
    await must(store.append(claims(0, 1)))
    plant(node, 'log/alpha', '$>', `7@${streamAt(9)}`)
    const missing = await store.readAfter(START, 10)()
    expect(missing).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
    expect(JSON.stringify(missing)).toContain('alpha/2 is missing')
    plant(node, streamAt(3), 'Foreign', {})
    expect(await store.readLatest([streamAt(3)])()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
  })

  it('appends one by one to a node that has no batch append', async () => {
    const node = await startNode({ batchAppend: false })
    const [a, b] = [await open(node), await open(node, 'beta')]
    await must(b.append(claims(1, 1)))
    const outcomes = await must(a.append(claims(0, 3)))
    expect(outcomes.map(({ _tag }) => _tag)).toEqual(['Appended', 'WrongExpectedRevision', 'Appended'])
    mishap = (append) => (isLease(append) ? 'break after' : undefined)
    expect(await a.append(claims(10, 3))()).toMatchObject({ _tag: 'Left', left: { _tag: 'OutcomeUnknown' } })
    mishap = () => undefined
    expect((await settled(a)).map(({ _tag }) => _tag)).toEqual(['Appended', 'Appended', 'Appended'])
  })

  describe('a cluster', () => {
    it('is found by any seed, serves from its leader, and goes on with the next leader', async () => {
      const database = makeDatabase()
      let leader = 0
      const members = () =>
        nodes.map(({ port }, index) => ({ port, leader: index === leader, alive: !away.has(index) }))
      const away = new Set<number>()
      for (const index of [0, 1, 2]) {
        const leaderPort = () => (index === leader ? undefined : nodes[leader]?.port)
        await startNode({ database, members, leaderPort })
      }
      const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')
      const options = { connectionString: `esdb://${hosts}?tls=false&maxDiscoverAttempts=3`, ...quick }
      const store = keep(await must(openEventStore(options, 'alpha')))
      await must(store.append(claims(0, 3)))
      // A new leader: the old one sends its clients there.
      leader = 1
      await carriedOut(store, claims(10, 2), await store.append(claims(10, 2))())
      // And one that is gone.
      away.add(1)
      leader = 2
      await nodes[1]?.away()
      await carriedOut(store, claims(20, 2), await store.append(claims(20, 2))())
      await until('all is there, once', async () => {
        const heads = await store.heads()()
        return E.isRight(heads) && heads.right['alpha'] === 7
      })
    })
  })

  describe('TLS', () => {
    it('protects the connection, and carries the account', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'll-eventstore-'))
      const [certFile, keyFile] = [join(folder, 'node cert.pem'), join(folder, 'key.pem')]
      await run(
        'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost'
          .split(' ')
          .concat(['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', keyFile, '-out', certFile]),
      )
      const tls = { cert: await readFile(certFile), key: await readFile(keyFile) }
      const account = { user: 'ledger', password: 'p@ss:w/rd?' }
      const node = await startNode({ tls, account })
      const hosts = [{ host: 'localhost', port: node.port }]
      const trusting = { connectionString: connectionStringOf(hosts, { caFile: certFile }), ...quick }
      const store = keep(await must(openEventStore({ ...trusting, ...account }, 'alpha')))
      expect(await must(store.append(claims(0, 2)))).toHaveLength(2)
      await expectLog(store, [0, 1].map(streamAt))
      const stranger = await openEventStoreReader({ ...trusting, user: 'ledger', password: 'guess' })()
      expect(stranger).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
      const doubting = { connectionString: connectionStringOf(hosts, {}), ...quick, ...account }
      expect(await openEventStoreReader(doubting)()).toMatchObject({ _tag: 'Left' })
      await rm(folder, { recursive: true })
    })
  })

  describe('a connection string', () => {
    it('that is none is refused with a sentence, without its password', async () => {
      for (const connectionString of ['postgres://u:horse@h', 'kurrentdb://u:horse@127.0.0.1:1?tlsCAFile=/none.pem']) {
        const refused = await openEventStore({ connectionString, user: 'u', password: 'horse' }, 'alpha')()
        expect(refused).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnusable' } })
        expect(JSON.stringify(refused)).not.toContain('horse')
      }
    })

    it('that leads nowhere is named in the reason, without its password', async () => {
      const node = await startNode()
      await node.stop()
      const connectionString = `kurrentdb://u:horse@127.0.0.1:${node.port}?tls=false`
      for (const away of [
        await openEventStore({ connectionString, ...quick }, 'alpha')(),
        await openEventStoreReader({ connectionString, ...quick })(),
      ]) {
        expect(away).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
        expect(JSON.stringify(away)).toContain(`127.0.0.1:${node.port} cannot be reached: connection refused; is it`)
        expect(JSON.stringify(away)).not.toContain('horse')
      }
    })
  })
})
