/**
 * One physical connection to MySQL or MariaDB. A lost connection stays lost, so that the caller knows whether a
 * statement may have reached the server.
 */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import { createConnection } from 'mysql2'
import type { Connection, ConnectionOptions, SslOptions } from 'mysql2'
import { unreachableReason } from '../unreachable.ts'
import { CONNECT_TIMEOUT_MS, hostText, STATEMENT_TIMEOUT_MS } from './options.ts'
import type { MysqlHost, MysqlOptions } from './options.ts'

/** Why a statement gave no rows. */
export type Failure =
  /** It was not sent. */
  | { readonly _tag: 'NotSent'; readonly reason: string }
  /** The server answered with an error. `key` is where a duplicate entry was found, `column` what may not be NULL. */
  | {
      readonly _tag: 'Refused'
      readonly reason: string
      readonly errno: number
      readonly key: string
      readonly column: string
    }
  /** It was sent, and the connection was lost or the time ran out before the answer. */
  | { readonly _tag: 'Lost'; readonly reason: string }

/** Rows as octets of their text form; null for NULL. */
export type RawRows = ReadonlyArray<ReadonlyArray<Buffer | null>>

export type Parameter = string | number | null | ReadonlyArray<string>

export interface Session {
  readonly host: MysqlHost
  /**
   * It was a Galera node out of step when the session began: it gives its state to another one or is held by a backup.
   * It answers, and what is written may have to wait for minutes.
   */
  readonly isOutOfStep: boolean
  readonly isOpen: () => boolean
  /** Rows of a SELECT. The driver puts the parameters into the text, quoted. */
  readonly query: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<Either<Failure, RawRows>>
  /** How many rows an INSERT wrote or the WHERE of an UPDATE found: the driver asks for rows found, not changed. */
  readonly write: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<Either<Failure, number>>
  /** The same by a statement that is prepared once; its parameters travel beside it, unquoted. */
  readonly writePrepared: (text: string, parameters: ReadonlyArray<Parameter>) => Promise<Either<Failure, number>>
  /** Runs several statements in one text, without parameters and without a time limit. */
  readonly script: (text: string) => Promise<Either<Failure, void>>
  /** Says goodbye to the server, after what is under way, and closes. */
  readonly close: () => Promise<void>
  /** Drops the connection at once. */
  readonly drop: () => void
}

/** What a session is for. */
export interface SessionKind {
  /** Refuses a host that does not accept writes. */
  readonly writable: boolean
  /**
   * Reads see everything that was committed anywhere in the cluster before they began (Galera: `wsrep_sync_wait`).
   * Each read then waits for the node to have applied what it has received: a round trip through the cluster. Every
   * read that something is decided on needs it; a poll for news does not.
   */
  readonly causal: boolean
  /** Accepts several statements in one text: for migrations. */
  readonly scripts?: boolean
}

/** The variables that a session looks at, those of MySQL, MariaDB and Galera; a server shows the ones that it has. */
const VARIABLES = `
SHOW VARIABLES
WHERE Variable_name IN ('read_only', 'super_read_only', 'innodb_read_only', 'wsrep_on', 'max_statement_time',
                        'max_execution_time', 'wsrep_reject_queries')`

/**
 * Whether a Galera node executes statements, and its state. One outside of its cluster answers to SHOW and to nothing
 * else (1047).
 */
const STATUS = `
SHOW GLOBAL STATUS
WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state')`

/** The state of a node that donates its state, or that an administrator or a backup has desynced. */
const DONOR_OR_DESYNCED = '2'

/**
 * Connects to one host. Fails with `NotSent`, or with `Refused` when the server answered and will not have us.
 */
export const openSession = async (
  options: MysqlOptions,
  host: MysqlHost,
  kind: SessionKind,
): Promise<Either<Failure, Session>> => {
  const opened = await attempt(options, host, kind)
  if (E.isRight(opened)) return opened
  const { failure, isOfTls } = opened.left
  if (options.tls !== 'prefer' || !isOfTls) return E.left(failure)
  return E.mapLeft((left: Unopened) => left.failure)(await attempt({ ...options, tls: undefined }, host, kind))
}

interface Unopened {
  readonly failure: Failure
  /** The server does not offer TLS, or none that we can speak. */
  readonly isOfTls: boolean
}

const attempt = async (
  options: MysqlOptions,
  host: MysqlHost,
  kind: SessionKind,
): Promise<Either<Unopened, Session>> => {
  const wire = makeWire(options, host, kind)
  const connectMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
  const late = setTimeout(() => wire.drop(`no connection within ${connectMs} ms`), connectMs)
  const prepared = await prepare(makeSession(options, host, wire, false), options, host, kind)
  clearTimeout(late)
  if (E.isRight(prepared)) {
    wire.stands()
    return E.right(makeSession(options, host, wire, prepared.right.isOutOfStep))
  }
  wire.drop('not used')
  const { left } = prepared
  const failure: Failure = left._tag === 'Lost' ? { _tag: 'NotSent', reason: left.reason } : left
  return E.left({ failure, isOfTls: wire.hasFailedTls() })
}

