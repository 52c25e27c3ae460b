CREATE OR REPLACE VIEW syncs AS
SELECT sync_id, source, vendor, kind, started_at, finished_at, outcome, error_class, error, seen_runs, new_runs, changed_runs,
       open_runs, unknown_runs, vanished_runs, unreadable, swept, requests, bytes, retries, waited_ms, skew_s,
       observed_through, notes
FROM rl.syncs;
COMMENT ON VIEW syncs IS 'What was asked of each vendor, when, and what came of it? One row for each attempt, failed ones too; those that changed nothing are kept for 30 days.';
COMMENT ON COLUMN syncs.sync_id IS 'Of this attempt; the daemon''s log and run_history name it too.';
COMMENT ON COLUMN syncs.kind IS 'sync; follow (open runs only, between two syncs); hint (runs that a hook named); backfill; coverage.';
COMMENT ON COLUMN syncs.started_at IS 'When it began.';
COMMENT ON COLUMN syncs.finished_at IS 'When it ended; null while it goes on.';
COMMENT ON COLUMN syncs.outcome IS 'ok; partial (something was missed and will be read again); failed; interrupted; running.';
COMMENT ON COLUMN syncs.error_class IS 'The class of what went wrong: ConfigError, AuthenticationError, RateLimited, Unavailable, NotFound, UnexpectedResponse.';
COMMENT ON COLUMN syncs.error IS 'What went wrong, in words.';
COMMENT ON COLUMN syncs.seen_runs IS 'Runs that the vendor showed.';
COMMENT ON COLUMN syncs.new_runs IS 'Runs that it saw for the first time.';
COMMENT ON COLUMN syncs.changed_runs IS 'Known runs that it saw changed.';
COMMENT ON COLUMN syncs.open_runs IS 'Runs of the source that were not final when it ended.';
COMMENT ON COLUMN syncs.unknown_runs IS 'Runs seen by it whose status word has no mapping.';
COMMENT ON COLUMN syncs.vanished_runs IS 'Runs that it found to be gone.';
COMMENT ON COLUMN syncs.unreadable IS 'List items that could not be read and were left out.';
COMMENT ON COLUMN syncs.swept IS 'Whether it listed recently final runs again.';
COMMENT ON COLUMN syncs.requests IS 'HTTP requests made.';
COMMENT ON COLUMN syncs.bytes IS 'Bytes of answers read, after decompression.';
COMMENT ON COLUMN syncs.retries IS 'Requests made again.';
COMMENT ON COLUMN syncs.waited_ms IS 'Milliseconds spent waiting for the vendor''s limits.';
COMMENT ON COLUMN syncs.skew_s IS 'The vendor''s clock less ours, in seconds.';
COMMENT ON COLUMN syncs.observed_through IS 'Up to when it vouches for having seen every run; null where it does not.';
COMMENT ON COLUMN syncs.notes IS 'What else was out of the ordinary.';
