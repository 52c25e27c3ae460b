-- Attempts after the first are rare: the few runs that have one are found first, so that nothing is sorted or grouped
-- of all the others.
-- example: SELECT pipeline, status, attempts, error_signature FROM runs_between('2026-07-06', '2026-07-13') WHERE outcome = 'failure'
-- pipeline: The pipeline's name, else its id.
-- attempts: How many attempts of the run were created in the period.
-- wasted_ms: Milliseconds of work that came to nothing: the durations of those attempts that failed, were cancelled or were followed by another; each once.
-- error_signature: What the error has in common with others like it: see error_signature; null unless it failed.
CREATE OR REPLACE MACRO runs_between(since, until, among := 'runs') AS TABLE
SELECT r.*, coalesce(r.pipeline_name, r.pipeline_id) AS pipeline, coalesce(a.attempts, 1) AS attempts,
       coalesce(a.all_ms, r.duration_ms, 0)
         - CASE WHEN r.outcome = 'failure' OR r.status = 'cancelled' THEN 0 ELSE coalesce(r.duration_ms, 0) END AS wasted_ms,
       CASE WHEN r.outcome = 'failure' THEN error_signature(r.error_code, r.error_message) END AS error_signature
FROM query_table(among) r
LEFT JOIN (
  SELECT source, pipeline_id, run_id, max(attempt) AS last_attempt, count(*) AS attempts, sum(duration_ms)::BIGINT AS all_ms
  FROM query_table(among)
  WHERE created_at >= since::TIMESTAMPTZ AND created_at < until::TIMESTAMPTZ AND vanished_at IS NULL
    AND (source, pipeline_id, run_id) IN (
      SELECT (source, pipeline_id, run_id) FROM query_table(among)
      WHERE created_at >= since::TIMESTAMPTZ AND created_at < until::TIMESTAMPTZ AND vanished_at IS NULL AND attempt > 1)
  GROUP BY ALL) a USING (source, pipeline_id, run_id)
WHERE r.created_at >= since::TIMESTAMPTZ AND r.created_at < until::TIMESTAMPTZ AND r.vanished_at IS NULL
  AND (a.last_attempt IS NULL OR r.attempt = a.last_attempt);
COMMENT ON MACRO TABLE runs_between IS 'Which runs were created in [since, until)? One row for each run, which is the last of its attempts created in that time: earlier ones are reruns. Time wasted is that of attempts that failed, were cancelled or were followed by another. Vanished runs are left out. All other metrics count these.';
