/** A database server with nobody else on it, for benchmarks that need no load generator. */
import { startMariadb } from '../support/mariadb.ts'
import { startPostgres } from '../support/postgres.ts'

/** How adapters and projections reach it. */
interface Reached {
  readonly hosts: ReadonlyArray<{ readonly host: string; readonly port: number }>
  readonly database: string
  readonly user: string
  readonly password?: string
}

/** A server with an empty database. */
export interface Alone {
  readonly kind: 'postgres' | 'mysql'
  readonly options: Reached
  /** Its process, for the processor time of it and its children. */
  readonly pid: number
  readonly stop: () => Promise<void>
}

const DATABASE = 'lease_ledger'

const postgresAlone = async (prefer: 'system' | 'embedded'): Promise<Alone> => {
  const server = await startPostgres({ prefer, database: DATABASE })
  const { host, port, user, stop } = server
  return { kind: 'postgres', options: { hosts: [{ host, port }], database: DATABASE, user }, pid: server.pid(), stop }
}

const mariadbAlone = async (): Promise<Alone> => {
  const server = await startMariadb({ database: DATABASE })
  const { host, port, user, password, stop } = server
  const options = { hosts: [{ host, port }], database: DATABASE, user, password }
  return { kind: 'mysql', options, pid: server.pid(), stop }
}

const START = {
  postgres: () => postgresAlone('system'),
  embedded: () => postgresAlone('embedded'),
  mariadb: mariadbAlone,
} as const

/** What `--on` takes: Debian's PostgreSQL, the one that the embedded store runs, MariaDB. */
export type AloneName = keyof typeof START
export const ALONE = Object.keys(START) as ReadonlyArray<AloneName>

/** Starts one. */
export const startAlone = (name: AloneName): Promise<Alone> => START[name]()
