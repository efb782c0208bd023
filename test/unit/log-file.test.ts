import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LogFile } from '../../server/log-file.ts'
import { openLog } from '../../server/log.ts'

const LINE_OCTETS = 1_000
const SIZE_MAX = 204_800
/** Lines of 1,000 octets that fit into one file. */
const LINES_A_FILE = 204

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), `ll-${process.pid}-log-`))
  path = join(folder, 'new', 'service.log')
})
afterEach(() => rmSync(folder, { recursive: true }))

const open = (more: object = {}): LogFile =>
  new LogFile({ output: path, flush: true, sizeMax: SIZE_MAX, versionsMax: 2, pattern: undefined, ...more })

const lineOf = (i: number): string => `${`${i} `.padEnd(LINE_OCTETS - 1, '.')}\n`

const write = (file: LogFile, from: number, to: number): void => {
  for (let i = from; i < to; i++) file.write(lineOf(i))
}

/** The numbers of the lines in a file. */
const numbersIn = (name: string): number[] =>
  readFileSync(name, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      expect(line).toHaveLength(LINE_OCTETS - 1)
      return Number(line.split(' ')[0])
    })

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

describe('a log file', () => {
  it('is rolled before it would be longer than maxsize, and maxver older ones are kept', () => {
    write(open(), 0, 4 * LINES_A_FILE + 10)
    expect(readdirSync(join(folder, 'new')).sort()).toEqual(['service.log', 'service.log.1', 'service.log.2'])
    expect(numbersIn(path)).toEqual(range(4 * LINES_A_FILE, 4 * LINES_A_FILE + 10))
    expect(numbersIn(`${path}.1`)).toEqual(range(3 * LINES_A_FILE, 4 * LINES_A_FILE))
    expect(numbersIn(`${path}.2`)).toEqual(range(2 * LINES_A_FILE, 3 * LINES_A_FILE))
    expect(statSync(`${path}.1`).size).toBeLessThanOrEqual(SIZE_MAX)
  })

  it('that was there before counts with what is in it', () => {
    write(open(), 0, LINES_A_FILE)
    write(open(), LINES_A_FILE, LINES_A_FILE + 1)
    expect(numbersIn(path)).toEqual([LINES_A_FILE])
    expect(numbersIn(`${path}.1`)).toHaveLength(LINES_A_FILE)
  })

  it('is never rolled with a maxsize below what Kea rolls at', () => {
    for (const sizeMax of [0, 204_799]) write(open({ sizeMax }), 0, 2 * LINES_A_FILE)
    expect(readdirSync(join(folder, 'new'))).toEqual(['service.log'])
    expect(numbersIn(path)).toHaveLength(4 * LINES_A_FILE)
  })

  it('is followed to its new place when somebody else has moved it', () => {
    const file = open()
    write(file, 0, 3)
    renameSync(path, `${path}.old`)
    write(file, 3, 5)
    expect(numbersIn(`${path}.old`)).toEqual([0, 1, 2])
    expect(numbersIn(path)).toEqual([3, 4])
  })

  it('is written a line at a time, or with flush off when there is more of it, and at the end', () => {
    const file = open({ flush: false })
    write(file, 0, 3)
    expect(statSync(path).size).toBe(0)
    write(file, 3, 10)
    const written = numbersIn(path)
    expect(written.length).toBeGreaterThan(7)
    file.flushSync()
    expect(numbersIn(path)).toEqual(range(0, 10))
  })

  it('is rolled all the same when a process has died over it', () => {
    write(open(), 0, LINES_A_FILE)
    symlinkSync(String(process.pid), `${path}.lock`)
    write(open(), LINES_A_FILE, LINES_A_FILE + 1)
    expect(numbersIn(path)).toEqual([LINES_A_FILE])
    expect(existsSync(`${path}.lock`)).toBe(false)
  })

  it('that several processes write loses no line and mixes none', async () => {
    const script = `
      import { LogFile } from ${JSON.stringify(new URL('../../server/log-file.ts', import.meta.url).href)}
      const [path, from] = process.argv.slice(1)
      const file = new LogFile({ output: path, flush: true, sizeMax: ${SIZE_MAX}, versionsMax: 20 })
      for (let i = Number(from); i < Number(from) + 1000; i++) file.write((i + ' ').padEnd(${LINE_OCTETS - 1}, '.') + '\\n')
    `
    const codes = await Promise.all(
      [0, 1_000, 2_000].map(async (from) => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script, path, String(from)], {
          stdio: ['ignore', 'ignore', 'inherit'],
        })
        const [code] = (await once(child, 'exit')) as [number | null]
        return code
      }),
    )
    expect(codes).toEqual([0, 0, 0])
    const files = readdirSync(join(folder, 'new')).map((name) => join(folder, 'new', name))
    const numbers = files.flatMap(numbersIn).sort((a, b) => a - b)
    expect(numbers).toEqual(range(0, 3_000))
    expect(files.length).toBeGreaterThan(10)
  })
})

describe('the log of the service', () => {
  it('goes to the files that loggers name, each once, one JSON object a line', () => {
    const output = { output: path, flush: false, sizeMax: 0, versionsMax: 1, pattern: undefined }
    const logger = { name: 'kea-dhcp4', severity: 'INFO' as const, debugLevel: 0, outputs: [output] }
    const { log, flush } = openLog([logger, { ...logger, name: 'kea-dhcp6' }], false)
    log.info({ leases: 3 }, 'ready')
    log.debug('not this')
    flush()
    const lines = readFileSync(path, 'utf8').trim().split('\n')
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ level: 30, leases: 3, msg: 'ready' }])
  })
})
