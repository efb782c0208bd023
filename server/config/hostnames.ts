/** Kea's `hostname-char-set` and `hostname-char-replacement`: which characters of clients' names are replaced. */
import type { HostnameRules } from './model.ts'
import type { Report } from './report.ts'
import type { ScopeFields } from './shapes.ts'

/** Kea's characters to replace where only the replacement is given: all but letters, digits, dots and hyphens. */
const KEA_CHAR_SET = '[^A-Za-z0-9.-]'

/**
 * The rules of the innermost scope that has a set (`scope`) and of the innermost replacement; undefined when names stay as
 * clients give them, which is so where neither key is written or the set is empty.
 *
 * Deviates from Kea, which replaces by its own set where nothing is said: that is for DNS, and what an audit wants to
 * know is the name that the client gave.
 */
export const hostnameRules = (
  scope: ScopeFields | undefined,
  replacement: string | undefined,
  report: Report,
): HostnameRules | undefined => {
  const set = scope?.['hostname-char-set'] ?? (replacement === undefined ? '' : KEA_CHAR_SET)
  if (set === '') return undefined
  const invalid = posixExpression(set)
  if (invalid !== undefined) return { invalid, replacement: replacement ?? '' }
  const at = [...(scope?.at ?? []), 'hostname-char-set']
  report.error(at, `expected a POSIX extended regular expression such as "${KEA_CHAR_SET}", found "${set}"`)
  return undefined
}

/** POSIX character classes (IEEE 1003.1 §9.3.5), for ASCII. */
const CLASSES: Readonly<Record<string, string>> = {
  alnum: 'A-Za-z0-9',
  alpha: 'A-Za-z',
  blank: ' \\t',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  xdigit: '0-9A-Fa-f',
}

/** A POSIX extended regular expression in JavaScript's words; undefined when it is none. */
const posixExpression = (text: string): RegExp | undefined => {
  let source = ''
  for (let at = 0; at < text.length;) {
    const char = text.charAt(at)
    if (char === '[') {
      const bracket = bracketAt(text, at)
      if (bracket === undefined) return undefined
      source += bracket.source
      at = bracket.end
    } else {
      const length = char === '\\' ? 2 : 1
      source += text.slice(at, at + length)
      at += length
    }
  }
  try {
    return new RegExp(source, 'g')
  } catch {
    return undefined
  }
}

/**
 * A bracket expression, in which a backslash is a character like others, `]` is one where it comes first, and `[:name:]`
 * is a class. Collating elements, which mean nothing without a locale, are none.
 */
const bracketAt = (text: string, start: number): { readonly source: string; readonly end: number } | undefined => {
  const negated = text.charAt(start + 1) === '^'
  const first = start + (negated ? 2 : 1)
  let source = negated ? '[^' : '['
  for (let at = first; at < text.length;) {
    const char = text.charAt(at)
    const next = text.charAt(at + 1)
    if (char === ']' && at > first) return { source: `${source}]`, end: at + 1 }
    if (char === '[' && next === ':') {
      const end = text.indexOf(':]', at + 2)
      const name = end < 0 ? '' : text.slice(at + 2, end)
      if (!Object.hasOwn(CLASSES, name)) return undefined
      source += CLASSES[name]
      at = end + 2
    } else if (char === '[' && (next === '.' || next === '=')) return undefined
    else {
      source += '\\[]^'.includes(char) ? `\\${char}` : char
      at++
    }
  }
  return undefined
}
