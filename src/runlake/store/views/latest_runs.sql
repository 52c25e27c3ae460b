CREATE OR REPLACE VIEW latest_runs AS
SELECT * FROM runs WHERE vanished_at IS NULL
QUALIFY row_number() OVER (PARTITION BY source, pipeline_id ORDER BY created_at DESC, attempt DESC, run_id DESC) = 1;
COMMENT ON VIEW latest_runs IS 'How does each pipeline stand? Its newest run that is still there; columns as in runs.';
