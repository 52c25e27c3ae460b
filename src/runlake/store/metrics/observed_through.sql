-- example: SELECT *, observed_through(source) FROM open_runs
CREATE OR REPLACE MACRO observed_through(of_source) AS (
  SELECT seen FROM (SELECT source AS its_source, observed_through AS seen FROM rl.sources) WHERE its_source = of_source);
COMMENT ON MACRO observed_through IS 'How fresh is this? Up to when runlake can vouch for having seen every run of a source, as known now; null where it never could.';
