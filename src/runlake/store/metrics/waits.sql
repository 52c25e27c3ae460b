-- Waits are few. That runs are asked for by created_at too has only those read that were created when one of these was:
-- a fifth of what it costs to read all runs of a year.
-- example: SELECT pipeline, run_id, waiting_from, waiting_to, waited_ms FROM waits('2026-07-13', '2026-07-20') ORDER BY waited_ms DESC, run_id LIMIT 10
-- pipeline: The pipeline's name, else its id.
-- run_key: The run and attempt, which among has and which has not vanished; how long it waited is read from the history.
-- waiting_from: When the run was first seen waiting: in the snapshots observed up to known_at, by the mapping of then.
-- waiting_to: When it was first seen in another status after that, or gone; null where it still waited at known_at.
-- waited_ms: Milliseconds from the one to the other, or to known_at: all of the wait.
-- in_period_ms: How much of that lies in the period.
-- url: Where to look at the run in the vendor's pages.
-- observed_through: Up to when the source can be vouched for, as known now.
-- missing_runs: Runs of the pipeline that the vendor lists and the ledger lacks: see missing_runs; null where they were never compared.
CREATE OR REPLACE MACRO waits(since, until, among := 'runs', known_at := now()) AS TABLE
WITH _waiting AS (
  SELECT DISTINCT run_key, created_at FROM rl.run_snapshots
  WHERE status = 'waiting' AND vanished_at IS NULL
    AND observed_at < until::TIMESTAMPTZ AND observed_at <= known_at::TIMESTAMPTZ),
_seen AS (
  SELECT run_key, created_at, observed_at, waits, lag(waits) OVER _in_order AS waited,
         min(CASE WHEN NOT waits THEN observed_at END) OVER (
           _in_order ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS left_at
  FROM (SELECT run_key, created_at, observed_at, vanished_at, state_hash, status,
               status = 'waiting' AND vanished_at IS NULL AS waits
        FROM rl.run_snapshots JOIN _waiting USING (run_key, created_at)
        WHERE observed_at <= known_at::TIMESTAMPTZ)
  -- Of what was seen at one instant, the last is the one that runs_at takes.
  WINDOW _in_order AS (
    PARTITION BY run_key ORDER BY observed_at, vanished_at NULLS FIRST, state_hash DESC, status DESC)),
_waits AS (
  SELECT run_key, created_at, observed_at AS waiting_from, left_at AS waiting_to,
         coalesce(left_at, known_at::TIMESTAMPTZ) AS end_at
  FROM _seen
  WHERE waits AND waited IS DISTINCT FROM true AND observed_at < until::TIMESTAMPTZ
    AND coalesce(left_at, known_at::TIMESTAMPTZ) > since::TIMESTAMPTZ)
SELECT source, vendor, pipeline_id, coalesce(pipeline_name, pipeline_id) AS pipeline, run_key, run_id, waiting_from,
       waiting_to, (epoch_us(end_at) - epoch_us(waiting_from)) // 1000 AS waited_ms,
       (epoch_us(least(end_at, until::TIMESTAMPTZ)) - epoch_us(greatest(waiting_from, since::TIMESTAMPTZ))) // 1000
         AS in_period_ms,
       run_url AS url, observed_through(source) AS observed_through,
       missing_runs(source, pipeline_id, since, until) AS missing_runs
FROM (FROM query_table(among) WHERE created_at IN (SELECT created_at FROM _waits)) JOIN _waits USING (run_key)
WHERE vanished_at IS NULL;
COMMENT ON MACRO TABLE waits IS 'How long did runs wait for people? One row for each stretch in which a run, or one attempt of it, was seen waiting without a break, that overlaps the period, whenever the run was created. A wait begins with the first look that shows the run waiting, and ends with the next that shows anything else: it is as exact as the source was polled.';
