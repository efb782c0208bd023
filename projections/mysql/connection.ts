/**
 * One connection to the database of the lease tables, made when it is needed and made anew after it was lost. What is
 * sent twice does no harm here: the checkpoint lets a batch pass once.
 */
import { connect } from 'node:net'
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { createConnection } from 'mysql2'
import type { Connection as Driver, ResultSetHeader, SslOptions } from 'mysql2'
import type { ReadError } from '../../domain/event-store.ts'

/** A MySQL or MariaDB database that holds, or is to hold, lease tables. */
export interface MysqlTablesOptions {
  /** In order of preference; the first that accepts writes is used. `/…` is the path of a Unix socket. */
  readonly hosts: ReadonlyArray<{ readonly host: string; readonly port: number }>
  readonly database: string
  readonly user: string
  readonly password?: string | undefined
  /** As node:tls takes it; `prefer` is TLS where the server offers it, whoever it is; none is a plain connection. */
  readonly tls?: TlsOptions | 'prefer' | undefined
  /** Until a connection stands. Default 1,000. */
  readonly connectTimeoutMs?: number | undefined
  /** Until a batch is answered. Default 5,000: nothing waits for it. */
  readonly statementTimeoutMs?: number | undefined
}

const CONNECT_TIMEOUT_MS = 1_000
const STATEMENT_TIMEOUT_MS = 5_000
const RETRIES_MAX = 8

/** A row as octets of the texts of its columns; null for NULL. */
export type Row = ReadonlyArray<Buffer | null>

/** A value that is put into a statement. */
export type Parameter = string | number | null

/** The statements of one unit of work. Each rejects when the database does not do it. */
export interface Statements {
  readonly rows: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<ReadonlyArray<Row>>
  /** Sends several statements in one text; gives the rows of the last. */
  readonly lastRows: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<ReadonlyArray<Row>>
  /** Runs an INSERT and gives how many rows changed: one for each that was added, two for each that was there before. */
  readonly changed: (text: string) => Promise<number>
  /** Hands the rows on as they come off the wire and keeps none. `onRow` must not throw. */
  readonly stream: (text: string, onRow: (row: Row) => void) => Promise<void>
}

/** A connection and its deadline. */
export interface Connection {
  /**
   * Runs `act`, one at a time, and gives what it gave, or why the database did not do it; once more when it lost a race to another
   * transaction. One that is late loses the connection; with `progress`, a number that changes while all is well,
   * late is only who stands still.
   */
  readonly run: <A>(
    act: (statements: Statements) => Promise<A>,
    progress?: () => number,
  ) => Promise<Either<ReadError, A>>
  readonly close: () => Promise<void>
}

/** `MySQL host:port,host:port/database`, for messages. */
export const whereText = ({ hosts, database }: MysqlTablesOptions): string =>
  `MySQL ${hosts.map(({ host, port }) => (host.startsWith('/') ? host : `${host}:${port}`)).join(',')}/${database}`

/** A driver's connection whose end is in our hands: the driver's own way to close waits for a server that is frozen. */
interface Wire extends Statements {
  readonly isOpen: () => boolean
  readonly drop: (reason: Error) => void
  readonly close: () => Promise<void>
}

/** A connection to the first host that accepts writes. Nothing is opened before the first statement. */
export const makeConnection = (options: MysqlTablesOptions): Connection => {
  const where = whereText(options)
  const silenceMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS
  let wire: Wire | undefined
  let closed = false

  const connected = async (): Promise<Wire> => {
    if (wire?.isOpen()) return wire
    const reasons: Error[] = []
    let spare: Wire | undefined
    for (const host of options.hosts) {
      try {
        const { wire: found, isOutOfStep } = await openWire(options, host)
        if (!isOutOfStep) {
          spare?.drop(new Error('not used'))
          wire = found
          return wire
        }
        if (spare === undefined) spare = found
        else found.drop(new Error('not used'))
      } catch (error) {
        reasons.push(error as Error)
      }
    }
    if (spare !== undefined) {
      wire = spare
      return wire
    }
    throw reasons.length === 1 ? reasons[0] : new Error(reasons.map(({ message }) => message).join('; '))
  }

  const attempt = async <A>(act: (statements: Statements) => Promise<A>, progress: () => number): Promise<A> => {
    const standing = await connected()
    let late: NodeJS.Timeout | undefined
    const watch = (before: number): void => {
      late = setTimeout(() => {
        const now = progress()
        if (now !== before) return watch(now)
        standing.drop(new Error(`no answer within ${silenceMs} ms`))
      }, silenceMs)
    }
    watch(progress())
    try {
      return await act(standing)
    } catch (error) {
      // Another host may do what this one does not; and what was begun must not stay open, or the next unit of work
      // would be a part of it.
      if (LEFT_BEHIND.includes(errnoOf(error) ?? 0)) standing.drop(error as Error)
      if (standing.isOpen()) {
        await standing.lastRows('ROLLBACK; SET autocommit = 1').catch(() => standing.drop(error as Error))
      }
      throw error
    } finally {
      clearTimeout(late)
    }
  }

  const run = async <A>(
    act: (statements: Statements) => Promise<A>,
    progress: () => number,
  ): Promise<Either<ReadError, A>> => {
    for (let attempts = 1; ; attempts++) {
      if (closed) return E.left({ _tag: 'StoreUnavailable', reason: `${where}: the connection was closed` })
      try {
        return E.right(await attempt(act, progress))
      } catch (error) {
        if (errnoOf(error) === DEADLOCK && attempts <= RETRIES_MAX) continue
        return E.left(toReadError(where, error))
      }
    }
  }

  // One after the other: the statements of two would become one transaction.
  let last: Promise<unknown> = Promise.resolve()
  return {
    run: (act, progress = () => 0) => {
      const turn = last.then(() => run(act, progress))
      last = turn
      return turn
    },
    close: async () => {
      closed = true
      await wire?.close()
    },
  }
}

