/** One line of the table: what an experiment showed, and what is wrong with it. */
import { failedPerMille } from './figures.ts'
import type { Figures } from './figures.ts'

/** What an experiment showed. Times in ms. */
export interface Row {
  readonly name: string
  readonly figures: ReadonlyArray<Figures>
  /** Longest time in which the database itself committed nothing; undefined where that was not measured. */
  readonly databaseGapMs: number | undefined
  readonly duplicates: number
  /** Refusals by a second server after the first had granted. */
  readonly lateRefusals: number
  /** How the servers came back, in words. */
  readonly back: string
  /** What must not be, as sentences; empty when the experiment went well. */
  readonly faults: ReadonlyArray<string>
}

/** The bounds of a row. `gapMsMax` is what the clients may wait beyond the database's own standstill. */
export interface Bounds {
  readonly gapMsMax?: number
  /** Clients are lost to claims here whatever a server does: theirs is gone, or there are too few addresses. */
  readonly claimsMayFail?: boolean
}

const TIMING = 'ms without a grant'

/** Whether a fault is that something took too long. */
export const isTiming = (fault: string): boolean => fault.endsWith(TIMING)

/** What is wrong with the figures of an experiment. */
export const judge = (row: Omit<Row, 'faults'>, { gapMsMax, claimsMayFail = false }: Bounds): string[] => {
  const faults: string[] = []
  if (row.duplicates > 0) faults.push(`${row.duplicates} duplicates`)
  if (row.lateRefusals > 0) faults.push(`${row.lateRefusals} refusals after a grant`)
  for (const figures of row.figures) {
    const where = `v${figures.family}`
    if (gapMsMax !== undefined && figures.gapMs > (row.databaseGapMs ?? 0) + gapMsMax) {
      faults.push(`${where}: ${figures.gapMs} ${TIMING}`)
    }
    // Under 1 ‰; a run of some hundred claims cannot show less than one.
    const failed = figures.claimsRefused + figures.claimsUnanswered
    if (failed > 1 && failedPerMille(figures) >= 1 && !claimsMayFail) {
      faults.push(`${where}: ${failedPerMille(figures).toFixed(1)} ‰ of claims failed`)
    }
    if (figures.renewalsRefused > 0) faults.push(`${where}: ${figures.renewalsRefused} renewals refused`)
    if (figures.rebindsUnanswered > 0) faults.push(`${where}: ${figures.rebindsUnanswered} rebinds unanswered`)
  }
  return faults
}

/** The rows as a Markdown table. */
export const tableOf = (rows: ReadonlyArray<Row>): string => {
  const head = [
    'experiment',
    'gap v4 / v6, s',
    'of it the database, s',
    'claims refused + unanswered, v4 / v6',
    'renewals refused / with the time left / all',
    'duplicates',
    'servers back',
    'verdict',
  ]
  const lines = rows.map((row) => {
    const each = (text: (figures: Figures) => string): string => row.figures.map(text).join(' / ')
    const sum = (value: (figures: Figures) => number): number => row.figures.reduce((all, f) => all + value(f), 0)
    return [
      row.name,
      each(({ claims, gapMs }) => (claims === 0 ? '' : seconds(gapMs))),
      row.databaseGapMs === undefined ? '' : seconds(row.databaseGapMs),
      each(({ claims, claimsRefused, claimsUnanswered }) => `${claimsRefused} + ${claimsUnanswered} of ${claims}`),
      [sum((f) => f.renewalsRefused), sum((f) => f.remaining), sum((f) => f.renewals)].join(' / '),
      String(row.duplicates),
      row.back,
      row.faults.length === 0 ? 'good' : row.faults.map(short).join('; '),
    ]
  })
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** One line, of a length that a cell can hold. */
const short = (text: string): string => text.replaceAll(/\s+/g, ' ').trim().slice(0, 200)

const seconds = (ms: number): string => (ms / 1_000).toFixed(2)
