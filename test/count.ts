/** Adds up the result files of the test runs into the line `N passed, N failed, N skipped`. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Results {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<{ readonly status: string; readonly assertionResults: ReadonlyArray<unknown> }>
}

const folder = process.argv[2] ?? 'build'
let passed = 0
let failed = 0
let skipped = 0
for (const file of readdirSync(folder).filter((name) => name.startsWith('test-results'))) {
  const results = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Results
  passed += results.numPassedTests
  failed += results.numFailedTests
  skipped += results.numPendingTests + results.numTodoTests
  // A file that could not even be loaded has no tests, and is a failure all the same.
  failed += results.testResults.filter((one) => one.status === 'failed' && one.assertionResults.length === 0).length
}
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`)
