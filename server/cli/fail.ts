/** Ends a command with one sentence on standard error and exit code 1. */
export const fail = (message: string): never => {
  process.stderr.write(`ledger: ${message}\n`)
  process.exit(1)
}
