/**
 * Kea's language of class expressions, parsed once into a function of the packet. What is not understood is refused by
 * name, with the character where it stands.
 */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { parseBinary, parseIpv4, parseIpv6 } from '../options/fields.ts'
import type { ClassAccessor } from './class-accessor.ts'
import { Cursor } from './class-cursor.ts'
import type { ExpressionContext, Term } from './class-cursor.ts'
import {
  octets,
  readMember,
  readOption,
  readPacket,
  readRelay4,
  readRelay6,
  readVendor,
  readVendorClass,
} from './class-terms.ts'
import { tokenize } from './class-tokens.ts'
import type { ExpressionError, Token } from './class-tokens.ts'
import {
  EMPTY,
  addressText,
  bytesOf,
  changeCase,
  concat,
  equal,
  hexString,
  integerText,
  numberBytes,
  splitField,
  substring,
} from './class-values.ts'

export type { ClassAccessor } from './class-accessor.ts'

/** A parsed `test`: pure, never throws. */
export type ClassTest = (packet: ClassAccessor) => boolean

/** Parses a class's `test`. Left: the first thing that is wrong. */
export const parseClassTest = (text: string, context: ExpressionContext): Either<ExpressionError, ClassTest> => {
  const tokens = tokenize(text)
  if ('message' in tokens) return E.left(tokens)
  const cursor = new Cursor(tokens, context)
  const holds = truth(cursor)
  if (cursor.next.kind !== 'end') cursor.unexpected('and, or, or the end')
  return cursor.failure === undefined ? E.right(holds) : E.left(cursor.failure)
}

type Holds = (packet: ClassAccessor) => boolean
type Of = (packet: ClassAccessor) => Uint8Array

/** A whole condition: `or` binds less than `and`, which binds less than `not`, which binds less than `==`. */
const truth = (cursor: Cursor): Holds => asTruth(cursor, cursor.next.offset, disjunction(cursor))

const disjunction = (cursor: Cursor): Term => {
  const offset = cursor.next.offset
  let left = conjunction(cursor)
  while (cursor.accept('or')) {
    const first = asTruth(cursor, offset, left)
    const second = asTruth(cursor, cursor.next.offset, conjunction(cursor))
    left = { kind: 'truth', holds: (packet) => first(packet) || second(packet) }
  }
  return left
}

const conjunction = (cursor: Cursor): Term => {
  const offset = cursor.next.offset
  let left = negation(cursor)
  while (cursor.accept('and')) {
    const first = asTruth(cursor, offset, left)
    const second = asTruth(cursor, cursor.next.offset, negation(cursor))
    left = { kind: 'truth', holds: (packet) => first(packet) && second(packet) }
  }
  return left
}

const negation = (cursor: Cursor): Term => {
  if (!cursor.accept('not')) return comparison(cursor)
  const inner = asTruth(cursor, cursor.next.offset, negation(cursor))
  return { kind: 'truth', holds: (packet) => !inner(packet) }
}

const comparison = (cursor: Cursor): Term => {
  const offset = cursor.next.offset
  const left = sum(cursor)
  if (!cursor.accept('==')) return left
  const first = asOctets(cursor, offset, left)
  const second = asOctets(cursor, cursor.next.offset, sum(cursor))
  return { kind: 'truth', holds: (packet) => equal(first(packet), second(packet)) }
}

const sum = (cursor: Cursor): Term => {
  const offset = cursor.next.offset
  let left = primary(cursor)
  while (cursor.accept('+')) {
    const first = asOctets(cursor, offset, left)
    const second = asOctets(cursor, cursor.next.offset, primary(cursor))
    left = { kind: 'octets', of: (packet) => concat(first(packet), second(packet)) }
  }
  return left
}

const asTruth = (cursor: Cursor, offset: number, term: Term): Holds => {
  if (term.kind === 'truth') return term.holds
  cursor.fail(offset, 'expected a condition, found a value; compare it with ==')
  return () => false
}

const asOctets = (cursor: Cursor, offset: number, term: Term): Of => {
  if (term.kind === 'octets') return term.of
  cursor.fail(offset, 'expected a value, found a condition')
  return () => EMPTY
}

/** A value as an argument of a function. */
const value = (cursor: Cursor): Of => asOctets(cursor, cursor.next.offset, sum(cursor))

