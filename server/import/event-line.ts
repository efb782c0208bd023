/** Events as lines of NDJSON: what `ledger tail` and `ledger export` write and `ledger import` reads. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import * as t from 'io-ts'
import { PathReporter } from 'io-ts/lib/PathReporter.js'
import type { Stored } from '../../domain/event-store.ts'
import type { StreamName } from '../../domain/stream.ts'

const Line = t.type({
  log: t.string,
  seq: t.number,
  stream: t.string,
  revision: t.number,
  type: t.string,
  schemaVersion: t.number,
  recordedAt: t.number,
  data: t.UnknownRecord,
  hash: t.string,
})

/** One event, without line end. `checkpoint` is where to go on after it. */
export const eventLine = (stored: Stored, checkpoint?: string): string => {
  const { log, seq, stream, revision, type, schemaVersion, recordedAt, data, hash } = stored
  const at = new Date(recordedAt).toISOString()
  const head = JSON.stringify({ log, seq, stream, revision, type, schemaVersion, recordedAt, at })
  const rest = checkpoint === undefined ? '' : `,"checkpoint":"${checkpoint}"`
  return `${head.slice(0, -1)},"data":${data},"hash":"${Buffer.from(hash).toString('hex')}"${rest}}`
}

/** The event in a line; `Left` is the reason why there is none. */
export const parseEventLine = (line: string): Either<string, Stored> => {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return E.left('it is not JSON')
  }
  const decoded = Line.decode(value)
  if (E.isLeft(decoded)) return E.left(PathReporter.report(decoded)[0] ?? 'it is no event')
  const { data, hash, stream, ...rest } = decoded.right
  return E.right({
    ...rest,
    stream: stream as StreamName,
    data: JSON.stringify(data),
    hash: Buffer.from(hash, 'hex'),
  })
}
