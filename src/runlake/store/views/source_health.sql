-- One look at three narrow columns of all the syncs kept finds the few rows to be read: 200 sources asked every five
-- minutes leave 1.7 million rows in the 30 days for which idle ones are kept, of which this takes 30 ms.
CREATE OR REPLACE VIEW source_health AS
WITH newest AS (
  SELECT source, max(started_at) AS last_at,
         coalesce(max(started_at) FILTER (outcome = 'ok'), '-infinity') AS good_at
  FROM rl.syncs WHERE kind = 'sync' GROUP BY source),
since_good AS (
  SELECT s.*, n.last_at, n.good_at
  FROM rl.syncs s JOIN newest n ON n.source = s.source AND s.started_at >= n.good_at WHERE s.kind = 'sync')
SELECT n.source, n.vendor, n.observed_through, l.sync_id, l.started_at AS last_sync_at, l.outcome AS last_outcome,
       l.error_class, l.error, g.finished_at AS last_good_at, l.new_runs, l.changed_runs, l.open_runs, l.unknown_runs,
       l.unreadable, l.requests, l.bytes, l.retries, l.waited_ms, l.skew_s, l.notes,
       coalesce(f.failures, 0) AS failures_since_good
FROM rl.sources n
LEFT JOIN (SELECT * FROM since_good WHERE started_at = last_at
           QUALIFY row_number() OVER (PARTITION BY source ORDER BY finished_at DESC NULLS FIRST) = 1) l USING (source)
LEFT JOIN (SELECT source, max(finished_at) AS finished_at FROM since_good WHERE outcome = 'ok'
           GROUP BY source) g USING (source)
LEFT JOIN (SELECT source, count(*) AS failures FROM since_good WHERE outcome = 'failed' AND started_at > good_at
           GROUP BY source) f USING (source);
COMMENT ON VIEW source_health IS 'Can we see each source, and up to when? Its last sync, and how far we can vouch for it.';
COMMENT ON COLUMN source_health.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN source_health.vendor IS 'The name of the connector.';
COMMENT ON COLUMN source_health.observed_through IS 'Up to when we can vouch for having seen every run; null until a first sync is complete.';
COMMENT ON COLUMN source_health.sync_id IS 'The last sync.';
COMMENT ON COLUMN source_health.last_sync_at IS 'When it began.';
COMMENT ON COLUMN source_health.last_outcome IS 'ok; partial (something was missed and will be read again); failed; interrupted; running.';
COMMENT ON COLUMN source_health.last_good_at IS 'When a sync last ended ok.';
COMMENT ON COLUMN source_health.failures_since_good IS 'Failed syncs since the last good one.';
