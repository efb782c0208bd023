/** The rounds as figures and as tables. */
import type { Round } from './measure.ts'
import { median } from './search.ts'
import type { ServerName } from './servers.ts'
import { WORK_TITLE } from './works.ts'
import type { WorkName } from './works.ts'

/** What a server does at one kind of work: medians over the rounds. Times in ms, processor time in s. */
export interface Figure {
  readonly server: ServerName
  readonly work: WorkName
  readonly peak: number
  readonly peakMin: number
  readonly peakMax: number
  /** Rounds in which perfdhcp was the limit and the server might have done more. */
  readonly limitedByLoad: number
  readonly rounds: number
  readonly grantP50: number
  readonly grantP99: number
  readonly offerP50: number
  readonly serverCpu: number
  readonly databaseCpu: number
  /** Of the last round. */
  readonly granted: number
  readonly rows: number
  readonly events: number | undefined
}

/** The figures of each server and kind of work that has a round. */
export const figuresOf = (rounds: ReadonlyArray<Round>): ReadonlyArray<Figure> => {
  const groups = Map.groupBy(rounds, ({ server, work }) => `${work} ${server}`)
  return [...groups.values()].map((group): Figure => {
    const last = group.at(-1) as Round
    const peaks = group.map(({ peak }) => peak ?? 0)
    const middle = (value: (round: Round) => number | undefined): number =>
      median(group.map(value).filter((one) => one !== undefined))
    return {
      server: last.server,
      work: last.work,
      peak: median(peaks),
      peakMin: Math.min(...peaks),
      peakMax: Math.max(...peaks),
      limitedByLoad: group.filter(({ limitedByLoad }) => limitedByLoad).length,
      rounds: group.length,
      grantP50: middle(({ half }) => half?.grantDelay?.p50),
      grantP99: middle(({ half }) => half?.grantDelay?.p99),
      offerP50: middle(({ half }) => half?.offerDelay?.p50),
      serverCpu: middle(({ cost }) => cost?.server),
      databaseCpu: middle(({ cost }) => cost?.database),
      granted: last.claims,
      rows: last.found.rows,
      events: eventsOf(last),
    }
  })
}

const eventsOf = ({ found }: Round): number | undefined =>
  found.events === undefined ? undefined : Object.values(found.events).reduce((sum, count) => sum + count, 0)

/** The Kea that a server is measured against: the one on the same kind of store. */
const rivalOf = (server: ServerName): ServerName | undefined => {
  if (server.startsWith('kea')) return undefined
  if (server.startsWith('ledger-postgresql')) return 'kea-postgresql'
  return server.startsWith('ledger-mariadb') ? 'kea-mariadb' : 'kea-memfile'
}

const HEADINGS = [
  'server',
  'highest rate /s',
  'spread',
  'x Kea',
  'grant p50 ms',
  'p99 ms',
  'offer p50 ms',
  'CPU s server',
  'database',
  'exchanges',
  'rows',
  'events',
]

/** One Markdown table for each kind of work. */
export const tables = (figures: ReadonlyArray<Figure>): string => {
  const byWork = Map.groupBy(figures, ({ work }) => work)
  return [...byWork]
    .map(([work, group]) => {
      const lines = group.map((figure) => cells(figure, group))
      return `${WORK_TITLE[work]}\n\n${table([HEADINGS, ...lines])}`
    })
    .join('\n\n')
}

const cells = (figure: Figure, group: ReadonlyArray<Figure>): string[] => {
  const rival = group.find(({ server }) => server === rivalOf(figure.server))
  const bound = figure.limitedByLoad > 0 ? '≥ ' : ''
  return [
    figure.server,
    bound + whole(figure.peak),
    figure.rounds > 1 ? `${whole(figure.peakMin)}–${whole(figure.peakMax)}` : '',
    rival === undefined ? '' : (figure.peak / rival.peak).toFixed(2),
    figure.grantP50.toFixed(2),
    figure.grantP99.toFixed(2),
    figure.offerP50.toFixed(2),
    figure.serverCpu.toFixed(3),
    figure.databaseCpu.toFixed(3),
    whole(figure.granted),
    whole(figure.rows),
    figure.events === undefined ? '' : whole(figure.events),
  ]
}

const whole = (value: number): string => Math.round(value).toLocaleString('en')

/** A Markdown table with its columns aligned; the first to the left, the others to the right. */
export const table = ([headings = [], ...lines]: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = headings.map((heading, i) => Math.max(heading.length, ...lines.map((line) => line[i]?.length ?? 0)))
  const row = (line: ReadonlyArray<string>): string =>
    `| ${widths.map((width, i) => (i === 0 ? (line[i] ?? '').padEnd(width) : (line[i] ?? '').padStart(width))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : '-'.repeat(width - 1) + ':')).join(' | ')} |`
  return [row(headings), rule, ...lines.map(row)].join('\n')
}
