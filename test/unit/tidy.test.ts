/** The rules of the house that a machine can check: what may import what, and how code is written. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const folders = ['domain', 'adapters', 'projections', 'server', 'test'] as const

const filesBelow = (folder: string): string[] =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? filesBelow(path) : path.endsWith('.ts') ? [path] : []
  })

interface Source {
  readonly path: string
  readonly text: string
  /** Relative to the root, for files of ours; else the package. */
  readonly imports: ReadonlyArray<string>
}

const IMPORT = /^(?:import|export)\s[^'"]*?\bfrom\s+'([^']+)'|^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm

const importsOf = (path: string, text: string): string[] =>
  [...text.matchAll(IMPORT)].map((match) => {
    const target = match[1] ?? match[2] ?? match[3] ?? ''
    return target.startsWith('.') ? relative(root, resolve(dirname(path), target)) : target
  })

const read = (folder: string): Source[] =>
  filesBelow(join(root, folder)).map((path) => {
    const text = readFileSync(path, 'utf8')
    return { path: relative(root, path), text, imports: importsOf(path, text) }
  })

const sources = Object.fromEntries(folders.map((folder) => [folder, read(folder)])) as Record<
  (typeof folders)[number],
  Source[]
>
const production = [...sources.domain, ...sources.adapters, ...sources.projections, ...sources.server]
const all = [...production, ...sources.test]

const packageOf = (target: string): string =>
  target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/')
const isOurs = (target: string): boolean => folders.some((folder) => target.startsWith(`${folder}/`))

/** Imports that break a rule, as `file imports target`. */
const offenders = (files: ReadonlyArray<Source>, allowed: (target: string, path: string) => boolean): string[] =>
  files.flatMap(({ path, imports }) =>
    imports.filter((target) => !allowed(target, path)).map((target) => `${path} imports ${target}`),
  )

describe('imports', () => {
  it('are found at all', () => {
    expect(importsOf(join(root, 'server/x.ts'), "import { a } from './y.ts'\nimport type b from 'c'\n")).toEqual([
      'server/y.ts',
      'c',
    ])
    expect(production.reduce((sum, { imports }) => sum + imports.length, 0)).toBeGreaterThan(100)
  })

  it('of domain are fp-ts, io-ts, ip-address and domain', () => {
    const packages = new Set(['fp-ts', 'io-ts', 'ip-address'])
    const allowed = (target: string) => target.startsWith('domain/') || packages.has(packageOf(target))
    expect(offenders(sources.domain, allowed)).toEqual([])
  })

  it('of adapters are domain, and of another adapter only what embedded needs of postgres', () => {
    const allowed = (target: string, path: string) => {
      if (!isOurs(target)) return true
      if (target.startsWith('domain/')) return true
      if (!target.startsWith('adapters/')) return false
      const own = path.split('/')[1] ?? ''
      const other = target.split('/')[1] ?? ''
      return (
        own === other || !target.slice('adapters/'.length).includes('/') || (own === 'embedded' && other === 'postgres')
      )
    }
    expect(offenders(sources.adapters, allowed)).toEqual([])
  })

  it('of projections are domain, and drivers only in the folder of their database', () => {
    const drivers = new Set(['postgres', 'mysql2', '@kurrent/kurrentdb-client'])
    const allowed = (target: string, path: string) =>
      isOurs(target)
        ? target.startsWith('domain/') || target.startsWith('projections/')
        : !drivers.has(packageOf(target)) || path.split('/').length > 2
    expect(offenders(sources.projections, allowed)).toEqual([])
  })

  it('of nothing but tests are tests', () => {
    expect(offenders(production, (target) => !target.startsWith('test/'))).toEqual([])
  })

  it('of drivers stand in the folder of one adapter or projection', () => {
    const drivers = new Set(['postgres', 'mysql2', '@kurrent/kurrentdb-client'])
    const files = [...sources.domain, ...sources.server]
    expect(offenders(files, (target) => !drivers.has(packageOf(target)))).toEqual([])
  })

  it('of fp-ts and io-ts name the file that plain Node finds', () => {
    const allowed = (target: string) => !/^(fp-ts|io-ts)\/(?!lib\/.*\.js$)/.test(target)
    expect(offenders(all, allowed)).toEqual([])
  })

  it('form no cycles', () => {
    const graph = new Map(production.map(({ path, imports }) => [path, imports.filter(isOurs)]))
    const done = new Set<string>()
    const cycles: string[] = []
    const visit = (path: string, trail: string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' > '))
      else if (!done.has(path)) {
        for (const target of graph.get(path) ?? []) visit(target, [...trail, path])
        done.add(path)
      }
    }
    for (const path of graph.keys()) visit(path, [])
    expect(cycles).toEqual([])
  })
})

describe('code', () => {
  const linesWith = (files: ReadonlyArray<Source>, pattern: RegExp): string[] =>
    files.flatMap(({ path, text }) =>
      text.split('\n').flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
    )

  it('of domain knows no clock, no randomness and nothing asynchronous', () => {
    expect(
      linesWith(sources.domain, /\bDate\.now\b|\bnew Date\(\)|Math\.random|\basync\b|\bawait\b|setTimeout/),
    ).toEqual([])
  })

  it('asks for the time and for chance only where the program is put together', () => {
    const composition = /^server\/(service|workers|stores|cli\/[a-z-]+|ledger-cli)\.ts$/
    const elsewhere = [...sources.projections, ...sources.server].filter(({ path }) => !composition.test(path))
    expect(linesWith(elsewhere, /\bDate\.now\b|\bnew Date\(\)|Math\.random/)).toEqual([])
  })

  it('has no leftovers', () => {
    const others = all.filter(({ path }) => path !== 'test/unit/tidy.test.ts')
    expect(linesWith(others, /\b(?:FIXME|XXX)\b|\b(?:it|describe|test)\.only\(|\bdebugger\b/)).toEqual([])
    expect(linesWith(production, /console\.log/)).toEqual([])
  })

  it('has lines of at most 140 columns', () => {
    expect(linesWith(all, /^.{141,}$/)).toEqual([])
  })

  it('has functions of at most 70 lines, and closures that serve as objects of at most 160', () => {
    // Counted by indentation, which the formatter keeps: from a line that opens a function to the brace that closes it.
    const opens =
      /^(\s*)(?:export )?(?:const \w+ = .*=> \{|(?:async )?[#\w]+\(.*\).*\{|(?:export )?(?:async )?function .*\{)$/
    const long = production.flatMap(({ path, text }) => {
      const lines = text.split('\n')
      return lines.flatMap((line, start) => {
        const match = opens.exec(line)
        if (match === null || /^\s*(?:if|for|while|switch)\b/.test(line)) return []
        const end = lines.findIndex((other, i) => i > start && other.startsWith(`${match[1] ?? ''}}`))
        const max = /const (?:make|open|supervise)\w* = /.test(line) ? 160 : 70
        return end - start > max ? [`${path}:${start + 1}: ${end - start} lines`] : []
      })
    })
    expect(long).toEqual([])
  })

  it('says nothing of the machines and tools that it was written on', () => {
    expect(linesWith(all, /\/work\//).filter((line) => !line.includes('tidy.test.ts'))).toEqual([])
  })
})

describe('documentation', () => {
  const pages = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'test/bench/README.md', 'test/ha/README.md']

  it.each(pages)('%s says nothing twice', (page) => {
    // In the changelog each version has the same headings; rows of tables may be alike, and lines of code.
    const text = readFileSync(join(root, page), 'utf8').replace(/^```.*?^```$/gms, '')
    const lines = text.split('\n').filter((line) => line.length > 60 && !line.startsWith('|'))
    expect(lines.length).toBeGreaterThan(10)
    expect(lines.filter((line, i) => lines.indexOf(line) !== i)).toEqual([])
  })

  it.each(pages)('%s links to what is there', (page) => {
    const targets = [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g)]
    const missing = targets
      .map(([, target]) => join(root, dirname(page), target ?? ''))
      .filter((path) => !existsSync(path))
    expect(missing).toEqual([])
  })
})
