-- Counted by quarters of an hour of the epoch first: every time zone is a whole number of them away from UTC since 1973,
-- and asking the calendar once a quarter rather than once a run costs a tenth.
-- example: SELECT weekday, hour, sum(runs) AS runs FROM busy_hours('2026-07-06', '2026-07-13', tz := 'Europe/Berlin') GROUP BY ALL ORDER BY runs DESC, weekday, hour LIMIT 10
-- weekday: Of created_at by the clocks of the time zone: 1 is Monday, 7 is Sunday.
-- hour: The hour of created_at by these clocks, 0 to 23.
-- runs: Runs created in that hour, on any such day of the period.
-- failure: Of these, those that failed or timed out.
-- rated: Those that succeeded, failed or timed out.
-- busy_ms: Milliseconds that all of these worked, whenever they ended; unknown durations count as none.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs of the source that the vendor lists and the ledger lacks: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO busy_hours(since, until, tz := 'UTC', among := 'runs') AS TABLE
WITH _quarters AS (
  SELECT source, vendor, epoch_us(created_at) // 900000000 AS quarter, count(*) AS runs,
         count(*) FILTER (outcome = 'failure') AS failure, count(*) FILTER (outcome IN ('success', 'failure')) AS rated,
         sum(duration_ms) AS busy_ms
  FROM runs_between(since, until, among := among) GROUP BY ALL),
_local AS (
  SELECT *, timezone(tz, make_timestamptz(quarter * 900000000)) AS local FROM _quarters),
_hours AS (
  SELECT source, vendor, isodow(local)::INTEGER AS weekday, hour(local)::INTEGER AS hour, sum(runs)::BIGINT AS runs,
         sum(failure)::BIGINT AS failure, sum(rated)::BIGINT AS rated, coalesce(sum(busy_ms), 0)::BIGINT AS busy_ms
  FROM _local GROUP BY ALL)
SELECT *, observed_through(source) AS observed_through, missing_runs(source, since, until) AS missing_runs FROM _hours;
COMMENT ON MACRO TABLE busy_hours IS 'When is there most to do? One row for each source, weekday and hour by the clocks of the time zone in which a run was created, with all its work in that hour. In the night in which clocks are put back an hour that comes twice counts as one.';
