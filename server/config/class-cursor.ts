/** Walks over the words of an expression. The first failure is remembered and ends the walk; it is asked for once. */
import type { Universe } from '../options/fields.ts'
import type { OptionRegistry } from '../options/registry.ts'
import type { ClassAccessor } from './class-accessor.ts'
import type { ExpressionError, Token } from './class-tokens.ts'

/** A part of an expression: something that holds or does not, or octets. */
export type Term =
  | { readonly kind: 'truth'; readonly holds: (packet: ClassAccessor) => boolean }
  | { readonly kind: 'octets'; readonly of: (packet: ClassAccessor) => Uint8Array }

/** What an expression is read with. */
export interface ExpressionContext {
  readonly universe: Universe
  /** Resolves options that are given by name. */
  readonly registry: OptionRegistry
  /** Whether a class may be asked for with `member`: it is built in, or defined before this one. */
  readonly isClass: (name: string) => boolean
}

/** Position in an expression. */
export class Cursor {
  readonly context: ExpressionContext
  readonly #tokens: readonly Token[]
  #at = 0
  #failure: ExpressionError | undefined

  constructor(tokens: readonly Token[], context: ExpressionContext) {
    this.#tokens = tokens
    this.context = context
  }

  /** The word that comes next. */
  get next(): Token {
    return this.#tokens[this.#at] ?? { kind: 'end', text: '', offset: 0 }
  }

  /** What went wrong first. */
  get failure(): ExpressionError | undefined {
    return this.#failure
  }

  take(): Token {
    const token = this.next
    if (this.#at < this.#tokens.length - 1) this.#at++
    return token
  }

  /** Remembers the first failure and goes to the end, so that nothing more is read. */
  fail(offset: number, message: string): void {
    this.#failure ??= { offset, message }
    this.#at = this.#tokens.length - 1
  }

  isSign(sign: string): boolean {
    return this.next.kind === 'sign' && this.next.text === sign
  }

  isWord(word: string): boolean {
    return this.next.kind === 'word' && this.next.text === word
  }

  /** Takes the sign or word if it is next. */
  accept(text: string): boolean {
    const found = this.isSign(text) || this.isWord(text)
    if (found) this.take()
    return found
  }

  /** Takes the sign, which must be next. */
  expect(sign: string): void {
    if (!this.accept(sign)) this.unexpected(sign)
  }

  /** Takes a whole number between two bounds. */
  integer(least: number, most: number): number {
    const token = this.next
    const value = Number(token.text)
    if (token.kind === 'integer' && value >= least && value <= most) {
      this.take()
      return value
    }
    this.unexpected(`a whole number from ${least} to ${most}`)
    return least
  }

  /** Takes one of some words. */
  oneOf<const W extends string>(words: readonly W[]): W | undefined {
    const word = words.find((each) => this.isWord(each))
    if (word === undefined) this.unexpected(words.length === 1 ? String(words[0]) : `one of ${words.join(', ')}`)
    else this.take()
    return word
  }

  /** Complains of the next word. */
  unexpected(expected: string): void {
    this.fail(this.next.offset, `expected ${expected}, found ${this.next.text}`)
  }
}
