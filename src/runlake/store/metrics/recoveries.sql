-- Two looks: of all rated runs only the one before is asked, and counted is among the failures and what followed them.
-- The names of the relations begin with a line here: a caller's own that `among` names is not taken for one of them.
-- example: SELECT pipeline, avg(recovery_ms), median(recovery_ms), count(*) FILTER (recovered_at IS NULL) FROM recoveries('2026-07-06', '2026-07-13') GROUP BY ALL ORDER BY ALL
-- pipeline: The pipeline's name as of the first of the failed runs, else its id.
-- failures: How many runs failed in a row, each by its last attempt, in the order of created_at, attempt, run_id.
-- began_at: When the first of them ended, else when it was created.
-- recovered_at: When the first success after them ended, else when it was created; null where none was created in the period.
-- recovery_ms: Milliseconds from the one to the other, 0 where the success ended first; null while it has not recovered.
-- first_run_key: The first of the failed runs.
-- first_url: Where to look at it in the vendor's pages.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs of the pipeline that the vendor lists and the ledger lacks: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO recoveries(since, until, among := 'runs') AS TABLE
WITH _turns AS (
  SELECT source, vendor, pipeline_id, pipeline, run_id, attempt, created_at, outcome, run_key, run_url,
         coalesce(finished_at, created_at) AS ended_at
  FROM runs_between(since, until, among := among) WHERE outcome IN ('success', 'failure')
  QUALIFY outcome = 'failure'
    OR lag(outcome) OVER (PARTITION BY source, pipeline_id ORDER BY created_at, attempt, run_id) = 'failure'),
_placed AS (
  SELECT *, row_number() OVER _in_order AS place,
         count(*) FILTER (outcome = 'success') OVER _in_order - (outcome = 'success')::INTEGER AS streak
  FROM _turns WINDOW _in_order AS (PARTITION BY source, pipeline_id ORDER BY created_at, attempt, run_id)),
_streaks AS (
  SELECT source, pipeline_id, count(*) FILTER (outcome = 'failure') AS failures,
         arg_min({'vendor': vendor, 'pipeline': pipeline, 'began_at': ended_at, 'run_key': run_key, 'url': run_url},
                 place) AS first,
         max(ended_at) FILTER (outcome = 'success') AS recovered_at
  FROM _placed GROUP BY source, pipeline_id, streak)
SELECT source, first.vendor AS vendor, pipeline_id, first.pipeline AS pipeline, failures, first.began_at AS began_at,
       recovered_at,
       CASE WHEN recovered_at IS NOT NULL
            THEN greatest(0, (epoch_us(recovered_at) - epoch_us(first.began_at)) // 1000) END AS recovery_ms,
       first.run_key AS first_run_key, first.url AS first_url, observed_through(source) AS observed_through,
       missing_runs(source, pipeline_id, since, until) AS missing_runs
FROM _streaks;
COMMENT ON MACRO TABLE recoveries IS 'How long did each failure last? One row for each streak of failed runs: runs of a pipeline, created in the period, that failed with no success between them; cancelled, rejected, skipped, open and unknown runs are passed over. A streak that was going on when the period began is counted from its first failure in it, and is recovered only by a success created in it: for whole streaks ask for more time, and filter on recovered_at. Mean time to recovery is avg(recovery_ms), the median median(recovery_ms).';
