/** TLS to a real PostgreSQL whose certificate is from an authority of the test's own. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPostgres } from '../../adapters/postgres/open.ts'
import type { PostgresOptions } from '../../adapters/postgres/options.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { must as run, which } from '../support/process.ts'
import { claims, must } from './proposals.ts'

const missing = postgresMissing() ?? (which('openssl') === undefined ? 'openssl is not installed' : undefined)
const PASSWORD = 'correct horse battery staple'

/** A certificate for 127.0.0.1 and the authority that signed it, with another authority of the same name. */
const makeCertificates = async (): Promise<Readonly<Record<'ca' | 'otherCa' | 'cert' | 'key', string>>> => {
  const folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-tls-`))
  const openssl = (...words: readonly string[]) => run(['openssl', ...words], { cwd: folder })
  const request = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  try {
    for (const name of ['ca', 'other']) {
      await openssl(...request, '-x509', '-subj', '/CN=ledger test', '-keyout', `${name}.key`, '-out', `${name}.crt`)
    }
    const signing = ['-x509', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-addext', 'subjectAltName=IP:127.0.0.1']
    await openssl(...request, ...signing, '-subj', '/CN=database', '-keyout', 'server.key', '-out', 'server.crt')
    const read = (name: string) => readFile(join(folder, name), 'utf8')
    return {
      ca: await read('ca.crt'),
      otherCa: await read('other.crt'),
      cert: await read('server.crt'),
      key: await read('server.key'),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe.skipIf(missing !== undefined)(
  `PostgreSQL over TLS${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let server: TestPostgres
    let certificates: Awaited<ReturnType<typeof makeCertificates>>
    beforeAll(async () => {
      certificates = await makeCertificates()
      server = await startPostgres({
        settings: { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' },
        files: {
          'server.crt': certificates.cert,
          'server.key': certificates.key,
          'pg_hba.conf': 'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n',
        },
      })
      const admin = postgres({ host: server.socketFolder, port: server.port, user: 'postgres', database: 'postgres' })
      await admin.unsafe(`ALTER ROLE postgres PASSWORD '${PASSWORD}'`)
      await admin.end({ timeout: 1 })
    }, 60_000)
    afterAll(() => server?.stop())

    const optionsFor = (tls: PostgresOptions['tls'], password = PASSWORD): PostgresOptions => ({
      hosts: [{ host: '127.0.0.1', port: server.port }],
      database: server.database,
      user: server.user,
      password,
      tls,
    })

    it('keeps the ledger over an encrypted connection when the authority is the right one', async () => {
      const store = await must(openPostgres(optionsFor({ ca: certificates.ca }), 'alpha'))
      await must(store.append(claims(0, 2)))
      const admin = postgres({
        host: server.socketFolder,
        port: server.port,
        user: 'postgres',
        database: server.database,
      })
      const rows = await admin`
      SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'lease-ledger'`
      expect(rows.length).toBeGreaterThan(0)
      expect(rows.every(({ ssl }) => ssl === true)).toBe(true)
      await admin.end({ timeout: 1 })
      await store.close()
    })

    it.each([
      ['another authority', () => optionsFor({ ca: certificates.otherCa }), /certificate|signature/i],
      ['the authorities of the system alone', () => optionsFor({}), /certificate/i],
      ['no TLS', () => optionsFor(undefined), /no encryption|pg_hba/],
      ['a wrong password', () => optionsFor({ ca: certificates.ca }, `${PASSWORD}r`), /password authentication failed/],
    ])('is refused with %s, and the reason holds no secret', async (_, options, reason) => {
      const refused = await openPostgres(options(), 'beta')()
      expect(refused._tag).toBe('Left')
      expect(JSON.stringify(refused)).toMatch(reason)
      expect(JSON.stringify(refused)).not.toMatch(/horse|PRIVATE KEY/)
    })
  },
)
