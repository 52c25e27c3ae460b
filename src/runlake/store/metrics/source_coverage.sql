-- A source that was never seen whole is known by its syncs: by those that are kept for ever, so that it always is.
-- example: SELECT source, seen_whole, observed_through, missing FROM source_coverage('2026-07-06', '2026-07-13') ORDER BY ALL
-- observed_through: Up to when every run had been seen, as known at known_at; at most until, and three hours before known_at, so that it says the same whenever it is asked. Null where none ever had.
-- unseen_ms: Milliseconds of the period, up to known_at, of which that was not so.
-- seen_whole: Whether nothing was unseen: observed_through is until, or three hours before known_at.
-- expected: Runs that the vendor listed of the period's UTC days, by the newest comparison of each made by known_at.
-- stored: Of these, how many the ledger held then.
-- missing: expected - stored; null where no day was compared.
-- checked_days: How many of the period's UTC days were compared.
CREATE OR REPLACE MACRO source_coverage(since, until, known_at := now()) AS TABLE
SELECT source, vendor, seen AS observed_through,
       CASE WHEN seen >= due THEN 0
            ELSE greatest(0, epoch_us(least(until::TIMESTAMPTZ, known_at::TIMESTAMPTZ))
                             - epoch_us(greatest(since::TIMESTAMPTZ, seen))) // 1000 END AS unseen_ms,
       coalesce(seen >= due, false) AS seen_whole, expected, stored, missing, coalesce(checked_days, 0) AS checked_days
FROM (SELECT s.source, s.vendor, least(until::TIMESTAMPTZ, known_at::TIMESTAMPTZ - gap_above()) AS due,
             CASE WHEN s.first_synced_at <= known_at::TIMESTAMPTZ
                  THEN least(s.observed_through, g.from_at, due) END AS seen
      FROM rl.sources s
      LEFT JOIN (SELECT source, min(from_at) AS from_at FROM rl.gaps
                 WHERE from_at <= known_at::TIMESTAMPTZ AND to_at > known_at::TIMESTAMPTZ GROUP BY source) g USING (source)
      WHERE s.first_synced_at <= known_at::TIMESTAMPTZ
         OR s.source IN (SELECT source FROM rl.syncs
                         WHERE finished_at <= known_at::TIMESTAMPTZ AND (outcome <> 'ok' OR new_runs > 0)))
LEFT JOIN (SELECT source, sum(expected)::BIGINT AS expected, sum(stored)::BIGINT AS stored,
                  sum(missing)::BIGINT AS missing, count(DISTINCT day) AS checked_days
           FROM (SELECT source, day, expected, stored, missing FROM rl.coverage
                 WHERE day >= since::TIMESTAMPTZ::DATE AND day < until::TIMESTAMPTZ AND checked_at <= known_at::TIMESTAMPTZ
                 QUALIFY row_number() OVER (PARTITION BY source, pipeline_id, day ORDER BY checked_at DESC) = 1)
           GROUP BY source) USING (source);
COMMENT ON MACRO TABLE source_coverage IS 'How far can the figures of a period be trusted? One row for each source that had been asked by known_at, also without a run: whether all of it had been seen by then, and what the comparisons with the vendor''s list found.';
