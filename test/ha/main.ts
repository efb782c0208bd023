/**
 * Runs the experiments and prints their table: `node test/ha/main.ts [galera|postgres] [--suspect-2s] [words of names]`.
 * Exit code 1 when one of them went wrong. The rows are also written to build/ha-STORE.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { galeraMissing } from '../support/mariadb.ts'
import { labMissing } from '../support/namespaces.ts'
import { postgresMissing } from '../support/postgres.ts'
import { tableOf } from './row.ts'
import type { Row } from './row.ts'
import { galeraScenarios, postgresScenarios } from './scenarios.ts'
import { openStage, SUSPECT_2S } from './stage.ts'

const words = process.argv.slice(2)
const kind = words.includes('postgres') ? 'postgres' : 'galera'
const quick = words.includes('--suspect-2s')
const wanted = words.filter((word) => !['postgres', 'galera'].includes(word) && !word.startsWith('--'))

const missing = labMissing() ?? (kind === 'galera' ? galeraMissing() : postgresMissing())
if (missing !== undefined) {
  console.error(missing)
  process.exit(2)
}
const scenarios = (kind === 'galera' ? galeraScenarios : postgresScenarios).filter(
  ({ name }) => wanted.length === 0 || wanted.some((word) => name.includes(word)),
)
const stage = await openStage(kind, quick ? SUSPECT_2S : {})
const rows: Row[] = []
try {
  for (const scenario of scenarios) {
    console.error(scenario.name)
    const row = await scenario.play(stage)
    rows.push(row)
    console.error(tableOf([row]).split('\n').at(-1))
    if (row.faults.length > 0 && words.includes('--logs')) {
      for (const { under } of stage.servers) console.error(under.logs().split('\n').slice(-40).join('\n'))
    }
  }
} finally {
  await stage.close()
}
console.log(tableOf(rows))
mkdirSync('build', { recursive: true })
writeFileSync(`build/ha-${kind}${quick ? '-suspect-2s' : ''}.json`, `${JSON.stringify(rows, undefined, 1)}\n`)
process.exitCode = rows.every(({ faults }) => faults.length === 0) ? 0 : 1
