/** Configuration files as one tree of JSON in which every value and every key can be found again in the text. */
import { getLocation, parseTree, printParseErrorCode } from 'jsonc-parser'
import type { Node, ParseError } from 'jsonc-parser'
import type { ConfigError } from './model.ts'
import { positionAt } from './source.ts'
import type { Position, Source } from './source.ts'

/** Keys and indices from the top to a value. */
export type Path = ReadonlyArray<string | number>

/** The parsed files, merged by top-level object. */
export interface Tree {
  /** Plain JSON. */
  readonly value: Readonly<Record<string, unknown>>
  /** Where the value at `path` stands, or its key; of what is not there, where its nearest parent stands. */
  readonly locate: (path: Path, what: 'key' | 'value') => Position
}

/** Text of a path: `/Dhcp4/subnet4[0]/pools[1]/pool`. */
export const pathText = (path: Path): string =>
  path.map((part) => (typeof part === 'number' ? `[${part}]` : `/${part}`)).join('') || '/'

/** Parses and merges; `errors` holds what is not JSON and every key that is given twice, also over several files. */
export const parseSources = (
  sources: readonly Source[],
): { readonly tree: Tree; readonly errors: readonly ConfigError[] } => {
  const errors: ConfigError[] = []
  const tops = new Map<string, Top>()
  for (const source of sources) {
    const found: ParseError[] = []
    const root = parseTree(source.text, found, { allowTrailingComma: true, allowEmptyContent: false })
    for (const error of found) errors.push(syntaxError(source, error))
    if (root?.type !== 'object') {
      if (found.length === 0) errors.push(errorAt(source, root?.offset ?? 0, [], 'expected an object in { }'))
      continue
    }
    errors.push(...repeatedKeys(source, root, []))
    for (const property of root.children ?? []) addTop(tops, source, property, errors)
  }
  const value: Record<string, unknown> = {}
  for (const [key, { node }] of tops) value[key] = plain(node)
  return { tree: { value, locate: (path, what) => locate(tops, sources, path, what) }, errors: firstOfEach(errors) }
}

interface Top {
  readonly source: Source
  readonly property: Node
  readonly node: Node
}

const addTop = (tops: Map<string, Top>, source: Source, property: Node, errors: ConfigError[]): void => {
  const [key, node] = property.children ?? []
  if (key === undefined || node === undefined) return
  const before = tops.get(key.value as string)
  if (before === undefined) tops.set(key.value as string, { source, property, node })
  else if (before.source !== source) {
    const message = `the object is given twice: also in ${before.source.file}`
    errors.push(errorAt(source, property.offset, [key.value as string], message))
  }
}

/** Plain value of a node. Objects have no prototype, so that no key of a file can mean more than itself. */
const plain = (node: Node): unknown => {
  if (node.type === 'array') return (node.children ?? []).map(plain)
  if (node.type !== 'object') return node.value
  const value: Record<string, unknown> = Object.create(null)
  for (const property of node.children ?? []) {
    const [key, child] = property.children ?? []
    if (key !== undefined && child !== undefined && !((key.value as string) in value)) value[key.value] = plain(child)
  }
  return value
}

const locate = (
  tops: ReadonlyMap<string, Top>,
  sources: readonly Source[],
  path: Path,
  what: 'key' | 'value',
): Position => {
  const top = tops.get(String(path[0]))
  if (top === undefined) return { file: sources[0]?.file ?? '', line: 1, column: 1 }
  let property = path.length === 1 ? top.property : undefined
  let node = top.node
  for (const [depth, part] of path.entries()) {
    if (depth === 0) continue
    property = undefined
    const next = childOf(node, part)
    if (next === undefined) break
    property = next.property
    node = next.value
  }
  const key = what === 'key' ? property?.children?.[0] : undefined
  return positionAt(top.source, (key ?? node).offset)
}

const childOf = (
  node: Node,
  part: string | number,
): { readonly property: Node | undefined; readonly value: Node } | undefined => {
  if (node.type === 'array') {
    const value = node.children?.[Number(part)]
    return value === undefined ? undefined : { property: undefined, value }
  }
  const property = node.children?.find((child) => child.children?.[0]?.value === part)
  const value = property?.children?.[1]
  return property === undefined || value === undefined ? undefined : { property, value }
}

const repeatedKeys = (source: Source, node: Node, path: Path): ConfigError[] => {
  if (node.type === 'array') {
    return (node.children ?? []).flatMap((child, index) => repeatedKeys(source, child, [...path, index]))
  }
  if (node.type !== 'object') return []
  const errors: ConfigError[] = []
  const first = new Map<string, Node>()
  for (const { children } of node.children ?? []) {
    const [key, child] = children ?? []
    if (key === undefined || child === undefined) continue
    const here = [...path, key.value as string]
    const before = first.get(key.value as string)
    if (before === undefined) first.set(key.value as string, key)
    else {
      const line = positionAt(source, before.offset).line
      errors.push(errorAt(source, key.offset, here, `the key is given twice, first on line ${line}`))
    }
    errors.push(...repeatedKeys(source, child, here))
  }
  return errors
}

const errorAt = (source: Source, offset: number, path: Path, message: string): ConfigError => ({
  ...positionAt(source, offset),
  path: pathText(path),
  message,
})

const EXPECTED: Readonly<Record<string, string>> = {
  InvalidSymbol: 'expected a value: an object, a list, text in double quotes, a number, true, false or null',
  InvalidNumberFormat: 'expected a number',
  PropertyNameExpected: 'expected a key in double quotes',
  ValueExpected: 'expected a value',
  ColonExpected: 'expected a colon',
  CommaExpected: 'expected a comma',
  CloseBraceExpected: 'expected } at the end of the object',
  CloseBracketExpected: 'expected ] at the end of the list',
  EndOfFileExpected: 'expected nothing more behind the closing }',
  UnexpectedEndOfString: 'expected a double quote at the end of the text',
  UnexpectedEndOfNumber: 'expected more digits',
  InvalidUnicode: 'expected four hexadecimal digits after \\u',
  InvalidEscapeCharacter: 'expected one of " \\ / b f n r t u after the backslash',
  InvalidCharacter: 'text must not hold control characters; write \\n, \\t or \\u00XX',
}

const syntaxError = (source: Source, { error, offset, length }: ParseError): ConfigError => {
  const { path, isAtPropertyKey } = getLocation(source.text, offset)
  const name = printParseErrorCode(error)
  const expected = EXPECTED[name === 'InvalidSymbol' && isAtPropertyKey ? 'PropertyNameExpected' : name] ?? name
  const found = source.text.slice(offset, offset + Math.min(Math.max(length, 1), 20)).trim()
  const message = `${expected}${found === '' ? '' : `, found ${found}`}`
  return errorAt(
    source,
    offset,
    path.filter((part) => part !== ''),
    message,
  )
}

/** The parser may say two things of one place; the first one is what is wrong. */
const firstOfEach = (errors: readonly ConfigError[]): ConfigError[] => {
  const seen = new Set<string>()
  return errors.filter(({ file, line, column }) => {
    const place = `${file}:${line}:${column}`
    const first = !seen.has(place)
    seen.add(place)
    return first
  })
}
