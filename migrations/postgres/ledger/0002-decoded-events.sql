-- The events for people: what their data says, in columns.
CREATE VIEW ledger_events AS
SELECT w.name AS log,
       e.seq,
       e.stream,
       e.revision,
       e.recorded_at,
       e.type,
       split_part(e.stream, '/', 1) AS category,
       substr(e.stream, strpos(e.stream, '/') + 1)::inet AS address,
       e.data -> 'lease' ->> 'holder' AS holder,
       regexp_replace(e.data -> 'lease' ->> 'hwAddress', '(..)(?!$)', '\1:', 'g') AS mac,
       (e.data -> 'lease' ->> 'hwType')::int AS hwtype,
       e.data -> 'lease' ->> 'clientId' AS client_id,
       e.data -> 'lease' ->> 'duid' AS duid,
       (e.data -> 'lease' ->> 'iaid')::bigint AS iaid,
       e.data -> 'lease' ->> 'hostname' AS hostname,
       e.data -> 'lease' -> 'relay' ->> 'address' AS relay_address,
       e.data -> 'lease' -> 'relay' ->> 'peer' AS relay_peer,
       e.data -> 'lease' -> 'relay' ->> 'circuitId' AS circuit_id,
       e.data -> 'lease' -> 'relay' ->> 'remoteId' AS remote_id,
       e.data -> 'lease' -> 'relay' ->> 'interfaceId' AS interface_id,
       to_timestamp((e.data -> 'lease' ->> 'startsAt')::numeric / 1000) AS starts_at,
       to_timestamp((e.data -> 'lease' ->> 'expiresAt')::numeric / 1000) AS expires_at,
       (e.data -> 'lease' ->> 'validLifetimeSec')::bigint AS valid_lifetime,
       (e.data -> 'lease' ->> 'renewals')::bigint AS renewals,
       (e.data -> 'lease' ->> 'subnetId')::bigint AS subnet_id,
       (e.data -> 'lease' ->> 'poolId')::bigint AS pool_id,
       coalesce(e.data ->> 'reason', e.data ->> 'cause', e.data ->> 'source') AS note,
       e.data -> 'erased' IS NOT NULL AS erased,
       e.schema_version,
       e.data,
       e.hash
FROM events AS e
JOIN writers AS w ON w.writer = e.writer;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lease_ledger_reader') THEN
    GRANT SELECT ON ledger_events TO lease_ledger_reader;
  END IF;
END
$$;
