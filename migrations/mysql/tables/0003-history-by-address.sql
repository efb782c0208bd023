-- What can be looked up by an index: MySQL has none over what a view works out. address_octets is as inet6_aton() gives it
-- and last_octets the end of a prefix, the same for an address; hostname_lower is the name without regard to case.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW lease_history AS
SELECT CASE WHEN s.category = 'prefix6' THEN concat(inet6_ntoa(s.address), '/', s.prefix_len)
            ELSE inet6_ntoa(s.address) END AS address,
       s.category,
       s.starts_at AS valid_from,
       CASE WHEN s.ended_at < s.granted_to THEN greatest(s.starts_at, s.ended_at)
            ELSE greatest(s.starts_at, s.granted_to) END AS valid_to,
       CASE WHEN s.ended_at < s.granted_to OR s.end_revision = s.bound_revision THEN s.end_by
            WHEN s.end_by IS NOT NULL OR s.granted_to <= utc_timestamp(3) THEN 'expired'
            ELSE 'held' END AS ended_by,
       s.mac,
       s.hwtype,
       s.client_id,
       s.duid,
       s.iaid,
       s.hostname,
       json_unquote(json_extract(s.relay, '$.address')) AS relay_address,
       json_unquote(json_extract(s.relay, '$.peer')) AS relay_peer,
       s.circuit_id,
       s.remote_id,
       json_unquote(json_extract(s.relay, '$.interfaceId')) AS interface_id,
       json_unquote(json_extract(s.relay, '$.subscriberId')) AS subscriber_id,
       json_unquote(json_extract(s.relay, '$.relayId')) AS relay_id,
       s.formerly,
       s.valid_lifetime,
       s.renewals,
       CASE WHEN s.renewals > 0 THEN s.bound_at END AS renewed_at,
       s.subnet_id,
       s.pool_id,
       s.first_log AS server,
       s.holder,
       s.first_revision,
       coalesce(s.end_revision, s.bound_revision) AS last_revision,
       s.first_log,
       s.first_seq,
       CASE WHEN s.end_by IS NULL THEN s.bound_log ELSE s.end_log END AS last_log,
       CASE WHEN s.end_by IS NULL THEN s.bound_seq ELSE s.end_seq END AS last_seq,
       s.address AS address_octets,
       s.last_address AS last_octets,
       s.hostname_lower
FROM lease_spans AS s
WHERE s.bound_revision >= 0;
