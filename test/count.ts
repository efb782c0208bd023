/**
 * Says which tests failed or had to be tried again, and adds up the result files of the runs into the line `N passed, N
 * failed, N skipped`.
 */
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

const shown = (name: string, { fullName, failureMessages }: Test): string =>
  `${name}: ${fullName}\n  ${firstLines(failureMessages?.[0])}`

/** What failed in a file, a paragraph each. A file that could not be loaded or set up failed, though none of its tests did. */
const failuresOf = (name: string, file: TestFile): ReadonlyArray<string> => {
  const failed = file.assertionResults.filter(({ status }) => status === 'failed')
  if (file.status === 'failed' && failed.length === 0) return [`${name}\n  ${firstLines(file.message)}`]
  return failed.map((test) => shown(name, test))
}

/** What passed when it was tried once more, with what it failed of at first. */
const repeatedIn = (name: string, file: TestFile): ReadonlyArray<string> =>
  file.assertionResults
    .filter(({ status, failureMessages }) => status === 'passed' && (failureMessages?.length ?? 0) > 0)
    .map((test) => shown(name, test))

const folder = process.argv[2] ?? 'build'
let passed = 0
let failed = 0
let skipped = 0
for (const file of readdirSync(folder).filter((name) => name.startsWith('test-results'))) {
  const results = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Results
  passed += results.numPassedTests
  skipped += results.numPendingTests + results.numTodoTests
  for (const file of results.testResults) {
    const name = relative(process.cwd(), file.name)
    for (const repeated of repeatedIn(name, file)) process.stdout.write(`PASSED WHEN TRIED AGAIN ${repeated}\n`)
    const failures = failuresOf(name, file)
    failed += failures.length
    for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`)
  }
}
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`)
