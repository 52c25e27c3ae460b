-- The figures of a source and those of a pipeline are the same aggregates.
CREATE OR REPLACE MACRO run_figures(since, until, by_pipeline, among) AS TABLE
SELECT source, vendor, CASE WHEN by_pipeline THEN pipeline_id END AS pipeline_id,
       arg_max({pipeline: pipeline, status: status, created_at: created_at, url: run_url}, (created_at, run_id, pipeline_id)) AS newest,
       count(*) AS runs, count(*) FILTER (outcome = 'success') AS success,
       count(*) FILTER (outcome = 'failure') AS failure, count(*) FILTER (outcome = 'neutral') AS neutral,
       count(*) FILTER (outcome IS NULL AND status <> 'unknown') AS open, count(*) FILTER (status = 'unknown') AS unknown,
       count(*) FILTER (status = 'succeeded_with_warnings') AS warned, success_rate(outcome) AS success_rate,
       count(duration_ms) FILTER (outcome = 'success') AS timed,
       p50(CASE WHEN outcome = 'success' THEN duration_ms END) AS p50_ms,
       p95(CASE WHEN outcome = 'success' THEN duration_ms END) AS p95_ms,
       count(queued_ms) AS queued, p50(queued_ms) AS p50_queued_ms, p95(queued_ms) AS p95_queued_ms,
       sum(attempts - 1)::BIGINT AS reruns, sum(wasted_ms)::BIGINT AS wasted_ms
FROM runs_between(since, until, among := among) GROUP BY 1, 2, 3;
-- example: FROM source_stats('2026-07-06', '2026-07-13') ORDER BY success_rate
-- runs: Runs created in the period.
-- warned: Runs that succeeded with warnings; they are in success too.
-- timed: Runs that succeeded and whose duration is known: what the percentiles are of.
-- p50_ms: The median of these durations, in milliseconds.
-- p95_ms: Their 95th percentile.
-- queued: Runs of any outcome whose time from creation to start is known.
-- p50_queued_ms: The median of these times, in milliseconds.
-- p95_queued_ms: Their 95th percentile.
-- reruns: Attempts beyond the first of each run in the period.
-- wasted_ms: Milliseconds of work that came to nothing: the durations of attempts that failed, were cancelled or were followed by another; each once.
-- last_status: The status of the run that was created last; of several at one instant, of that with the greatest run_id.
-- last_run_at: When that was created.
-- last_url: Where to look at it in the vendor's pages.
CREATE OR REPLACE MACRO source_stats(since, until, among := 'runs') AS TABLE
SELECT f.* EXCLUDE (pipeline_id, newest), newest.status AS last_status, newest.created_at AS last_run_at,
       newest.url AS last_url, observed_through(f.source) AS observed_through,
       missing_runs(f.source, since, until) AS missing_runs
FROM run_figures(since, until, false, among) f;
COMMENT ON MACRO TABLE source_stats IS 'How does each source do? One row for each source with a run in the period: the figures of pipeline_stats, over all its runs.';
