CREATE OR REPLACE VIEW run_history AS
SELECT s.run_key, s.source, s.vendor, s.pipeline_id, s.pipeline_name, s.run_id, s.attempt,
       coalesce(m.status, 'unknown') AS status, s.status AS status_then, s.vendor_status, s.created_at, s.started_at,
       CASE WHEN status_has_end(coalesce(m.status, 'unknown')) THEN s.finished_at END AS finished_at,
       CASE WHEN status_has_end(coalesce(m.status, 'unknown')) THEN s.duration_ms END AS duration_ms,
       s.error_code, s.error_message, s.vanished_at, s.observed_at, s.read_by, s.request, s.sync_id
FROM rl.run_snapshots s
LEFT JOIN rl.status_map m ON m.source = s.source AND m.level = 'run' AND m.vendor_status = s.vendor_status;
COMMENT ON VIEW run_history IS 'What did we know, and when? One row for each change seen of a run. "As known at T": the last row of each run with observed_at <= T.';
COMMENT ON COLUMN run_history.run_key IS 'The run.';
COMMENT ON COLUMN run_history.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN run_history.vendor IS 'The name of the connector.';
COMMENT ON COLUMN run_history.pipeline_id IS 'The vendor''s id of the job that was run.';
COMMENT ON COLUMN run_history.pipeline_name IS 'Its name then.';
COMMENT ON COLUMN run_history.run_id IS 'The vendor''s id of the run.';
COMMENT ON COLUMN run_history.attempt IS '1, 2, 3 …';
COMMENT ON COLUMN run_history.status IS 'The vendor''s word of then, by the mapping of now.';
COMMENT ON COLUMN run_history.status_then IS 'The vendor''s word of then, by the mapping of then: what was reported at the time.';
COMMENT ON COLUMN run_history.vendor_status IS 'The vendor''s own word.';
COMMENT ON COLUMN run_history.created_at IS 'When the run was created.';
COMMENT ON COLUMN run_history.started_at IS 'When it had started, as known then.';
COMMENT ON COLUMN run_history.finished_at IS 'When it had ended, as known then.';
COMMENT ON COLUMN run_history.duration_ms IS 'Its duration, as known then.';
COMMENT ON COLUMN run_history.error_code IS 'The vendor''s code for what had gone wrong.';
COMMENT ON COLUMN run_history.error_message IS 'What had gone wrong.';
COMMENT ON COLUMN run_history.vanished_at IS 'Set on the row that notes that the run is gone.';
COMMENT ON COLUMN run_history.observed_at IS 'When we saw this.';
COMMENT ON COLUMN run_history.read_by IS 'How: list, id, sweep, backfill, coverage, or remap (no request: the mapping changed).';
COMMENT ON COLUMN run_history.request IS 'What was asked of the vendor.';
COMMENT ON COLUMN run_history.sync_id IS 'The sync that did it; null for a remap.';
