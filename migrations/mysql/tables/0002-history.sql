-- Who held what, from when to when: one row a span. Contiguous renewals of one holder are one span. The projector alone
-- writes here, in the transaction that writes the lease tables; `ledger replay` rebuilds both.
--
-- MySQL has no constraint that refuses two clients at one address at once: `ledger verify` looks for them.

-- span_key names the span: 16 octets of the address (IPv4 padded), then the beginning of the SHA-256 of its stream, start
-- and holder, which are too long for a key. Addresses are 4 or 16 octets; last_address is the end of a prefix.
CREATE TABLE IF NOT EXISTS lease_spans (
  span_key        BINARY(32) NOT NULL,
  address         VARBINARY(16) NOT NULL,
  last_address    VARBINARY(16) NOT NULL,
  prefix_len      TINYINT UNSIGNED NOT NULL,
  category        VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- lease4, lease6, prefix6
  starts_at       DATETIME(3) NOT NULL,
  holder          MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  bound_revision  BIGINT DEFAULT NULL, -- -1 while no event is known that gave it to anybody; NULL while it is being made
  bound_at        DATETIME(3) DEFAULT NULL,
  bound_log       VARCHAR(96) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  bound_seq       BIGINT UNSIGNED DEFAULT NULL,
  granted_to      DATETIME(3) DEFAULT NULL,
  renewals        BIGINT UNSIGNED DEFAULT NULL,
  valid_lifetime  BIGINT UNSIGNED DEFAULT NULL, -- seconds
  hwtype          INT UNSIGNED DEFAULT NULL,
  mac             VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  client_id       VARCHAR(510) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  duid            VARCHAR(510) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  iaid            BIGINT UNSIGNED DEFAULT NULL,
  hostname        MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  hostname_lower  VARCHAR(510) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  circuit_id      VARCHAR(510) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  remote_id       VARCHAR(510) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  relay           MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  subnet_id       BIGINT UNSIGNED DEFAULT NULL,
  pool_id         BIGINT UNSIGNED DEFAULT NULL,
  first_revision  BIGINT DEFAULT NULL,
  first_at        DATETIME(3) DEFAULT NULL,
  first_log       VARCHAR(96) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  first_seq       BIGINT UNSIGNED DEFAULT NULL,
  end_revision    BIGINT DEFAULT NULL, -- NULL while no event ended it
  end_by          VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  ended_at        DATETIME(3) DEFAULT NULL, -- when it ended
  end_at          DATETIME(3) DEFAULT NULL, -- when that was recorded
  end_log         VARCHAR(96) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  end_seq         BIGINT UNSIGNED DEFAULT NULL,
  formerly        MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, -- JSON: what the client was known by earlier, such as circuit-id=0004000a
  PRIMARY KEY (span_key),
  KEY lease_spans_by_address (address),
  KEY lease_spans_by_mac (mac, starts_at),
  KEY lease_spans_by_client_id (client_id, starts_at),
  KEY lease_spans_by_duid (duid, starts_at),
  KEY lease_spans_by_hostname (hostname_lower, starts_at),
  KEY lease_spans_by_circuit_id (circuit_id, starts_at),
  KEY lease_spans_by_remote_id (remote_id, starts_at)
) ENGINE = InnoDB;

-- Where to look for what a client was known by earlier in a span. An entry may outlast its truth; `formerly` decides.
CREATE TABLE IF NOT EXISTS lease_span_identifiers (
  identifier VARCHAR(530) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  span_key   BINARY(32) NOT NULL,
  PRIMARY KEY (identifier, span_key)
) ENGINE = InnoDB;

-- For people and their questions. A span that ran out shows as expired even before that is recorded. Times in UTC.
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
       CASE WHEN s.end_by IS NULL THEN s.bound_seq ELSE s.end_seq END AS last_seq
FROM lease_spans AS s
WHERE s.bound_revision >= 0;

-- Spans cannot be made from rows that show the last event only: the projector begins again at the start of the ledger.
TRUNCATE TABLE lease4;
TRUNCATE TABLE lease6;
TRUNCATE TABLE lease4_stat;
TRUNCATE TABLE lease6_stat;
TRUNCATE TABLE lease4_pool_stat;
TRUNCATE TABLE lease6_pool_stat;
TRUNCATE TABLE lease_span_identifiers;
TRUNCATE TABLE lease_spans;
TRUNCATE TABLE lease_checkpoints;
