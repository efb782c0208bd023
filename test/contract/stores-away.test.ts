/** A server whose databases are away when it starts: what it waits for, and what it does not. */
import * as E from 'fp-ts/lib/Either.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Projector } from '../../projections/projector.ts'
import type { Logger } from '../../server/logger.ts'
import { openForReading, openStores } from '../../server/stores.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { until } from '../support/process.ts'
import { good } from '../unit/config-support.ts'
import { claims, must, right } from './proposals.ts'

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(
  `databases that are away at the start${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let server: TestMariadb
    beforeAll(async () => {
      server = await startMariadb({ settings: { 'innodb-flush-log-at-trx-commit': '2' } })
    })
    afterAll(() => server?.stop())

    const database = (more: object = {}): object => {
      const { host, port, user, password, database: name } = server
      return { type: 'mysql', host, port, user, password, name, ...more }
    }

    const said: string[] = []
    const log: Logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: (_, message) => void said.push(message),
      error: (_, message) => void said.push(message),
    }
    const open = (config: ReturnType<typeof good>) => openStores(config, { serverName: 'alpha', mode: 'own', log })

    it('does not wait for further lease tables, which catch up when their database is back', async () => {
      const config = good(
        JSON.stringify({
          Dhcp4: { 'lease-database': { type: 'memory' } },
          LeaseLedger: { projections: [{ name: 'reports', database: database() }] },
        }),
      )
      await server.kill()
      const stores = right(await open(config))
      expect(said).toContainEqual(expect.stringContaining('brought up to date when they are back'))
      const [tables] = stores.tables
      if (tables === undefined) throw new Error('the tables are not among the targets')
      expect(tables.where).toContain(`${server.host}:${server.port}/${server.database}`)
      expect(await tables.checkpoint('leases')()).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
      const projector = new Projector({ store: stores.store, tables, log, own: 'alpha', retryMaxMs: 200 })
      projector.start()
      await must(stores.store.append(claims(0, 20)))
      // A command that people wait for says it at once.
      expect(await openForReading(config)).toMatchObject({ _tag: 'Left', left: expect.stringContaining('be reached') })
      await server.restart()
      await until('the tables show it', async () => {
        const checkpoint = await tables.checkpoint('leases')()
        return E.isRight(checkpoint) && checkpoint.right['alpha'] === 20
      })
      const [row] = await server.query(`SELECT count(*) AS leases FROM ${server.database}.lease4`)
      expect(Number(row?.['leases'])).toBe(20)
      await projector.stop()
      await stores.close()
    })

    it('stops at once without its ledger, and with retry-on-startup after as many tries as it may make', async () => {
      await server.kill()
      const withKeys = (keys: object) => good(JSON.stringify({ Dhcp4: { 'lease-database': database(keys) } }))
      const reason = { _tag: 'Left', left: expect.stringMatching(/^MySQL \S+ cannot be reached: connection refused/) }
      expect(await open(withKeys({}))).toMatchObject(reason)
      said.length = 0
      const tries = { 'retry-on-startup': true, 'max-reconnect-tries': 3, 'reconnect-wait-time': 10 }
      expect(await open(withKeys(tries))).toMatchObject(reason)
      expect(said.filter((each) => each.includes('trying again'))).toHaveLength(3)
      const waiting = open(withKeys({ 'retry-on-startup': true, 'reconnect-wait-time': 50 }))
      await server.restart()
      const stores = right(await waiting)
      expect(await must(stores.store.append(claims(0, 2)))).toHaveLength(2)
      await stores.close()
    })

    it('does not try again what waiting does not help', async () => {
      const keys = { 'retry-on-startup': true, password: 'wrong' }
      const config = good(JSON.stringify({ Dhcp4: { 'lease-database': database(keys) } }))
      expect(await open(config)).toMatchObject({ _tag: 'Left', left: expect.stringContaining('Access denied') })
    })
  },
)
