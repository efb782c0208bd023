/**
 * High availability on a Galera cluster of three nodes, in short: a part of the experiments of test/ha, which takes
 * minutes as a whole. Galera is told to suspect a node after 2 s instead of 5.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { galeraMissing } from '../support/mariadb.ts'
import { labMissing } from '../support/namespaces.ts'
import { galeraScenarios } from '../ha/scenarios.ts'
import { isTiming } from '../ha/row.ts'
import { openStage, SUSPECT_2S } from '../ha/stage.ts'
import type { Stage } from '../ha/stage.ts'

const missing = labMissing() ?? galeraMissing()

/** By the beginnings of their names. */
const PLAYED = [
  '3, 4: 2 servers, node 1 killed',
  // Also lost rows of the lease tables, which the check of the ledger at its end found.
  '3, 4: 2 servers, node 2 cut off',
  '6, 7, 8: rebind, renew, release',
  '2 servers, server 1 killed',
  '64 exchanges at once, 2 servers',
]

describe.skipIf(missing !== undefined)(
  `high availability${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let stage: Stage
    beforeAll(async () => {
      stage = await openStage('galera', SUSPECT_2S)
    })
    afterAll(() => stage?.close())

    const played = galeraScenarios.filter(({ name }) => PLAYED.some((beginning) => name.startsWith(beginning)))
    it('plays all that it names', () => expect(played).toHaveLength(PLAYED.length))

    it.each(played)(
      '$name',
      async ({ play }) => {
        const row = await play(stage)
        // How long it takes is judged where nothing else runs: `npm run ha`.
        const wrong = row.faults.filter((fault) => !isTiming(fault))
        expect(wrong, JSON.stringify(row, undefined, 1)).toEqual([])
      },
      300_000,
    )
  },
)
