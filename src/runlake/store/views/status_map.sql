CREATE OR REPLACE VIEW status_map AS
SELECT source, vendor, level, vendor_status, status, status_outcome(status) AS outcome, origin FROM rl.status_map;
COMMENT ON VIEW status_map IS 'Which word of a vendor means what? The mapping in force, source by source.';
COMMENT ON COLUMN status_map.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN status_map.vendor IS 'The name of the connector.';
COMMENT ON COLUMN status_map.level IS 'run or step.';
COMMENT ON COLUMN status_map.vendor_status IS 'The vendor''s word.';
COMMENT ON COLUMN status_map.status IS 'The unified status.';
COMMENT ON COLUMN status_map.outcome IS 'success, failure or neutral; null for open statuses.';
COMMENT ON COLUMN status_map.origin IS 'connector, or config where the source overrides it.';
