-- example: SELECT day, vendor, sum(success) / sum(success + failure) AS success_rate FROM outcomes_by_day('2026-07-06', '2026-07-13', tz := 'Europe/Berlin') GROUP BY ALL ORDER BY ALL
-- pipeline: The pipeline's name as of its last run in the period, else its id.
-- day: The day of created_at by the clocks of the time zone.
-- runs: Runs created in it.
-- success: Of these, those that succeeded.
-- failure: Those that failed or timed out.
-- neutral: Those that were cancelled, rejected or skipped.
-- open: Those that are queued, running or waiting.
-- unknown: Those whose status word has no mapping.
-- success_rate: success / (success + failure); null where there is neither.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs that the vendor lists and the ledger lacks: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO outcomes_by_day(since, until, tz := 'UTC', among := 'runs') AS TABLE
SELECT d.source, d.vendor, d.pipeline_id,
       arg_max(d.pipeline, d.day) OVER (PARTITION BY d.source, d.vendor, d.pipeline_id) AS pipeline,
       d.* EXCLUDE (source, vendor, pipeline_id, pipeline),
       observed_through(d.source) AS observed_through,
       missing_runs(d.source, d.pipeline_id, since, until) AS missing_runs
FROM (SELECT source, vendor, pipeline_id, arg_max(pipeline, (created_at, run_id)) AS pipeline,
             local_day(created_at, tz) AS day, count(*) AS runs,
             count(*) FILTER (outcome = 'success') AS success, count(*) FILTER (outcome = 'failure') AS failure,
             count(*) FILTER (outcome = 'neutral') AS neutral,
             count(*) FILTER (outcome IS NULL AND status <> 'unknown') AS open,
             count(*) FILTER (status = 'unknown') AS unknown, success_rate(outcome) AS success_rate
      FROM runs_between(since, until, among := among) GROUP BY source, vendor, pipeline_id, day) d;
COMMENT ON MACRO TABLE outcomes_by_day IS 'How did each day go? One row for each pipeline and local day with a run. A run counts on the day on which it was created, by the outcome of its last attempt. Add up counts, not rates.';
