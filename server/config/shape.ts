/**
 * io-ts codecs for the objects and lists of a configuration. A decoded object knows its place (`at`), so that later
 * checks can point to it; a list gives its good elements and an error for each bad one.
 */
import * as E from 'fp-ts/lib/Either.js'
import * as t from 'io-ts'
import { ignoredBecause, isRefused, saysNothing } from './keys.ts'
import type { Scope } from './keys.ts'
import type { Report } from './report.ts'
import type { Path } from './tree.ts'

/** A decoded object and where it stood. */
export interface Placed {
  readonly at: Path
}

/** Fields of an object, all of which may be missing. */
export type Fields<O extends t.Props> = { readonly [K in keyof O]?: t.TypeOf<O[K]> | undefined }

/** An object with the keys of `R`, and possibly those of `O`. */
export type Shaped<R extends t.Props, O extends t.Props> = Placed & {
  readonly [K in keyof R]: t.TypeOf<R[K]>
} & Fields<O>

/** Marks, in the context of an io-ts error, that it is about a key and not about its value. */
const keyError = new t.NeverType()
/** Marks a key that is passed over with a warning. */
const ignoredKey = new t.NeverType()

/** Codec of an object with these required and optional keys and no others. */
export const shape = <R extends t.Props, O extends t.Props>(
  scope: Scope,
  required: R,
  optional: O,
): t.Type<Shaped<R, O>, unknown, unknown> => {
  const codecs = new Map<string, t.Mixed>(Object.entries({ ...optional, ...required }))
  return new t.Type<Shaped<R, O>, unknown, unknown>(
    scope,
    (_u): _u is Shaped<R, O> => false,
    (u, context) => {
      if (typeof u !== 'object' || u === null || Array.isArray(u)) {
        return t.failure(u, context, `expected an object, found ${found(u)}`)
      }
      const errors: t.Errors = []
      const fields: Record<string, unknown> = { at: pathOf(context) }
      for (const [key, value] of Object.entries(u)) {
        if (value === undefined) continue
        const codec = codecs.get(key)
        if (codec === undefined && saysNothing(key, value)) continue
        if (codec === undefined) errors.push(...unknownKey(scope, key, value, codecs, context))
        else take(codec.validate(value, t.appendContext(context, key, codec, value)), fields, key, errors)
      }
      for (const key of Object.keys(required)) {
        if ((u as Record<string, unknown>)[key] !== undefined) continue
        errors.push({ value: u, context, message: `expected the key ${key} in this object` })
      }
      return errors.length > 0 ? t.failures(errors) : t.success(fields as unknown as Shaped<R, O>)
    },
    t.identity,
  )
}

/** Codec of a list. */
export const list = <A>(element: t.Type<A, unknown, unknown>): t.Type<readonly A[], unknown, unknown> =>
  new t.Type<readonly A[], unknown, unknown>(
    `list of ${element.name}`,
    (_u): _u is readonly A[] => false,
    (u, context) => {
      if (!Array.isArray(u)) return t.failure(u, context, `expected a list, found ${found(u)}`)
      const errors: t.Errors = []
      const values: A[] = []
      for (const [index, value] of u.entries()) {
        if (value === undefined) continue
        const decoded = element.validate(value, t.appendContext(context, String(index), element, value))
        if (E.isLeft(decoded)) errors.push(...decoded.left)
        else values.push(decoded.right)
      }
      return errors.length > 0 ? t.failures(errors) : t.success(values)
    },
    t.identity,
  )

/** Codec of one value: `parse` gives undefined for what is not `expected`. */
export const scalar = <A>(expected: string, parse: (value: unknown) => A | undefined): t.Type<A, unknown, unknown> =>
  new t.Type<A, unknown, unknown>(
    expected,
    (_u): _u is A => false,
    (u, context) => {
      const value = parse(u)
      if (value !== undefined) return t.success(value)
      // A password must not come out in a message.
      const secret = context.at(-1)?.key === 'password'
      return t.failure(u, context, `expected ${expected}${secret ? '' : `, found ${found(u)}`}`)
    },
    t.identity,
  )

/**
 * Decodes plain JSON, in which the bad parts are set to undefined. Everything wrong is reported; what is good is given
 * back all the same, so that the checks that follow find their own errors at the same time.
 */
export const decode = <A>(codec: t.Type<A, unknown, unknown>, value: unknown, report: Report): A | undefined => {
  for (let first = true; ; first = false) {
    const decoded = codec.decode(value)
    if (E.isRight(decoded)) return decoded.right
    let pruned = false
    for (const error of decoded.left) {
      const path = pathOf(error.context)
      const mark = error.context.at(-1)?.type
      if (mark === ignoredKey) report.ignore(lastKey(path), error.message ?? '')
      // What is missing only because it was pruned is not said again.
      else if (first) report.error(path, error.message ?? 'not as expected', mark === keyError ? 'key' : 'value')
      pruned = prune(value, path) || pruned
    }
    if (!pruned) return undefined
  }
}

const take = (decoded: t.Validation<unknown>, fields: Record<string, unknown>, key: string, errors: t.Errors): void => {
  if (E.isLeft(decoded)) errors.push(...decoded.left)
  else fields[key] = decoded.right
}

const unknownKey = (
  scope: Scope,
  key: string,
  value: unknown,
  codecs: ReadonlyMap<string, t.Mixed>,
  context: t.Context,
): t.Errors => {
  const why = ignoredBecause(scope, key)
  const type = why === undefined ? keyError : ignoredKey
  const message = why ?? unknownMessage(key, [...codecs.keys()])
  return [{ value, context: t.appendContext(context, key, type, value), message }]
}

const unknownMessage = (key: string, known: readonly string[]): string => {
  if (isRefused(key)) return `${key} is known to Kea, not supported by Lease Ledger here`
  const near = known
    .map((name) => ({ name, distance: distanceOf(key.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0]
  if (near !== undefined && near.distance <= 3) return `unknown key ${key}; did you mean ${near.name}?`
  const expected = known.length > 12 ? 'a key of Kea for this place' : `one of ${known.join(', ')}`
  return `unknown key ${key}; expected ${expected}`
}

/** Single characters to insert, leave out or replace between two words. */
const distanceOf = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}

const pathOf = (context: t.Context): Path =>
  context.slice(1).map(({ key }, index) => (Array.isArray(context[index]?.actual) ? Number(key) : key))

const lastKey = (path: Path): string => String(path.findLast((part) => typeof part === 'string') ?? '')

const prune = (value: unknown, path: Path): boolean => {
  let parent = value as Record<string | number, unknown> | undefined
  for (const part of path.slice(0, -1)) parent = parent?.[part] as Record<string | number, unknown> | undefined
  const last = path.at(-1)
  if (parent === undefined || last === undefined || parent[last] === undefined) return false
  parent[last] = undefined
  return true
}

const found = (value: unknown): string => {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  return JSON.stringify(value)
}
