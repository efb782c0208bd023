/** Galera losing nodes while servers append: what was confirmed is there once, on every node that lives. */
import { createConnection } from 'mysql2/promise'
import * as E from 'fp-ts/lib/Either.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { openMysql } from '../../adapters/mysql/open.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import { checkMysqlSettings } from '../../adapters/mysql/settings.ts'
import { START } from '../../domain/event-store.ts'
import type { EventStore, Unsealed } from '../../domain/event-store.ts'
import { galeraMissing, startGalera } from '../support/mariadb.ts'
import type { TestGalera, TestMariadb } from '../support/mariadb.ts'
import { until } from '../support/process.ts'
import { batchOf, claim, claims, must, streamAt } from './proposals.ts'
import { expectSoundLogs } from './sound-logs.ts'

const missing = galeraMissing()
describe.skipIf(missing !== undefined)(`on Galera${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let cluster: TestGalera
  let databases = 0
  beforeAll(async () => {
    cluster = await startGalera(3)
  })
  afterAll(() => cluster?.stop())

  const optionsFrom = async (...order: ReadonlyArray<number>): Promise<MysqlOptions> => {
    const database = `faults_${++databases}`
    await cluster.createDatabase(database)
    return at({ hosts: [], database, user: 'ledger', password: 'ledger', preferAgainMs: 200 }, ...order)
  }
  const at = (options: MysqlOptions, ...order: ReadonlyArray<number>): MysqlOptions => ({
    ...options,
    hosts: order.map((index) => {
      const { host, port } = cluster.nodes[index] as TestMariadb
      return { host, port }
    }),
  })

  /** Appends as a server does, one claim after the other, and settles what is unknown; gives the claims confirmed. */
  const appendUntil = async (store: EventStore, firstHost: number, isEnough: (count: number) => boolean) => {
    const confirmed: string[] = []
    let unknown = false
    for (let host = firstHost; !isEnough(confirmed.length);) {
      const result = await (unknown ? store.settle() : store.append(batchOf(claim(streamAt(host)))))()
      if (E.isRight(result)) {
        unknown = false
        expect(result.right.map(({ _tag }) => _tag)).toEqual(['Appended'])
        confirmed.push(streamAt(host++))
      } else if (result.left._tag === 'OutcomeUnknown') unknown = true
      else if (result.left._tag !== 'StoreUnavailable') throw new Error(JSON.stringify(result.left))
    }
    return confirmed
  }

  const hasAppended = async (store: EventStore): Promise<boolean> => {
    const heads = await store.heads()()
    return E.isRight(heads) && (heads.right['alpha'] ?? 0) > 20
  }

  const soundEvents = async (store: EventStore): Promise<ReadonlyArray<Unsealed>> => {
    const { events } = await must(store.readAfter(START, 100_000))
    await expectSoundLogs(store, events)
    return events
  }

  it('fails over when a node is killed in the middle, loses and doubles nothing, and goes back when it is well', async () => {
    const options = await optionsFrom(0, 1, 2)
    const [alpha, beta] = [await must(openMysql(options, 'alpha')), await must(openMysql(at(options, 1, 2), 'beta'))]
    let killed = false
    let since = 0
    const both = Promise.all([
      appendUntil(alpha, 0, () => killed && ++since > 60),
      appendUntil(beta, 10_000, (count) => killed && count > 60),
    ])
    await until('both have appended', async () => Object.values(await must(beta.heads())).every((seq) => seq > 20))
    await cluster.nodes[0]?.kill()
    killed = true
    const confirmed = (await both).flat()
    const events = await soundEvents(beta)
    expect(events.map(({ stream }) => stream as string).sort()).toEqual([...confirmed].sort())
    await cluster.nodes[0]?.restart()
    await cluster.settled(0, 3)
    const { pid } = cluster.nodes[0] as TestMariadb
    expect(pid()).toBeGreaterThan(0)
    await backOn(alpha, 0, options.database)
    await must(alpha.append(claims(30_000, 5)))
    expect((await soundEvents(beta)).length).toBe(confirmed.length + 5)
    await alpha.close()
    await beta.close()
  }, 300_000)

  it('sees on one node at once what was committed on another, also right after a fail-over', async () => {
    const options = await optionsFrom(0, 1, 2)
    const [alpha, beta] = [await must(openMysql(options, 'alpha')), await must(openMysql(at(options, 2), 'beta'))]
    for (let host = 0; host < 40; host++) {
      await must(alpha.append(batchOf(claim(streamAt(host)))))
      const latest = await must(beta.readLatest([streamAt(host)]))
      expect(latest).toHaveLength(1)
      expect(await must(beta.append(batchOf(claim(streamAt(host), 0))))).toMatchObject([{ _tag: 'Appended' }])
    }
    expect(await soundEvents(alpha)).toHaveLength(80)
    await alpha.close()
    await beta.close()
  })

  it('leaves a node that answers that it is not ready (1047)', async () => {
    const options = await optionsFrom(0, 1)
    const store = await must(openMysql(options, 'alpha'))
    await must(store.append(claims(0, 2)))
    await cluster.nodes[0]?.query('SET GLOBAL wsrep_reject_queries = ALL')
    try {
      expect(await must(store.append(claims(10, 1)))).toMatchObject([{ _tag: 'Appended' }])
      await must(store.heartbeat(''))
      const alone = await openMysql(at(options, 0), 'beta')()
      expect(alone).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(JSON.stringify(alone)).toContain('not ready')
      expect(await soundEvents(store)).toHaveLength(3)
    } finally {
      await cluster.nodes[0]?.query('SET GLOBAL wsrep_reject_queries = NONE')
    }
    await store.close()
  })

  /** Connections that a node has to a database. */
  const connectionsTo = async (index: number, database: string): Promise<number> => {
    const [row] = await (cluster.nodes[index] as TestMariadb).query(
      `SELECT count(*) AS connections FROM information_schema.processlist WHERE db = '${database}'`,
    )
    return Number(row?.['connections'])
  }

  const backOn = (store: EventStore, index: number, database: string) =>
    until(`it stands with node ${index} again`, async () => {
      if (E.isLeft(await store.heartbeat('')())) return false
      return (await connectionsTo(index, database)) > 0
    })

  it('leaves a node whose writes stand still while a backup or a transfer holds it, and comes back', async () => {
    const options = { ...(await optionsFrom(0, 1, 2)), statementTimeoutMs: 1_000 }
    const store = await must(openMysql(options, 'alpha'))
    const admin = await createConnection({
      socketPath: cluster.nodes[0]?.socketPath ?? '',
      user: 'ledger',
      password: 'ledger',
    })
    const held = { since: 0, is: false }
    const appending = appendUntil(store, 0, () => held.is && ++held.since > 30)
    await until('it has appended', () => hasAppended(store))
    // What a donor of a state transfer by rsync does, and a backup: the node is desynced and does not commit.
    await admin.query('FLUSH TABLES WITH READ LOCK')
    held.is = true
    let confirmed: ReadonlyArray<string>
    try {
      confirmed = await appending // while the node is held
      expect(await connectionsTo(1, options.database)).toBeGreaterThan(0)
    } finally {
      admin.destroy() // and with it the lock
    }
    await cluster.settled(0, 3)
    // What had to wait on the node that was left has been overtaken there.
    await backOn(store, 0, options.database)
    const events = await soundEvents(store)
    expect(events.map(({ stream }) => stream as string).sort()).toEqual([...confirmed].sort())
    await must(store.append(claims(30_000, 3)))
    await store.close()
  })

  it('keeps lease tables up to date elsewhere while the preferred node is held or not ready', async () => {
    const options = { ...(await optionsFrom(0, 1)), statementTimeoutMs: 1_000 }
    await must(migrateMysql(options, 'tables'))
    const tables = await must(openMysqlTables(options))
    let at = 0
    /** Moves the tables on as a projector does, which comes back until it is done. */
    const moves = () =>
      until('the tables move on', async () => E.isRight(await tables.apply('leases', 'alpha', at, ++at, [])()) || !at--)
    await moves()
    const admin = await createConnection({
      socketPath: cluster.nodes[0]?.socketPath ?? '',
      user: 'ledger',
      password: 'ledger',
    })
    for (const [bad, good] of [
      ['FLUSH TABLES WITH READ LOCK', 'UNLOCK TABLES'],
      ['SET GLOBAL wsrep_reject_queries = ALL', 'SET GLOBAL wsrep_reject_queries = NONE'],
    ]) {
      expect(await connectionsTo(0, options.database)).toBeGreaterThan(0)
      await admin.query(bad ?? '')
      try {
        await until('they have left', async () => (await moves(), (await connectionsTo(1, options.database)) > 0))
      } finally {
        await admin.query(good ?? '')
      }
      await cluster.settled(0, 3)
      // They stay where they are; when that connection is lost they begin with the first host again.
      const [thread] = await (cluster.nodes[1] as TestMariadb).query(
        `SELECT id FROM information_schema.processlist WHERE db = '${options.database}'`,
      )
      await cluster.nodes[1]?.query(`KILL ${thread?.['id'] as number}`)
      await moves()
    }
    expect(await must(tables.checkpoint('leases'))).toEqual({ alpha: at })
    admin.destroy()
    await tables.close()
  })

  it('takes a node that was desynced by hand when no other will do, and loses nothing on it', async () => {
    const options = await optionsFrom(0, 1)
    await cluster.nodes[0]?.query('SET GLOBAL wsrep_desync = ON')
    try {
      const store = await must(openMysql(options, 'alpha'))
      await must(store.append(claims(0, 3)))
      // Now and then it looks whether the first node is well again.
      await until('it stands elsewhere', async () => (await connectionsTo(0, options.database)) === 0)
      const alone = await must(openMysql(at(options, 0), 'beta'))
      // It lags behind, and reads what it must know all the same.
      expect(await must(alone.append(batchOf(claim(streamAt(0)), claim(streamAt(50)))))).toMatchObject([
        { _tag: 'WrongExpectedRevision', actual: 0 },
        { _tag: 'Appended' },
      ])
      expect(await soundEvents(alone)).toHaveLength(4)
      await alone.close()
      await store.close()
    } finally {
      await cluster.nodes[0]?.query('SET GLOBAL wsrep_desync = OFF')
      await cluster.settled(0, 3)
    }
  })

  it('leaves a node that becomes read-only in the middle (1290), at once, and comes back', async () => {
    const account = `plain_${databases}`
    const owning = await optionsFrom(0, 1)
    await (await must(openMysql(owning, 'owner'))).close()
    const options = { ...owning, user: account, password: 'plain' }
    // An administrator may write to a read-only server; the account of a server may not.
    await cluster.nodes[0]?.query(`CREATE USER '${account}'@'%' IDENTIFIED BY 'plain'`)
    await cluster.nodes[0]?.query(`GRANT ALL PRIVILEGES ON ${options.database}.* TO '${account}'@'%'`)
    const store = await must(openMysql(options, 'alpha'))
    const turned = { since: 0, is: false }
    const appending = appendUntil(store, 0, () => turned.is && ++turned.since > 50)
    await until('it has appended', () => hasAppended(store))
    await cluster.nodes[0]?.query('SET GLOBAL read_only = ON')
    turned.is = true
    try {
      const confirmed = await appending
      expect((await soundEvents(store)).map(({ stream }) => stream as string).sort()).toEqual([...confirmed].sort())
      const alone = await openMysql(at(options, 0), 'beta')()
      expect(alone).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      expect(JSON.stringify(alone)).toContain('read-only')
    } finally {
      await cluster.nodes[0]?.query('SET GLOBAL read_only = OFF')
    }
    await backOn(store, 0, options.database)
    await must(store.append(claims(30_000, 3)))
    await store.close()
  })

  it('is content with the settings that the cluster was started with, and warns of worse ones', async () => {
    const options = await optionsFrom(0)
    await (await must(openMysql(options, 'alpha'))).close()
    expect(await must(checkMysqlSettings(options))).toEqual([])
    for (const [setting, bad, good, sentence] of [
      ['innodb_flush_log_at_trx_commit', '2', '1', 'innodb_flush_log_at_trx_commit is 2'],
      ['wsrep_dirty_reads', 'ON', 'OFF', 'wsrep_dirty_reads is on'],
      ['wsrep_OSU_method', "'RSU'", "'TOI'", 'wsrep_OSU_method is RSU'],
      ['wsrep_provider_options', "'pc.ignore_sb=true'", "'pc.ignore_sb=false'", 'pc.ignore_sb is on'],
      ['wsrep_provider_options', "'pc.ignore_quorum=true'", "'pc.ignore_quorum=false'", 'pc.ignore_quorum is on'],
    ]) {
      await cluster.nodes[0]?.query(`SET GLOBAL ${setting} = ${bad}`)
      const warnings = await must(checkMysqlSettings(options))
      await cluster.nodes[0]?.query(`SET GLOBAL ${setting} = ${good}`)
      expect(warnings).toMatchObject([expect.stringContaining(sentence ?? '')])
    }
    expect(await must(checkMysqlSettings(options))).toEqual([])
  })

  it('writes once when the node is frozen with the batch on its way', async () => {
    const options = await optionsFrom(0, 1)
    const quick = { ...options, statementTimeoutMs: 1_000, connectTimeoutMs: 1_000, preferAgainMs: 60_000 }
    const store = await must(openMysql(quick, 'alpha'))
    await must(store.append(claims(0, 2)))
    const appending = store.append(claims(10, 30))()
    cluster.nodes[0]?.pause()
    const frozen = await appending
    let outcome = frozen
    try {
      await until('the rest of the cluster goes on without it', async () => {
        if (E.isRight(outcome)) return true
        outcome = await (
          outcome.left._tag === 'OutcomeUnknown' || E.isLeft(frozen) ? store.settle() : store.append(claims(10, 30))
        )()
        return E.isRight(outcome)
      })
      await cluster.settled(1, 2)
    } finally {
      cluster.nodes[0]?.resume()
    }
    expect(E.isRight(outcome) && outcome.right.map(({ _tag }) => _tag)).toEqual(new Array(30).fill('Appended'))
    await cluster.settled(1, 3, 60_000)
    await cluster.settled(0, 3, 60_000)
    // The connection for pages stood with the frozen node, and finds out when it is used.
    await until('pages can be read', async () => E.isRight(await store.readAfter(START, 1)()))
    expect(await soundEvents(store)).toHaveLength(32)
    await store.close()
  }, 300_000)
})
