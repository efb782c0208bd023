/** Limits for stores and tables in tests: how long they wait for a connection, and for a statement. */

/** Of a store that is to run into them: as short as a busy machine allows. */
export const QUICK = { connectTimeoutMs: 1_000, statementTimeoutMs: 1_000 }

/** Those that nothing runs into, however busy the machine is. */
export const PATIENT = { connectTimeoutMs: 30_000, statementTimeoutMs: 30_000 }
