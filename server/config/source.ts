/**
 * The text of a configuration: Kea's comments blanked out and its include directives replaced by what they name, so
 * that the rest is JSON, while every character still knows the file, line and column that it came from.
 */
import { readFileSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { ConfigError } from './model.ts'

/** How deep include directives may nest, as in Kea. */
const INCLUDE_DEPTH_MAX = 10

/** JSON text put together from one file and those that it includes. */
export interface Source {
  /** As named on the command line. */
  readonly file: string
  readonly text: string
  readonly segments: readonly Segment[]
}

/** A stretch of the text that comes from one place of one file. */
interface Segment {
  /** Offset in the whole text. */
  readonly start: number
  readonly file: string
  /** Offset in the file. */
  readonly fileStart: number
  /** Offsets in the file at which its lines begin. */
  readonly lines: readonly number[]
}

/** A place for people; `line` and `column` count from 1. */
export interface Position {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** Reads a configuration file. Left: a file cannot be read, or includes nest without end. */
export const readSource = (file: string): Either<ConfigError, Source> => {
  const out: Assembly = { text: '', segments: [] }
  const failure = append(out, file, [])
  return failure === undefined ? E.right({ file, ...out }) : E.left(failure)
}

/** The same for text that is at hand; `file` is only its name. */
export const sourceOf = (file: string, text: string): Either<ConfigError, Source> => {
  const out: Assembly = { text: '', segments: [] }
  const failure = appendText(out, file, text, [file])
  return failure === undefined ? E.right({ file, ...out }) : E.left(failure)
}

/** Where the character at `offset` of the text was written. */
export const positionAt = (source: Source, offset: number): Position => {
  const segment = source.segments.findLast(({ start }) => start <= offset) ?? source.segments[0]
  if (segment === undefined) return { file: source.file, line: 1, column: 1 }
  return positionIn(segment.file, segment.lines, segment.fileStart + (offset - segment.start))
}

interface Assembly {
  text: string
  segments: Segment[]
}

const positionIn = (file: string, lines: readonly number[], offset: number): Position => {
  let line = 0
  for (let high = lines.length; high - line > 1;) {
    const middle = (line + high) >> 1
    if ((lines[middle] as number) <= offset) line = middle
    else high = middle
  }
  return { file, line: line + 1, column: offset - (lines[line] ?? 0) + 1 }
}

const append = (out: Assembly, file: string, within: readonly string[], at?: Position): ConfigError | undefined => {
  const where = at ?? { file, line: 1, column: 1 }
  if (within.length > INCLUDE_DEPTH_MAX) {
    return { ...where, path: '', message: `files include one another more than ${INCLUDE_DEPTH_MAX} levels deep` }
  }
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return { ...where, path: '', message: `the file ${file} cannot be read: ${reasonOf(error)}` }
  }
  return appendText(out, file, text.replace(/^\uFEFF/, ' '), [...within, file])
}

const reasonOf = (error: unknown): string => {
  const code = (error as NodeJS.ErrnoException).code
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
  }
  return known[code ?? ''] ?? String(code ?? error)
}

/**
 * What a scan stops at: strings are passed over, comments blanked, include directives followed, and a decimal point
 * without a digit before it, which Kea takes, gets one.
 */
const TOKEN =
  /"(?:[^"\\\n]|\\.)*"?|\/\/[^\n]*|#[^\n]*|\/\*[^]*?(?:\*\/|$)|<\?include[ \t]*"([^"\n]*)"[ \t]*\?>|(?<=[\s:,[-])\.(?=\d)/g

const appendText = (out: Assembly, file: string, text: string, within: readonly string[]): ConfigError | undefined => {
  const lines = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines.push(at + 1)
  const add = (piece: string, fileStart: number): void => {
    if (piece.length > 0) out.segments.push({ start: out.text.length, file, fileStart, lines })
    out.text += piece
  }
  let from = 0
  let clean = ''
  for (const match of text.matchAll(TOKEN)) {
    const token = match[0]
    if (token.startsWith('"')) continue
    clean += text.slice(from + clean.length, match.index)
    if (token !== '.' && !token.startsWith('<')) {
      clean += blank(token)
      continue
    }
    add(clean, from)
    if (token === '.') {
      add('0', match.index)
      from = match.index
      clean = ''
      continue
    }
    const failure = append(out, included(match[1] ?? '', file), within, positionIn(file, lines, match.index))
    if (failure !== undefined) return failure
    from = match.index + token.length
    clean = ''
  }
  add(clean + text.slice(from + clean.length), from)
  return undefined
}

const blank = (comment: string): string => comment.replace(/[^\n]/g, ' ')

/** A relative name is looked for beside the including file. */
const included = (name: string, by: string): string => (isAbsolute(name) ? name : resolve(dirname(by), name))
