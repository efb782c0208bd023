/** The operator's command line: `npm run -s ledger -- history 198.51.100.10`. */
import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { clientCommand } from './cli/client.ts'
import { evidenceCommand, keygenCommand } from './cli/evidence.ts'
import { exportCommand } from './cli/export.ts'
import { historyCommand } from './cli/history.ts'
import { importCommand } from './cli/import.ts'
import { checkCommand, replayCommand, revokeCommand, verifyCommand } from './cli/maintain.ts'
import { tailCommand } from './cli/tail.ts'

await new Command('ledger')
  .description('ask and look after a lease ledger')
  .version(packageJson.version)
  .addCommand(historyCommand())
  .addCommand(evidenceCommand())
  .addCommand(keygenCommand())
  .addCommand(verifyCommand())
  .addCommand(replayCommand())
  .addCommand(tailCommand())
  .addCommand(exportCommand())
  .addCommand(importCommand())
  .addCommand(revokeCommand())
  .addCommand(checkCommand())
  .addCommand(clientCommand())
  .parseAsync()
