import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'

// Two workers: databases, clients and namespaces run beside the tests, and the machines that check us have two cores.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Commands and servers are processes of their own, which start in half the time where their sources are compiled.
    env: { NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? resolve(import.meta.dirname, 'build/compiled') },
    setupFiles: ['test/support/property-seed.ts'],
    maxWorkers: 2,
    // More than a condition is waited for (`until`), which then says what did not come: nothing here measures time.
    testTimeout: 120_000,
    hookTimeout: 240_000,
    reporters: ['default', ['json', { outputFile: process.env['TEST_RESULTS'] ?? 'build/test-results.json' }]],
  },
})
