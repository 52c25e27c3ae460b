-- example: SELECT pipeline, how, count(*) FROM flaky_runs('2026-07-06', '2026-07-13') GROUP BY ALL ORDER BY ALL
-- pipeline: The pipeline's name as of the failed run, else its id.
-- how: 'attempt': a later attempt of the same run succeeded; 'run': it was the last attempt of its run, and the next run did, in the order of created_at, attempt, run_id and each by its last attempt.
-- failed_run_key: The run, and attempt, that failed.
-- passed_run_key: The one that succeeded: the first such attempt, or that next run.
-- version: The version that failed, else that which passed; null where neither is known.
-- failed_at: When the failed one ended, else when it was created.
-- url: Where to look at the failed one in the vendor's pages.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs of the pipeline that the vendor lists and the ledger lacks: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO flaky_runs(since, until, among := 'runs') AS TABLE
WITH _attempts AS (
  SELECT f.source, f.vendor, f.pipeline_id, coalesce(f.pipeline_name, f.pipeline_id) AS pipeline,
         f.run_key AS failed_run_key, p.run_key AS passed_run_key,
         coalesce(f.pipeline_version, p.pipeline_version) AS version,
         coalesce(f.finished_at, f.created_at) AS failed_at, f.run_url AS url
  FROM query_table(among) f
  JOIN (SELECT source, pipeline_id, run_id, attempt, run_key, pipeline_version
        FROM query_table(among)
        WHERE created_at >= since::TIMESTAMPTZ AND created_at < until::TIMESTAMPTZ AND vanished_at IS NULL
          AND attempt > 1 AND outcome = 'success') p
    ON p.source = f.source AND p.pipeline_id = f.pipeline_id AND p.run_id = f.run_id AND p.attempt > f.attempt
   AND coalesce(p.pipeline_version = f.pipeline_version, true)
  WHERE f.created_at >= since::TIMESTAMPTZ AND f.created_at < until::TIMESTAMPTZ AND f.vanished_at IS NULL
    AND f.outcome = 'failure'
  QUALIFY row_number() OVER (PARTITION BY f.run_key ORDER BY p.attempt) = 1),
_runs AS (
  SELECT source, vendor, pipeline_id, pipeline, run_key AS failed_run_key, lead(run_key) OVER _in_order AS passed_run_key,
         pipeline_version AS version, coalesce(finished_at, created_at) AS failed_at, run_url AS url
  FROM runs_between(since, until, among := among) WHERE outcome IN ('success', 'failure')
  WINDOW _in_order AS (PARTITION BY source, pipeline_id ORDER BY created_at, attempt, run_id)
  QUALIFY outcome = 'failure' AND lead(outcome) OVER _in_order = 'success'
    AND lead(pipeline_version) OVER _in_order = pipeline_version)
SELECT source, vendor, pipeline_id, pipeline, how, failed_run_key, passed_run_key, version, failed_at, url,
       observed_through(source) AS observed_through, missing_runs(source, pipeline_id, since, until) AS missing_runs
FROM (SELECT *, 'attempt' AS how FROM _attempts UNION ALL BY NAME SELECT *, 'run' AS how FROM _runs);
COMMENT ON MACRO TABLE flaky_runs IS 'What failed and then passed without a change? One row for each failure, a run and attempt created in the period, after which a later attempt of the same run, created in the period too, succeeded, unless both versions are known and differ; or after which the pipeline''s next run that succeeded or failed succeeded with the same known version. Where a vendor tells no version, only attempts can tell.';
