-- The lease tables: one row for each address or prefix that ever had an event, showing what its last event left.
--
-- The columns down to pool_id are those of Kea's schema 35 in names, types, order and meaning (user_context alone is
-- wider: an event that does not fit would hold up all that follow); what follows them is ours. The projector alone
-- writes here. Everything can be dropped and rebuilt from the ledger (`ledger replay`).
--
-- Every statement does no harm when it is run again: definitions end the transaction around them, and a file that
-- fails in the middle stays half done. The engine is put in by adapters/mysql. Moments of ours are DATETIME in UTC;
-- Kea's `expire` is a TIMESTAMP and shows in the time zone of the session.
--
-- Left out on purpose: Kea's triggers for the statistics (all servers would wait for each other at one row a subnet;
-- the projector writes each statistic once a batch), foreign keys to the look-up tables, and the indexes over
-- (expire, state) and (state, subnet_id), which every renewal would have to move an entry of and nothing here needs.
-- A Kea that is to run on these tables wants CREATE INDEX lease4_by_expire_state ON lease4 (expire, state).

CREATE TABLE IF NOT EXISTS lease_state (
  state INT UNSIGNED NOT NULL PRIMARY KEY,
  name  VARCHAR(64) CHARACTER SET utf8mb4 NOT NULL
) ENGINE = InnoDB;
INSERT IGNORE INTO lease_state VALUES
  (0, 'default'), (1, 'declined'), (2, 'expired-reclaimed'), (3, 'released'), (4, 'registered');

CREATE TABLE IF NOT EXISTS lease6_types (
  lease_type TINYINT NOT NULL PRIMARY KEY,
  name       VARCHAR(5) CHARACTER SET utf8mb4
) ENGINE = InnoDB;
INSERT IGNORE INTO lease6_types VALUES (0, 'IA_NA'), (2, 'IA_PD');

CREATE TABLE IF NOT EXISTS lease_hwaddr_source (
  hwaddr_source INT UNSIGNED NOT NULL PRIMARY KEY,
  name          VARCHAR(40) CHARACTER SET utf8mb4
) ENGINE = InnoDB;
INSERT IGNORE INTO lease_hwaddr_source VALUES
  (0, 'HWADDR_SOURCE_UNKNOWN'), (1, 'HWADDR_SOURCE_RAW'), (2, 'HWADDR_SOURCE_IPV6_LINK_LOCAL'),
  (4, 'HWADDR_SOURCE_DUID'), (8, 'HWADDR_SOURCE_CLIENT_ADDR_RELAY_OPTION'), (16, 'HWADDR_SOURCE_REMOTE_ID'),
  (32, 'HWADDR_SOURCE_SUBSCRIBER_ID'), (64, 'HWADDR_SOURCE_DOCSIS_CMTS'), (128, 'HWADDR_SOURCE_DOCSIS_MODEM');

-- How far the tables of a projection are in each log. Moves in the transaction that writes the rows.
CREATE TABLE IF NOT EXISTS lease_checkpoints (
  projection VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  log        VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  seq        BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (projection, log)
) ENGINE = InnoDB;

-- relay and kept are JSON kept as text: MySQL's JSON would not give the same text back.
CREATE TABLE IF NOT EXISTS lease4 (
  address         INT UNSIGNED NOT NULL,
  hwaddr          VARBINARY(20) DEFAULT NULL,
  client_id       VARBINARY(255) DEFAULT NULL,
  valid_lifetime  INT UNSIGNED DEFAULT NULL,
  expire          TIMESTAMP NULL DEFAULT NULL,
  subnet_id       INT UNSIGNED DEFAULT NULL,
  fqdn_fwd        TINYINT(1) DEFAULT NULL,
  fqdn_rev        TINYINT(1) DEFAULT NULL,
  hostname        VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci DEFAULT NULL,
  state           INT UNSIGNED DEFAULT 0,
  user_context    MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  relay_id        VARBINARY(255) DEFAULT NULL,
  remote_id       VARBINARY(255) DEFAULT NULL,
  pool_id         INT UNSIGNED NOT NULL DEFAULT 0,
  revision        BIGINT UNSIGNED NOT NULL,
  status          VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- offered, bound, released, declined, expired, revoked
  holder          MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  starts_at       DATETIME(3) NOT NULL,
  expires_at      DATETIME(3) NOT NULL, -- exact, to the millisecond, where expire is in seconds and ends in 2038
  renewals        BIGINT UNSIGNED NOT NULL,
  transaction_id  INT UNSIGNED NOT NULL,
  hwtype          SMALLINT UNSIGNED DEFAULT NULL,
  relay           MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  kept            MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, -- fields of the lease that the columns do not show
  recorded_at     DATETIME(3) NOT NULL,
  log             VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- the server that recorded the last event
  seq             BIGINT UNSIGNED NOT NULL,                                        -- and where in its log
  prior_subnet_id INT UNSIGNED DEFAULT NULL, -- what the statistics counted this row as before its last change
  prior_pool_id   INT UNSIGNED DEFAULT NULL,
  prior_state     INT UNSIGNED DEFAULT NULL,
  PRIMARY KEY (address),
  KEY lease4_by_client_id (client_id, subnet_id),
  KEY lease4_by_hwaddr (hwaddr, subnet_id),
  KEY lease4_by_hostname (hostname),
  KEY lease4_by_subnet_id (subnet_id),
  KEY lease4_by_remote_id (remote_id),
  KEY lease4_by_relay_id (relay_id)
) ENGINE = InnoDB;

