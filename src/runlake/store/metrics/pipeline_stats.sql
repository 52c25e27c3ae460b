-- example: SELECT pipeline, success_rate, p95_ms, timed FROM pipeline_stats('2026-07-06', '2026-07-13') ORDER BY success_rate, runs DESC LIMIT 10
CREATE OR REPLACE MACRO pipeline_stats(since, until, among := 'runs') AS TABLE
SELECT f.source, f.vendor, f.pipeline_id, newest.pipeline AS pipeline,
       f.* EXCLUDE (source, vendor, pipeline_id, newest), newest.status AS last_status, newest.created_at AS last_run_at,
       newest.url AS last_url, observed_through(f.source) AS observed_through,
       missing_runs(f.source, f.pipeline_id, since, until) AS missing_runs
FROM run_figures(since, until, true, among) f;
COMMENT ON MACRO TABLE pipeline_stats IS 'How does each pipeline do? One row for each pipeline with a run in the period. Cancelled, rejected and skipped (neutral), open and unknown runs are outside the success rate and beside it. Durations are of runs that succeeded, queue times of all runs; percentiles are interpolated between neighbours.';
