CREATE OR REPLACE VIEW published AS
SELECT p.as_of, n.source, n.observed_through FROM rl.publication p LEFT JOIN rl.sources n ON true;
COMMENT ON VIEW published IS 'How fresh is this copy? When it was made, and up to when each source is vouched for.';
COMMENT ON COLUMN published.as_of IS 'When the copy was made.';
COMMENT ON COLUMN published.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN published.observed_through IS 'Up to when we can vouch for having seen every run of it.';