/** Makes the session what the statements expect, whatever the server's defaults are. */
const prepare = async (
  session: Session,
  options: MysqlOptions,
  host: MysqlHost,
  kind: SessionKind,
): Promise<Either<Failure, Pick<Session, 'isOutOfStep'>>> => {
  const shown = await session.query(VARIABLES)
  if (E.isLeft(shown)) return shown
  const variables = new Map(shown.right.map(([name, value]) => [name?.toString(), value?.toString()]))
  const isReadOnly = ['read_only', 'super_read_only', 'innodb_read_only'].some((name) => isOn(variables.get(name)))
  if (kind.writable && isReadOnly) return E.left({ _tag: 'NotSent', reason: `MySQL ${hostText(host)} is read-only` })
  let isOutOfStep = false
  if (isOn(variables.get('wsrep_on'))) {
    const found = await session.query(STATUS)
    if (E.isLeft(found)) return found
    const status = new Map(found.right.map(([name, value]) => [name?.toString(), value?.toString()]))
    isOutOfStep = status.get('wsrep_local_state') === DONOR_OR_DESYNCED
    const rejects = variables.get('wsrep_reject_queries') ?? 'NONE'
    if (rejects !== 'NONE' || status.get('wsrep_ready') === 'OFF') {
      return E.left({ _tag: 'NotSent', reason: `MySQL ${hostText(host)} is a Galera node that is not ready` })
    }
  }
  const set = await session.write(settingsFor(options, kind, variables))
  if (E.isLeft(set)) return set
  const isolated = await session.write('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')
  return E.map(() => ({ isOutOfStep }))(isolated)
}

const isOn = (value: string | undefined): boolean => value !== undefined && !['OFF', '0', 'NO'].includes(value)

/** Strict, or a NULL would quietly become an empty text; UTC; and the messages in the language that we read them in. */
const settingsFor = (
  options: MysqlOptions,
  kind: SessionKind,
  variables: ReadonlyMap<string | undefined, string | undefined>,
): string => {
  const statementMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS
  const settings = [
    `sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION'`,
    `time_zone = '+00:00'`,
    `lc_messages = 'en_US'`,
    `autocommit = 1`,
    `innodb_lock_wait_timeout = ${Math.max(1, Math.floor(statementMs / 1_000))}`,
  ]
  // MariaDB limits every statement, in seconds; MySQL those that only read, in milliseconds.
  if (kind.scripts !== true) {
    if (variables.has('max_statement_time')) settings.push(`max_statement_time = ${statementMs / 1_000}`)
    else if (variables.has('max_execution_time')) settings.push(`max_execution_time = ${statementMs}`)
  }
  if (isOn(variables.get('wsrep_on'))) settings.push(`wsrep_sync_wait = ${kind.causal ? 1 : 0}`)
  return `SET SESSION ${settings.join(', SESSION ')}`
}

/** The driver's connection, and how it ends. */
interface Wire {
  readonly driver: Connection
  readonly isOpen: () => boolean
  /** Why it was dropped or lost; what to put behind the name of the host. */
  readonly reason: () => string
  /** It is of use: from here on what fails is a connection that was lost. */
  readonly stands: () => void
  readonly hasFailedTls: () => boolean
  readonly drop: (reason: string) => void
  /** Drops it for what the driver says. */
  readonly fail: (error: unknown) => void
  /** Calls back when the connection is gone; gives how to take that back. */
  readonly onGone: (gone: () => void) => () => void
}

const makeWire = (options: MysqlOptions, host: MysqlHost, kind: SessionKind): Wire => {
  // A socket of our own, because the driver's way to close one waits for a server that may be frozen.
  const socket: Socket = host.host.startsWith('/') ? connect(host.host) : connect(host.port, host.host)
  socket.setNoDelay(true)
  // node:tls compares the certificate with this name; by itself it would take an address for `localhost`.
  Object.assign(socket, { _host: host.host })
  const waiting = new Set<() => void>()
  let open = true
  let reason: string | undefined
  let stood = false
  let failedTls = false
  const gone = (): void => {
    open = false
    for (const each of [...waiting]) each()
  }
  const drop = (why: string): void => {
    reason ??= why
    socket.destroy()
    gone()
  }
  const fail = (error: unknown): void => {
    failedTls ||= TLS_FAILURES.includes((error as { readonly code?: string }).code ?? '')
    drop(unreachableReason(error))
  }
  const driver = createConnection(driverOptions(options, host, kind, socket))
  driver.on('error', fail)
  socket.on('close', gone)
  return {
    driver,
    isOpen: () => open,
    reason: () => `${stood ? ':' : ' cannot be reached:'} ${reason ?? 'connection lost'}`,
    stands: () => void (stood = true),
    hasFailedTls: () => failedTls,
    drop,
    fail,
    onGone: (each) => {
      waiting.add(each)
      return () => void waiting.delete(each)
    },
  }
}

/** The driver's words for a server without TLS, and for a handshake of TLS that came to nothing. */
const TLS_FAILURES: ReadonlyArray<string> = ['HANDSHAKE_NO_SSL_SUPPORT', 'HANDSHAKE_SSL_ERROR']

