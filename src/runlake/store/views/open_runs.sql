CREATE OR REPLACE VIEW open_runs AS
SELECT r.*, w.read_at AS last_read_at, w.reads
FROM rl.watched w JOIN runs r ON r.run_key = w.run_key AND r.created_at = w.created_at
WHERE w.why = 'open' AND r.vanished_at IS NULL;
COMMENT ON VIEW open_runs IS 'What is queued, running, waiting or unknown now? Columns as in runs, then how fresh our view is.';
COMMENT ON COLUMN open_runs.last_read_at IS 'When we last looked, changed or not.';
COMMENT ON COLUMN open_runs.reads IS 'How often we have looked since it was last final or new.';
