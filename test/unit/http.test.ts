import * as E from 'fp-ts/lib/Either.js'
import { afterEach, describe, expect, it } from 'vitest'
import { makeMemoryLedger, openMemory } from '../../adapters/memory/memory-store.ts'
import { realTimer } from '../../projections/timer.ts'
import { makeMemoryTables, openMemoryTables } from '../../projections/memory/memory-tables.ts'
import { resolveSources } from '../../server/config/load.ts'
import { sourceOf } from '../../server/config/source.ts'
import { openCore } from '../../server/core.ts'
import type { Core } from '../../server/core.ts'
import { openHttp } from '../../server/http.ts'
import type { HttpEndpoint } from '../../server/http.ts'
import { silent } from '../support/servers.ts'
import { terms } from '../support/lease-spec.ts'
import { lease4Stream } from '../../domain/stream.ts'

const orThrow = <A>(result: E.Either<unknown, A>): A => {
  if (E.isLeft(result)) throw new Error(JSON.stringify(result.left))
  return result.right
}

describe('the HTTP endpoint', () => {
  let core: Core | undefined
  let endpoint: HttpEndpoint | undefined
  let away = false

  const open = async (): Promise<string> => {
    const text = '{"Dhcp4": {"lease-database": {"type": "memory"}, "subnet4": []}}'
    const config = orThrow(resolveSources([orThrow(sourceOf('test.json', text))]))
    const ledger = makeMemoryLedger(Date.now, () =>
      away ? Promise.resolve({ _tag: 'StoreUnavailable', reason: 'no route' }) : undefined,
    )
    const stores = {
      store: openMemory(ledger, 'a'),
      tables: [openMemoryTables(makeMemoryTables())],
      connection: undefined,
      failed: new Promise<string>(() => undefined),
      close: () => Promise.resolve(),
    }
    const onFatal = (reason: string): never => {
      throw new Error(reason)
    }
    core = orThrow(await openCore(config, { log: silent, now: Date.now, timer: realTimer, onFatal }, stores))
    endpoint = orThrow(await openHttp({ address: '127.0.0.1', port: 0 }, core))
    return endpoint.where
  }

  afterEach(async () => {
    away = false
    await endpoint?.close()
    await core?.stop()
  })

  it('shows what the ledger has done, and each kind of packet', async () => {
    const where = await open()
    await core?.ledger.execute(lease4Stream(7), { type: 'Claim', terms: terms('ann'), ownOnly: false })
    core?.counters.add('dhcp4.drop.noSubnet')
    const metrics = await (await fetch(where)).text()
    expect(metrics).toMatch(/^lease_ledger_leases 1$/m)
    expect(metrics).toMatch(/^lease_ledger_appended_total 1$/m)
    expect(metrics).toMatch(/^lease_ledger_store_up 1$/m)
    expect(metrics).toContain('lease_ledger_packets_total{protocol="dhcp4",what="drop",detail="noSubnet"} 1')
  })

  it('says that it is not well while the store is away', async () => {
    const where = (await open()).replace('/metrics', '/health')
    expect((await fetch(where)).status).toBe(200)
    away = true
    await core?.ledger.execute(lease4Stream(7), { type: 'Claim', terms: terms('ann'), ownOnly: false })
    expect((await fetch(where)).status).toBe(503)
  })

  it('knows nothing else', async () => {
    const where = await open()
    expect((await fetch(where.replace('/metrics', '/'))).status).toBe(404)
    expect((await fetch(where, { method: 'POST' })).status).toBe(404)
  })

  it('says in one sentence that its port is taken', async () => {
    const port = Number(new URL(await open()).port)
    const second = await openHttp({ address: '127.0.0.1', port }, core as Core)
    expect(second).toMatchObject(E.left(expect.stringContaining('choose another LeaseLedger.http')))
  })
})