const driverOptions = (
  options: MysqlOptions,
  host: MysqlHost,
  kind: SessionKind,
  socket: Socket,
): ConnectionOptions => ({
  stream: socket,
  host: host.host,
  port: host.port,
  database: options.database,
  user: options.user,
  password: options.password ?? '',
  charset: 'utf8mb4_bin',
  ...sslOf(options, host),
  connectTimeout: 0, // ours covers the whole way, this one only a part
  rowsAsArray: true,
  // Values are read as octets and never made numbers, which would be rounded beyond 2^53; see reader.ts.
  supportBigNumbers: true,
  bigNumberStrings: true,
  multipleStatements: kind.scripts === true,
  flags: ['-LOCAL_FILES'], // no server may ask for a file of ours
  maxPreparedStatements: 16,
})

/** The driver checks the name in the certificate only when it is asked to. */
const sslOf = ({ tls }: MysqlOptions, { host }: MysqlHost): { readonly ssl?: SslOptions } => {
  if (tls === undefined || host.startsWith('/')) return {}
  if (tls === 'prefer') return { ssl: { rejectUnauthorized: false, verifyIdentity: false } }
  const rejectUnauthorized = tls.rejectUnauthorized ?? true
  const verifyIdentity = rejectUnauthorized && tls.checkServerIdentity === undefined
  return { ssl: { ...(tls as SslOptions), rejectUnauthorized, verifyIdentity } }
}

type Answer = (error: unknown, result: unknown) => void

const makeSession = (options: MysqlOptions, host: MysqlHost, wire: Wire, isOutOfStep: boolean): Session => {
  const statementMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS
  const { driver } = wire
  const where = `MySQL ${hostText(host)}`

  /** Runs a statement against the clock; when it is late the connection goes, for its answer would be another's. */
  const run = <A>(send: (answer: Answer) => void, read: (result: unknown) => A, limitMs?: number) =>
    new Promise<Either<Failure, A>>((resolve) => {
      if (!wire.isOpen()) return resolve(E.left({ _tag: 'NotSent', reason: `${where}: not connected` }))
      const end = (result: Either<Failure, A>): void => {
        clearTimeout(late)
        forget()
        resolve(result)
      }
      const lost = (): void => end(E.left({ _tag: 'Lost', reason: `${where}${wire.reason()}` }))
      const forget = wire.onGone(lost)
      const late =
        limitMs === undefined ? undefined : setTimeout(() => wire.drop(`no answer within ${limitMs} ms`), limitMs)
      send((error, result) => {
        if (error === null || error === undefined) return end(E.right(read(result)))
        const refused = toRefused(error, where)
        if (refused !== undefined) return end(E.left(refused))
        wire.fail(error)
        lost()
      })
    })

  const rows = (result: unknown): RawRows => result as RawRows
  const count = (result: unknown): number => (result as { affectedRows?: number }).affectedRows ?? 0
  return {
    host,
    isOutOfStep,
    isOpen: wire.isOpen,
    query: (sql, values = []) =>
      run((answer) => driver.query({ sql, values: [...values], typeCast: false }, answer), rows, statementMs),
    write: (sql, values = []) =>
      run((answer) => driver.query({ sql, values: [...values] }, answer), count, statementMs),
    writePrepared: (sql, values) =>
      run((answer) => driver.execute({ sql, values: [...values] as string[] }, answer), count, statementMs),
    script: (sql) =>
      run(
        (answer) => driver.query({ sql }, answer),
        () => undefined,
      ),
    close: async () => {
      if (!wire.isOpen()) return
      const late = setTimeout(() => wire.drop('closed'), 1_000)
      await new Promise<void>((resolve) => {
        wire.onGone(resolve)
        driver.end()
      })
      clearTimeout(late)
      wire.drop('closed')
    },
    drop: () => wire.drop('dropped'),
  }
}

/** `'PRIMARY'` in MariaDB and `'events.PRIMARY'` in MySQL from 8.0.19 on: the key comes last. */
const KEY = /for key '(?:[^']*\.)?([^'.]+)'$/

const COLUMN = /^Column '([^']+)' cannot be null$/

/**
 * What the server answered, or undefined when it is not the server that speaks. Nothing that the driver throws is
 * passed on but the text: its errors carry statements and options with them.
 */
const toRefused = (error: unknown, where: string): Failure | undefined => {
  const { sqlMessage, errno } = error as { sqlMessage?: string; errno?: number }
  if (sqlMessage === undefined || errno === undefined || errno <= 0) return undefined
  const reason = `${where}: ${withoutValues(sqlMessage)} (error ${errno})`
  const [key, column] = [KEY.exec(sqlMessage)?.[1] ?? '', COLUMN.exec(sqlMessage)?.[1] ?? '']
  return { _tag: 'Refused', reason, errno, key, column }
}

/** A message may quote what a client said of itself, and a syntax error a whole statement. */
const withoutValues = (message: string): string => (message.length <= 200 ? message : `${message.slice(0, 200)}…`)
