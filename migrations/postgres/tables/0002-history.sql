-- Who held what, from when to when: one row a span. Contiguous renewals of one holder are one span. The projector alone
-- writes here, in the transaction that writes the lease tables; `ledger replay` rebuilds both.
--
-- A row is a fold of the span's events that does not depend on their order, because the events of one address may come
-- from the logs of several servers: the binding event with the highest revision says how long (bound_…), the ending one
-- with the lowest revision after it says how it ended (end_…).
--
-- A renewal changes no indexed column, so it touches no index (HOT); that is why the end of the grant stands in no index
-- and `held`, which does, is written only when a span begins and when it ends.
CREATE TABLE lease_spans (
  address         inet NOT NULL,      -- a delegated prefix with its length
  starts_at       timestamptz NOT NULL,
  holder          text NOT NULL,
  category        text NOT NULL,      -- lease4, lease6, prefix6
  bound_revision  bigint NOT NULL,    -- -1 while no event is known that gave it to anybody
  bound_at        timestamptz NOT NULL,
  bound_log       text NOT NULL,
  bound_seq       bigint NOT NULL,
  granted_to      timestamptz NOT NULL,
  renewals        bigint NOT NULL,
  valid_lifetime  bigint NOT NULL,    -- seconds
  hwtype          int,
  mac             text,
  client_id       text,
  duid            text,
  iaid            bigint,
  hostname        text,
  circuit_id      text,
  remote_id       text,
  relay           json,
  subnet_id       bigint NOT NULL,
  pool_id         bigint NOT NULL,
  first_revision  bigint NOT NULL,
  first_at        timestamptz NOT NULL,
  first_log       text NOT NULL,
  first_seq       bigint NOT NULL,
  end_revision    bigint NOT NULL,    -- 2^53 - 1 while no event ended it
  end_by          text,
  ended_at        timestamptz,        -- when it ended
  end_at          timestamptz,        -- when that was recorded
  end_log         text,
  end_seq         bigint,
  formerly        text[],             -- what the client was known by earlier in the span, such as circuit-id=0004000a
  held            tstzrange NOT NULL,
  disputed        boolean NOT NULL DEFAULT false,
  PRIMARY KEY (address, starts_at, holder, category),
  -- The database itself refuses two clients at one address at once. `held` is the time of which the clocks leave no
  -- doubt: nothing while no event is known that gave it to anybody, the instant of the claim while the span goes on, and when it has ended the whole of it, less the five seconds
  -- that the clocks of two servers may be apart if it ended before its time. Rejected: the time granted so far, which
  -- every renewal would have to change in the index, and which conflicts with the next holder's for as long as the log
  -- that holds the RELEASE is projected later than the log that holds the next claim. What is refused is kept with
  -- `disputed` set, so that one wrong clock does not stop the projection; `ledger verify` names it from the ledger.
  CONSTRAINT lease_spans_one_holder EXCLUDE USING gist (address inet_ops WITH =, held WITH &&)
    WHERE (NOT disputed)
) WITH (fillfactor = 75);

CREATE INDEX ON lease_spans (mac, starts_at) WHERE mac IS NOT NULL;
CREATE INDEX ON lease_spans (client_id, starts_at) WHERE client_id IS NOT NULL;
CREATE INDEX ON lease_spans (duid, starts_at) WHERE duid IS NOT NULL;
CREATE INDEX ON lease_spans (lower(hostname), starts_at) WHERE hostname IS NOT NULL;
CREATE INDEX ON lease_spans (circuit_id, starts_at) WHERE circuit_id IS NOT NULL;
CREATE INDEX ON lease_spans (remote_id, starts_at) WHERE remote_id IS NOT NULL;
CREATE INDEX ON lease_spans USING gin (formerly) WHERE formerly IS NOT NULL;
CREATE INDEX ON lease_spans (address) WHERE disputed;

-- For people and their questions. A span that ran out shows as expired even before that is recorded.
CREATE VIEW lease_history AS
SELECT s.address,
       s.category,
       s.starts_at AS valid_from,
       CASE WHEN s.ended_at < s.granted_to THEN greatest(s.starts_at, s.ended_at)
            ELSE greatest(s.starts_at, s.granted_to) END AS valid_to,
       CASE WHEN s.ended_at < s.granted_to OR s.end_revision = s.bound_revision THEN s.end_by
            WHEN s.end_by IS NOT NULL OR s.granted_to <= now() THEN 'expired'
            ELSE 'held' END AS ended_by,
       s.mac,
       s.hwtype,
       s.client_id,
       s.duid,
       s.iaid,
       s.hostname,
       s.relay ->> 'address'      AS relay_address,
       s.relay ->> 'peer'         AS relay_peer,
       s.circuit_id,
       s.remote_id,
       s.relay ->> 'interfaceId'  AS interface_id,
       s.relay ->> 'subscriberId' AS subscriber_id,
       s.relay ->> 'relayId'      AS relay_id,
       s.formerly,
       s.valid_lifetime,
       s.renewals,
       CASE WHEN s.renewals > 0 THEN s.bound_at END AS renewed_at,
       s.subnet_id,
       s.pool_id,
       s.first_log AS server,
       s.holder,
       s.first_revision,
       CASE WHEN s.end_by IS NULL THEN s.bound_revision ELSE s.end_revision END AS last_revision,
       s.first_log,
       s.first_seq,
       CASE WHEN s.end_by IS NULL THEN s.bound_log ELSE s.end_log END AS last_log,
       CASE WHEN s.end_by IS NULL THEN s.bound_seq ELSE s.end_seq END AS last_seq,
       s.disputed
FROM lease_spans AS s
WHERE s.bound_revision >= 0;

-- Spans cannot be made from rows that show the last event only: the projector begins again at the start of the ledger.
TRUNCATE lease4, lease6, lease4_stat, lease6_stat, lease4_pool_stat, lease6_pool_stat, lease_checkpoints;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lease_ledger_reader') THEN
    GRANT SELECT ON lease4, lease6, lease4_stat, lease6_stat, lease4_pool_stat, lease6_pool_stat, lease_checkpoints,
                    lease_state, lease6_types, lease_hwaddr_source, leases, lease_spans, lease_history
      TO lease_ledger_reader;
  END IF;
END
$$;
