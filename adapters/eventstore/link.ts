/** A connection to EventStoreDB whose calls end in time, and which is made anew when it was lost. */
import { KurrentDBClient } from '@kurrent/kurrentdb-client'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { toFailure } from './failure.ts'
import type { Failure } from './failure.ts'
import { CALL_TIMEOUT_MS, clientString, CONNECT_TIMEOUT_MS, whereText } from './options.ts'
import type { EventStoreOptions } from './options.ts'
import { closeClient, readOf, startRead } from './read.ts'
import type { Read, Reading, Wanted } from './read.ts'

export interface Link {
  /** The database, for messages. */
  readonly where: string
  readonly callTimeoutMs: number
  /** Makes a call; a thrown error is read as a {@link Failure}, and silence is `Lost`. */
  readonly call: <A>(act: (client: KurrentDBClient) => Promise<A>) => Promise<Either<Failure, A>>
  /**
   * Reads all that is wanted; `Lost` when nothing comes for `idleMs`. A stream that is missing is empty. `keep` says
   * which of the events to give, for reads that are long.
   */
  readonly read: (wanted: Wanted, keep?: (read: Read) => boolean, idleMs?: number) => Promise<Either<Failure, Found>>
  readonly close: () => Promise<void>
}

/** What a read found. */
export type Found = ReadonlyArray<Read>

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
    client ??= KurrentDBClient.connectionString(clientString(options) ?? '')
    return client
  }
  /** After a loss nothing of the old client is trusted: its streams may wait for ever on a connection that is gone. */
  const renew = (lost: KurrentDBClient): void => {
    if (client !== lost) return
    client = undefined
    // A client that never had an answer may still look for a node; it has nothing to close.
    const ending = answered === lost ? closeClient(lost) : lost.dispose()
    ending.catch(() => undefined)
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
    return E.left({ _tag: 'Refused', reason: `${where}: ${withoutSecrets(said, options)}` })
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
    read: async (wanted, keep = () => true, idleMs) => {
      let used: KurrentDBClient | undefined
      let reading: Reading | undefined
      try {
        used = current()
        const ms = idleMs ?? (answered === used ? callTimeoutMs : limitMs)
        const started = await inTime(startRead(used, wanted), ms)
        if (started === SILENCE) return failed(used, silent(ms))
        reading = started
        const found: Read[] = []
        for (;;) {
          const answer = await inTime(reading.answers.next(), ms)
          if (answer === SILENCE) {
            reading.cancel()
            return failed(used, silent(ms))
          }
          answered = used
          if (answer.done === true) return E.right(found)
          const read = readOf(answer.value)
          if (read !== undefined && keep(read)) found.push(read)
        }
      } catch (error) {
        return failed(used, toFailure(error, where))
      }
    },
    close: async () => {
      closed = true
      const last = client
      client = undefined
      if (last === undefined) return
      await inTime(answered === last ? closeClient(last) : last.dispose(), callTimeoutMs).catch(() => undefined)
    },
  })
}

/** The client quotes the connection string in its messages. */
const withoutSecrets = (message: string, { password }: EventStoreOptions): string => {
  const plain = message.replace(/\/\/[^@\s]*@/g, '//…@')
  return password === undefined || password === '' ? plain : plain.replaceAll(password, '…')
}
