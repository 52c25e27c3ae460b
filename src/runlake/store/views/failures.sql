CREATE OR REPLACE VIEW failures AS
SELECT r.*, f.name AS failed_step, f.error_message AS step_error
FROM runs r
LEFT JOIN (SELECT run_key, arg_min(coalesce(name, step_id), step_no) AS name,
                  arg_min_null(error_message, step_no) AS error_message
           FROM rl.steps WHERE status IN ('failed', 'timed_out') GROUP BY run_key) f ON f.run_key = r.run_key
WHERE r.outcome = 'failure' AND r.vanished_at IS NULL;
COMMENT ON VIEW failures IS 'What failed, and in which step? Runs that failed or timed out; columns as in runs, then the first failed step.';
COMMENT ON COLUMN failures.failed_step IS 'The name of the first failed step, else its id; null where no step is known to have failed.';
COMMENT ON COLUMN failures.step_error IS 'What that step says went wrong.';
