CREATE OR REPLACE VIEW steps AS
SELECT run_key, source, step_no, step_id, name, kind, status, status_outcome(status) AS outcome, vendor_status, started_at,
       finished_at, duration_ms, error_code, error_message, observed_at, run_created_at
FROM rl.steps;
COMMENT ON VIEW steps IS 'What did each run consist of? One row for each part of a run, as last seen; join runs on run_key.';
COMMENT ON COLUMN steps.run_key IS 'The run that it is a part of.';
COMMENT ON COLUMN steps.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN steps.step_no IS 'Its place in the run, from 0.';
COMMENT ON COLUMN steps.step_id IS 'The vendor''s id of it, unique within the run.';
COMMENT ON COLUMN steps.name IS 'Its name.';
COMMENT ON COLUMN steps.kind IS 'What sort of step, in the vendor''s words.';
COMMENT ON COLUMN steps.status IS 'The unified status.';
COMMENT ON COLUMN steps.outcome IS 'success, failure or neutral; null while it is open or its word unknown.';
COMMENT ON COLUMN steps.vendor_status IS 'The vendor''s own word.';
COMMENT ON COLUMN steps.started_at IS 'When it began.';
COMMENT ON COLUMN steps.finished_at IS 'When it ended.';
COMMENT ON COLUMN steps.duration_ms IS 'Milliseconds between them; null unless both are known and ordered.';
COMMENT ON COLUMN steps.error_code IS 'The vendor''s code for what went wrong.';
COMMENT ON COLUMN steps.error_message IS 'What went wrong, cut at 4,000 characters.';
COMMENT ON COLUMN steps.observed_at IS 'When we saw it change last.';
COMMENT ON COLUMN steps.run_created_at IS 'The created_at of its run: filter on it too, so that only steps of that time are read.';
