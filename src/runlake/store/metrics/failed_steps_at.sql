-- example: SELECT name, kind, count(*) FROM failed_steps_at('2026-07-13 12:00') WHERE run_created_at >= '2026-07-06' GROUP BY ALL ORDER BY ALL
-- run_key: The run that it is a part of.
-- step_no: Its place in the run, from 0.
-- step_id: The vendor's id of it, unique within the run.
-- name: Its name.
-- kind: What sort of step, in the vendor's words.
-- status: failed or timed_out.
-- run_created_at: The created_at of its run: filter on it too, so that only steps of that time are read.
CREATE OR REPLACE MACRO failed_steps_at(known_at) AS TABLE
SELECT run_key, source, step_no, step_id, name, kind, status, error_code, error_message, observed_at, run_created_at
FROM rl.steps WHERE status IN ('failed', 'timed_out') AND observed_at <= known_at::TIMESTAMPTZ
UNION ALL
SELECT run_key, source, step_no, step_id, name, kind, status, error_code, error_message, observed_at, run_created_at
FROM rl.past_step_failures WHERE observed_at <= known_at::TIMESTAMPTZ AND replaced_at > known_at::TIMESTAMPTZ;
COMMENT ON MACRO TABLE failed_steps_at IS 'Which steps had failed then? One row for each step that was known as failed or timed out at an instant, by the mapping of then; some may have been replaced since, by a retry. Of vanished runs too.';
