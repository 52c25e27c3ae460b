-- The tables behind the public views. No keys and no indexes: at 10 million runs a commit of 1,000 changed runs takes
-- 24 times as long with them; the writer keeps rows unique and `audit` checks it. Status is VARCHAR, not ENUM: an ENUM
-- cannot be extended and one new word would fail a whole batch.

-- A short name that no file has: a client that opens `ledger.duckdb` calls the file itself `ledger`, and a schema of the
-- same name could then not be told from it.
CREATE SCHEMA rl;

CREATE TABLE rl.sources (
  source VARCHAR NOT NULL, vendor VARCHAR NOT NULL, connector_title VARCHAR NOT NULL, first_synced_at TIMESTAMPTZ,
  observed_through TIMESTAMPTZ);

CREATE TABLE rl.pipelines (
  source VARCHAR NOT NULL, pipeline_id VARCHAR NOT NULL, pipeline_name VARCHAR, pipeline_url VARCHAR, paused BOOLEAN,
  first_seen_at TIMESTAMPTZ NOT NULL, observed_at TIMESTAMPTZ NOT NULL);

CREATE TABLE rl.runs (
  run_key UUID NOT NULL, source VARCHAR NOT NULL, vendor VARCHAR NOT NULL, pipeline_id VARCHAR NOT NULL,
  pipeline_name VARCHAR, run_id VARCHAR NOT NULL, attempt SMALLINT NOT NULL, run_number BIGINT, pipeline_version VARCHAR,
  status VARCHAR NOT NULL, vendor_status VARCHAR NOT NULL,
  created_at TIMESTAMPTZ NOT NULL, created_date DATE NOT NULL,
  started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, queued_ms BIGINT, duration_ms BIGINT,
  trigger VARCHAR, triggered_by VARCHAR, parent_run_key UUID, error_code VARCHAR, error_message VARCHAR, run_url VARCHAR,
  labels MAP(VARCHAR, VARCHAR), metrics MAP(VARCHAR, DOUBLE),
  first_seen_at TIMESTAMPTZ NOT NULL, observed_at TIMESTAMPTZ NOT NULL, vanished_at TIMESTAMPTZ,
  state_hash UBIGINT NOT NULL, steps_hash UBIGINT);

-- The same columns, then where the knowledge came from.
CREATE TABLE rl.run_snapshots AS FROM rl.runs;
ALTER TABLE rl.run_snapshots ADD COLUMN sync_id UUID;
ALTER TABLE rl.run_snapshots ADD COLUMN read_by VARCHAR;
ALTER TABLE rl.run_snapshots ADD COLUMN request VARCHAR;

CREATE TABLE rl.steps (
  run_key UUID NOT NULL, run_created_at TIMESTAMPTZ NOT NULL, source VARCHAR NOT NULL, step_no INTEGER NOT NULL,
  step_id VARCHAR NOT NULL, name VARCHAR, kind VARCHAR, status VARCHAR NOT NULL, vendor_status VARCHAR NOT NULL,
  started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ, duration_ms BIGINT, error_code VARCHAR, error_message VARCHAR,
  observed_at TIMESTAMPTZ NOT NULL);

-- A table of its own: inside `runs` payloads make a rewrite 2.7 times slower.
CREATE TABLE rl.run_payloads (
  run_key UUID NOT NULL, observed_at TIMESTAMPTZ NOT NULL, payload VARCHAR USING COMPRESSION zstd);

-- The runs to read again by id: few, however long the history. `created_at` is the stored run's (null: none stored yet).
CREATE TABLE rl.watched (
  source VARCHAR NOT NULL, run_key UUID NOT NULL, pipeline_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL,
  attempt SMALLINT NOT NULL, why VARCHAR NOT NULL, created_at TIMESTAMPTZ, since TIMESTAMPTZ NOT NULL,
  read_at TIMESTAMPTZ, reads INTEGER NOT NULL, failures INTEGER NOT NULL);

CREATE TABLE rl.tracked (
  source VARCHAR NOT NULL, handle VARCHAR NOT NULL, added_at TIMESTAMPTZ NOT NULL, settled_at TIMESTAMPTZ,
  read_at TIMESTAMPTZ, tries INTEGER NOT NULL, named INTEGER, error VARCHAR);

-- One row for each list that is walked. `cursor` is set while a walk is unfinished.
CREATE TABLE rl.feeds (
  source VARCHAR NOT NULL, feed VARCHAR NOT NULL, purpose VARCHAR NOT NULL, observed_through TIMESTAMPTZ,
  walk_started_at TIMESTAMPTZ, walk_since TIMESTAMPTZ, cursor VARCHAR, in_order BOOLEAN NOT NULL,
  held SMALLINT NOT NULL, swept_at TIMESTAMPTZ);

CREATE TABLE rl.syncs (
  sync_id UUID NOT NULL, source VARCHAR NOT NULL, vendor VARCHAR NOT NULL, kind VARCHAR NOT NULL,
  started_at TIMESTAMPTZ NOT NULL, finished_at TIMESTAMPTZ, outcome VARCHAR NOT NULL, error_class VARCHAR, error VARCHAR,
  seen_runs BIGINT NOT NULL, new_runs BIGINT NOT NULL, changed_runs BIGINT NOT NULL, open_runs BIGINT NOT NULL,
  unknown_runs BIGINT NOT NULL, vanished_runs BIGINT NOT NULL, unreadable BIGINT NOT NULL, out_of_order BIGINT NOT NULL,
  swept BOOLEAN NOT NULL, requests BIGINT NOT NULL, bytes BIGINT NOT NULL, retries BIGINT NOT NULL,
  waited_ms BIGINT NOT NULL, skew_s BIGINT, observed_through TIMESTAMPTZ, notes VARCHAR[] NOT NULL);

CREATE TABLE rl.status_map (
  source VARCHAR NOT NULL, vendor VARCHAR NOT NULL, level VARCHAR NOT NULL, vendor_status VARCHAR NOT NULL,
  status VARCHAR NOT NULL, origin VARCHAR NOT NULL);

CREATE TABLE rl.coverage (
  source VARCHAR NOT NULL, pipeline_id VARCHAR NOT NULL, day DATE NOT NULL, expected BIGINT NOT NULL,
  stored BIGINT NOT NULL, missing BIGINT NOT NULL, missing_run_ids VARCHAR[] NOT NULL, checked_at TIMESTAMPTZ NOT NULL);

CREATE TABLE rl.publication (as_of TIMESTAMPTZ NOT NULL);
