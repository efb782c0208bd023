/** The operator's command line: `npm run -s ledger -- history 198.51.100.10`. */
import { ledgerProgram } from './cli/program.ts'

await ledgerProgram().parseAsync()
