/**
 * The same random commands, decided by the real aggregate from what the store says and appended to it by two servers,
 * over every store: ledgers and lease tables must come out equal.
 */
import * as E from 'fp-ts/lib/Either.js'
import * as O from 'fp-ts/lib/Option.js'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeMemoryLedger, openMemory } from '../../adapters/memory/memory-store.ts'
import { openEventStore } from '../../adapters/eventstore/open.ts'
import { migrateMysql } from '../../adapters/mysql/migration.ts'
import { openMysql } from '../../adapters/mysql/open.ts'
import { migratePostgres } from '../../adapters/postgres/migration.ts'
import { openPostgres } from '../../adapters/postgres/open.ts'
import { NO_STREAM, START } from '../../domain/event-store.ts'
import type { EventStore, Proposal, Recorded, Unsealed } from '../../domain/event-store.ts'
import { decodeEvent } from '../../domain/lease-codec.ts'
import { decide, evolve, vacant } from '../../domain/lease.ts'
import type { LeaseState } from '../../domain/lease.ts'
import type { StreamName } from '../../domain/stream.ts'
import type { LeaseTables } from '../../projections/lease-tables.ts'
import { makeMemoryTables, openMemoryTables } from '../../projections/memory/memory-tables.ts'
import { openMysqlTables } from '../../projections/mysql/open.ts'
import { openPostgresTables } from '../../projections/postgres/open.ts'
import { startKurrent } from '../support/kurrent/server.ts'
import { mariadbMissing, startMariadb } from '../support/mariadb.ts'
import type { TestMariadb } from '../support/mariadb.ts'
import { postgresMissing, startPostgres } from '../support/postgres.ts'
import type { TestPostgres } from '../support/postgres.ts'
import { step } from './lease-table-histories.ts'
import type { Step } from './lease-table-histories.ts'
import { applyBatch, batchesOf, shown } from './lease-tables-contract.ts'
import { PATIENT } from './limits.ts'
import { must, right } from './proposals.ts'

const COMMANDS = Number(process.env['LL_COMMANDS'] ?? 10_000)
const SEED = Number(process.env['SEED'] ?? 20_261)
const BATCH = 10
const T0 = 1_790_000_000_000

interface Ground {
  readonly stores: readonly [EventStore, EventStore]
  readonly tables: LeaseTables
}

const recordedOf = (stored: Unsealed): Recorded => ({
  log: stored.log,
  seq: stored.seq,
  stream: stored.stream,
  revision: stored.revision,
  recordedAt: stored.recordedAt,
  event: right(decodeEvent(stored.type, stored.schemaVersion, stored.data)),
})

/** What a server proposes of the steps: nothing where the aggregate refuses, and one command a stream in each batch. */
const proposalsOf = async (store: EventStore, steps: ReadonlyArray<Step & { readonly at: number }>) => {
  const streams = [...new Set(steps.map(({ stream }) => stream))]
  const known = new Map<StreamName, { readonly state: LeaseState; readonly revision: number }>()
  for (const stored of await must(store.readLatest(streams))) {
    const { stream, revision, event } = recordedOf(stored)
    known.set(stream, { state: evolve(vacant, event), revision }) // an event carries the whole lease
  }
  const proposals = new Map<StreamName, Proposal>()
  for (const { stream, command, at } of steps) {
    if (proposals.has(stream)) continue
    const { state, revision } = known.get(stream) ?? { state: vacant, revision: NO_STREAM }
    const decided = decide({ maxClockSkewMs: 5_000 })(state, command, at)
    if (E.isLeft(decided) || O.isNone(decided.right)) continue
    proposals.set(stream, { stream, expected: revision, event: decided.right.value, recordedAt: at })
  }
  return [...proposals.values()]
}

