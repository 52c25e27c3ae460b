-- example: SELECT vendor, success_rate(outcome) FROM runs WHERE created_date >= '2026-07-06' GROUP BY ALL ORDER BY ALL
CREATE OR REPLACE MACRO success_rate(outcome) AS
  count(*) FILTER (outcome = 'success') / nullif(count(*) FILTER (outcome IN ('success', 'failure')), 0);
COMMENT ON MACRO success_rate IS 'Which share of the runs that succeeded or failed succeeded? success / (success + failure), from 0 to 1; null where there is neither. Cancelled, rejected, skipped, open and unknown runs are in neither number. An aggregate of the column outcome.';
