/** The way back: a real Kea goes on with the leases that Lease Ledger has given, by the steps that README.md names. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { askKea, keaMissing, keaTablesMissing, leaseCommandsHook } from '../support/kea.ts'
import { makeKea, makeKeaMariadb, makeKeaPostgres } from '../support/kea.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { must } from '../support/process.ts'
import { bytes6 } from '../support/dhcp6.ts'
import { makeLeaseLedger } from '../support/server-under-test.ts'
import { everybodyKeepsTheirs, freeUdpPort, heldAfter, keaConfig, ledgerConfig } from './kea-support.ts'
import { playStory, Relay } from './kea-support.ts'
import type { Book, Story } from './kea-support.ts'

const missing = keaMissing() ?? postgresMissing()
const noMaria = mariadbMissing() ?? keaTablesMissing('mysql')
const ROOT = resolve(import.meta.dirname, '../..')

const because = (reason: string | undefined): string => (reason === undefined ? '' : ` (skipped: ${reason})`)

/** The command that README.md has for a kind of database, on the ledger of `config`. */
const readmeCommand = async (format: string, config: string): Promise<string> => {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
  const found = new RegExp(`^\\$ npm run -s ledger -- export (--format ${format} .*)$`, 'm').exec(readme)?.[1]
  if (found === undefined) throw new Error(`README.md does not say how to export with --format ${format}`)
  return `'${process.execPath}' '${join(ROOT, 'server/ledger-cli.ts')}' export -c '${config}' ${found}`
}

/** What Kea has to know of a lease. */
interface Known {
  readonly address: string
  readonly lifetimeSec: unknown
  readonly hostname: unknown
  /** Client identifier, DUID and IAID, or hardware address. */
  readonly client: string
}

/** The octets of an address, or of a prefix without its length. */
const hexOf = (address: string): string => Buffer.from(bytes6(address.replace(/\/.*/, ''))).toString('hex')

const byAddress = (one: Known, other: Known): number => (one.address < other.address ? -1 : 1)

/** A lease as Kea's lease commands tell of it. */
const asBooked = (lease: Readonly<Record<string, unknown>>): Known => {
  const { duid, iaid, hostname } = lease
  const hardware = String(lease['hw-address'])
  const client = duid === undefined ? `${lease['client-id'] ?? ''} ${hardware}` : `${duid} ${iaid}`
  const length = lease['type'] === 'IA_PD' ? `/${lease['prefix-len']}` : ''
  return {
    address: `${lease['ip-address']}${length}`,
    lifetimeSec: lease['valid-lft'],
    hostname,
    client: client.replaceAll(':', ''),
  }
}

const expected = ({ address, lifetimeSec, client }: Book): Known => {
  const { clientId, mac, duid, iaid, hostname } = client
  const known = duid === undefined ? `${clientId ?? ''} ${mac}` : `${duid} ${iaid}`
  return {
    address,
    lifetimeSec,
    hostname: hostname ?? '',
    client: known.replaceAll(':', ''),
  }
}

