/** The operator's command line: `npm run -s ledger -- history 198.51.100.10`. */
import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { clientCommand } from './cli/client.ts'
import { evidenceCommand, keygenCommand } from './cli/evidence.ts'
import { historyCommand } from './cli/history.ts'
import { checkCommand, replayCommand, revokeCommand, verifyCommand } from './cli/maintain.ts'

await new Command('ledger')
  .description('ask and look after a lease ledger')
  .version(packageJson.version)
  .addCommand(historyCommand())
  .addCommand(evidenceCommand())
  .addCommand(keygenCommand())
  .addCommand(verifyCommand())
  .addCommand(replayCommand())
  .addCommand(revokeCommand())
  .addCommand(checkCommand())
  .addCommand(clientCommand())
  .parseAsync()
