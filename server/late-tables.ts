/** Lease tables in a database that cannot be reached yet: each use tries again, and nothing else waits for it. */
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import type { TaskEither } from 'fp-ts/lib/TaskEither.js'
import type { ReadError } from '../domain/event-store.ts'
import type { LeaseTables } from '../projections/lease-tables.ts'

/** Tables that are opened by their first use that succeeds; until then every use says why not. `where` is for people. */
export const lateTables = (where: string, open: TaskEither<ReadError, LeaseTables>): LeaseTables => {
  let tables: LeaseTables | undefined
  let opening: Promise<Either<ReadError, LeaseTables>> | undefined
  let closed = false

  const opened = async (): Promise<Either<ReadError, LeaseTables>> => {
    if (closed) return E.left({ _tag: 'StoreUnavailable', reason: `${where}: closed` })
    if (tables !== undefined) return E.right(tables)
    opening ??= open().finally(() => (opening = undefined))
    const found = await opening
    if (E.isRight(found)) tables = found.right
    return found
  }

  const late =
    <A>(use: (tables: LeaseTables) => TaskEither<ReadError, A>): TaskEither<ReadError, A> =>
    async () => {
      const found = await opened()
      return E.isLeft(found) ? found : use(found.right)()
    }

  return {
    where,
    apply: (...batch) => late((there) => there.apply(...batch)),
    checkpoint: (projection) => late((there) => there.checkpoint(projection)),
    snapshot: (...asked) => late((there) => there.snapshot(...asked)),
    shadow: (resume) => late((there) => there.shadow(resume)),
    close: async () => {
      closed = true
      const found = await opening
      if (found !== undefined && E.isRight(found)) tables = found.right
      await tables?.close()
    },
  }
}
