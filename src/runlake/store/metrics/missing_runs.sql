-- The names of the columns here are none that a caller would pass: they would be taken for these.
-- example: SELECT source, missing_runs(source, '2026-07-06', '2026-07-13') FROM source_health ORDER BY ALL
CREATE OR REPLACE MACRO missing_runs
(of_source, since, until) AS (
  SELECT sum(lacking)::BIGINT
  FROM (SELECT source AS its_source, missing AS lacking FROM coverage
        WHERE day >= since::TIMESTAMPTZ::DATE AND day < until::TIMESTAMPTZ)
  WHERE its_source = of_source),
(of_source, of_pipeline, since, until) AS (
  SELECT sum(lacking)::BIGINT
  FROM (SELECT source AS its_source, pipeline_id AS its_pipeline, missing AS lacking FROM coverage
        WHERE day >= since::TIMESTAMPTZ::DATE AND day < until::TIMESTAMPTZ)
  WHERE its_source = of_source AND its_pipeline = of_pipeline);
COMMENT ON MACRO missing_runs IS 'How complete is this? The runs of a source, or of one of its pipelines, that the vendor listed and the ledger lacked when the UTC days that overlap [since, until) were last compared (the view coverage); null where none ever was. What was found missing is fetched then, and counted until the next comparison.';
