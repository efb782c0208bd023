import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { Universe } from '../options/fields.ts'
import type { OptionRegistry } from '../options/registry.ts'

/** What a client class's `test` may ask of the packet that is being classified. */
export interface ClassAccessor {
  /** Bytes of a top-level option; undefined when the packet has none. */
  readonly option: (code: number) => Uint8Array | undefined
}

/** A parsed `test`: pure, never throws. */
export type ClassTest = (packet: ClassAccessor) => boolean

/** What an expression is read with. */
export interface ExpressionContext {
  readonly universe: Universe
  /** Resolves options that are given by name. */
  readonly registry: OptionRegistry
  /** Whether a class may be asked for with `member`: it is built in, or defined before this one. */
  readonly isClass: (name: string) => boolean
}

/** Why an expression cannot be used, and the character at which that shows, from 0. */
export interface ExpressionError {
  readonly offset: number
  readonly message: string
}

export const parseClassTest = (_text: string, _context: ExpressionContext): Either<ExpressionError, ClassTest> =>
  E.left({ offset: 0, message: 'expressions are not read yet' })
