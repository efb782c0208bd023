/**
 * Galera whose node loses its network while servers append to it. The nodes stand in network namespaces; SQL reaches
 * them over their Unix sockets all the time, as it does when the network of the cluster is another than that of its
 * clients.
 */
import * as E from 'fp-ts/lib/Either.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openMysql } from '../../adapters/mysql/open.ts'
import type { MysqlOptions } from '../../adapters/mysql/options.ts'
import { START } from '../../domain/event-store.ts'
import type { EventStore } from '../../domain/event-store.ts'
import { galeraMissing, startGalera } from '../support/mariadb.ts'
import type { TestGalera, TestMariadb } from '../support/mariadb.ts'
import { Lab, labMissing } from '../support/namespaces.ts'
import { until } from '../support/process.ts'
import { batchOf, claim, must, streamAt } from './proposals.ts'

const missing = labMissing() ?? galeraMissing()
describe.skipIf(missing !== undefined)(
  `a Galera node without its network${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let lab: Lab
    let cluster: TestGalera
    beforeAll(async () => {
      lab = await Lab.open()
      cluster = await startGalera(3, { lab })
    })
    afterAll(async () => {
      await cluster?.stop()
      await lab?.close()
    })

    const optionsAt = (...order: ReadonlyArray<number>): MysqlOptions => ({
      hosts: order.map((index) => ({ host: (cluster.nodes[index] as TestMariadb).socketPath, port: 0 })),
      database: cluster.database,
      user: 'ledger',
      password: 'ledger',
      preferAgainMs: 200,
    })

    /** Appends claims of one server, one after the other, and settles what is unknown; gives those confirmed. */
    const appendUntil = async (store: EventStore, firstHost: number, isEnough: () => boolean) => {
      const confirmed: string[] = []
      const seen = new Set<string>()
      let unknown = false
      for (let host = firstHost; unknown || !isEnough();) {
        const result: Awaited<ReturnType<ReturnType<EventStore['append']>>> = await (
          unknown ? store.settle() : store.append(batchOf(claim(streamAt(host))))
        )()
        if (E.isRight(result)) {
          unknown = false
          expect(result.right.map(({ _tag }) => _tag)).toEqual(['Appended'])
          confirmed.push(streamAt(host++))
          continue
        }
        seen.add(result.left._tag)
        unknown ||= result.left._tag === 'OutcomeUnknown'
        expect(['OutcomeUnknown', 'StoreUnavailable']).toContain(result.left._tag)
      }
      return { confirmed, seen }
    }

    const streamsOf = async (store: EventStore): Promise<ReadonlyArray<string>> =>
      (await must(store.readAfter(START, 100_000))).events.map(({ stream }) => stream as string).sort()

    it('is left for the rest of the cluster; every commit that it was cut off from is there once or not at all', async () => {
      const alpha = await must(openMysql(optionsAt(0, 1, 2), 'alpha'))
      const beta = await must(openMysql(optionsAt(1, 2), 'beta'))
      let over = false
      const both = Promise.all([appendUntil(alpha, 0, () => over), appendUntil(beta, 10_000, () => over)])
      const heads = async () => E.getOrElse(() => ({}))(await beta.heads()()) as Readonly<Record<string, number>>
      await until('both have appended', async () => Object.values(await heads()).every((seq) => seq > 20))
      await cluster.cut(0)
      const atCut = await heads()
      try {
        await cluster.settled(1, 2, 60_000)
        const { alpha: alphaThen = 0, beta: betaThen = 0 } = { ...atCut, ...(await heads()) }
        await until('both go on with the other two', async () => {
          const { alpha: alphaNow = 0, beta: betaNow = 0 } = await heads()
          return alphaNow > alphaThen + 20 && betaNow > betaThen + 20
        })
        // The node answers, and that it is of no use: outside of the primary component it would not know better. Until it
        // notices that it is, commits that wait for the others there hold their locks.
        await until('the node that was cut off says that it is not ready', async () => {
          const alone = await openMysql(optionsAt(0), 'gamma')()
          expect(alone).toMatchObject({ _tag: 'Left', left: { _tag: 'StoreUnavailable' } })
          return JSON.stringify(alone).includes('not ready')
        })
      } finally {
        await cluster.heal(0)
      }
      over = true
      const results = await both
      // Commits were on their way when the network went, and were settled by reading.
      expect(results[0].seen).toContain('OutcomeUnknown')
      await cluster.settled(0, 3, 60_000)
      const confirmed = results.flatMap((each) => each.confirmed).sort()
      expect(await streamsOf(beta)).toEqual(confirmed)
      const back = await must(openMysql(optionsAt(0), 'delta'))
      expect(await streamsOf(back)).toEqual(confirmed)
      for (const store of [alpha, beta, back]) await store.close()
    }, 180_000)
  },
)
