/**
 * A small service on the embedded store, for tests that kill it: `embedded-service.ts DATA_FOLDER SERVER_NAME COUNT`
 * appends COUNT events one by one, prints each position as it is confirmed, then `ready`, and waits for SIGTERM.
 */
import { openEmbedded } from '../../adapters/embedded/open.ts'
import { openPostgres } from '../../adapters/postgres/open.ts'
import { batchOf, claim, must, streamAt } from './proposals.ts'

const [dataFolder, log, count] = process.argv.slice(2) as [string, string, string]
const opened = await openEmbedded({ dataFolder, mode: 'own' })()
if (opened._tag === 'Left') {
  console.log(`refused: ${opened.left.reason}`)
  process.exit(1)
}
const database = opened.right
console.log(`postmaster ${database.pid()}`)
const store = await must(openPostgres(database.options, log))
const { [log]: head } = await must(store.heads())
for (let index = 0; index < Number(count); index++) {
  await must(store.append(batchOf(claim(streamAt((head ?? 0) + index)))))
  console.log(`confirmed ${(head ?? 0) + index + 1}`)
}
console.log('ready')
process.on('SIGTERM', async () => {
  await store.close()
  await database.stop()
  process.exit(0)
})
setInterval(() => undefined, 60_000)