/** A connection that can be used. */
interface Opened {
  readonly wire: Wire
  /** A Galera node that gives its state to another or is held by a backup: writes may have to wait for minutes. */
  readonly isOutOfStep: boolean
}

const openWire = async (options: MysqlTablesOptions, host: MysqlTablesOptions['hosts'][number]): Promise<Opened> => {
  try {
    return await attemptWire(options, host)
  } catch (error) {
    const { code = '' } = error as { readonly code?: string }
    if (options.tls !== 'prefer' || !TLS_FAILURES.includes(code)) throw error
    return attemptWire({ ...options, tls: undefined }, host)
  }
}

/** The driver's words for a server without TLS, and for a handshake of TLS that came to nothing. */
const TLS_FAILURES: ReadonlyArray<string> = ['HANDSHAKE_NO_SSL_SUPPORT', 'HANDSHAKE_SSL_ERROR']

const attemptWire = async (options: MysqlTablesOptions, host: MysqlTablesOptions['hosts'][number]): Promise<Opened> => {
  const wire = makeWire(options, host)
  const connectMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
  const late = setTimeout(() => wire.drop(new Error(`no connection within ${connectMs} ms`)), connectMs)
  try {
    const variables = byName(await wire.rows(VARIABLES))
    const isGalera = variables.get('wsrep_on') === 'ON'
    const status = byName(isGalera ? await wire.rows(STATUS) : [])
    const rejects = variables.get('wsrep_reject_queries') ?? 'NONE'
    if (rejects !== 'NONE' || status.get('wsrep_ready') === 'OFF')
      throw new Error(`${host.host}:${host.port} is a Galera node that is not ready`)
    if (variables.get('read_only') !== 'OFF' || variables.get('super_read_only') === 'ON') {
      throw new Error(`${host.host}:${host.port} is read-only`)
    }
    await wire.rows(`SET SESSION ${SETTINGS}${isGalera ? ', SESSION wsrep_sync_wait = 1' : ''}`)
    await wire.rows('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')
    return { wire, isOutOfStep: status.get('wsrep_local_state') === DONOR_OR_DESYNCED }
  } catch (error) {
    wire.drop(error as Error)
    throw error
  } finally {
    clearTimeout(late)
  }
}

const byName = (rows: ReadonlyArray<Row>): ReadonlyMap<string | undefined, string | undefined> =>
  new Map(rows.map(([name, value]) => [name?.toString(), value?.toString()]))

const STATUS = `
SHOW GLOBAL STATUS
WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state')`

const DONOR_OR_DESYNCED = '2'

const VARIABLES = `
SHOW VARIABLES
WHERE Variable_name IN ('read_only', 'super_read_only', 'wsrep_on', 'wsrep_reject_queries')`

const SETTINGS = [
  `sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION'`,
  `SESSION time_zone = '+00:00'`,
  `SESSION autocommit = 1`,
  `SESSION innodb_lock_wait_timeout = 5`,
].join(', ')

