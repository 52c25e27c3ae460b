-- example: SELECT signature, sum(failures) AS failures, sum(pipelines) AS pipelines FROM error_signatures('2026-07-06', '2026-07-13') GROUP BY ALL ORDER BY failures DESC, signature LIMIT 10
-- signature: What the errors have in common: see error_signature; the status, where a run has neither error code nor message.
-- failures: Runs that failed with it.
-- pipelines: How many pipelines these are of.
-- first_at: When the first of them was created.
-- last_at: When the last of them was created.
-- error_message: What the last of them says went wrong; of several at one instant, that of the highest attempt, run_id, pipeline_id.
-- url: Where to look at the last of them in the vendor's pages.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs of the source that the vendor lists and the ledger lacks: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO error_signatures(since, until, among := 'runs') AS TABLE
WITH _signatures AS (
  SELECT source, vendor, coalesce(error_signature, status) AS signature, count(*) AS failures,
         count(DISTINCT pipeline_id) AS pipelines, min(created_at) AS first_at, max(created_at) AS last_at,
         arg_max({'message': error_message, 'url': run_url}, (created_at, attempt, run_id, pipeline_id)) AS last
  FROM runs_between(since, until, among := among) WHERE outcome = 'failure'
  GROUP BY ALL)
SELECT source, vendor, signature, failures, pipelines, first_at, last_at, last.message AS error_message, last.url AS url,
       observed_through(source) AS observed_through, missing_runs(source, since, until) AS missing_runs
FROM _signatures;
COMMENT ON MACRO TABLE error_signatures IS 'Which errors are there most of? One row for each source and error signature of the runs created in the period that failed or timed out.';
