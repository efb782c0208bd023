-- The lease tables: one row for each address or prefix that ever had an event, showing what its last event left.
--
-- The columns down to pool_id are those of Kea's schema 34 in names, types and meaning; what follows them is ours. The
-- projector alone writes here. Everything can be dropped and rebuilt from the ledger (`ledger replay`).
--
-- Left out on purpose:
-- * Kea's triggers for the statistics. They make one row of each subnet the place where all servers wait for each
--   other; the projector adds a whole batch up and writes each statistic once.
-- * Foreign keys to the look-up tables. The only writer knows the numbers, and a key costs a look-up each row.
-- * Kea's index over (state, expire), by which its server finds what to reclaim. Expiry is found in memory here, and
--   every renewal would have to move its entry; without it a renewal touches no index at all (HOT). Measured with
--   40,000 leases on 2 cores: 42,000 renewals a second without it and (state, subnet_id), 29,000 with both, and half
--   the size of all indexes. A Kea that is to run on these tables wants it: CREATE INDEX ON lease4 (state, expire).
-- * Kea's index over (state, subnet_id): counts come from the statistics.

CREATE TABLE lease_state (
  state bigint PRIMARY KEY,
  name  varchar(64) NOT NULL
);
INSERT INTO lease_state VALUES (0, 'default'), (1, 'declined'), (2, 'expired-reclaimed'), (3, 'released'),
                               (4, 'registered');

CREATE TABLE lease6_types (
  lease_type smallint PRIMARY KEY,
  name       varchar(5)
);
INSERT INTO lease6_types VALUES (0, 'IA_NA'), (2, 'IA_PD');

CREATE TABLE lease_hwaddr_source (
  hwaddr_source int PRIMARY KEY,
  name          varchar(40)
);
INSERT INTO lease_hwaddr_source VALUES
  (0, 'HWADDR_SOURCE_UNKNOWN'), (1, 'HWADDR_SOURCE_RAW'), (2, 'HWADDR_SOURCE_IPV6_LINK_LOCAL'),
  (4, 'HWADDR_SOURCE_DUID'), (8, 'HWADDR_SOURCE_CLIENT_ADDR_RELAY_OPTION'), (16, 'HWADDR_SOURCE_REMOTE_ID'),
  (32, 'HWADDR_SOURCE_SUBSCRIBER_ID'), (64, 'HWADDR_SOURCE_DOCSIS_CMTS'), (128, 'HWADDR_SOURCE_DOCSIS_MODEM');

-- How far the tables of a projection are in each log. Moves in the transaction that writes the rows.
CREATE TABLE lease_checkpoints (
  projection text   NOT NULL,
  log        text   NOT NULL,
  seq        bigint NOT NULL,
  PRIMARY KEY (projection, log)
) WITH (fillfactor = 50);

-- Pages are left partly empty so that the next version of a row finds room beside it and its indexes are not touched.
CREATE TABLE lease4 (
  address         bigint PRIMARY KEY,
  hwaddr          bytea,
  client_id       bytea,
  valid_lifetime  bigint,
  expire          timestamptz,
  subnet_id       bigint,
  fqdn_fwd        boolean,
  fqdn_rev        boolean,
  hostname        varchar(255),
  state           bigint DEFAULT 0,
  user_context    text,
  relay_id        bytea,
  remote_id       bytea,
  pool_id         bigint NOT NULL DEFAULT 0,
  revision        bigint NOT NULL,
  status          text NOT NULL,      -- offered, bound, released, declined, expired, revoked
  holder          text NOT NULL,
  starts_at       timestamptz NOT NULL,
  expires_at      timestamptz NOT NULL, -- exact, to the millisecond, where expire is in seconds and ends in 2038
  renewals        bigint NOT NULL,
  transaction_id  bigint NOT NULL,
  hwtype          smallint,
  relay           json,
  kept            json,               -- fields of the lease that the columns do not show
  recorded_at     timestamptz NOT NULL,
  log             text NOT NULL,      -- the server that recorded the last event, and where in its log
  seq             bigint NOT NULL,
  prior_subnet_id bigint,             -- what the statistics counted this row as before its last change
  prior_pool_id   bigint,
  prior_state     bigint
) WITH (fillfactor = 75);

CREATE INDEX ON lease4 (client_id, subnet_id);
CREATE INDEX ON lease4 (hwaddr, subnet_id);
CREATE INDEX ON lease4 (lower(hostname));
CREATE INDEX ON lease4 (subnet_id);
CREATE INDEX ON lease4 (remote_id) WHERE remote_id IS NOT NULL;
CREATE INDEX ON lease4 (relay_id) WHERE relay_id IS NOT NULL;