/** Plays the commands; every seventh batch is proposed by the other server too, so that one of them loses. */
const play = async ({ stores, tables }: Ground, steps: ReadonlyArray<Step>) => {
  const outcomes: string[] = []
  let now = T0
  for (let from = 0; from < steps.length; from += BATCH) {
    const turn = from / BATCH
    const timed = steps.slice(from, from + BATCH).map((one) => ({ ...one, at: (now += one.waitMs) }))
    const [first, second] = turn % 2 === 0 ? stores : stores.toReversed()
    const proposals = await proposalsOf(first as EventStore, timed)
    const [head, ...rest] = proposals
    if (head === undefined) continue
    for (const store of turn % 7 === 0 ? [first, second] : [first]) {
      const became = await must((store as EventStore).append([head, ...rest]))
      outcomes.push(...became.map((each) => JSON.stringify(each)))
    }
  }
  const { events } = await must(stores[0].readAfter(START, 1_000_000))
  const recorded = events.map(recordedOf)
  const byLog = recorded.toSorted((one, other) =>
    one.log === other.log ? one.seq - other.seq : one.log < other.log ? -1 : 1,
  )
  for (const batch of batchesOf(byLog, 100)) await applyBatch(tables, batch)
  return { outcomes, ledger: byLog, tables: await shown(tables) }
}

const missing = postgresMissing() ?? mariadbMissing()
describe.skipIf(missing !== undefined)(
  `the same commands${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let postgres: TestPostgres
    let mariadb: TestMariadb
    let kurrent: Awaited<ReturnType<typeof startKurrent>>
    beforeAll(async () => {
      ;[postgres, mariadb, kurrent] = await Promise.all([startPostgres(), startMariadb(), startKurrent()])
    })
    afterAll(async () => {
      await postgres?.stop()
      await mariadb?.stop()
      await kurrent?.stop()
    })

    const grounds: Readonly<Record<string, () => Promise<Ground>>> = {
      memory: async () => {
        const ledger = makeMemoryLedger(() => T0)
        return {
          stores: [openMemory(ledger, 'alpha'), openMemory(ledger, 'beta')],
          tables: openMemoryTables(makeMemoryTables()),
        }
      },
      postgres: async () => {
        const { host, port, user, database } = postgres
        const options = { hosts: [{ host, port }], user, database, ...PATIENT }
        await must(migratePostgres(options, 'tables'))
        return {
          stores: [await must(openPostgres(options, 'alpha')), await must(openPostgres(options, 'beta'))],
          tables: await must(openPostgresTables(options)),
        }
      },
      mariadb: async () => {
        const { host, port, user, password, database } = mariadb
        const options = { hosts: [{ host, port }], user, password, database, ...PATIENT }
        await must(migrateMysql(options, 'tables'))
        return {
          stores: [await must(openMysql(options, 'alpha')), await must(openMysql(options, 'beta'))],
          tables: await must(openMysqlTables(options)),
        }
      },
      eventstore: async () => {
        const options = { connectionString: kurrent.url, callTimeoutMs: PATIENT.statementTimeoutMs }
        return {
          stores: [await must(openEventStore(options, 'alpha')), await must(openEventStore(options, 'beta'))],
          tables: openMemoryTables(makeMemoryTables()),
        }
      },
    }

    it(`leave equal ledgers and equal lease tables in every store (${COMMANDS} commands, SEED=${SEED})`, async () => {
      const steps = fc.sample(step, { numRuns: COMMANDS, seed: SEED })
      const results = new Map<string, Awaited<ReturnType<typeof play>>>()
      for (const [name, make] of Object.entries(grounds)) {
        const ground = await make()
        results.set(name, await play(ground, steps))
        for (const each of [...ground.stores, ground.tables]) await each.close()
      }
      const { memory, ...others } = Object.fromEntries(results)
      expect(memory?.ledger.length).toBeGreaterThan(COMMANDS / 10)
      expect(memory?.outcomes.some((each) => each.includes('WrongExpectedRevision'))).toBe(true)
      expect(Object.keys(others)).toEqual(['postgres', 'mariadb', 'eventstore'])
      for (const [name, other] of Object.entries(others)) {
        expect(other.outcomes, name).toEqual(memory?.outcomes)
        expect(other.ledger, name).toStrictEqual(memory?.ledger)
        expect(other.tables, name).toStrictEqual(memory?.tables)
      }
    }, 300_000)
  },
)