const makeWire = (options: MysqlTablesOptions, host: MysqlTablesOptions['hosts'][number]): Wire => {
  const socket = host.host.startsWith('/') ? connect(host.host) : connect(host.port, host.host)
  socket.setNoDelay(true)
  // node:tls compares the certificate with this name; by itself it would take an address for `localhost`.
  Object.assign(socket, { _host: host.host })
  const waiting = new Set<(reason: Error) => void>()
  let open = true
  const gone = (reason: Error): void => {
    open = false
    for (const each of [...waiting]) each(reason)
  }
  const driver: Driver = createConnection({
    stream: socket,
    host: host.host,
    port: host.port,
    database: options.database,
    user: options.user,
    password: options.password ?? '',
    charset: 'utf8mb4_bin',
    ...sslOf(options, host),
    connectTimeout: 0,
    rowsAsArray: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    multipleStatements: true, // a batch goes in one text
    flags: ['-LOCAL_FILES', '-FOUND_ROWS'], // a row that stays as it was does not count as changed
  })
  const drop = (reason: Error): void => {
    socket.destroy()
    gone(reason)
  }
  driver.on('error', drop)
  socket.on('close', () => gone(new Error('the connection was lost')))

  /** Rejects also when the connection goes, which the driver does not always say. */
  const guarded = <A>(send: (resolve: (value: A) => void, reject: (reason: unknown) => void) => void): Promise<A> => {
    const forgotten: { lost?: (reason: Error) => void } = {}
    return new Promise<A>((resolve, reject) => {
      if (!open) return reject(new Error('not connected'))
      forgotten.lost = reject
      waiting.add(reject)
      send(resolve, reject)
    }).finally(() => forgotten.lost && waiting.delete(forgotten.lost))
  }

  const sent = <A>(sql: string, parameters: ReadonlyArray<Parameter> = [], read: (result: unknown) => A) =>
    guarded<A>((resolve, reject) => {
      // Without values the driver does not look for their places, which takes a while in the text of a whole batch.
      const values = parameters.length === 0 ? undefined : [...parameters]
      driver.query({ sql, values, typeCast: false }, (error, result) => (error ? reject(error) : resolve(read(result))))
    })

  return {
    isOpen: () => open,
    drop,
    rows: (sql, parameters) => sent(sql, parameters, (result) => result as ReadonlyArray<Row>),
    lastRows: (sql, parameters) =>
      sent(sql, parameters, (results) => (results as ReadonlyArray<unknown>).at(-1) as ReadonlyArray<Row>),
    changed: (sql) => sent(sql, [], (result) => (result as ResultSetHeader).affectedRows),
    stream: (sql, onRow) =>
      guarded((resolve, reject) => {
        driver
          .query({ sql, typeCast: false })
          .on('error', reject)
          .on('result', (row: unknown) => onRow(row as Row))
          .on('end', () => resolve(undefined))
      }),
    close: () =>
      new Promise((resolve) => {
        if (!open) return resolve()
        const late = setTimeout(() => drop(new Error('closed')), 1_000)
        waiting.add(() => {
          clearTimeout(late)
          resolve()
        })
        driver.end()
      }),
  }
}

/** The driver checks the name in the certificate only when it is asked to. */
const sslOf = (
  { tls }: MysqlTablesOptions,
  { host }: MysqlTablesOptions['hosts'][number],
): { readonly ssl?: SslOptions } => {
  if (tls === undefined || host.startsWith('/')) return {}
  if (tls === 'prefer') return { ssl: { rejectUnauthorized: false, verifyIdentity: false } }
  const rejectUnauthorized = tls.rejectUnauthorized ?? true
  const verifyIdentity = rejectUnauthorized && tls.checkServerIdentity === undefined
  return { ssl: { ...(tls as SslOptions), rejectUnauthorized, verifyIdentity } }
}

const DEADLOCK = 1213

/** The host writes no more, or not now: outside of its Galera cluster (1047), read-only (the others). */
const LEFT_BEHIND = [1047, 1290, 1792, 1836]

/** The server's number of an error; undefined when it is none of the server's. */
const errnoOf = (error: unknown): number | undefined => {
  const { sqlMessage, errno } = error as { sqlMessage?: string; errno?: number }
  return sqlMessage === undefined || errno === undefined || errno <= 0 ? undefined : errno
}

/** What no waiting helps against: privileges, a database, table or column that is not there, a value out of range. */
const LASTING = [1044, 1045, 1048, 1049, 1054, 1064, 1136, 1142, 1143, 1146, 1153, 1264, 1292, 1366, 1406, 3141, 4038]

/** Nothing that the driver throws is passed on but its text: its errors carry the statement with them. */
const toReadError = (where: string, error: unknown): ReadError => {
  const { message = String(error), sqlMessage } = error as { message?: string; sqlMessage?: string }
  const errno = errnoOf(error)
  const reason = `${where}: ${(sqlMessage ?? message).slice(0, 200)}${errno === undefined ? '' : ` (error ${errno})`}`
  return errno !== undefined && LASTING.includes(errno)
    ? { _tag: 'StoreUnusable', reason }
    : { _tag: 'StoreUnavailable', reason }
}
