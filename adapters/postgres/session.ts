/**
 * One physical connection to PostgreSQL. The driver would reconnect behind our back and send a statement again; here a
 * lost connection stays lost, so that the caller knows whether a statement may have reached the server.
 */
import { Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import * as E from 'fp-ts/lib/Either.js'
import type { Either } from 'fp-ts/lib/Either.js'
import postgres from 'postgres'
import { unreachableReason } from '../unreachable.ts'
import { CONNECT_TIMEOUT_MS, hostText, STATEMENT_TIMEOUT_MS } from './options.ts'
import type { PostgresHost, PostgresOptions } from './options.ts'

/** Why a statement gave no rows. */
export type Failure =
  /** It was not sent. */
  | { readonly _tag: 'NotSent'; readonly reason: string }
  /** The server refused it and rolled it back. `code` is the SQLSTATE; `constraint` and `column` name what it broke. */
  | {
      readonly _tag: 'Refused'
      readonly reason: string
      readonly code: string
      readonly constraint: string
      readonly column: string
    }
  /** It was sent, and the connection was lost or the time ran out before the answer. */
  | { readonly _tag: 'Lost'; readonly reason: string }

/** Rows as texts; every column is cast to text by the statement. */
export type Rows = ReadonlyArray<ReadonlyArray<string>>

/** Rows as octets of their text form. */
export type RawRows = ReadonlyArray<ReadonlyArray<Buffer>>

export type Parameter = string | number | null

export interface Session {
  readonly host: PostgresHost
  readonly isOpen: () => boolean
  readonly query: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<Either<Failure, Rows>>
  readonly queryRaw: (text: string, parameters?: ReadonlyArray<Parameter>) => Promise<Either<Failure, RawRows>>
  /** Runs several statements in one text, without parameters and without a time limit. */
  readonly script: (text: string) => Promise<Either<Failure, void>>
  /** Says goodbye to the server and closes. */
  readonly close: () => Promise<void>
  /** Drops the connection at once. */
  readonly drop: () => void
}

export interface SessionEvents {
  /** A notification arrived on a channel that this session listens to. */
  readonly onNotify?: (channel: string, payload: string) => void
  /** The connection is gone, for whatever reason. */
  readonly onClose?: () => void
}

const CHECK = `
SELECT pg_is_in_recovery()::text,
       current_setting('transaction_read_only')`

/**
 * Connects to one host. `writable` refuses a host that is a standby or read-only. Fails with `NotSent`, or with
 * `Refused` when the server answered and will not have us.
 */
export const openSession = async (
  options: PostgresOptions,
  host: PostgresHost,
  writable: boolean,
  events: SessionEvents = {},
): Promise<Either<Failure, Session>> => {
  const opened = await attempt(options, host, writable, events)
  // A host may offer TLS and have it that this account comes without (pg_hba.conf: hostnossl).
  const isBarred = E.isLeft(opened) && opened.left._tag === 'Refused' && opened.left.code === NOT_ADMITTED
  return options.tls === 'prefer' && isBarred ? attempt({ ...options, tls: undefined }, host, writable, events) : opened
}

/** SQLSTATE invalid_authorization_specification: no entry of pg_hba.conf fits, and whether it is TLS is part of it. */
const NOT_ADMITTED = '28000'

const attempt = async (
  options: PostgresOptions,
  host: PostgresHost,
  writable: boolean,
  events: SessionEvents,
): Promise<Either<Failure, Session>> => {
  const connection = makeConnection(options, host, events)
  const session = makeSession(options, host, connection)
  const connectMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
  const late = setTimeout(() => {
    connection.reason ??= `no connection within ${connectMs} ms`
    connection.drop()
  }, connectMs)
  const checked = await session.query(CHECK)
  clearTimeout(late)
  if (E.isLeft(checked)) {
    connection.drop()
    return E.left(checked.left._tag === 'Lost' ? { _tag: 'NotSent', reason: checked.left.reason } : checked.left)
  }
  const [inRecovery, readOnly] = checked.right[0] ?? []
  if (writable && (inRecovery === 'true' || readOnly === 'on')) {
    await session.close()
    const why = inRecovery === 'true' ? 'is a standby' : 'is read-only'
    return E.left({ _tag: 'NotSent', reason: `PostgreSQL ${hostText(host)} ${why}` })
  }
  connection.stands = true
  return E.right(session)
}

interface Connection {
  readonly sql: postgres.Sql
  isOpen: boolean
  /** It was of use: from here on what fails is a connection that was lost. */
  stands: boolean
  /** Why it was dropped, when we dropped it. */
  reason: string | undefined
  readonly drop: () => void
}

const makeConnection = (options: PostgresOptions, host: PostgresHost, events: SessionEvents): Connection => {
  let socket: Socket | undefined
  // The driver calls this again to reconnect; there is no second time.
  const connect = (): Socket => {
    if (socket !== undefined) throw new Error('the connection was lost')
    socket = new Socket()
    socket.setNoDelay(true)
    socket.on('error', () => undefined) // the driver takes its own listeners off before the socket is gone
    socket.on('close', () => {
      connection.isOpen = false
      events.onClose?.()
    })
    // The driver verifies the certificate against this name.
    Object.assign(socket, { host: host.host })
    return host.host.startsWith('/')
      ? socket.connect(`${host.host}/.s.PGSQL.${host.port}`)
      : socket.connect(host.port, host.host)
  }
  const statementMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS
  const driverOptions = {
    socket: () => connected(connect()),
    host: host.host,
    port: host.port,
    database: options.database,
    user: options.user,
    pass: options.password ?? '',
    ssl: sslOf(options, host),
    max: 1,
    fetch_types: false,
    connect_timeout: 0, // ours covers the whole way, this one only a part
    idle_timeout: 0,
    max_lifetime: null,
    onnotice: () => undefined,
    onnotify: (channel: string, payload: string) => events.onNotify?.(channel, payload),
    connection: { application_name: 'lease-ledger', statement_timeout: statementMs, ...options.settings },
  }
  const connection: Connection = {
    sql: postgres(driverOptions as unknown as postgres.Options<{}>),
    isOpen: true,
    stands: false,
    reason: undefined,
    drop: () => {
      connection.isOpen = false
      if (socket === undefined) void connection.sql.end({ timeout: 0 })
      else socket.destroy()
    },
  }
  return connection
}

const sslOf = ({ tls }: PostgresOptions, { host }: PostgresHost): ConnectionOptions | 'prefer' | false => {
  if (tls === undefined || host.startsWith('/')) return false
  return tls === 'prefer' ? tls : { host, ...tls }
}

/** The driver writes to the socket at once, so it gets it when it stands. */
const connected = (socket: Socket): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(error instanceof Error ? error : new Error('the connection was closed'))
    socket.once('error', fail).once('close', fail)
    socket.once('connect', () => {
      socket.off('error', fail).off('close', fail)
      resolve(socket)
    })
  })

