/** The leases of a running Kea in MySQL or MariaDB, as the texts that Kea's lease file would have. Read-only. */
import { createConnection } from 'mysql2/promise'
import type { Connection, FieldPacket, RowDataPacket } from 'mysql2/promise'
import type { KeaRows } from '../kea-statements.ts'

const COMMON = `
       IFNULL(valid_lifetime, 0) AS valid_lifetime,
       UNIX_TIMESTAMP(expire) AS expire,
       IFNULL(subnet_id, 0) AS subnet_id,
       IFNULL(fqdn_fwd, 0) AS fqdn_fwd,
       IFNULL(fqdn_rev, 0) AS fqdn_rev,
       IFNULL(REPLACE(hostname, '&#x', '&#x26#x'), '') AS hostname,
       IFNULL(state, 0) AS state,
       IFNULL(REPLACE(user_context, '&#x', '&#x26#x'), '') AS user_context,
       IFNULL(LOWER(HEX(hwaddr)), '') AS hwaddr`

const lease4 = (pool: string): string => `
SELECT INET_NTOA(address) AS address,
       IFNULL(LOWER(HEX(client_id)), '') AS client_id,${COMMON}${pool}
FROM lease4
ORDER BY lease4.address`

// Releases before 2.5 keep the address as text, which is no binary address to INET6_NTOA.
const lease6 = (pool: string): string => `
SELECT IFNULL(INET6_NTOA(address), CAST(address AS CHAR)) AS address,
       IFNULL(LOWER(HEX(duid)), '') AS duid,
       IFNULL(pref_lifetime, 0) AS pref_lifetime,
       IFNULL(lease_type, 0) AS lease_type,
       IFNULL(iaid, 0) AS iaid,
       IFNULL(prefix_len, 128) AS prefix_len,
       IFNULL(hwtype, 0) AS hwtype,
       IFNULL(hwaddr_source, 0) AS hwaddr_source,${COMMON}${pool}
FROM lease6
ORDER BY lease6.address`

/** Reads both tables, as they stood at one moment. `url` is `mysql://…`. Rejects with the driver's error. */
export const readKeaMysql = async (url: string): Promise<ReadonlyArray<KeaRows>> => {
  const connection = await createConnection({ uri: url, connectTimeout: 5_000, supportBigNumbers: true })
  try {
    await connection.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ')
    await connection.query('START TRANSACTION READ ONLY')
    const [pool4, pool6] = [await poolOf(connection, 'lease4'), await poolOf(connection, 'lease6')]
    return [await table(connection.query(lease4(pool4))), await table(connection.query(lease6(pool6)))]
  } finally {
    connection.destroy()
  }
}

/** What is selected of the pool: releases before 2.5 know none. */
const poolOf = async (connection: Connection, table: 'lease4' | 'lease6'): Promise<string> => {
  const [rows] = await connection.query<RowDataPacket[]>(`SHOW COLUMNS FROM ${table} LIKE 'pool\\_id'`)
  return rows.length > 0 ? ', pool_id' : ''
}

const table = async (answer: Promise<unknown>): Promise<KeaRows> => {
  const [rows, fields] = (await answer) as [RowDataPacket[], FieldPacket[]]
  const columns = fields.map(({ name }) => name)
  return { columns, rows: rows.map((row) => columns.map((column) => String(row[column]))) }
}