-- Kea has the address alone for a key. A ledger also remembers prefixes of other lengths that began at the same
-- address, each with a stream and a row of its own.
CREATE TABLE IF NOT EXISTS lease6 (
  address         BINARY(16) NOT NULL,
  duid            VARBINARY(130) DEFAULT NULL,
  valid_lifetime  INT UNSIGNED DEFAULT NULL,
  expire          TIMESTAMP NULL DEFAULT NULL,
  subnet_id       INT UNSIGNED DEFAULT NULL,
  pref_lifetime   INT UNSIGNED DEFAULT NULL,
  lease_type      TINYINT NOT NULL,
  iaid            INT UNSIGNED DEFAULT NULL,
  prefix_len      TINYINT UNSIGNED NOT NULL,
  fqdn_fwd        TINYINT(1) DEFAULT NULL,
  fqdn_rev        TINYINT(1) DEFAULT NULL,
  hostname        VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci DEFAULT NULL,
  hwaddr          VARBINARY(20) DEFAULT NULL,
  hwtype          SMALLINT UNSIGNED DEFAULT NULL,
  hwaddr_source   INT UNSIGNED DEFAULT NULL,
  state           INT UNSIGNED DEFAULT 0,
  user_context    MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  pool_id         INT UNSIGNED NOT NULL DEFAULT 0,
  revision        BIGINT UNSIGNED NOT NULL,
  status          VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  holder          MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  starts_at       DATETIME(3) NOT NULL,
  expires_at      DATETIME(3) NOT NULL,
  renewals        BIGINT UNSIGNED NOT NULL,
  transaction_id  INT UNSIGNED NOT NULL,
  relay           MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  kept            MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  recorded_at     DATETIME(3) NOT NULL,
  log             VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  seq             BIGINT UNSIGNED NOT NULL,
  prior_subnet_id INT UNSIGNED DEFAULT NULL,
  prior_pool_id   INT UNSIGNED DEFAULT NULL,
  prior_state     INT UNSIGNED DEFAULT NULL,
  PRIMARY KEY (address, prefix_len, lease_type),
  KEY lease6_by_duid_iaid_subnet_id (duid, iaid, subnet_id),
  KEY lease6_by_hwaddr (hwaddr),
  KEY lease6_by_hostname (hostname),
  KEY lease6_by_subnet_id_lease_type (subnet_id, lease_type)
) ENGINE = InnoDB;

