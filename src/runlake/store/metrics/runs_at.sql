-- Snapshots are found by what puts them into files and row groups too: a run's created_at never changes, so that a
-- filter on it is asked of the scan. What is sorted to find the last ones is narrow: with all columns it takes twice the
-- time.
-- example: SELECT status, count(*) FROM runs_at('2026-07-13 12:00') WHERE created_at >= '2026-07-06' GROUP BY ALL ORDER BY ALL
CREATE OR REPLACE MACRO runs_at(known_at) AS TABLE
SELECT run_key, source, vendor, pipeline_id, pipeline_name, run_id, attempt, run_number, pipeline_version, status,
       status_outcome(status) AS outcome, vendor_status, created_at, created_date, started_at,
       CASE WHEN status_has_end(status) THEN finished_at END AS finished_at, updated_at, queued_ms,
       CASE WHEN status_has_end(status) THEN duration_ms END AS duration_ms, trigger, triggered_by, parent_run_key,
       error_code, error_message, run_url, labels, metrics, first_seen_at, observed_at, vanished_at
FROM rl.run_snapshots JOIN (
  SELECT run_key, created_at, observed_at, state_hash, status, vanished_at AS last_vanished_at
  FROM rl.run_snapshots
  WHERE observed_at <= known_at::TIMESTAMPTZ
  QUALIFY row_number() OVER (
    PARTITION BY run_key, created_at ORDER BY observed_at DESC, vanished_at DESC NULLS LAST, state_hash, status) = 1)
USING (run_key, created_at, observed_at, state_hash, status) WHERE vanished_at IS NOT DISTINCT FROM last_vanished_at;
COMMENT ON MACRO TABLE runs_at IS 'What did we know then? The rows of the view runs as they were known at an instant: of each run and attempt the last snapshot observed by then, its word by the mapping of then. Filter on created_at, and pass it to another metric: WITH known AS (FROM runs_at(''2026-07-13 12:00'') WHERE created_at >= ''2026-07-06'') FROM pipeline_stats(''2026-07-06'', ''2026-07-13'', among := ''known''). Of a time whose snapshots are no longer kept, runs that changed later are missing.';
