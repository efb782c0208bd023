/** Several worker processes on one machine, on loopback and the embedded store: they share the work, and lose nothing. */
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freeUdpPort } from '../support/ports.ts'
import { descendants, isAlive, must, run, signalOne, start, until } from '../support/process.ts'
import type { Running } from '../support/process.ts'

const MAIN = fileURLToPath(new URL('../../server/main.ts', import.meta.url))
const CLI = fileURLToPath(new URL('../../server/ledger-cli.ts', import.meta.url))

const environmentOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return ''
  }
}

describe.skipIf(process.platform !== 'linux')('two workers', () => {
  let folder: string
  let port: number
  let port6: number
  let service: Running
  let sql: postgres.Sql

  const workers = (): readonly number[] =>
    descendants(service.pid).filter((pid) => environmentOf(pid).includes('LEASE_LEDGER_WORKER='))

  const clients = async (...more: string[]): Promise<string> =>
    must(['node', CLI, 'client', '--server', '127.0.0.1', '--port', String(port), ...more].with(0, process.execPath))

  const eventsByServer = async (): Promise<Readonly<Record<string, number>>> => {
    const rows = await sql`SELECT log, count(*)::int AS n FROM ledger_events GROUP BY log`
    return Object.fromEntries(rows.map(({ log, n }) => [log as string, n as number]))
  }

  const config = (lifetimeSec: number): string =>
    JSON.stringify({
      Dhcp4: {
        'valid-lifetime': lifetimeSec,
        subnet4: [
          {
            id: 1,
            subnet: '198.51.100.0/22',
            relay: { 'ip-addresses': ['127.0.0.1'] },
            pools: [{ pool: '198.51.100.10 - 198.51.103.250' }],
          },
        ],
      },
      Dhcp6: {
        'valid-lifetime': lifetimeSec,
        subnet6: [
          {
            id: 1,
            subnet: '2001:db8:1::/64',
            pools: [{ pool: '2001:db8:1::1:0 - 2001:db8:1::1:ffff' }],
            'pd-pools': [{ prefix: '2001:db8:8000::', 'prefix-len': 40, 'delegated-len': 56 }],
          },
        ],
      },
      LeaseLedger: {
        'server-name': 'pair',
        workers: 2,
        'data-folder': join(folder, 'data'),
        listen: { dhcp4: [{ address: '127.0.0.1', port }], dhcp6: [{ address: '::1', port: port6 }] },
      },
    })

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'll-workers-'))
    port = await freeUdpPort()
    port6 = await freeUdpPort()
    await writeFile(join(folder, 'config.json'), config(3600))
    service = await start([process.execPath, MAIN, '-c', join(folder, 'config.json')])
    await service.printed(/lease-ledger ready/, 60_000)
    const [, host] = (await service.printed(/psql 'postgresql:\/\/\/lease_ledger\?host=([^&]+)/)) ?? []
    sql = postgres({ host: decodeURIComponent(host as string), database: 'lease_ledger', user: 'reader', max: 1 })
  })

  afterAll(async () => {
    await sql?.end({ timeout: 1 })
    await service?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('share the clients of one relay, and give no address twice', async () => {
    expect(await clients('--clients', '300', '--rate', '600')).toMatch(/300 different addresses/)
    const events = await eventsByServer()
    expect(Object.keys(events).sort()).toEqual(['pair#1', 'pair#2'])
    expect((events['pair#1'] ?? 0) + (events['pair#2'] ?? 0)).toBeGreaterThanOrEqual(300)
  })

  it('are one server for DHCPv6: whoever made the offer, each takes the request, and renewals', async () => {
    const client = [process.execPath, CLI, 'client', '-6', '--server', '::1', '--port', String(port6)]
    const played = await must([...client, '--clients', '200', '--rate', '400', '--renew', '--release'])
    expect(played).toMatch(/acquire: 200 replies, 0 refusals, 0 timeouts \(0 sent again\)/)
    expect(played).toMatch(/renew: 200 replies, 0 refusals, 0 timeouts \(0 sent again\)/)
    expect(played).toMatch(/release: 200 replies, 0 refusals, 0 timeouts \(0 sent again\)/)
    const logs = await sql`SELECT DISTINCT log FROM ledger_events WHERE category = 'lease6'`
    expect(logs.map(({ log }) => log as string).sort()).toEqual(['pair#1', 'pair#2'])
    // DUIDs of their own would be alike by chance only: by the second in which each was made.
    const duids = await sql`SELECT key FROM properties WHERE key LIKE 'server-duid/%'`
    expect(duids.map(({ key }) => key as string)).toEqual(['server-duid/pair'])
  })

  it('go on when one of them is killed, and it comes back', async () => {
    const [victim] = workers()
    const playing = clients('--clients', '200', '--rate', '100', '--renew')
    signalOne(victim as number, 'SIGKILL')
    const played = await playing
    expect(played).toMatch(/acquire: 200 acks, 0 naks, 0 timeouts/)
    expect(played).toMatch(/renew: 200 acks, 0 naks, 0 timeouts/)
    await until('two workers again', () => workers().length === 2 && !workers().includes(victim as number))
    await until(
      'both on the ledger',
      () => (service.output().match(/"servers":\["pair#1","pair#2"\]/g) ?? []).length > 1,
    )
  })

  it('take a new configuration one after the other, and keep the old one where the new is wrong', async () => {
    const before = workers()
    await writeFile(join(folder, 'config.json'), config(7200))
    service.signal('SIGHUP')
    await service.printed(/configuration reloaded/)
    expect(workers().filter((pid) => before.includes(pid))).toEqual([])
    await clients('--clients', '20', '--rate', '100')
    const rows = await sql`SELECT DISTINCT valid_lifetime::int AS n FROM lease4 ORDER BY 1`
    expect(rows.map(({ n }) => n)).toContain(7200)
    await writeFile(join(folder, 'config.json'), '{ "Dhcp4": ')
    service.signal('SIGHUP')
    await service.printed(/the configuration stays as it was/)
  })

  it('hold the port against a second service, and all end with the process above them', async () => {
    await writeFile(join(folder, 'config.json'), config(3600).replace(join(folder, 'data'), join(folder, 'other')))
    const second = await run([process.execPath, MAIN, '-c', join(folder, 'config.json')])
    expect(second.code).toBe(1)
    expect(second.stdout).toMatch(new RegExp(`UDP 127.0.0.1:${port} is taken by`))
    const tree = [service.pid, ...descendants(service.pid)]
    signalOne(service.pid, 'SIGKILL')
    await until('the end of all of them', () => tree.every((pid) => !isAlive(pid)))
  })
})