-- Leases in use (state 0) and declined (state 1), as Kea counts them. A row stays when its count falls to 0.
CREATE TABLE IF NOT EXISTS lease4_stat (
  subnet_id INT UNSIGNED NOT NULL,
  state     INT UNSIGNED NOT NULL,
  leases    BIGINT,
  PRIMARY KEY (subnet_id, state)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS lease4_pool_stat (
  subnet_id INT UNSIGNED NOT NULL,
  pool_id   INT UNSIGNED NOT NULL,
  state     INT UNSIGNED NOT NULL,
  leases    BIGINT,
  PRIMARY KEY (subnet_id, pool_id, state)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS lease6_stat (
  subnet_id  INT UNSIGNED NOT NULL,
  lease_type INT UNSIGNED NOT NULL,
  state      INT UNSIGNED NOT NULL,
  leases     BIGINT,
  PRIMARY KEY (subnet_id, lease_type, state)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS lease6_pool_stat (
  subnet_id  INT UNSIGNED NOT NULL,
  pool_id    INT UNSIGNED NOT NULL,
  lease_type INT UNSIGNED NOT NULL,
  state      INT UNSIGNED NOT NULL,
  leases     BIGINT,
  PRIMARY KEY (subnet_id, pool_id, lease_type, state)
) ENGINE = InnoDB;

-- For people: both families in one view, addresses as text, times in UTC, MACs with colons. A lease whose time is over
-- shows as expired even before its event is written. What Kea's columns leave out of a declined or expired lease is
-- shown here. MACs are cut into octets by hand: the two dialects write a regular expression's groups differently.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW leases AS
SELECT CASE WHEN l.status = 'bound' AND l.expires_at <= utc_timestamp(3) THEN 'expired' ELSE l.status END AS status,
       l.family,
       l.address,
       nullif(concat_ws(':',
         substr(l.hw, 1, 2), nullif(substr(l.hw, 3, 2), ''), nullif(substr(l.hw, 5, 2), ''),
         nullif(substr(l.hw, 7, 2), ''), nullif(substr(l.hw, 9, 2), ''), nullif(substr(l.hw, 11, 2), ''),
         nullif(substr(l.hw, 13, 2), ''), nullif(substr(l.hw, 15, 2), ''), nullif(substr(l.hw, 17, 2), ''),
         nullif(substr(l.hw, 19, 2), ''), nullif(substr(l.hw, 21, 2), ''), nullif(substr(l.hw, 23, 2), ''),
         nullif(substr(l.hw, 25, 2), ''), nullif(substr(l.hw, 27, 2), ''), nullif(substr(l.hw, 29, 2), ''),
         nullif(substr(l.hw, 31, 2), ''), nullif(substr(l.hw, 33, 2), ''), nullif(substr(l.hw, 35, 2), ''),
         nullif(substr(l.hw, 37, 2), ''), nullif(substr(l.hw, 39, 2), '')), '') AS mac,
       l.client_id,
       l.duid,
       l.iaid,
       l.hostname,
       l.subnet_id,
       l.pool_id,
       l.starts_at,
       l.expires_at,
       l.renewals,
       l.recorded_at AS last_event_at,
       l.log         AS server,
       json_unquote(json_extract(l.relay, '$.address'))      AS relay_address,
       json_unquote(json_extract(l.relay, '$.peer'))         AS relay_peer,
       json_unquote(json_extract(l.relay, '$.circuitId'))    AS circuit_id,
       json_unquote(json_extract(l.relay, '$.remoteId'))     AS remote_id,
       json_unquote(json_extract(l.relay, '$.interfaceId'))  AS interface_id,
       json_unquote(json_extract(l.relay, '$.subscriberId')) AS subscriber_id,
       json_unquote(json_extract(l.relay, '$.relayId'))      AS relay_id,
       l.user_context,
       l.holder,
       l.revision
FROM (
  SELECT 4 AS family, inet_ntoa(address) AS address, status,
         coalesce(lower(hex(hwaddr)), json_unquote(json_extract(kept, '$.hwAddress'))) AS hw,
         coalesce(lower(hex(client_id)), json_unquote(json_extract(kept, '$.clientId'))) AS client_id,
         json_unquote(json_extract(kept, '$.duid')) AS duid, NULL AS iaid,
         coalesce(hostname, json_unquote(json_extract(kept, '$.hostname'))) AS hostname,
         subnet_id, pool_id, starts_at, expires_at, renewals, recorded_at, log, relay, user_context, holder, revision
  FROM lease4
  UNION ALL
  SELECT 6, CASE WHEN lease_type = 2 THEN concat(inet6_ntoa(address), '/', prefix_len) ELSE inet6_ntoa(address) END,
         status,
         coalesce(lower(hex(hwaddr)), json_unquote(json_extract(kept, '$.hwAddress'))),
         json_unquote(json_extract(kept, '$.clientId')),
         coalesce(nullif(json_unquote(json_extract(kept, '$.duid')), 'null'), lower(hex(duid))), iaid,
         coalesce(hostname, json_unquote(json_extract(kept, '$.hostname'))),
         subnet_id, pool_id, starts_at, expires_at, renewals, recorded_at, log, relay, user_context, holder, revision
  FROM lease6
) AS l;
