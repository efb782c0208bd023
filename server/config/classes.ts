/** Client classes, in the order in which they are evaluated. */
import * as E from 'fp-ts/lib/Either.js'
import { parseClassTest } from './class-expression.ts'
import type { ClassTest } from './class-expression.ts'
import { classLifetimes, isBuiltInClass } from './inherit.ts'
import type { ClientClass, ClientClass4, ClientClass6, Lifetimes } from './model.ts'
import { defineOptions, resolveOptions } from './options.ts'
import type { Definitions } from './options.ts'
import type { Report } from './report.ts'
import type { ClassText4, ClassText6 } from './shapes.ts'

/** Resolves the classes of DHCPv4; `outer` is the valid lifetime of the global scope. */
export const resolveClasses4 = (
  written: readonly ClassText4[] | undefined,
  definitions: Definitions,
  outer: Lifetimes,
  report: Report,
): readonly ClientClass4[] =>
  resolve(written, definitions, outer, report, (each, base) => ({
    ...base,
    nextServer: each['next-server'] || undefined,
    serverHostname: each['server-hostname'],
    bootFileName: each['boot-file-name'],
    offerLifetimeSec: each['offer-lifetime'],
  }))

/** Resolves the classes of DHCPv6; `preferred` is the preferred lifetime of the global scope. */
export const resolveClasses6 = (
  written: readonly ClassText6[] | undefined,
  definitions: Definitions,
  outer: Lifetimes,
  preferred: Lifetimes,
  report: Report,
): readonly ClientClass6[] =>
  resolve(written, definitions, outer, report, (each, base) => ({
    ...base,
    preferredLifetime: classLifetimes(each, 'preferred', preferred.default, report),
  }))

/** Classes that no test of one's own can define. */
const RESERVED_NAMES: ReadonlySet<string> = new Set(['ALL', 'KNOWN', 'UNKNOWN', 'BOOTP'])

const resolve = <T extends ClassText4 | ClassText6, C extends ClientClass>(
  written: readonly T[] | undefined,
  definitions: Definitions,
  outer: Lifetimes,
  report: Report,
  make: (each: T, base: ClientClass) => C,
): readonly C[] => {
  const classes: C[] = []
  const defined = new Set<string>()
  for (const each of written ?? []) {
    const own = defineOptions(each['option-def'], definitions, report)
    if (RESERVED_NAMES.has(each.name)) report.error([...each.at, 'name'], `the class ${each.name} is built in`)
    if (defined.has(each.name)) report.error([...each.at, 'name'], `the class ${each.name} is defined twice`)
    if (each['only-in-additional-list'] !== undefined && each['only-if-required'] !== undefined) {
      const message = 'expected only one of only-in-additional-list and only-if-required'
      report.error([...each.at, 'only-if-required'], message, 'key')
    }
    classes.push(
      make(each, {
        name: each.name,
        test: testOf(each, own, defined, report),
        onlyInAdditionalList: each['only-in-additional-list'] ?? each['only-if-required'] ?? false,
        options: resolveOptions(each['option-data'], own, report),
        validLifetime: classLifetimes(each, 'valid', outer.default, report),
      }),
    )
    defined.add(each.name)
  }
  return classes
}

const testOf = (
  each: ClassText4 | ClassText6,
  { universe, registry }: Definitions,
  defined: ReadonlySet<string>,
  report: Report,
): ClassTest | undefined => {
  if (!each.test) return undefined
  const isClass = (name: string): boolean => defined.has(name) || isBuiltInClass(name)
  const parsed = parseClassTest(each.test, { universe, registry, isClass })
  if (E.isRight(parsed)) return parsed.right
  report.error([...each.at, 'test'], `character ${parsed.left.offset + 1} of the expression: ${parsed.left.message}`)
  return undefined
}
