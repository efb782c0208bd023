/** Delay against rate as an SVG picture: both axes logarithmic, a line for each server. */
import type { Round } from './measure.ts'
import { LOST_MAX } from './search.ts'
import type { ServerName } from './servers.ts'
import { WORK_TITLE } from './works.ts'
import type { WorkName } from './works.ts'

const WIDTH = 900
const HEIGHT = 520
const FRAME = { left: 70, right: 230, top: 50, bottom: 60 } as const

/** Colours tell the stores apart, dashes the products, so that the picture can also be read without colours. */
const LOOK: Readonly<Record<string, string>> = {
  postgresql: '#1f5fa8',
  mariadb: '#b3541e',
  embedded: '#2c7a4b',
  memfile: '#2c7a4b',
}

interface Line {
  readonly server: ServerName
  readonly points: ReadonlyArray<{ readonly rate: number; readonly delay: number }>
}

/** The rates that were carried, with the median time from REQUEST to ACK (or Reply) at each. */
const linesOf = (rounds: ReadonlyArray<Round>): ReadonlyArray<Line> =>
  [...Map.groupBy(rounds, ({ server }) => server)]
    .map(([server, own]) => ({
      server,
      points: own
        .flatMap(({ runs }) => runs)
        .filter(({ lost, grantDelay }) => lost <= LOST_MAX && grantDelay !== undefined)
        .map(({ completed, grantDelay }) => ({ rate: completed, delay: grantDelay?.p50 ?? 0 }))
        .sort((a, b) => a.rate - b.rate),
    }))
    .filter(({ points }) => points.length > 0)

interface Scale {
  readonly min: number
  readonly max: number
  readonly at: (value: number) => number
}

const logScale = (values: ReadonlyArray<number>, from: number, to: number): Scale => {
  const min = stepBelow(Math.min(...values))
  const max = stepAbove(Math.max(...values))
  const span = Math.log10(max / min)
  return { min, max, at: (value) => from + (Math.log10(value / min) / span) * (to - from) }
}

/** 1, 2 and 5 of each power of ten. */
const ticksOf = ({ min, max }: Scale): number[] => {
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(min)); 10 ** power <= max; power++) {
    for (const step of [1, 2, 5]) {
      const tick = step * 10 ** power
      if (tick >= min * 0.999 && tick <= max * 1.001) ticks.push(tick)
    }
  }
  return ticks
}

const STEPS = [1, 2, 5, 10]
const stepBelow = (value: number): number => {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * Math.max(...STEPS.filter((step) => step * power <= value * 1.0001))
}
const stepAbove = (value: number): number => {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * Math.min(...STEPS.filter((step) => step * power >= value * 0.9999))
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const number = (value: number): string =>
  Number(value.toPrecision(6)).toLocaleString('en', { maximumFractionDigits: 3 })

/** The picture of one kind of work; undefined when nothing was carried. `note` stands below the title. */
export const plot = (work: WorkName, rounds: ReadonlyArray<Round>, note: string): string | undefined => {
  const lines = linesOf(rounds.filter((round) => round.work === work))
  const points = lines.flatMap((line) => line.points)
  if (points.length === 0) return undefined
  const x = logScale(
    points.map(({ rate }) => rate),
    FRAME.left,
    WIDTH - FRAME.right,
  )
  const y = logScale(
    points.map(({ delay }) => delay),
    HEIGHT - FRAME.bottom,
    FRAME.top,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" ` +
      `font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${FRAME.left}" y="20" font-size="15">${escaped(WORK_TITLE[work])}: delay against rate</text>`,
    `<text x="${FRAME.left}" y="37" fill="#555">${escaped(note)}</text>`,
    ...axes(x, y),
    ...lines.map((line) => drawn(line, x, y)),
    ...labels(lines, x, y),
    '</svg>',
    '',
  ].join('\n')
}

const axes = (x: Scale, y: Scale): string[] => {
  const [left, right, top, bottom] = [FRAME.left, WIDTH - FRAME.right, FRAME.top, HEIGHT - FRAME.bottom]
  return [
    ...ticksOf(x).map(
      (tick) =>
        `<line x1="${x.at(tick)}" y1="${top}" x2="${x.at(tick)}" y2="${bottom}" stroke="#ddd"/>` +
        `<text x="${x.at(tick)}" y="${bottom + 16}" text-anchor="middle">${number(tick)}</text>`,
    ),
    ...ticksOf(y).map(
      (tick) =>
        `<line x1="${left}" y1="${y.at(tick)}" x2="${right}" y2="${y.at(tick)}" stroke="#ddd"/>` +
        `<text x="${left - 6}" y="${y.at(tick) + 4}" text-anchor="end">${number(tick)}</text>`,
    ),
    `<rect x="${left}" y="${top}" width="${right - left}" height="${bottom - top}" fill="none" stroke="#333"/>`,
    `<text x="${(left + right) / 2}" y="${HEIGHT - 18}" text-anchor="middle">exchanges completed a second</text>`,
    `<text transform="translate(18 ${(top + bottom) / 2}) rotate(-90)" text-anchor="middle">` +
      `median time from request to grant, ms</text>`,
  ]
}

const lookOf = (server: ServerName): string => {
  const [product = '', store = ''] = server.split(/[-+]/)
  const dashes = product === 'kea' ? ' stroke-dasharray="6 4"' : server.includes('+') ? ' stroke-dasharray="1 3"' : ''
  return `stroke="${LOOK[store] ?? '#333'}"${dashes}`
}

const drawn = ({ server, points }: Line, x: Scale, y: Scale): string => {
  const path = points.map(({ rate, delay }) => `${x.at(rate).toFixed(1)},${y.at(delay).toFixed(1)}`)
  const dots = path.map((point) => {
    const [cx, cy] = point.split(',')
    return `<circle cx="${cx}" cy="${cy}" r="2.5" fill="white" ${lookOf(server)}/>`
  })
  return `<polyline points="${path.join(' ')}" fill="none" stroke-width="2" ${lookOf(server)}/>${dots.join('')}`
}

/** Names to the right, in the order of the lines' ends, pushed apart where they would lie on each other. */
const labels = (lines: ReadonlyArray<Line>, x: Scale, y: Scale): string[] => {
  const at = WIDTH - FRAME.right + 14
  const ends = lines
    .map(({ server, points }) => ({ server, last: points.at(-1) as { rate: number; delay: number } }))
    .sort((a, b) => y.at(a.last.delay) - y.at(b.last.delay))
  let below = FRAME.top
  return ends.map(({ server, last }) => {
    const height = Math.max(below, y.at(last.delay))
    below = height + 18
    return (
      `<line x1="${x.at(last.rate)}" y1="${y.at(last.delay)}" x2="${at}" y2="${height}" stroke="#bbb"/>` +
      `<line x1="${at}" y1="${height}" x2="${at + 26}" y2="${height}" stroke-width="2" ${lookOf(server)}/>` +
      `<text x="${at + 32}" y="${height + 4}">${escaped(server)}</text>`
    )
  })
}
