-- example: SELECT pipeline, what, now, before, ratio, n_now, n_before FROM regressions('2026-07-06', '2026-07-13') ORDER BY ALL
-- pipeline: The pipeline's name as of its last run in the period, else its id.
-- what: What got worse: 'duration' or 'success rate': (before - now) / sqrt(p * (1 - p) * (1 / n_now + 1 / n_before)) >= 2, where p is the rate of both together.
-- now: In the period: the median duration in milliseconds, or the success rate from 0 to 1.
-- before: The same in the baseline.
-- ratio: now / before; null where before is 0.
-- n_now: How many runs that is made of in the period.
-- n_before: How many in the baseline.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs of the pipeline that the vendor lists and the ledger lacks, in the period: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO regressions(since, until, among := 'runs', baseline := INTERVAL 28 DAY) AS TABLE
WITH _now AS (
  SELECT source, vendor, pipeline_id, arg_max(pipeline, (created_at, attempt, run_id)) AS pipeline,
         count(*) FILTER (outcome = 'success') AS success, count(*) FILTER (outcome IN ('success', 'failure')) AS rated,
         count(duration_ms) FILTER (outcome = 'success') AS timed,
         quantile_cont(duration_ms, 0.5) FILTER (outcome = 'success') AS median_ms
  FROM runs_between(since, until, among := among) GROUP BY source, vendor, pipeline_id),
_before AS (
  SELECT source, vendor, pipeline_id,
         count(*) FILTER (outcome = 'success') AS success, count(*) FILTER (outcome IN ('success', 'failure')) AS rated,
         count(duration_ms) FILTER (outcome = 'success') AS timed,
         quantile_cont(duration_ms, [0.5, 0.75]) FILTER (outcome = 'success') AS quartiles_ms
  FROM runs_between(since::TIMESTAMPTZ - baseline, since, among := among) GROUP BY source, vendor, pipeline_id),
_both AS (
  SELECT n.*, b.timed AS timed_before, b.quartiles_ms[1] AS median_before, b.quartiles_ms[2] AS third_before,
         b.rated AS rated_before, n.success / n.rated AS rate, b.success / b.rated AS rate_before,
         (n.success + b.success) / (n.rated + b.rated) AS pooled
  FROM _now n JOIN _before b USING (source, vendor, pipeline_id)),
_worse AS (
  SELECT source, vendor, pipeline_id, pipeline, 'duration' AS what, median_ms AS now, median_before AS before,
         timed AS n_now, timed_before AS n_before
  FROM _both
  WHERE timed >= 5 AND timed_before >= 10 AND median_ms > third_before AND median_ms >= 1.3 * median_before
    AND median_ms >= median_before + 10000
  UNION ALL
  SELECT source, vendor, pipeline_id, pipeline, 'success rate', rate, rate_before, rated, rated_before
  FROM _both
  WHERE rated >= 5 AND rated_before >= 10 AND rated - success >= 2 AND rate < rate_before
    AND rate_before - rate >= 2 * sqrt(pooled * (1 - pooled) * (1 / rated + 1 / rated_before)))
SELECT source, vendor, pipeline_id, pipeline, what, now, before, now / nullif(before, 0) AS ratio, n_now, n_before,
       observed_through(source) AS observed_through, missing_runs(source, pipeline_id, since, until) AS missing_runs
FROM _worse;
COMMENT ON MACRO TABLE regressions IS 'What got worse, and on how many runs does that rest? One row for each pipeline and what got worse in the period against the baseline, the time just before it (28 days, of 24 hours). ''duration'': with at least 5 successful runs of known duration now and 10 before, the median now is above the third quartile of before, at least 1.3 times the median of before, and at least 10 seconds more. ''success rate'': with at least 5 runs that succeeded or failed now, 2 of them failed, and 10 before, the rate now is below that of before by at least two standard errors of the difference.';
