-- Added up in the order of size: floats in another order come to another last digit.
-- example: FROM run_metrics('2026-07-06', '2026-07-13') ORDER BY total DESC
-- pipeline: The pipeline's name as of its last run in the period, else its id.
-- metric: What is measured, in the vendor's words.
-- runs: The runs that have it.
-- total: Their sum.
-- per_run: total / runs.
CREATE OR REPLACE MACRO run_metrics(since, until, among := 'runs') AS TABLE
SELECT m.*, total / runs AS per_run, observed_through(m.source) AS observed_through,
       missing_runs(m.source, m.pipeline_id, since, until) AS missing_runs
FROM (SELECT source, vendor, pipeline_id, arg_max(pipeline, (created_at, run_id)) AS pipeline, entry.key AS metric,
             count(*) AS runs, sum(entry.value ORDER BY entry.value) AS total
      FROM (SELECT source, vendor, pipeline_id, pipeline, created_at, run_id, unnest(map_entries(metrics)) AS entry
            FROM runs_between(since, until, among := among))
      WHERE entry.value IS NOT NULL GROUP BY source, vendor, pipeline_id, metric) m;
COMMENT ON MACRO TABLE run_metrics IS 'What did it cost, where vendors tell? One row for each pipeline and number that its runs have in the column metrics: tokens, counts, credits. Of each run the last attempt in the period counts.';
