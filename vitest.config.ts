import { defineConfig } from 'vitest/config'

// Two workers: databases, clients and namespaces run beside the tests, and the machines that check us have two cores.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/property-seed.ts'],
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 120_000,
    reporters: ['default', ['json', { outputFile: process.env['TEST_RESULTS'] ?? 'build/test-results.json' }]],
  },
})
