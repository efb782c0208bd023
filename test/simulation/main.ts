/** `npm run simulate -- --seeds N [--from SEED]`: runs many seeds and stops at the first that fails. */
import { Command } from 'commander'
import { simulate } from './simulate.ts'

const { seeds, from } = new Command('simulate')
  .option('--seeds <n>', 'how many seeds to run', Number, 1000)
  .option('--from <seed>', 'the first seed; one that failed replays exactly', Number, Date.now() % 1_000_000_000)
  .parse()
  .opts<{ seeds: number; from: number }>()

let events = 0
let grants = 0
for (let seed = from; seed < from + seeds; seed++) {
  const outcome = await simulate(seed)
  events += outcome.events
  grants += outcome.grants
  if (outcome.problems.length > 0) {
    process.stdout.write(`SEED=${seed}\n${outcome.problems.join('\n')}\n`)
    process.exit(1)
  }
}
process.stdout.write(`${seeds} seeds from ${from}: every invariant held, ${grants} grants, ${events} events\n`)
