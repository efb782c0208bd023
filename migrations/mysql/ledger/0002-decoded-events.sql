-- The events for people: what their data says, in columns. Times are in UTC. An event whose text MySQL's JSON refuses
-- shows with its data alone.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW ledger_events AS
SELECT w.name AS log,
       e.seq,
       e.stream,
       e.revision,
       e.recorded_at,
       e.type,
       substr(e.stream, 1, locate('/', e.stream) - 1) AS category,
       substr(e.stream, locate('/', e.stream) + 1) AS address,
       json_unquote(json_extract(e.doc, '$.lease.holder')) AS holder,
       -- A colon behind every octet. Each insert reads the one inside it: MariaDB 10.11 gave a garbled text where one
       -- column of a derived table was read several times in one function.
       nullif(trim(TRAILING ':' FROM
         insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(insert(e.hw,
         3, 0, ':'), 6, 0, ':'), 9, 0, ':'), 12, 0, ':'), 15, 0, ':'), 18, 0, ':'), 21, 0, ':'), 24, 0, ':'),
         27, 0, ':'), 30, 0, ':'), 33, 0, ':'), 36, 0, ':'), 39, 0, ':'), 42, 0, ':'), 45, 0, ':'), 48, 0,
         ':'), 51, 0, ':'), 54, 0, ':'), 57, 0, ':')), '') AS mac,
       CAST(json_unquote(json_extract(e.doc, '$.lease.hwType')) AS UNSIGNED) AS hwtype,
       json_unquote(json_extract(e.doc, '$.lease.clientId')) AS client_id,
       json_unquote(json_extract(e.doc, '$.lease.duid')) AS duid,
       CAST(json_unquote(json_extract(e.doc, '$.lease.iaid')) AS UNSIGNED) AS iaid,
       json_unquote(json_extract(e.doc, '$.lease.hostname')) AS hostname,
       json_unquote(json_extract(e.doc, '$.lease.relay.address')) AS relay_address,
       json_unquote(json_extract(e.doc, '$.lease.relay.peer')) AS relay_peer,
       json_unquote(json_extract(e.doc, '$.lease.relay.circuitId')) AS circuit_id,
       json_unquote(json_extract(e.doc, '$.lease.relay.remoteId')) AS remote_id,
       json_unquote(json_extract(e.doc, '$.lease.relay.interfaceId')) AS interface_id,
       timestampadd(MICROSECOND, CAST(json_unquote(json_extract(e.doc, '$.lease.startsAt')) AS SIGNED) * 1000, CAST('1970-01-01' AS DATETIME(3))) AS starts_at,
       timestampadd(MICROSECOND, CAST(json_unquote(json_extract(e.doc, '$.lease.expiresAt')) AS SIGNED) * 1000, CAST('1970-01-01' AS DATETIME(3))) AS expires_at,
       CAST(json_unquote(json_extract(e.doc, '$.lease.validLifetimeSec')) AS UNSIGNED) AS valid_lifetime,
       CAST(json_unquote(json_extract(e.doc, '$.lease.renewals')) AS UNSIGNED) AS renewals,
       CAST(json_unquote(json_extract(e.doc, '$.lease.subnetId')) AS UNSIGNED) AS subnet_id,
       CAST(json_unquote(json_extract(e.doc, '$.lease.poolId')) AS UNSIGNED) AS pool_id,
       coalesce(json_unquote(json_extract(e.doc, '$.reason')),
                json_unquote(json_extract(e.doc, '$.cause')),
                json_unquote(json_extract(e.doc, '$.source'))) AS note,
       coalesce(json_contains_path(e.doc, 'one', '$.erased'), 0) AS erased,
       e.schema_version,
       e.data,
       lower(hex(e.hash)) AS hash
FROM (
  SELECT writer, seq, stream, revision, recorded_at, type, schema_version, data, hash,
         CASE WHEN json_valid(data) THEN data END AS doc,
         CASE WHEN json_valid(data) THEN json_unquote(json_extract(data, '$.lease.hwAddress')) END AS hw
  FROM events
) AS e
JOIN writers AS w ON w.writer = e.writer;
