/** TLS to a real PostgreSQL whose certificate is from an authority of the test's own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { openPostgres } from '../../adapters/postgres/open.ts'
import type { PostgresOptions } from '../../adapters/postgres/options.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { certificatesMissing, makeCertificates } from '../support/certificates.ts'
import type { Certificates } from '../support/certificates.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { claims, must } from './proposals.ts'

const missing = postgresMissing() ?? certificatesMissing()
/** One account must come without TLS, one must show a certificate, and any other needs TLS and a password. */
const HBA = [
  'local all all trust',
  'hostnossl all plain 127.0.0.1/32 scram-sha-256',
  'hostssl all plain 127.0.0.1/32 reject',
  'hostssl all known 127.0.0.1/32 scram-sha-256 clientcert=verify-ca',
  'hostssl all all 127.0.0.1/32 scram-sha-256',
  '',
]
const PASSWORD = 'correct horse battery staple'

describe.skipIf(missing !== undefined)(
  `PostgreSQL over TLS${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let server: TestPostgres
    let folder: string
    let certificates: Certificates
    let admin: postgres.Sql
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-tls-`))
      certificates = await makeCertificates(folder)
      server = await startPostgres({
        settings: { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key', ssl_ca_file: 'ca.crt' },
        files: {
          'server.crt': certificates.serverCert.text,
          'server.key': certificates.serverKey.text,
          'ca.crt': certificates.ca.text,
          'pg_hba.conf': HBA.join('\n'),
        },
      })
      const { socketFolder: host, port, database } = server
      admin = postgres({ host, port, user: 'postgres', database, max: 1 })
      await admin.unsafe(`ALTER ROLE postgres PASSWORD '${PASSWORD}'`)
      for (const role of ['plain', 'known']) {
        await admin.unsafe(`CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD '${PASSWORD}'`)
      }
      await must(migratePostgres(optionsFor({ ca: certificates.ca.text }), 'tables'))
    })
    afterAll(async () => {
      await admin?.end({ timeout: 1 })
      await server?.stop()
      await rm(folder, { recursive: true, force: true })
    })

    const optionsFor = (tls: PostgresOptions['tls'], other: Partial<PostgresOptions> = {}): PostgresOptions => ({
      hosts: [{ host: '127.0.0.1', port: server.port }],
      database: server.database,
      user: server.user,
      password: PASSWORD,
      tls,
      ...other,
    })

    /** Whether all connections of that name are encrypted; undefined when some are. */
    const areEncrypted = async (name: string): Promise<boolean | undefined> => {
      const rows = await admin`
        SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = ${name}`
      expect(rows.length).toBeGreaterThan(0)
      const kinds = new Set(rows.map(({ ssl }) => ssl as boolean))
      return kinds.size === 1 ? kinds.has(true) : undefined
    }

    /** Opens a ledger and lease tables and asks the server whether they came over TLS. */
    const cameEncrypted = async (options: PostgresOptions): Promise<readonly (boolean | undefined)[]> => {
      const store = await must(openPostgres(options, 'alpha'))
      const tables = await must(openPostgresTables(options))
      const kinds = [await areEncrypted('lease-ledger'), await areEncrypted('lease-ledger tables')]
      await tables.close()
      await store.close()
      return kinds
    }

    it('keeps the ledger over an encrypted connection when the authority is the right one', async () => {
      const options = optionsFor({ ca: certificates.ca.text })
      expect(await cameEncrypted(options)).toEqual([true, true])
      const store = await must(openPostgres(options, 'alpha'))
      expect(await must(store.append(claims(0, 2)))).toHaveLength(2)
      await store.close()
    })

    it.each([
      [
        'another authority',
        () => optionsFor({ ca: certificates.otherCa.text }),
        /cannot be reached: its certificate is not trusted \([^)]+\); check trust-anchor/,
      ],
      ['the authorities of the system alone', () => optionsFor({}), /certificate is not trusted/],
      [
        'another name',
        () => optionsFor({ ca: certificates.ca.text }, { hosts: [{ host: 'localhost', port: server.port }] }),
        /certificate is for another name|altnames/,
      ],
      ['no TLS', () => optionsFor(undefined), /no encryption|pg_hba/],
      [
        'a wrong password',
        () => optionsFor({ ca: certificates.ca.text }, { password: `${PASSWORD}r` }),
        /password authentication failed/,
      ],
      [
        'no certificate where there must be one',
        () => optionsFor({ ca: certificates.ca.text }, { user: 'known' }),
        /requires a valid client certificate/,
      ],
    ])('is refused with %s, and the reason holds no secret', async (_, options, reason) => {
      const refused = [await openPostgres(options(), 'beta')(), await openPostgresTables(options())()]
      expect(refused).toMatchObject([{ _tag: 'Left' }, { _tag: 'Left' }])
      expect(JSON.stringify(refused[0])).toMatch(reason)
      expect(JSON.stringify(refused)).not.toMatch(/horse|PRIVATE KEY/)
    })

    it('shows a certificate of its own where the account must have one', async () => {
      const tls = {
        ca: certificates.ca.text,
        cert: certificates.clientCert.text,
        key: certificates.clientKey.text,
      }
      expect(await cameEncrypted(optionsFor(tls, { user: 'known' }))).toEqual([true, true])
    })

    it('knows an address by its own name and by no other', async () => {
      // The server's certificate names 127.0.0.1; an address must not be taken for the name localhost.
      const hosts = [{ host: '127.0.0.2', port: server.port }]
      const proxy = createServer((client) => {
        const upstream = connect(server.port, '127.0.0.1')
        client.on('error', () => upstream.destroy()).pipe(upstream)
        upstream.on('error', () => client.destroy()).pipe(client)
      })
      await new Promise<void>((resolve) => proxy.listen(server.port, '127.0.0.2', resolve))
      const options = optionsFor({ ca: certificates.ca.text }, { hosts })
      expect(JSON.stringify(await openPostgres(options, 'beta')())).toContain('for another name')
      expect(JSON.stringify(await openPostgresTables(options)())).toContain('altnames')
      await new Promise((resolve) => proxy.close(resolve))
    })

    it('prefers TLS where it is offered, and goes without for an account that must', async () => {
      expect(await cameEncrypted(optionsFor('prefer'))).toEqual([true, true])
      expect(await cameEncrypted(optionsFor('prefer', { user: 'plain' }))).toEqual([false, false])
      const wrong = await openPostgres(optionsFor('prefer', { password: 'wrong' }), 'beta')()
      expect(JSON.stringify(wrong)).toContain('password authentication failed')
    })

    it('has no use for TLS on a Unix socket', async () => {
      const hosts = [{ host: server.socketFolder, port: server.port }]
      expect(await cameEncrypted(optionsFor({ ca: certificates.otherCa.text }, { hosts }))).toEqual([false, false])
      expect(await cameEncrypted(optionsFor('prefer', { hosts }))).toEqual([false, false])
    })

    it('does without a server that offers none only where none is required', async () => {
      const plain = await startPostgres()
      try {
        const there = { hosts: [{ host: plain.host, port: plain.port }] }
        const store = await must(openPostgres(optionsFor('prefer', there), 'alpha'))
        expect(await must(store.append(claims(0, 1)))).toMatchObject([{ _tag: 'Appended' }])
        await store.close()
        const required = await openPostgres(optionsFor({ ca: certificates.ca.text }, there), 'beta')()
        expect(JSON.stringify(required)).toMatch(/cannot be reached: it does not offer TLS/)
      } finally {
        await plain.stop()
      }
    })
  },
)
