/** What `ledger client` prints in the end. */
import { percentile } from '../simulator/run.ts'
import type { TaskResult } from '../simulator/run.ts'

/** What a protocol calls the good and the bad answer. */
export interface ReportWords {
  readonly granted: string
  readonly refused: string
}

/** What there is to tell. */
export interface ClientReport {
  readonly json: boolean
  readonly words: ReportWords
  readonly results: ReadonlyArray<TaskResult>
  /** Comparable names of what the clients held before they released it. */
  readonly leases: ReadonlySet<string>
  /** Undefined when nothing was to be released. */
  readonly released: number | undefined
}

/** Prints a report as lines, or as one line of JSON. */
export const printReport = ({ json, words, results, leases, released }: ClientReport): void => {
  if (json) {
    const shown = results.map(({ latenciesMs, ...rest }) => ({ ...rest, latencyMs: latencyOf(latenciesMs) }))
    process.stdout.write(`${JSON.stringify({ results: shown, leases: leases.size, released: released ?? 0 })}\n`)
    return
  }
  for (const result of results) process.stdout.write(`${line(result, words)}\n`)
  process.stdout.write(`leases held: ${held(leases)}\n`)
  if (released !== undefined) process.stdout.write(`released: ${released}\n`)
}

const held = (leases: ReadonlySet<string>): string => {
  const prefixes = [...leases].filter((name) => name.startsWith('prefix6/')).length
  const addresses = leases.size - prefixes
  const parts = [
    ...(addresses > 0 || prefixes === 0 ? [`${addresses} different addresses`] : []),
    ...(prefixes > 0 ? [`${prefixes} different prefixes`] : []),
  ]
  return parts.join(', ')
}

const latencyOf = (latencies: number[]): { p50: number; p99: number } => ({
  p50: percentile(latencies, 0.5),
  p99: percentile(latencies, 0.99),
})

const line = (result: TaskResult, words: ReportWords): string => {
  const { p50, p99 } = latencyOf(result.latenciesMs)
  const seconds = result.elapsedMs / 1000
  return (
    `${result.task}: ${result.granted} ${words.granted}, ${result.refused} ${words.refused}, ` +
    `${result.timeouts} timeouts (${result.retransmissions} sent again) in ${seconds.toFixed(2)} s, ` +
    `${(result.granted / seconds).toFixed(0)}/s; latency p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`
  )
}
