-- What metrics of the past rest on: when a source could not be seen, and which steps had failed before they were replaced.

-- Until `to_at` nobody knew what had come since `from_at`: written by the sync that then went on, where that is more than
-- three hours. What cannot be seen yet is in no row: it is all since the source's observed_through.
CREATE TABLE rl.gaps (source VARCHAR NOT NULL, from_at TIMESTAMPTZ NOT NULL, to_at TIMESTAMPTZ NOT NULL);

-- Those of the days of which all syncs are kept.
INSERT INTO rl.gaps
SELECT source, seen, finished_at
FROM (SELECT source, finished_at, observed_through,
             lag(observed_through) OVER (PARTITION BY source ORDER BY finished_at, started_at) AS seen
      FROM rl.syncs
      WHERE observed_through IS NOT NULL AND finished_at IS NOT NULL
        AND started_at > (SELECT max(started_at) FROM rl.syncs) - INTERVAL 29 DAY)
WHERE observed_through > seen AND seen < finished_at - INTERVAL 3 HOUR ORDER BY finished_at;

-- Steps that had failed, and were replaced (at `replaced_at`) when their run was seen again.
CREATE TABLE rl.past_step_failures AS FROM rl.steps WITH NO DATA;
ALTER TABLE rl.past_step_failures ADD COLUMN replaced_at TIMESTAMPTZ;
