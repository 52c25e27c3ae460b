CREATE OR REPLACE VIEW gaps AS
SELECT source, from_at, to_at FROM rl.gaps;
COMMENT ON VIEW gaps IS 'When could we not see a source for more than three hours? What is not seen yet is in no row: it is all since observed_through in source_health. Runs of a gap are in the ledger since it ended, unless their vendor forgot them.';
COMMENT ON COLUMN gaps.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN gaps.from_at IS 'Up to when we had seen every run.';
COMMENT ON COLUMN gaps.to_at IS 'When we had seen more.';
