/** The projector against a PostgreSQL that is killed, hangs, is shared, and is rebuilt under it. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { checkLink, GENESIS } from '../../adapters/chain.ts'
import { makeMemoryLedger, openMemoryReader } from '../../adapters/memory/memory-store.ts'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import type { Recorded } from '../../domain/event-store.ts'
import { LEASES } from '../../projections/lease-tables.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { Projector } from '../../projections/projector.ts'
import { replay } from '../../projections/replay.ts'
import { verify } from '../../projections/verify.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { until } from '../support/process.ts'
import { busySite } from './lease-table-histories.ts'
import { must } from './proposals.ts'
import { makeLog, record } from './projection-support.ts'

const missing = postgresMissing()
describe.skipIf(missing !== undefined)(`on PostgreSQL${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestPostgres
  let databases = 0
  const stops: Array<() => Promise<void>> = []
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.stop())
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop()
  })

  const given = async () => {
    const database = `projected_${++databases}`
    await server.createDatabase(database)
    const hosts = [{ host: server.host, port: server.port }]
    const options = { hosts, database, user: server.user, statementTimeoutMs: 1_000 }
    await must(migratePostgres(options, 'tables'))
    const ledger = makeMemoryLedger(() => 0)
    const open = async (): Promise<LeaseTables> => {
      const tables = await must(openPostgresTables(options))
      stops.push(() => tables.close())
      return tables
    }
    const tables = await open()
    const follow = async (own: string) => {
      const log = makeLog()
      const store = openMemoryReader(ledger)
      const timing = { gatherMs: 2, surveyMs: 50, retryMinMs: 5, retryMaxMs: 50 }
      const projector = new Projector({ store, tables: await open(), log, own, batchMax: 100, ...timing })
      stops.push(() => projector.stop())
      projector.start()
      return { projector, log }
    }
    const append = async (events: ReadonlyArray<Recorded>, to: Projector): Promise<void> => {
      for (let i = 0; i < events.length; i += 20) {
        const some = events.slice(i, i + 20)
        await record(ledger, some)
        to.offer(some)
      }
    }
    const isAt = (seq: number) => async () => {
      const checkpoint = await tables.checkpoint(LEASES)()
      return checkpoint._tag === 'Right' && checkpoint.right.alpha === seq
    }
    const expectEqual = async (): Promise<void> => {
      const store = openMemoryReader(ledger)
      const found = await must(verify({ store, tables, checkLink, genesis: GENESIS, maxClockSkewMs: 5_000 }))
      expect(found.differences).toEqual({})
    }
    return { ledger, tables, open, follow, append, isAt, expectEqual }
  }

  it('catches up after the database was killed under it', async () => {
    const { follow, append, isAt, expectEqual } = await given()
    const { projector, log } = await follow('alpha')
    const events = busySite(600, 4, 1)
    await append(events.slice(0, 400), projector)
    await server.kill()
    await append(events.slice(400, 900), projector)
    await until('the outage is noticed', () => log.lines.some((line) => line.includes('fall behind')))
    expect(projector.state._tag).toBe('CatchingUp')
    await server.restart()
    await append(events.slice(900), projector)
    await until('caught up', isAt(events.length))
    await until('live', () => projector.state._tag === 'Live')
    await expectEqual()
  })

  it('gives a database up that does not answer, and catches up when it does', async () => {
    const { follow, append, isAt, expectEqual } = await given()
    const { projector, log } = await follow('alpha')
    const events = busySite(200, 6, 1)
    await append(events.slice(0, 100), projector)
    await until('the first are there', isAt(100))
    server.pause()
    try {
      await append(events.slice(100), projector)
      await until('the silence is noticed', () => log.lines.some((line) => line.includes('no answer within')))
    } finally {
      server.resume()
    }
    await until('caught up', isAt(events.length))
    await expectEqual()
  })

  it('does no harm when two project one log', async () => {
    const { follow, append, isAt, expectEqual } = await given()
    const [one, other] = [await follow('alpha'), await follow('alpha')]
    const events = busySite(300, 4, 2)
    for (let i = 0; i < events.length; i += 60) {
      await append(events.slice(i, i + 60), one.projector)
      other.projector.offer(events.slice(i, i + 60))
    }
    await until('all is projected', isAt(events.length))
    await expectEqual()
  })

  it('is rebuilt while servers append, and the projector catches up after the swap', async () => {
    const { ledger, tables, follow, append, isAt, expectEqual } = await given()
    const { projector } = await follow('alpha')
    const events = busySite(1_500, 4, 1)
    await append(events.slice(0, 2_000), projector)
    await until('the first are there', isAt(2_000))
    const rebuilt = replay({ store: openMemoryReader(ledger), tables, resume: false, batchMax: 300 })()
    await append(events.slice(2_000), projector)
    expect(await rebuilt).toMatchObject({ _tag: 'Right' })
    await until('caught up', isAt(events.length))
    await expectEqual()
  })
})
