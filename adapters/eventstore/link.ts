/** A connection to EventStoreDB whose calls end in time, and which is made anew when it was lost. */
import { KurrentDBClient } from '@kurrent/kurrentdb-client'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { toFailure } from './failure.ts'
import type { Failure } from './failure.ts'
import { CALL_TIMEOUT_MS, clientString, CONNECT_TIMEOUT_MS, whereText } from './options.ts'
import type { EventStoreOptions } from './options.ts'

export interface Link {
  /** The database, for messages. */
  readonly where: string
  readonly callTimeoutMs: number
  /** Makes a call; a thrown error is read as a {@link Failure}, and silence is `Lost`. */
  readonly call: <A>(act: (client: KurrentDBClient) => Promise<A>) => Promise<Either<Failure, A>>
  /** Reads to the end of an iterable; `Lost` when nothing comes for `idleMs`. A stream that is missing is empty. */
  readonly read: <A>(
    act: (client: KurrentDBClient) => AsyncIterable<A>,
    idleMs?: number,
  ) => Promise<Either<Failure, ReadonlyArray<A>>>
  readonly close: () => Promise<void>
}

const SILENCE: unique symbol = Symbol('silence')

/** Gives {@link SILENCE} when the promise has not settled in time; whatever it does later is ignored. */
const inTime = async <A>(promise: Promise<A>, ms: number): Promise<A | typeof SILENCE> => {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<typeof SILENCE>((resolve) => {
    timer = setTimeout(() => resolve(SILENCE), ms)
  })
  try {
    return await Promise.race([promise, silence])
  } finally {
    clearTimeout(timer)
    promise.catch(() => undefined)
  }
}

/** Makes a link; connects at the first call. `Refused` when the connection string is none. */
export const makeLink = (options: EventStoreOptions): Either<Failure, Link> => {
  const where = whereText(options)
  const text = clientString(options)
  const noClient = `${where}: the connection string must be kurrentdb://HOST:PORT,HOST:PORT?tls=true|false`
  if (text === undefined) return E.left({ _tag: 'Refused', reason: noClient })
  const callTimeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS
  const limitMs = callTimeoutMs + (options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS)
  let client: KurrentDBClient | undefined
  /** It has answered, so its connection stands. */
  let answered: KurrentDBClient | undefined
  let closed = false

  const current = (): KurrentDBClient => {
    if (closed) throw new Error('the connection is closed')
    client ??= KurrentDBClient.connectionString(text)
    return client
  }
  /** After a loss nothing of the old client is trusted: its streams may wait for ever on a connection that is gone. */
  const renew = (lost: KurrentDBClient): void => {
    if (client !== lost) return
    client = undefined
    void lost.dispose()
  }
  const failed = (used: KurrentDBClient | undefined, failure: Failure): Either<Failure, never> => {
    if (used !== undefined && failure._tag === 'Lost') renew(used)
    return E.left(failure)
  }
  const silent = (ms: number): Failure => ({ _tag: 'Lost', reason: `${where}: no answer within ${ms} ms` })

  try {
    client = KurrentDBClient.connectionString(text) // files and settings that are wrong show here
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    return E.left({ _tag: 'Refused', reason: `${where}: ${withoutSecrets(said, text, options)}` })
  }
  return E.right({
    where,
    callTimeoutMs,
    call: async (act) => {
      let used: KurrentDBClient | undefined
      try {
        used = current()
        const ms = answered === used ? callTimeoutMs : limitMs
        const value = await inTime(act(used), ms)
        if (value === SILENCE) return failed(used, silent(ms))
        answered = used
        return E.right(value)
      } catch (error) {
        return failed(used, toFailure(error, where))
      }
    },
    read: async <A>(act: (client: KurrentDBClient) => AsyncIterable<A>, idleMs = limitMs) => {
      let used: KurrentDBClient | undefined
      try {
        used = current()
        const all: A[] = []
        const iterator = act(used)[Symbol.asyncIterator]()
        for (;;) {
          const next = await inTime(iterator.next(), idleMs)
          if (next === SILENCE) return failed(used, silent(idleMs))
          if (next.done === true) return E.right(all)
          all.push(next.value)
        }
      } catch (error) {
        const failure = toFailure(error, where)
        return failure._tag === 'Missing' ? E.right([]) : failed(used, failure)
      }
    },
    close: async () => {
      closed = true
      const last = client
      client = undefined
      if (last !== undefined) await inTime(last.dispose(), callTimeoutMs)
    },
  })
}

/** The client quotes the connection string in its messages. */
const withoutSecrets = (message: string, text: string, { password }: EventStoreOptions): string => {
  const plain = message.replaceAll(text, '(connection string)').replace(/\/\/[^@\s]*@/g, '//…@')
  return password === undefined || password === '' ? plain : plain.replaceAll(password, '…')
}