-- Kea has the address alone for a key. A ledger also remembers prefixes of other lengths that began at the same
-- address, each with a stream and a row of its own.
CREATE TABLE lease6 (
  address         inet NOT NULL,
  duid            bytea,
  valid_lifetime  bigint,
  expire          timestamptz,
  subnet_id       bigint,
  pref_lifetime   bigint,
  lease_type      smallint,
  iaid            int,                -- signed, as in Kea: the unsigned IAID less 2^32 from 2^31 on
  prefix_len      smallint,
  fqdn_fwd        boolean,
  fqdn_rev        boolean,
  hostname        varchar(255),
  state           bigint DEFAULT 0,
  hwaddr          bytea,
  hwtype          smallint,
  hwaddr_source   smallint,
  user_context    text,
  pool_id         bigint NOT NULL DEFAULT 0,
  revision        bigint NOT NULL,
  status          text NOT NULL,
  holder          text NOT NULL,
  starts_at       timestamptz NOT NULL,
  expires_at      timestamptz NOT NULL,
  renewals        bigint NOT NULL,
  transaction_id  bigint NOT NULL,
  relay           json,
  kept            json,
  recorded_at     timestamptz NOT NULL,
  log             text NOT NULL,
  seq             bigint NOT NULL,
  prior_subnet_id bigint,
  prior_pool_id   bigint,
  prior_state     bigint,
  PRIMARY KEY (address, prefix_len, lease_type)
) WITH (fillfactor = 75);

CREATE INDEX ON lease6 (duid, iaid, subnet_id);
CREATE INDEX ON lease6 (hwaddr) WHERE hwaddr IS NOT NULL;
CREATE INDEX ON lease6 (lower(hostname));
CREATE INDEX ON lease6 (subnet_id, lease_type);

-- Leases in use (state 0) and declined (state 1), as Kea counts them. A row stays when its count falls to 0.
CREATE TABLE lease4_stat (
  subnet_id bigint NOT NULL,
  state     bigint NOT NULL,
  leases    bigint,
  PRIMARY KEY (subnet_id, state)
) WITH (fillfactor = 50);

CREATE TABLE lease4_pool_stat (
  subnet_id bigint NOT NULL,
  pool_id   bigint NOT NULL,
  state     bigint NOT NULL,
  leases    bigint,
  PRIMARY KEY (subnet_id, pool_id, state)
) WITH (fillfactor = 50);

CREATE TABLE lease6_stat (
  subnet_id  bigint NOT NULL,
  lease_type smallint NOT NULL,
  state      bigint NOT NULL,
  leases     bigint,
  PRIMARY KEY (subnet_id, lease_type, state)
) WITH (fillfactor = 50);

CREATE TABLE lease6_pool_stat (
  subnet_id  bigint NOT NULL,
  pool_id    bigint NOT NULL,
  lease_type smallint NOT NULL,
  state      bigint NOT NULL,
  leases     bigint,
  PRIMARY KEY (subnet_id, pool_id, lease_type, state)
) WITH (fillfactor = 50);

-- For people: both families in one view, addresses and times in their own types, MACs with colons. A lease whose time
-- is over shows as expired even before its event is written. What Kea's columns leave out of a declined or expired
-- lease is shown here.
CREATE VIEW leases AS
SELECT CASE WHEN l.status = 'bound' AND l.expires_at <= now() THEN 'expired' ELSE l.status END AS status,
       l.family,
       l.address,
       l.mac,
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
       l.relay ->> 'address'      AS relay_address,
       l.relay ->> 'peer'         AS relay_peer,
       l.relay ->> 'circuitId'    AS circuit_id,
       l.relay ->> 'remoteId'     AS remote_id,
       l.relay ->> 'interfaceId'  AS interface_id,
       l.relay ->> 'subscriberId' AS subscriber_id,
       l.relay ->> 'relayId'      AS relay_id,
       l.user_context,
       l.holder,
       l.revision
FROM (
  SELECT 4 AS family, '0.0.0.0'::inet + address AS address, status,
         regexp_replace(coalesce(encode(hwaddr, 'hex'), kept ->> 'hwAddress'), '(..)(?!$)', '\1:', 'g') AS mac,
         coalesce(encode(client_id, 'hex'), kept ->> 'clientId') AS client_id,
         kept ->> 'duid' AS duid, NULL::bigint AS iaid,
         coalesce(hostname, kept ->> 'hostname') AS hostname,
         subnet_id, pool_id, starts_at, expires_at, renewals, recorded_at, log, relay, user_context, holder, revision
  FROM lease4
  UNION ALL
  SELECT 6, CASE WHEN lease_type = 2 THEN set_masklen(address, prefix_len) ELSE address END, status,
         regexp_replace(coalesce(encode(hwaddr, 'hex'), kept ->> 'hwAddress'), '(..)(?!$)', '\1:', 'g'),
         kept ->> 'clientId',
         coalesce(kept ->> 'duid', encode(duid, 'hex')), iaid::bigint & 4294967295,
         coalesce(hostname, kept ->> 'hostname'),
         subnet_id, pool_id, starts_at, expires_at, renewals, recorded_at, log, relay, user_context, holder, revision
  FROM lease6
) AS l;
