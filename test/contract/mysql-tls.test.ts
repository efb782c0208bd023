/** TLS to a real MariaDB, ledger and lease tables, as a configuration says it in Kea's words; and its passwords. */
import * as E from 'fp-ts/lib/Either.js'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { openMysql } from '../../adapters/mysql/open.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import { openSession } from '../../adapters/mysql/session.ts'
import { makeConnection } from '../../projections/mysql/connection.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import type { MysqlStore } from '../../server/config/model.ts'
import { mysqlOptions } from '../../server/store-options.ts'
import { certificatesMissing, makeCertificates } from '../support/certificates.ts'
import type { Certificates } from '../support/certificates.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { freePort, freeUdpPort } from '../support/ports.ts'
import { start, until } from '../support/process.ts'
import { good } from '../unit/config-support.ts'
import { claims, must, right } from './proposals.ts'

const PASSWORD = 'correct horse battery staple'
const VARIABLE = `LL_TEST_PASSWORD_${process.pid}`
const mainFile = fileURLToPath(new URL('../../server/main.ts', import.meta.url))
const missing = mariadbMissing() ?? certificatesMissing()

describe.skipIf(missing !== undefined)(
  `MariaDB over TLS${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let folder: string
    let server: TestMariadb
    let plain: TestMariadb
    let certificates: Certificates
    let passwordFile: string

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-mysql-tls-`))
      certificates = await makeCertificates(folder)
      passwordFile = join(folder, 'password')
      await writeFile(passwordFile, `${PASSWORD}\n`)
      const files = {
        'ca.crt': certificates.ca.text,
        'server.crt': certificates.serverCert.text,
        'server.key': certificates.serverKey.text,
      }
      const settings = { 'ssl-ca': '../ca.crt', 'ssl-cert': '../server.crt', 'ssl-key': '../server.key' }
      ;[server, plain] = await Promise.all([
        startMariadb({ settings, files }),
        startMariadb({ settings: { 'skip-ssl': 'ON' } }),
      ])
      for (const [account, requirement] of [
        ['any', 'NONE'],
        ['tls', 'SSL'],
        ['known', 'X509'],
      ]) {
        for (const each of [server, plain]) {
          await each.query(`CREATE USER '${account}'@'%' IDENTIFIED BY '${PASSWORD}' REQUIRE ${requirement}`)
          await each.query(`GRANT ALL PRIVILEGES ON *.* TO '${account}'@'%'`)
        }
      }
    })
    afterAll(async () => {
      await server?.stop()
      await plain?.stop()
      await rm(folder, { recursive: true, force: true })
    })
    afterEach(() => {
      delete process.env[VARIABLE]
    })

    type Members = Readonly<Record<string, unknown>>

    const database = (members: Members, at: TestMariadb = server): Members => ({
      type: 'mysql',
      host: at.host,
      port: at.port,
      name: at.database,
      user: 'tls',
      'password-file': passwordFile,
      ...members,
    })

    /** What a configuration with such a `lease-database` makes of it. */
    const optionsOf = (members: Members): MysqlOptions => {
      const { store } = good(JSON.stringify({ Dhcp4: { 'lease-database': members } }))
      return right(mysqlOptions(store as MysqlStore, 'InnoDB'))
    }

    const trusting = (): Members => ({ 'trust-anchor': certificates.ca.path })
    const withCertificate = (): Members => ({
      'cert-file': certificates.clientCert.path,
      'key-file': certificates.clientKey.path,
    })

    const CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"

    /** The ciphers of a connection of the ledger and of one of the lease tables; empty where there is none. */
    const ciphers = async (options: MysqlOptions): Promise<readonly [string, string]> => {
      const session = right(await openSession(options, options.hosts[0]!, { writable: true, causal: true }))
      const connection = makeConnection(options)
      const [ofLedger, ofTables] = [await session.query(CIPHER), await connection.run(({ rows }) => rows(CIPHER))]
      await session.close()
      await connection.close()
      return [String(right(ofLedger)[0]?.[1]), String(right(ofTables)[0]?.[1])]
    }

    /** What the ledger and the lease tables say when they are not let in; nothing of it may be secret. */
    const reasons = async (options: MysqlOptions): Promise<readonly [string, string]> => {
      const ledger = await openMysql(options, 'refused')()
      const tables = await openMysqlTables(options)()
      if (E.isRight(ledger) || E.isRight(tables)) throw new Error('it was let in')
      expect(JSON.stringify([ledger, tables])).not.toMatch(/horse|PRIVATE KEY/)
      return [ledger.left.reason, tables.left.reason]
    }

    it('keeps ledger and lease tables over encrypted connections when the authority is the right one', async () => {
      const options = optionsOf(database(trusting()))
      expect(await ciphers(options)).toEqual([expect.stringMatching(/^TLS_/), expect.stringMatching(/^TLS_/)])
      const store = await must(openMysql(options, 'alpha'))
      expect(await must(store.append(claims(0, 2)))).toMatchObject([{ _tag: 'Appended' }, { _tag: 'Appended' }])
      await store.close()
      await must(migrateMysql(options, 'tables'))
      const tables = await must(openMysqlTables(options))
      expect(await must(tables.apply('leases', 'alpha', 0, 2, []))).toMatchObject({ _tag: 'Applied' })
      expect(await must(tables.checkpoint('leases'))).toEqual({ alpha: 2 })
      await tables.close()
    })

    it.each([
      ['another authority', () => ({ 'trust-anchor': certificates.otherCa.path }), /certificate is not trusted/],
      ['the authorities of the system alone', () => ({ 'ssl-mode': 'verify-ca' }), /certificate is not trusted/],
      ['another name', () => ({ ...trusting(), 'ssl-mode': 'verify-full', host: 'localhost' }), /for another name/],
      ['no TLS', () => ({ 'ssl-mode': 'disable' }), /Access denied/],
    ])('is refused with %s, in one sentence', async (_, members, reason) => {
      const [ofLedger, ofTables] = await reasons(optionsOf(database(members())))
      expect(ofLedger).toMatch(reason)
      expect(ofLedger).toMatch(new RegExp(`^MySQL \\S+:${server.port}(: | cannot be reached: )[^\n]+$`))
      expect(ofTables).toMatch(/certificate|altnames|Access denied/)
    })

    it('accepts an address that the certificate names, also where the name is checked', async () => {
      const options = optionsOf(database({ ...trusting(), 'ssl-mode': 'verify-full' }))
      expect(await ciphers(options)).not.toContain('')
    })

    it('shows a certificate of its own where the account must have one', async () => {
      const options = optionsOf(database({ ...trusting(), ...withCertificate(), user: 'known' }))
      expect(await ciphers(options)).not.toContain('')
      const [ofLedger, ofTables] = await reasons(optionsOf(database({ ...trusting(), user: 'known' })))
      expect(ofLedger).toContain('Access denied')
      expect(ofTables).toContain('Access denied')
    })

    it('does without a server that offers no TLS only where none is required', async () => {
      const [ofLedger, ofTables] = await reasons(optionsOf(database({ ...trusting(), user: 'any' }, plain)))
      expect(ofLedger).toMatch(/cannot be reached: it does not offer TLS/)
      expect(ofTables).toMatch(/does not support secure connection/)
      expect(await ciphers(optionsOf(database({ user: 'any' }, plain)))).toEqual(['', ''])
      expect(await ciphers(optionsOf(database({ user: 'any', 'ssl-mode': 'prefer' }, plain)))).toEqual(['', ''])
    })

    it('prefers TLS, whoever the server is, where nothing is said of it', async () => {
      expect(await ciphers(optionsOf(database({ user: 'any' })))).not.toContain('')
      expect(await ciphers(optionsOf(database({ user: 'any', 'ssl-mode': 'prefer' })))).not.toContain('')
      expect(await ciphers(optionsOf(database({ user: 'any', 'ssl-mode': 'disable' })))).toEqual(['', ''])
    })

    describe('the password', () => {
      const fromEnvironment = (): Members => ({ ...trusting(), 'password-file': undefined, 'password-env': VARIABLE })

      it('may stand in a variable, and is missed there with a sentence', async () => {
        process.env[VARIABLE] = PASSWORD
        expect(await ciphers(optionsOf(database(fromEnvironment())))).not.toContain('')
        delete process.env[VARIABLE]
        const { store } = good(JSON.stringify({ Dhcp4: { 'lease-database': database(fromEnvironment()) } }))
        expect(mysqlOptions(store as MysqlStore, 'InnoDB')).toEqual(
          E.left(`the environment variable ${VARIABLE}, which holds the password, is not set`),
        )
      })

      it('is missed in a file with a sentence that names the file', () => {
        const members = database({ 'password-file': join(folder, 'nowhere') })
        const { store } = good(JSON.stringify({ Dhcp4: { 'lease-database': members } }))
        const missed = mysqlOptions(store as MysqlStore, 'InnoDB')
        expect(missed).toMatchObject({ _tag: 'Left', left: expect.stringContaining(join(folder, 'nowhere')) })
      })

      it('is refused without being repeated when it is wrong', async () => {
        const wrong = join(folder, 'wrong')
        await writeFile(wrong, `${PASSWORD}r`)
        const [ofLedger] = await reasons(optionsOf(database({ ...trusting(), 'password-file': wrong })))
        expect(ofLedger).toContain('Access denied')
      })
    })

    describe('a service', () => {
      /** Starts the service with a log of everything, until it is ready or has ended. */
      const serve = async (members: Members): Promise<{ readonly code: number | null; readonly output: string }> => {
        const file = join(folder, 'service.json')
        const config = {
          Dhcp4: {
            'interfaces-config': { interfaces: [] },
            'lease-database': database(members),
            loggers: [{ name: 'kea-dhcp4', severity: 'DEBUG', debuglevel: 99 }],
          },
          LeaseLedger: {
            'server-name': 'tls',
            'data-folder': join(folder, 'data'),
            listen: { dhcp4: [{ address: '127.0.0.1', port: await freeUdpPort() }] },
          },
        }
        await writeFile(file, JSON.stringify(config))
        const service = await start([process.execPath, mainFile, '-c', file], { env: { [VARIABLE]: PASSWORD } })
        await until(
          'it is ready or over',
          async () => !service.isRunning() || /lease-ledger ready/.test(service.output()),
        )
        await service.stop('SIGTERM')
        return { code: (await service.exited).code, output: service.output() }
      }

      it.each([
        ['a file', () => trusting()],
        ['a variable', () => ({ ...trusting(), 'password-file': undefined, 'password-env': VARIABLE })],
      ])('starts over TLS with a password from %s, and never says it', async (_, members) => {
        const { code, output } = await serve(members())
        expect(output).toContain('lease-ledger ready')
        expect(output).not.toMatch(/horse|PRIVATE KEY/)
        expect(code).toBe(0)
      })

      it('stops with one sentence when the database is not the one that it trusts', async () => {
        const { code, output } = await serve({ 'trust-anchor': certificates.otherCa.path })
        expect(code).toBe(1)
        expect(output).toMatch(/MySQL 127\.0\.0\.1:\d+ cannot be reached: its certificate is not trusted/)
        expect(output).not.toMatch(/horse|ready/)
      })

      it('stops with a sentence on what to look at when nothing answers there', async () => {
        const { code, output } = await serve({ host: `127.0.0.1:${await freePort()}` })
        expect(code).toBe(1)
        expect(output).toMatch(/MySQL 127\.0\.0\.1:\d+ cannot be reached: connection refused; is it running/)
      })
    })
  },
)
