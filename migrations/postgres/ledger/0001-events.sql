-- The ledger: what happened, who writes it, and what consumers have finished.

CREATE TABLE writers (
  writer      smallint GENERATED ALWAYS AS IDENTITY,
  name        text NOT NULL,
  -- Which process writes under this name now; see adapters/identity.ts.
  identity    text NOT NULL,
  first_start timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_start  timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat   timestamptz NOT NULL DEFAULT clock_timestamp(),
  stopped     boolean NOT NULL DEFAULT false,
  info        text NOT NULL DEFAULT '',
  CONSTRAINT writers_pkey PRIMARY KEY (writer),
  CONSTRAINT writers_name_key UNIQUE (name)
);

COMMENT ON TABLE writers IS 'The servers that write or wrote to the ledger; each has a log of its own.';

-- The eight-octet columns come first so that no row holds padding. The data is json and not jsonb: the text is kept
-- as it was hashed. The names of the first two constraints are read by adapters/postgres. No foreign key to writers:
-- it would lock and rewrite the row of the writer with every batch.
CREATE TABLE events (
  seq            bigint NOT NULL,
  revision       bigint NOT NULL,
  recorded_at    timestamptz NOT NULL,
  writer         smallint NOT NULL,
  schema_version smallint NOT NULL,
  stream         text COLLATE "C" NOT NULL,
  type           text COLLATE "C" NOT NULL,
  data           json NOT NULL,
  hash           bytea NOT NULL,
  CONSTRAINT events_log_key PRIMARY KEY (writer, seq),
  CONSTRAINT events_stream_key UNIQUE (stream, revision),
  CONSTRAINT events_seq_check CHECK (seq > 0),
  CONSTRAINT events_revision_check CHECK (revision >= 0),
  CONSTRAINT events_hash_check CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE events IS 'The lease events. Never changed, never removed.';

CREATE FUNCTION lease_ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the events of the lease ledger are never changed or removed (% refused)', TG_OP
    USING ERRCODE = 'insufficient_privilege';
END
$$;

-- For each statement, so that it also refuses one that finds no row; always, so that a session in replica mode
-- (session_replication_role) is refused too.
CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION lease_ledger_refuse_change();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_immutable;

CREATE TABLE projection_checkpoints (
  projection text NOT NULL,
  log        text NOT NULL,
  seq        bigint NOT NULL,
  CONSTRAINT projection_checkpoints_pkey PRIMARY KEY (projection, log)
);

COMMENT ON TABLE projection_checkpoints IS 'How far each projection has read each log.';

-- What a reinstalled server must find again, such as its DUID.
CREATE TABLE properties (
  key   text NOT NULL,
  value text NOT NULL,
  CONSTRAINT properties_pkey PRIMARY KEY (key)
);

-- A role that may read everything and change nothing, for people and reports:
-- GRANT lease_ledger_reader TO somebody. Where this account may not make roles, the administrator makes it beforehand.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lease_ledger_reader')
     AND EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreaterole)) THEN
    BEGIN
      CREATE ROLE lease_ledger_reader NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- another database of this cluster was set up at the same moment
    END;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lease_ledger_reader') THEN
    GRANT SELECT ON events, writers, projection_checkpoints, properties, lease_ledger_migrations
      TO lease_ledger_reader;
  END IF;
END
$$;
