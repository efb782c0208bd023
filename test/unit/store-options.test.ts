/** From `lease-database` to what the adapters take: hosts, times, TLS, and where passwords come from. */
import * as E from 'fp-ts/lib/Either.js'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EventStoreStore, MysqlStore, PostgresStore } from '../../server/config/model.ts'
import { eventStoreOptions, mysqlOptions, postgresOptions, postgresText } from '../../server/store-options.ts'
import { good } from './config-support.ts'

const stored = (database: object) => good(JSON.stringify({ Dhcp4: { 'lease-database': database } })).store

describe('the options of a database', () => {
  let folder: string
  const file = (name: string): string => join(folder, name)
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), `ll-${process.pid}-options-`))
    for (const name of ['ca.pem', 'cert.pem', 'key.pem']) writeFileSync(file(name), `the text of ${name}`)
    writeFileSync(file('password'), 'from a file\n')
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const postgres = (keys: object) => postgresOptions(stored({ type: 'postgresql', ...keys }) as PostgresStore)
  const mysql = (keys: object) => mysqlOptions(stored({ type: 'mysql', ...keys }) as MysqlStore, 'InnoDB')
  const eventStore = (keys: object) => eventStoreOptions(stored({ type: 'eventstore', ...keys }) as EventStoreStore)

  it('have hosts in order and times in milliseconds', () => {
    const keys = { host: 'db1,db2:5433', 'connect-timeout': 2, 'statement-timeout': 1.5, 'prefer-again-time': 0.25 }
    const times = { connectTimeoutMs: 2_000, statementTimeoutMs: 1_500, preferAgainMs: 250 }
    const [first, second] = [{ host: 'db1' }, { host: 'db2', port: 5433 }]
    expect(postgres(keys)).toMatchObject(E.right({ hosts: [{ ...first, port: 5432 }, second], ...times }))
    expect(mysql(keys)).toMatchObject(E.right({ hosts: [{ ...first, port: 3306 }, second], ...times }))
    expect(mysql({})).toMatchObject(E.right({ preferAgainMs: 5_000, tls: 'prefer' }))
  })

  it.each([
    [{ 'ssl-mode': 'disable' }, undefined],
    [{ 'ssl-mode': 'prefer' }, 'prefer'],
    [{}, 'prefer'],
    [{ 'ssl-mode': 'require' }, { rejectUnauthorized: false }],
    [{ 'cipher-list': 'AES' }, { rejectUnauthorized: false, ciphers: 'AES' }],
    [{ 'ssl-mode': 'verify-full' }, { rejectUnauthorized: true }],
    [{ 'ssl-mode': 'verify-ca' }, { rejectUnauthorized: true, checkServerIdentity: expect.any(Function) }],
  ])('with %j have the TLS %j', (keys, tls) => {
    expect(E.map(({ tls }: { readonly tls?: unknown }) => tls)(postgres(keys))).toEqual(E.right(tls))
    expect(E.map(({ tls }: { readonly tls?: unknown }) => tls)(mysql(keys))).toEqual(E.right(tls))
  })

  it('have what the files hold, and trust an authority that is named without looking at names', () => {
    const files = { 'trust-anchor': file('ca.pem'), 'cert-file': file('cert.pem'), 'key-file': file('key.pem') }
    const [ca, cert, key] = ['ca.pem', 'cert.pem', 'key.pem'].map((name) => Buffer.from(`the text of ${name}`))
    const tls = { ca, cert, key, rejectUnauthorized: true, checkServerIdentity: expect.any(Function) }
    expect(mysql(files)).toMatchObject(E.right({ tls }))
    expect(postgres({ ...files, 'ssl-mode': 'require' })).toMatchObject(E.right({ tls }))
    expect(postgres({ 'trust-anchor': file('none.pem') })).toMatchObject(E.left(expect.stringContaining('none.pem')))
  })

  it('of EventStoreDB are a connection string, plain unless something is said', () => {
    const at = (query: string) => E.right({ connectionString: `kurrentdb://n1:2113,n2:2114?${query}` })
    const host = 'n1,n2:2114'
    expect(eventStore({ host })).toMatchObject(at('tls=false'))
    expect(eventStore({ host, 'ssl-mode': 'require' })).toMatchObject(at('tls=true&tlsVerifyCert=false'))
    const files = { 'cert-file': file('cert.pem'), 'key-file': file('key.pem') }
    const [ca, cert, key] = ['ca.pem', 'cert.pem', 'key.pem'].map((name) => encodeURIComponent(file(name)))
    expect(eventStore({ host, 'trust-anchor': file('ca.pem'), ...files })).toMatchObject(
      at(`tls=true&tlsCAFile=${ca}&userCertFile=${cert}&userKeyFile=${key}`),
    )
  })

  it('have the password of a file without its line end, or of a variable', () => {
    const variable = `LL_TEST_OPTIONS_${process.pid}`
    expect(mysql({ 'password-file': file('password') })).toMatchObject(E.right({ password: 'from a file' }))
    expect(mysql({ 'password-env': variable })).toMatchObject(E.left(expect.stringContaining(variable)))
    process.env[variable] = 'from a variable'
    expect(postgres({ 'password-env': variable })).toMatchObject(E.right({ password: 'from a variable' }))
    delete process.env[variable]
  })

  it('are shown to people without the password', () => {
    const keys = { type: 'postgresql', host: 'db1', name: 'leases', user: 'a b', password: 'horse' }
    expect(postgresText(stored(keys) as PostgresStore)).toBe('postgresql:///leases?host=db1&port=5432&user=a%20b')
  })
})
