-- The days ("2026-07-09") and months ("2026-05") that readers find as Parquet beside the published copy. Of each, one
-- version is current (`retired_at` is null); it is touched once the ledger's rows of that time have changed since.
-- `made_for` is the schema whose columns it holds: a later one has all of them written anew.
CREATE TABLE rl.published_periods (
  period VARCHAR NOT NULL, version VARCHAR NOT NULL, made_for INTEGER NOT NULL, touched BOOLEAN NOT NULL,
  retired_at TIMESTAMPTZ);