const primary = (cursor: Cursor): Term => {
  const token = cursor.take()
  switch (token.kind) {
    case 'text':
      return constant(bytesOf(token.text))
    case 'hex':
      return constant(E.getOrElse(() => EMPTY)(parseBinary(token.text)))
    case 'integer':
      return integer(cursor, token)
    case 'address':
      return constant(
        E.getOrElse(() => EMPTY)(token.text.includes(':') ? parseIpv6(token.text) : parseIpv4(token.text)),
      )
    case 'word':
      return named(cursor, token)
    case 'sign':
      if (token.text === '(') {
        const inner = disjunction(cursor)
        cursor.expect(')')
        return inner
      }
      break
    case 'end':
      break
  }
  cursor.fail(token.offset, `expected a condition or a value, found ${token.text}`)
  return constant(EMPTY)
}

const constant = (bytes: Uint8Array): Term => ({ kind: 'octets', of: () => bytes })

const integer = (cursor: Cursor, { text, offset }: Token): Term => {
  const number = Number(text)
  if (number < -0x80000000 || number > 0xffffffff) cursor.fail(offset, `expected a number of 32 bits, found ${text}`)
  return constant(numberBytes(number))
}

const named = (cursor: Cursor, { text, offset }: Token): Term => {
  switch (text) {
    case 'option':
      return readOption(cursor)
    case 'relay4':
      return readRelay4(cursor, offset)
    case 'relay6':
      return readRelay6(cursor, offset)
    case 'pkt':
    case 'pkt4':
    case 'pkt6':
      return readPacket(cursor, text, offset)
    case 'vendor':
      return readVendor(cursor)
    case 'vendor-class':
      return readVendorClass(cursor)
    case 'member':
      return readMember(cursor)
  }
  const call = CALLS.get(text)
  if (call === undefined) {
    cursor.fail(offset, `${text} is not understood in a class expression`)
    return constant(EMPTY)
  }
  cursor.expect('(')
  const result = call(cursor)
  cursor.expect(')')
  return result
}

/** A call of a function behind its opening parenthesis; the caller takes the closing one. */
type Call = (cursor: Cursor) => Term

const ofOne =
  (change: (bytes: Uint8Array) => Uint8Array): Call =>
  (cursor) => {
    const of = value(cursor)
    return octets((packet) => change(of(packet)))
  }

const ofTwo =
  (join: (a: Uint8Array, b: Uint8Array) => Uint8Array): Call =>
  (cursor) => {
    const first = value(cursor)
    cursor.expect(',')
    const second = value(cursor)
    return octets((packet) => join(first(packet), second(packet)))
  }

const callSubstring: Call = (cursor) => {
  const of = value(cursor)
  cursor.expect(',')
  const start = cursor.integer(-0x7fffffff, 0x7fffffff)
  cursor.expect(',')
  const length = cursor.accept('all') ? undefined : cursor.integer(-0x7fffffff, 0x7fffffff)
  return octets((packet) => substring(of(packet), start, length))
}

const callSplit: Call = (cursor) => {
  const of = value(cursor)
  cursor.expect(',')
  const delimiters = value(cursor)
  cursor.expect(',')
  const field = cursor.integer(1, 65535)
  return octets((packet) => splitField(of(packet), delimiters(packet), field))
}

const callIfElse: Call = (cursor) => {
  const condition = truth(cursor)
  cursor.expect(',')
  const yes = value(cursor)
  cursor.expect(',')
  const no = value(cursor)
  return octets((packet) => (condition(packet) ? yes(packet) : no(packet)))
}

const CALLS: ReadonlyMap<string, Call> = new Map([
  ['substring', callSubstring],
  ['split', callSplit],
  ['ifelse', callIfElse],
  ['concat', ofTwo(concat)],
  ['hexstring', ofTwo(hexString)],
  ['lcase', ofOne((bytes) => changeCase(bytes, false))],
  ['ucase', ofOne((bytes) => changeCase(bytes, true))],
  ['addrtotext', ofOne(addressText)],
  ['int8totext', ofOne((bytes) => integerText(bytes, 1, true))],
  ['int16totext', ofOne((bytes) => integerText(bytes, 2, true))],
  ['int32totext', ofOne((bytes) => integerText(bytes, 4, true))],
  ['uint8totext', ofOne((bytes) => integerText(bytes, 1, false))],
  ['uint16totext', ofOne((bytes) => integerText(bytes, 2, false))],
  ['uint32totext', ofOne((bytes) => integerText(bytes, 4, false))],
])
