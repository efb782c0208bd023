/** Words of Kea's class expressions. */
import { isIPv4, isIPv6 } from 'node:net'

/** Why an expression cannot be used, and the character at which that shows, from 0. */
export interface ExpressionError {
  readonly offset: number
  readonly message: string
}

/** One word, with where it begins. */
export interface Token {
  readonly kind: 'text' | 'hex' | 'address' | 'integer' | 'word' | 'sign' | 'end'
  /** As written; of a text without its quotes. */
  readonly text: string
  readonly offset: number
}

/** Longest expression that is read; a bound on the depth of the parser. */
export const EXPRESSION_LENGTH_MAX = 4096

const PATTERNS: ReadonlyArray<readonly [Token['kind'], RegExp]> = [
  ['text', /'([^'\n]*)'/y],
  ['hex', /0[xX][0-9a-fA-F]+/y],
  ['address', /(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:]*(?:\d{1,3}(?:\.\d{1,3}){3})?)(?![\w.:])/y],
  ['integer', /-?\d+(?![\w])/y],
  ['word', /[A-Za-z](?:[-_A-Za-z0-9]*[A-Za-z0-9])?/y],
  ['sign', /==|[()[\].,+*]/y],
]

/** Splits an expression; an error instead of the words where there is a character that belongs to none. */
export const tokenize = (text: string): readonly Token[] | ExpressionError => {
  if (text.length > EXPRESSION_LENGTH_MAX) {
    return { offset: EXPRESSION_LENGTH_MAX, message: `expected at most ${EXPRESSION_LENGTH_MAX} characters` }
  }
  const tokens: Token[] = []
  let at = skipBlanks(text, 0)
  while (at < text.length) {
    const found = match(text, at)
    if (found === undefined) return { offset: at, message: `expected no such character: ${text.charAt(at)}` }
    tokens.push({ kind: found.kind, text: found.text, offset: at })
    at = skipBlanks(text, at + found.length)
  }
  tokens.push({ kind: 'end', text: 'the end of the expression', offset: text.length })
  return tokens
}

const match = (
  text: string,
  at: number,
): { readonly kind: Token['kind']; readonly text: string; readonly length: number } | undefined => {
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found === null) continue
    if (kind === 'address' && !isIPv4(found[0]) && !isIPv6(found[0])) continue
    return { kind, text: found[1] ?? found[0], length: found[0].length }
  }
  return undefined
}

const skipBlanks = (text: string, from: number): number => {
  let at = from
  while (at < text.length && /\s/.test(text.charAt(at))) at++
  return at
}
