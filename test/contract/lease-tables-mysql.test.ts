import { createConnection } from 'mysql2/promise'
import type { RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import type { MysqlTablesOptions } from '../../projections/mysql/open.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { REBUILT } from '../../projections/mysql/statements.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { busySite } from './lease-table-histories.ts'
import { applyBatch, batchesOf, leaseTablesContract } from './lease-tables-contract.ts'
import { PATIENT } from './limits.ts'
import { must } from './proposals.ts'

const missing = mariadbMissing()
describe.skipIf(missing !== undefined)(`on MariaDB${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let server: TestMariadb
  let databases = 0
  beforeAll(async () => {
    server = await startMariadb()
  })
  afterAll(() => server?.stop())

  const newDatabase = async () => {
    const database = `tables_${++databases}`
    const url = await server.createDatabase(database)
    const { host, port, user, password } = server
    const options: MysqlTablesOptions = { hosts: [{ host, port }], database, user, password, ...PATIENT }
    await must(migrateMysql(options, 'tables'))
    const admin = await createConnection({ uri: url, multipleStatements: true })
    return { options, admin }
  }

  leaseTablesContract('mariadb', async () => {
    const { options, admin } = await newDatabase()
    return {
      open: () => must(openMysqlTables(options)),
      clear: async () => {
        await admin.query(REBUILT.map((table) => `DELETE FROM ${table}`).join('; '))
      },
      dispose: () => admin.end(),
    }
  })

  it('answers SQL that was written for the tables of Kea, and people', async () => {
    const { options, admin } = await newDatabase()
    const tables = await must(openMysqlTables(options))
    const events = [...busySite(1_500, 4), ...busySite(10, 6).map((event) => ({ ...event, log: 'six' }))]
    for (const batch of batchesOf(events, 500)) await applyBatch(tables, batch)
    await tables.close()
    await admin.query("SET SESSION time_zone = '+00:00'")
    const ask = async (sql: string): Promise<unknown> => (await admin.query<RowDataPacket[]>(sql))[0]
    expect(
      await ask(`SELECT s.subnet_id, t.name, s.leases FROM lease4_stat AS s JOIN lease_state AS t USING (state)
                 ORDER BY s.subnet_id`),
    ).toEqual([
      { subnet_id: 1, name: 'default', leases: 1_024 },
      { subnet_id: 2, name: 'default', leases: 476 },
    ])
    expect(
      await ask(`SELECT inet_ntoa(address) AS address, state, unix_timestamp(expire) - valid_lifetime AS cltt
                 FROM lease4 WHERE hwaddr = x'020000000007' AND subnet_id = 1`),
    ).toEqual([{ address: '198.18.0.7', state: 0, cltt: 1_790_000_000 }])
    expect(
      await ask(`SELECT inet6_ntoa(l.address) AS address, t.name, l.iaid, l.prefix_len, l.pref_lifetime
                 FROM lease6 AS l JOIN lease6_types AS t USING (lease_type) WHERE l.duid = x'00030001020000000003'`),
    ).toEqual([{ address: '2001:db8::4', name: 'IA_NA', iaid: 1, prefix_len: 128, pref_lifetime: 3_000 }])
    expect(
      await ask(`SELECT family, address, mac, hostname, circuit_id, renewals FROM leases
                 WHERE hostname = 'host-7' ORDER BY family`),
    ).toEqual([
      {
        family: 4,
        address: '198.18.0.7',
        mac: '02:00:00:00:00:07',
        hostname: 'host-7',
        circuit_id: '0004000a',
        renewals: 0,
      },
      {
        family: 6,
        address: '2001:db8::8',
        mac: '02:00:00:00:00:07',
        hostname: 'host-7',
        circuit_id: '0004000a',
        renewals: 0,
      },
    ])
    const columns = await ask(
      `SELECT table_name AS t, group_concat(column_name ORDER BY ordinal_position) AS names
       FROM information_schema.columns WHERE table_schema = database() AND table_name IN ('lease4', 'lease6')
       GROUP BY table_name ORDER BY table_name`,
    )
    expect((columns as RowDataPacket[]).map(({ names }) => (names as string).split(',revision,')[0])).toEqual([
      'address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,' +
        'relay_id,remote_id,pool_id',
      'address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,' +
        'hostname,hwaddr,hwtype,hwaddr_source,state,user_context,pool_id',
    ])
    await admin.end()
  })

  it('lets one rebuild at a time hold the tables, and keeps added indexes, views and the engine over a swap', async () => {
    const { options, admin } = await newDatabase()
    const tables = await must(openMysqlTables(options))
    await admin.query(
      `CREATE INDEX by_lifetime ON lease4 (valid_lifetime);
       CREATE VIEW printers AS SELECT address FROM leases WHERE hostname LIKE 'host-1%'`,
    )
    const shadow = await must(tables.shadow(false))
    await applyBatch(shadow, busySite(20, 4).slice(0, 5))
    expect(await tables.shadow(false)()).toMatchObject({ left: { _tag: 'StoreUnusable' } })
    await must(shadow.swap())
    await shadow.close()
    await applyBatch(tables, busySite(20, 4).slice(5))
    const [rows] = await admin.query<RowDataPacket[]>('SELECT count(*) AS n FROM printers')
    expect(rows).toEqual([{ n: 11 }])
    const [made] = await admin.query<RowDataPacket[]>('SHOW CREATE TABLE lease4')
    expect(made[0]?.['Create Table']).toMatch(/KEY `by_lifetime`[\s\S]*ENGINE=InnoDB/)
    const [left] = await admin.query<RowDataPacket[]>("SHOW TABLES LIKE '%\\_re%ed'")
    expect(left).toEqual([])
    await tables.close()
    await admin.end()
  })

  it('says in one sentence that the tables are not there, that the database is away, or that it does not write', async () => {
    const database = `empty_${++databases}`
    await server.createDatabase(database)
    const { host, port, user, password } = server
    const options = { hosts: [{ host, port }], database, user, password }
    expect(await openMysqlTables(options)()).toMatchObject({
      left: { _tag: 'StoreUnusable', reason: expect.stringContaining('has no lease tables') },
    })
    const away = { ...options, hosts: [{ host, port: 1 }] }
    expect(await openMysqlTables(away)()).toMatchObject({ left: { _tag: 'StoreUnavailable' } })
    await server.query('SET GLOBAL read_only = 1')
    expect(await openMysqlTables(options)()).toMatchObject({
      left: { _tag: 'StoreUnavailable', reason: expect.stringContaining('read-only') },
    })
    await server.query('SET GLOBAL read_only = 0')
  })
})
