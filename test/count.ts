/** Says which tests failed, and adds up the result files of the runs into the line `N passed, N failed, N skipped`. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

interface Test {
  readonly fullName: string
  readonly status: string
  readonly failureMessages?: ReadonlyArray<string>
}

interface TestFile {
  readonly name: string
  readonly status: string
  readonly message?: string
  readonly assertionResults: ReadonlyArray<Test>
}

interface Results {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<TestFile>
}

const firstLines = (text: string | undefined): string => (text ?? '').split('\n').slice(0, 3).join('\n  ')

/** What failed in a file, a paragraph each. A file that could not be loaded or set up failed, though none of its tests did. */
const failuresOf = (file: TestFile): ReadonlyArray<string> => {
  const name = relative(process.cwd(), file.name)
  const failed = file.assertionResults.filter(({ status }) => status === 'failed')
  if (file.status === 'failed' && failed.length === 0) return [`${name}\n  ${firstLines(file.message)}`]
  return failed.map((test) => `${name}: ${test.fullName}\n  ${firstLines(test.failureMessages?.[0])}`)
}

const folder = process.argv[2] ?? 'build'
let passed = 0
let failed = 0
let skipped = 0
for (const file of readdirSync(folder).filter((name) => name.startsWith('test-results'))) {
  const results = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Results
  passed += results.numPassedTests
  skipped += results.numPendingTests + results.numTodoTests
  const failures = results.testResults.flatMap(failuresOf)
  failed += failures.length
  for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`)
}
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`)
