/** The leases of a running Kea in PostgreSQL, as the texts that Kea's lease file would have. Read-only. */
import postgres from 'postgres'
import type { KeaRows } from '../kea-statements.ts'

// A row is read as JSON where releases differ: earlier ones have no pools, and IPv6 addresses as text.
const LEASE4 = `
SELECT host('0.0.0.0'::inet + address) AS address,
       coalesce(encode(hwaddr, 'hex'), '') AS hwaddr,
       coalesce(encode(client_id, 'hex'), '') AS client_id,
       coalesce(valid_lifetime, 0)::text AS valid_lifetime,
       extract(epoch FROM expire)::bigint::text AS expire,
       coalesce(subnet_id, 0)::text AS subnet_id,
       coalesce(fqdn_fwd, false)::int::text AS fqdn_fwd,
       coalesce(fqdn_rev, false)::int::text AS fqdn_rev,
       coalesce(replace(hostname, '&#x', '&#x26#x'), '') AS hostname,
       coalesce(state, 0)::text AS state,
       coalesce(replace(user_context, '&#x', '&#x26#x'), '') AS user_context,
       coalesce(to_jsonb(l) ->> 'pool_id', '0') AS pool_id
FROM lease4 AS l
ORDER BY l.address`

const LEASE6 = `
SELECT host((to_jsonb(l) ->> 'address')::inet) AS address,
       coalesce(encode(duid, 'hex'), '') AS duid,
       coalesce(valid_lifetime, 0)::text AS valid_lifetime,
       extract(epoch FROM expire)::bigint::text AS expire,
       coalesce(subnet_id, 0)::text AS subnet_id,
       coalesce(pref_lifetime, 0)::text AS pref_lifetime,
       coalesce(lease_type, 0)::text AS lease_type,
       coalesce(iaid, 0)::text AS iaid,
       coalesce(prefix_len, 128)::text AS prefix_len,
       coalesce(fqdn_fwd, false)::int::text AS fqdn_fwd,
       coalesce(fqdn_rev, false)::int::text AS fqdn_rev,
       coalesce(replace(hostname, '&#x', '&#x26#x'), '') AS hostname,
       coalesce(encode(hwaddr, 'hex'), '') AS hwaddr,
       coalesce(state, 0)::text AS state,
       coalesce(replace(user_context, '&#x', '&#x26#x'), '') AS user_context,
       coalesce(hwtype, 0)::text AS hwtype,
       coalesce(hwaddr_source, 0)::text AS hwaddr_source,
       coalesce(to_jsonb(l) ->> 'pool_id', '0') AS pool_id
FROM lease6 AS l
ORDER BY l.address`

/** Reads both tables, as they stood at one moment. `url` is `postgresql://…`. Rejects with the driver's error. */
export const readKeaPostgres = async (url: string): Promise<ReadonlyArray<KeaRows>> => {
  const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice: () => undefined })
  try {
    const read = await sql.begin('ISOLATION LEVEL REPEATABLE READ READ ONLY', async (transaction) => [
      await transaction.unsafe(LEASE4),
      await transaction.unsafe(LEASE6),
    ])
    return read.map((rows) => ({
      columns: rows.columns.map(({ name }) => name),
      rows: rows.map((row) => Object.values(row) as string[]),
    }))
  } finally {
    await sql.end({ timeout: 1 })
  }
}
