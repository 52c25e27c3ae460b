CREATE OR REPLACE VIEW reports AS
SELECT report, period, since, until, zone, known_at, channel,
       CASE WHEN delivered_at IS NOT NULL THEN 'delivered' WHEN dropped_at IS NULL THEN 'waiting'
            WHEN channel IS NULL AND attempts = 0 THEN 'not made' ELSE 'dropped' END AS state,
       message_id, created_at, claimed_at, attempts, delivered_at, dropped_at, retry_at, error
FROM rl.reports;
COMMENT ON VIEW reports IS 'Which reports were made by themselves, for whom, and what became of them? One row for each week''s report and place that it goes to.';
COMMENT ON COLUMN reports.report IS 'Its name in the config.';
COMMENT ON COLUMN reports.period IS 'What it is about: 2026-W47.';
COMMENT ON COLUMN reports.since IS 'When that begins.';
COMMENT ON COLUMN reports.until IS 'When that is over.';
COMMENT ON COLUMN reports.zone IS 'The time zone of its days.';
COMMENT ON COLUMN reports.known_at IS 'It says what was known then, however late it was made.';
COMMENT ON COLUMN reports.channel IS 'The name of the channel; null for a folder.';
COMMENT ON COLUMN reports.state IS 'delivered, waiting, dropped (given up, or its channel is gone) or not made (it was due before it was in the config).';
COMMENT ON COLUMN reports.message_id IS 'Of the message, the same however often it was sent.';
COMMENT ON COLUMN reports.created_at IS 'When it was decided to make it.';
COMMENT ON COLUMN reports.claimed_at IS 'When it was last made and sent.';
COMMENT ON COLUMN reports.attempts IS 'How often.';
COMMENT ON COLUMN reports.delivered_at IS 'When the channel had taken it.';
COMMENT ON COLUMN reports.dropped_at IS 'When it was dropped.';
COMMENT ON COLUMN reports.retry_at IS 'When it is tried again.';
COMMENT ON COLUMN reports.error IS 'Why it could not be made or sent the last time; beside a delivery, who did not get it.';
