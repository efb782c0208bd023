/** Reads configuration files into one immutable {@link Config}, or says everything that is wrong with them. */
import { isDeepStrictEqual } from 'node:util'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { resolveDhcp4 } from './dhcp4.ts'
import { resolveDhcp6 } from './dhcp6.ts'
import { resolveLoggers } from './global.ts'
import { listenAddresses, resolveLedger } from './ledger.ts'
import type { Overrides } from './ledger.ts'
import type { Config, ConfigError, StoreConfig } from './model.ts'
import { Report } from './report.ts'
import { decode } from './shape.ts'
import { Top } from './shapes.ts'
import { readSource } from './source.ts'
import type { Source } from './source.ts'
import { resolveStore } from './store.ts'
import { parseSources } from './tree.ts'

/**
 * Reads files and merges them by top-level object. Left: everything that is wrong, in the order of the files. What is
 * not JSON hides what it would mean, so that then only mistakes of form are given.
 */
export const loadConfig = (
  files: readonly string[],
  overrides: Overrides = {},
): Either<ReadonlyArray<ConfigError>, Config> => {
  const sources: Source[] = []
  const errors: ConfigError[] = []
  for (const file of files) {
    const source = readSource(file)
    if (E.isLeft(source)) errors.push(source.left)
    else sources.push(source.right)
  }
  return errors.length > 0 ? E.left(errors) : resolveSources(sources, overrides)
}

/** The same for sources that have been read. */
export const resolveSources = (
  sources: readonly Source[],
  overrides: Overrides = {},
): Either<ReadonlyArray<ConfigError>, Config> => {
  const { tree, errors } = parseSources(sources)
  if (errors.length > 0) return E.left(errors)
  const report = new Report(tree)
  const top = decode(Top, tree.value, report)
  const config = top === undefined ? undefined : resolveTop(top, overrides, report)
  if (config === undefined || report.errors.length > 0) return E.left(inOrder(report.errors, sources))
  return E.right(config)
}

/** One line an error: `file:line:column: path: message`. */
export const formatErrors = (errors: ReadonlyArray<ConfigError>): string =>
  errors
    .map(
      ({ file, line, column, path, message }) =>
        `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`,
    )
    .join('\n')

const resolveTop = (top: Top, overrides: Overrides, report: Report): Config => {
  const listen = listenAddresses(top.LeaseLedger)
  const ledger = resolveLedger(top.LeaseLedger, overrides, report)
  const dhcp4 = top.Dhcp4 === undefined ? undefined : resolveDhcp4(top.Dhcp4, listen.dhcp4, report)
  const dhcp6 = top.Dhcp6 === undefined ? undefined : resolveDhcp6(top.Dhcp6, listen.dhcp6, report)
  if (top.Dhcp4 === undefined && top.Dhcp6 === undefined) report.error([], 'expected an object Dhcp4 or Dhcp6')
  const store = chooseStore(top, report)
  if (store._tag === 'memory' && ledger.workers > 1) {
    report.error(['LeaseLedger', 'workers'], 'expected 1 with the store memory, which is that of one process')
  }
  return {
    dhcp4,
    dhcp6,
    store,
    ledger,
    loggers: resolveLoggers([...(top.Dhcp4?.loggers ?? []), ...(top.Dhcp6?.loggers ?? [])], report),
    warnings: report.warnings,
  }
}

/** Both protocols of one process stand on one ledger. */
const chooseStore = (top: Top, report: Report): StoreConfig => {
  const first = top.Dhcp4?.['lease-database']
  const second = top.Dhcp6?.['lease-database']
  const store4 = first === undefined ? undefined : resolveStore(first, report)
  const store6 = second === undefined ? undefined : resolveStore(second, report)
  if (second !== undefined && store4 !== undefined && store6 !== undefined && !isDeepStrictEqual(store4, store6)) {
    report.error(second.at, 'expected the database of Dhcp4: one process has one ledger for both protocols')
  }
  return store4 ?? store6 ?? { _tag: 'embedded', port: 0 }
}

const inOrder = (errors: readonly ConfigError[], sources: readonly Source[]): ConfigError[] => {
  const files = [
    ...new Set(sources.flatMap(({ file, segments }) => [file, ...segments.map((segment) => segment.file)])),
  ]
  return [...errors].sort(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column,
  )
}
