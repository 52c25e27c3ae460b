-- example: SELECT change, pipeline, signature, failures, failures_before FROM failure_changes('2026-07-06', '2026-07-13') ORDER BY change, failures DESC, failures_before DESC, pipeline, signature LIMIT 10
-- pipeline: The pipeline's name as of the last of these failures, else its id.
-- signature: What the errors have in common: see error_signature; the status, where a run has neither error code nor message.
-- change: 'new', 'recurring' or 'fixed'.
-- failures: Runs that failed with it in the period.
-- failures_before: Runs that failed with it in the baseline.
-- first_at: When the first of all these was created.
-- last_at: When the last of all these was created.
-- example_run_key: The last of them; of several at one instant, that of the highest attempt, run_id.
-- url: Where to look at it in the vendor's pages.
-- error_message: What it says went wrong.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs of the pipeline that the vendor lists and the ledger lacks, in the period: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO failure_changes(since, until, among := 'runs', baseline := INTERVAL 28 DAY) AS TABLE
WITH _failed AS (
  SELECT true AS is_now, * FROM runs_between(since, until, among := among) WHERE outcome = 'failure'
  UNION ALL
  SELECT false, * FROM runs_between(since::TIMESTAMPTZ - baseline, since, among := among) WHERE outcome = 'failure'),
_folded AS (
  SELECT source, vendor, pipeline_id, coalesce(error_signature, status) AS signature,
         count(*) FILTER (is_now) AS failures, count(*) FILTER (NOT is_now) AS failures_before,
         min(created_at) AS first_at, max(created_at) AS last_at,
         arg_max({'pipeline': pipeline, 'run_key': run_key, 'url': run_url, 'message': error_message},
                 (created_at, attempt, run_id)) AS last
  FROM _failed GROUP BY source, vendor, pipeline_id, signature),
_standing AS (
  SELECT source, pipeline_id, arg_max(outcome, (created_at, attempt, run_id)) AS last_outcome
  FROM runs_between(since, until, among := among) WHERE outcome IN ('success', 'failure')
  GROUP BY source, pipeline_id)
SELECT source, vendor, pipeline_id, last.pipeline AS pipeline, signature,
       CASE WHEN failures = 0 THEN 'fixed' WHEN failures_before = 0 THEN 'new' ELSE 'recurring' END AS change,
       failures, failures_before, first_at, last_at, last.run_key AS example_run_key, last.url AS url,
       last.message AS error_message, observed_through(source) AS observed_through,
       missing_runs(source, pipeline_id, since, until) AS missing_runs
FROM _folded LEFT JOIN _standing USING (source, pipeline_id)
WHERE failures > 0 OR last_outcome = 'success';
COMMENT ON MACRO TABLE failure_changes IS 'Which failures are new, which go on, and which are over? One row for each pipeline and error signature of runs that failed or timed out in the period or in the baseline, the time just before it (28 days, of 24 hours). ''new'': in the period, not in the baseline; ''recurring'': in both; ''fixed'': in the baseline and not in the period, in which the pipeline''s last run that succeeded or failed succeeded. What failed in the baseline and has not succeeded in the period is left out.';
