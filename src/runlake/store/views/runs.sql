-- The runs as they are now. An open run has no end, whatever its vendor goes on showing of the one before; which words
-- are open is the mapping's to say, and may change, so the end that was shown is kept in the table.
CREATE OR REPLACE VIEW runs AS
SELECT run_key, source, vendor, pipeline_id, pipeline_name, run_id, attempt, run_number, pipeline_version, status,
       status_outcome(status) AS outcome, vendor_status, created_at, created_date, started_at,
       CASE WHEN status_has_end(status) THEN finished_at END AS finished_at, updated_at, queued_ms,
       CASE WHEN status_has_end(status) THEN duration_ms END AS duration_ms, trigger, triggered_by, parent_run_key, error_code, error_message, run_url, labels, metrics,
       first_seen_at, observed_at, vanished_at
FROM rl.runs;
COMMENT ON VIEW runs IS 'Which runs are there? One row for each run and attempt, as last seen. Vanished runs are included: filter on vanished_at.';
COMMENT ON COLUMN runs.run_key IS '128-bit hash of source, pipeline_id, run_id and attempt.';
COMMENT ON COLUMN runs.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN runs.vendor IS 'The name of the connector.';
COMMENT ON COLUMN runs.pipeline_id IS 'The vendor''s id of the job that was run.';
COMMENT ON COLUMN runs.pipeline_name IS 'Its name when the run was last seen to change; names may change, ids do not.';
COMMENT ON COLUMN runs.run_id IS 'The vendor''s id of the run.';
COMMENT ON COLUMN runs.attempt IS '1, 2, 3 …: the vendor ran the same run again.';
COMMENT ON COLUMN runs.run_number IS 'The vendor''s running number, where there is one.';
COMMENT ON COLUMN runs.pipeline_version IS 'The version of the pipeline that ran.';
COMMENT ON COLUMN runs.status IS 'The unified status: queued, running, waiting, succeeded, succeeded_with_warnings, failed, timed_out, cancelled, rejected, skipped or unknown.';
COMMENT ON COLUMN runs.outcome IS 'success, failure or neutral; null while the run is open or its word unknown. Success rate = success / (success + failure).';
COMMENT ON COLUMN runs.vendor_status IS 'The vendor''s own word.';
COMMENT ON COLUMN runs.created_at IS 'When the vendor says it was created, else its start, else when we first saw it; then fixed.';
COMMENT ON COLUMN runs.created_date IS 'The UTC day of created_at; group by this, it is stored.';
COMMENT ON COLUMN runs.started_at IS 'When it began to work.';
COMMENT ON COLUMN runs.finished_at IS 'When it ended; null while it is open.';
COMMENT ON COLUMN runs.updated_at IS 'The vendor''s time of the last change, as of observed_at.';
COMMENT ON COLUMN runs.queued_ms IS 'Milliseconds from created_at to started_at; null unless both are known and ordered.';
COMMENT ON COLUMN runs.duration_ms IS 'Milliseconds from started_at to finished_at; null unless both are known and ordered.';
COMMENT ON COLUMN runs.trigger IS 'What started it, in the vendor''s words.';
COMMENT ON COLUMN runs.triggered_by IS 'Who or what started it: the vendor''s id or name.';
COMMENT ON COLUMN runs.parent_run_key IS 'The run that started this one, where the vendor tells.';
COMMENT ON COLUMN runs.error_code IS 'The vendor''s code for what went wrong.';
COMMENT ON COLUMN runs.error_message IS 'What went wrong, in the vendor''s words, cut at 4,000 characters.';
COMMENT ON COLUMN runs.run_url IS 'Where to look at it in the vendor''s pages.';
COMMENT ON COLUMN runs.labels IS 'What one vendor has and others lack, as text.';
COMMENT ON COLUMN runs.metrics IS 'What one vendor has and others lack, as numbers: tokens, counts.';
COMMENT ON COLUMN runs.first_seen_at IS 'When we first saw it.';
COMMENT ON COLUMN runs.observed_at IS 'When we saw it change last.';
COMMENT ON COLUMN runs.vanished_at IS 'When we found it gone from the vendor, verified by id; null while it is there.';
