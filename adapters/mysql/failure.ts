/** What a failed statement means to the domain. */
import type { StoreUnavailable, StoreUnusable } from '../../domain/event-store.ts'
import type { Failure } from './session.ts'

/** The numbers of errors that are read here, under the names that MySQL and MariaDB give them. */
export const ERROR = {
  CON_COUNT: 1040,
  DBACCESS_DENIED: 1044,
  ACCESS_DENIED: 1045,
  UNKNOWN_COM: 1047,
  BAD_NULL: 1048,
  TABLE_EXISTS: 1050,
  BAD_FIELD: 1054,
  DUP_ENTRY: 1062,
  PARSE: 1064,
  RECORD_FILE_FULL: 1114,
  TABLEACCESS_DENIED: 1142,
  COLUMNACCESS_DENIED: 1143,
  NO_SUCH_TABLE: 1146,
  NET_PACKET_TOO_LARGE: 1153,
  UNKNOWN_SYSTEM_VARIABLE: 1193,
  LOCK_WAIT_TIMEOUT: 1205,
  LOCK_DEADLOCK: 1213,
  SPECIFIC_ACCESS_DENIED: 1227,
  OUT_OF_RANGE: 1264,
  OPTION_PREVENTS: 1290,
  TRUNCATED_WRONG_VALUE: 1292,
  TRIGGER_EXISTS: 1359,
  TRUNCATED_FOR_FIELD: 1366,
  DATA_TOO_LONG: 1406,
  BINLOG_CREATE_ROUTINE: 1419,
  SIGNAL: 1644,
  CANT_EXECUTE_IN_READ_ONLY_TRANSACTION: 1792,
  READ_ONLY_MODE: 1836,
} as const

/**
 * The errors after which it is certain that a batch was not written and never will be. Any other one may have met a
 * commit that was on its way: an interrupted statement (1317, 1969, 3024), a server that goes down (1053, 1927), a node
 * that lost its cluster while it replicated (1180). Those are settled by reading.
 */
const CERTAIN: ReadonlySet<number> = new Set<number>(Object.values(ERROR))

/** Whether the server refused the statement and rolled it back for certain. */
export const isCertain = (failure: Failure): boolean => failure._tag !== 'Lost' && !isDoubtful(failure)

const isDoubtful = (failure: Failure): boolean => failure._tag === 'Refused' && !CERTAIN.has(failure.errno)

/** A statement that was chosen to end a deadlock, or lost Galera's certification: the same again will do. */
export const isTransient = (failure: Failure): boolean =>
  failure._tag === 'Refused' && failure.errno === ERROR.LOCK_DEADLOCK

/** The host writes no more, or not now: another one must be found. */
export const isToBeLeft = (failure: Failure): boolean =>
  failure._tag === 'Refused' && LEFT_BEHIND.includes(failure.errno)

const LEFT_BEHIND: ReadonlyArray<number> = [
  ERROR.UNKNOWN_COM, // Galera: outside of the primary component, or told to reject queries
  ERROR.OPTION_PREVENTS,
  ERROR.CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
  ERROR.READ_ONLY_MODE,
]

/** Our own number for a host that lacks what was committed; those of MySQL end far below it. */
export const EVENTS_LOST = 1_000_000

/** What no waiting helps against: the statement and the database do not fit. */
const LASTING: ReadonlySet<number> = new Set<number>([
  ERROR.DBACCESS_DENIED,
  ERROR.ACCESS_DENIED,
  1049, // there is no such database
  ERROR.BAD_NULL,
  ERROR.BAD_FIELD,
  ERROR.PARSE,
  ERROR.TABLEACCESS_DENIED,
  ERROR.COLUMNACCESS_DENIED,
  ERROR.NO_SUCH_TABLE,
  ERROR.NET_PACKET_TOO_LARGE,
  ERROR.UNKNOWN_SYSTEM_VARIABLE,
  ERROR.SPECIFIC_ACCESS_DENIED,
  ERROR.OUT_OF_RANGE,
  ERROR.TRUNCATED_WRONG_VALUE,
  ERROR.TRUNCATED_FOR_FIELD,
  ERROR.DATA_TOO_LONG,
  ERROR.BINLOG_CREATE_ROUTINE,
  ERROR.SIGNAL,
  1698, // access denied, by the socket's account
  EVENTS_LOST,
])

/** What a reader is told. Everything that may pass by itself is `StoreUnavailable`. */
export const toReadError = (failure: Failure): StoreUnavailable | StoreUnusable => {
  if (failure._tag !== 'Refused' || !LASTING.has(failure.errno)) {
    return { _tag: 'StoreUnavailable', reason: failure.reason }
  }
  return { _tag: 'StoreUnusable', reason: failure.reason }
}