describe.skipIf(missing !== undefined)(`going back to Kea${because(missing)}`, () => {
  let server: TestPostgres
  let maria: TestMariadb | undefined
  let folder: string
  let story: Story
  let relays: readonly [Relay, Relay]
  let port: number

  beforeAll(async () => {
    ;[server, maria] = await Promise.all([
      startPostgres({ database: 'leases' }),
      noMaria === undefined ? startMariadb({ database: 'leases' }) : undefined,
    ])
    folder = await mkdtemp(join(tmpdir(), `ll-${process.pid}-back-`))
    port = await freeUdpPort()
    relays = [await Relay.open(4, port), await Relay.open(6, port)]
    story = await playAtLedger()
  })

  afterAll(async () => {
    for (const relay of relays ?? []) await relay.close()
    await server?.stop()
    await maria?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** Clients play at Lease Ledger, which projects into both databases. */
  const playAtLedger = async (): Promise<Story> => {
    const of = ({ host, port, user }: TestPostgres | TestMariadb) => ({ name: 'leases', host, port, user })
    const config = ledgerConfig({ type: 'postgresql', ...of(server) }, port)
    const second = maria && { type: 'mysql', ...of(maria), password: maria.password }
    const projections = second === undefined ? [] : [{ name: 'second', database: second }]
    const service = makeLeaseLedger({ folder: join(folder, 'ledger') })
    await service.start({ ...config, LeaseLedger: { ...config.LeaseLedger, projections } })
    try {
      return await playStory(relays)
    } finally {
      await service.stop()
    }
  }

  const config = (): string => join(folder, 'ledger', 'lease-ledger.json')

  /** Starts Kea on `database`: everybody renews and keeps what they had, and newcomers get something else. */
  const goesOnAtKea = async (place: string, database: object): Promise<void> => {
    const socket = join(folder, `${place}.sock`)
    const kea = makeKea({ folder: join(folder, place), serverPort: port })
    const hook = leaseCommandsHook()
    const commands = hook === undefined ? {} : { 'hooks-libraries': [{ library: hook }] }
    const config = keaConfig(database, commands)
    const withSocket = (dhcp: object, name: string): object => ({
      ...dhcp,
      'control-socket': { 'socket-type': 'unix', 'socket-name': `${socket}${name}` },
    })
    await kea.start({ Dhcp4: withSocket(config.Dhcp4, '4'), Dhcp6: withSocket(config.Dhcp6, '6') })
    try {
      if (hook !== undefined) await findsLeases(socket)
      await everybodyKeepsTheirs(relays, story)
    } catch (error) {
      throw new Error(kea.logs(), { cause: error })
    } finally {
      await kea.stop()
    }
  }

  const findsLeases = async (socket: string): Promise<void> => {
    const leases: Array<Readonly<Record<string, unknown>>> = []
    for (const family of ['4', '6']) {
      const answer = await askKea(`${socket}${family}`, `lease${family}-get-all`, { subnets: [7, 8] })
      expect(answer.result, answer.text).toBe(0)
      leases.push(...(answer.arguments?.leases ?? []))
    }
    const used = leases.filter(({ state }) => state === 0).map(asBooked)
    expect(used.sort(byAddress)).toEqual(heldAfter(story).map(expected).sort(byAddress))
    const declined = leases.filter(({ state }) => state === 1)
    expect(declined).toHaveLength(2)
    for (const lease of declined) {
      expect(lease).toMatchObject({ hostname: '', 'valid-lft': 86_400 })
      expect(lease['client-id'] ?? '').toBe('')
      expect(lease['hw-address'] ?? '').toBe('')
    }
  }

  it('works with its lease files', async () => {
    const place = join(folder, 'csv')
    await mkdir(place)
    for (const family of [4, 6]) {
      const words = ['export', '-c', config(), '--format', `kea${family}`]
      const out = join(place, `leases${family}.csv`)
      await must([process.execPath, join(ROOT, 'server/ledger-cli.ts'), ...words, '--out', out])
    }
    await goesOnAtKea('csv', { type: 'memfile' })
  }, 300_000)

  const noTables = keaTablesMissing('pgsql')
  it.skipIf(noTables !== undefined)(
    `works with its tables in PostgreSQL${because(noTables)}`,
    async () => {
      const database = await makeKeaPostgres(server, 'kea')
      const env = { PGHOST: server.host, PGPORT: String(server.port), PGUSER: server.user }
      await must(['sh', '-c', await readmeCommand('kea-postgresql', config())], { env })
      await goesOnAtKea('pgsql', database)
    },
    120_000,
  )

  it.skipIf(noMaria !== undefined)(
    `works with its tables in MariaDB${because(noMaria)}`,
    async () => {
      if (maria === undefined) throw new Error('MariaDB does not run')
      const database = await makeKeaMariadb(maria, 'kea')
      await writeFile(
        join(folder, '.my.cnf'),
        `[client]\nsocket=${maria.socketPath}\nuser=${maria.user}\npassword=${maria.password}\n`,
      )
      await must(['sh', '-c', await readmeCommand('kea-mysql', config())], { env: { HOME: folder } })
      await goesOnAtKea('mysql', database)
      // Later releases of Kea keep IPv6 addresses as octets.
      await maria.query('DELETE FROM kea.lease6')
      await maria.query('ALTER TABLE kea.lease6 MODIFY address binary(16) NOT NULL')
      await maria.query('DELETE FROM kea.lease4')
      await must(['sh', '-c', await readmeCommand('kea-mysql', config())], { env: { HOME: folder } })
      const rows = await maria.query(
        `SELECT lower(hex(address)) AS hex FROM kea.lease6 WHERE state = 0 AND valid_lifetime > 1`,
      )
      const octets = story.holders6.flatMap(({ books }) => books.map(({ address }) => hexOf(address)))
      expect(rows.map(({ hex }) => String(hex)).sort()).toEqual(octets.sort())
    },
    120_000,
  )
})