const makeSession = (options: PostgresOptions, host: PostgresHost, connection: Connection): Session => {
  const statementMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS
  const { sql } = connection
  const failure = (error: unknown): Failure => toFailure(error, host, connection)

  /** Runs a statement against the clock; when it is late the connection goes, for its answer would be another's. */
  const timed = async <A>(run: () => Promise<A>): Promise<Either<Failure, A>> => {
    if (!connection.isOpen) return E.left({ _tag: 'NotSent', reason: `PostgreSQL ${hostText(host)}: not connected` })
    const late = setTimeout(() => {
      connection.reason ??= `no answer within ${statementMs} ms`
      connection.drop()
    }, statementMs)
    try {
      return E.right(await run())
    } catch (error) {
      return E.left(failure(error))
    } finally {
      clearTimeout(late)
    }
  }

  const parametersOf = (parameters: ReadonlyArray<Parameter>): postgres.ParameterOrJSON<never>[] => [...parameters]
  return {
    host,
    isOpen: () => connection.isOpen,
    query: (text, parameters = []) =>
      timed(async () => (await sql.unsafe(text, parametersOf(parameters), { prepare: true }).values()) as Rows),
    queryRaw: (text, parameters = []) =>
      timed(
        async () => (await sql.unsafe(text, parametersOf(parameters), { prepare: true }).raw()) as unknown as RawRows,
      ),
    script: async (text) => {
      try {
        await sql.unsafe(text).simple()
        return E.right(undefined)
      } catch (error) {
        return E.left(failure(error))
      }
    },
    close: async () => {
      if (connection.isOpen) await sql.end({ timeout: 1 })
      connection.drop()
    },
    drop: connection.drop,
  }
}

/** Nothing that the driver throws is passed on but the text: its errors carry parameters and options with them. */
const toFailure = (error: unknown, host: PostgresHost, connection: Connection): Failure => {
  const { message, code, severity, severity_local, constraint_name, column_name } = error as Record<
    string,
    string | undefined
  >
  const where = `PostgreSQL ${hostText(host)}`
  if (severity === undefined && severity_local === undefined) {
    connection.drop()
    const why = connection.reason ?? unreachableReason(error)
    return { _tag: 'Lost', reason: connection.stands ? `${where}: ${why}` : `${where} cannot be reached: ${why}` }
  }
  const reason = `${where}: ${connection.reason ?? message ?? String(error)}`
  const refused: Failure = {
    _tag: 'Refused',
    reason,
    code: code ?? '',
    constraint: constraint_name ?? '',
    column: column_name ?? '',
  }
  if (severity === 'ERROR') return refused
  // FATAL and PANIC end the connection. While connecting that is an answer; later it may cut off a commit that is done.
  connection.drop()
  return isRefusedAtTheDoor(code ?? '') ? refused : { _tag: 'Lost', reason }
}

/** FATAL errors that come before a connection stands: authorization, database, too many connections, starting up. */
const isRefusedAtTheDoor = (code: string): boolean =>
  code.startsWith('28') || ['3D000', '53300', '57P03', '42501'].includes(code)
