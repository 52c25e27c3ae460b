CREATE OR REPLACE VIEW pipelines AS
SELECT source, pipeline_id, pipeline_name, pipeline_url, paused, first_seen_at, observed_at FROM rl.pipelines;
COMMENT ON VIEW pipelines IS 'Which pipelines does each vendor list, run or not? Where it lists none, see latest_runs.';
COMMENT ON COLUMN pipelines.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN pipelines.pipeline_id IS 'The vendor''s id of the pipeline.';
COMMENT ON COLUMN pipelines.pipeline_name IS 'Its name.';
COMMENT ON COLUMN pipelines.pipeline_url IS 'Where to look at it in the vendor''s pages.';
COMMENT ON COLUMN pipelines.paused IS 'Whether the vendor has stopped scheduling it; null where it does not tell.';
COMMENT ON COLUMN pipelines.first_seen_at IS 'When we first saw it listed.';
COMMENT ON COLUMN pipelines.observed_at IS 'When we last asked for the list.';
