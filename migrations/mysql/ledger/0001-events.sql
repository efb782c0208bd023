-- The ledger: what happened, who writes it, and what consumers have finished. For MySQL 8 and MariaDB 10.6 or later.
--
-- A statement that defines something ends the transaction around it, so a file that fails in the middle stays half
-- done. Therefore every statement here does no harm when it is run again. The engine is put in by adapters/mysql.
--
-- Moments are DATETIME in UTC: TIMESTAMP ends in 2038. Texts that are keys compare octet by octet: neither case nor
-- accents may make two streams one.

CREATE TABLE IF NOT EXISTS writers (
  writer      INT UNSIGNED NOT NULL AUTO_INCREMENT,
  name        VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  -- Which process writes under this name now; see adapters/identity.ts.
  identity    VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  first_start DATETIME(6) NOT NULL,
  last_start  DATETIME(6) NOT NULL,
  heartbeat   DATETIME(6) NOT NULL,
  stopped     TINYINT UNSIGNED NOT NULL DEFAULT 0,
  info        VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  PRIMARY KEY (writer),
  UNIQUE KEY writers_name_key (name)
) ENGINE = InnoDB COMMENT = 'The servers that write or wrote to the ledger; each has a log of its own.';

-- The data is a text and not JSON: the text is kept as it was hashed, and MySQL's JSON refuses what a client may well
-- have called itself (an escape of half a surrogate pair). No foreign key to writers: it would lock the row of the
-- writer with every batch. The name of the second key is read by adapters/mysql.
CREATE TABLE IF NOT EXISTS events (
  writer         INT UNSIGNED NOT NULL,
  seq            BIGINT UNSIGNED NOT NULL,
  stream         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  revision       BIGINT UNSIGNED NOT NULL,
  type           VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  schema_version SMALLINT UNSIGNED NOT NULL,
  recorded_at    DATETIME(3) NOT NULL,
  data           MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  hash           BINARY(32) NOT NULL,
  PRIMARY KEY (writer, seq),
  UNIQUE KEY events_stream_key (stream, revision)
) ENGINE = InnoDB COMMENT = 'The lease events. Never changed, never removed.';

-- Triggers see UPDATE, DELETE and REPLACE. TRUNCATE and DROP pass them by: only privileges keep those out, see
-- adapters/mysql/open.ts. On NDB Cluster a trigger lives in the one SQL node that made it.
DROP TRIGGER IF EXISTS events_are_not_changed;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the events of the lease ledger are never changed or removed (UPDATE refused)';
DROP TRIGGER IF EXISTS events_are_not_removed;
CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the events of the lease ledger are never changed or removed (DELETE refused)';

-- How far each projection has read each log.
CREATE TABLE IF NOT EXISTS projection_checkpoints (
  projection VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  log        VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  seq        BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (projection, log)
) ENGINE = InnoDB COMMENT = 'How far each projection has read each log.';

-- What a reinstalled server must find again, such as its DUID.
CREATE TABLE IF NOT EXISTS properties (
  `key` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  value MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (`key`)
) ENGINE = InnoDB;
