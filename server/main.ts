/** The service's command line: `npm start -- -c kea-dhcp4.conf`. */
import * as E from 'fp-ts/lib/Either.js'
import { loadArguments, parseArguments } from './arguments.ts'
import { runService } from './service.ts'
import { workerFromEnvironment } from './worker.ts'
import { runWorkers } from './workers.ts'

const args = parseArguments()
const config = loadArguments(args)
const worker = workerFromEnvironment()
if (E.isLeft(config)) {
  process.stderr.write(`lease-ledger: ${config.left}\n`)
  process.exitCode = 1
} else if (args.test) {
  for (const warning of config.right.warnings) process.stdout.write(`warning: ${warning}\n`)
  process.stdout.write('the configuration is valid\n')
} else if (worker === undefined && config.right.ledger.workers > 1) {
  await runWorkers(args, config.right)
} else {
  await runService(args, config.right, worker)
}
