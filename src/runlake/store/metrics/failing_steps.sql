-- example: SELECT pipeline, step, failures, failed_runs, runs_failed_in_all FROM failing_steps('2026-07-06', '2026-07-13') ORDER BY failures DESC, pipeline, step LIMIT 10
-- pipeline: The pipeline's name as of the last run in which the step failed, else its id.
-- step: The step's name, else its kind, else its id.
-- failures: Failed or timed out steps of that name in failed runs.
-- failed_runs: Failed runs in which there is one.
-- runs_failed_in_all: Failed runs of the pipeline, also those of which no step is known.
-- error_message: What the last of these steps says went wrong: that of the run with the highest created_at, attempt, run_id, and there of the highest step_no.
-- url: Where to look at its run in the vendor's pages.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs of the pipeline that the vendor lists and the ledger lacks: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO failing_steps(since, until, among := 'runs', steps := 'steps') AS TABLE
WITH _failed AS (
  SELECT source, vendor, pipeline_id, pipeline, run_id, attempt, created_at, run_key, run_url
  FROM runs_between(since, until, among := among) WHERE outcome = 'failure'),
_steps AS (
  SELECT f.source, f.vendor, f.pipeline_id, coalesce(s.name, s.kind, s.step_id) AS step, count(*) AS failures,
         count(DISTINCT f.run_key) AS failed_runs,
         arg_max({'pipeline': f.pipeline, 'message': s.error_message, 'url': f.run_url},
                 (f.created_at, f.attempt, f.run_id, s.step_no)) AS last
  FROM query_table(steps) s JOIN _failed f ON f.run_key = s.run_key
  WHERE s.status IN ('failed', 'timed_out')
  GROUP BY f.source, f.vendor, f.pipeline_id, coalesce(s.name, s.kind, s.step_id)),
_all AS (
  SELECT source, vendor, pipeline_id, count(*) AS failed_runs FROM _failed GROUP BY source, vendor, pipeline_id)
SELECT source, vendor, pipeline_id, s.last.pipeline AS pipeline, s.step, s.failures, s.failed_runs,
       a.failed_runs AS runs_failed_in_all, s.last.message AS error_message, s.last.url AS url,
       observed_through(source) AS observed_through, missing_runs(source, pipeline_id, since, until) AS missing_runs
FROM _steps s JOIN _all a USING (source, vendor, pipeline_id);
COMMENT ON MACRO TABLE failing_steps IS 'Which steps fail most? One row for each pipeline and name of a step that failed or timed out in a run, created in the period, that failed or timed out itself; a step that failed in a run which passed does not count.';
