/** The commands of `ledger`, put together. */
import { Command } from 'commander'
import packageJson from '../../package.json' with { type: 'json' }
import { clientCommand } from './client.ts'
import { evidenceCommand, keygenCommand } from './evidence.ts'
import { exportCommand } from './export.ts'
import { historyCommand } from './history.ts'
import { importCommand } from './import.ts'
import { checkCommand, replayCommand, revokeCommand, verifyCommand } from './maintain.ts'
import { tailCommand } from './tail.ts'

/** The operator's command line. A command that fails ends the process with exit code 1. */
export const ledgerProgram = (): Command =>
  new Command('ledger')
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
