CREATE OR REPLACE VIEW unmapped_statuses AS
SELECT source, vendor, 'run' AS level, vendor_status, count(*) AS seen, min(first_seen_at) AS first_seen_at,
       config_line('run', vendor_status) AS config_line
FROM rl.runs WHERE status = 'unknown' GROUP BY ALL
UNION ALL
SELECT s.source, n.vendor, 'step', s.vendor_status, count(*), min(s.observed_at),
       config_line('step', s.vendor_status)
FROM rl.steps s LEFT JOIN rl.sources n USING (source) WHERE s.status = 'unknown' GROUP BY ALL;
COMMENT ON VIEW unmapped_statuses IS 'Which words of vendors do we have no mapping for? They count as unknown until a line in the config maps them.';
COMMENT ON COLUMN unmapped_statuses.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN unmapped_statuses.vendor IS 'The name of the connector.';
COMMENT ON COLUMN unmapped_statuses.level IS 'run or step.';
COMMENT ON COLUMN unmapped_statuses.vendor_status IS 'The vendor''s word.';
COMMENT ON COLUMN unmapped_statuses.seen IS 'How many runs or steps have it now.';
COMMENT ON COLUMN unmapped_statuses.first_seen_at IS 'When the first of them was seen.';
COMMENT ON COLUMN unmapped_statuses.config_line IS 'What to paste into the source''s table, with a unified status in place of the dots.';
