CREATE OR REPLACE VIEW notifications AS
SELECT alert_id, channel, event, created_at,
       CASE WHEN delivered_at IS NOT NULL THEN 'delivered' WHEN dropped_at IS NOT NULL THEN 'dropped' ELSE 'waiting' END AS state,
       message_id, claimed_at, attempts, delivered_at, dropped_at, retry_at, error
FROM rl.notifications;
COMMENT ON VIEW notifications IS 'Who was told what, when, and what became of it? One row for each alert, channel and event; rows with one message_id went out as one message.';
COMMENT ON COLUMN notifications.alert_id IS 'The alert; null for a digest, which is about all that is open.';
COMMENT ON COLUMN notifications.channel IS 'The name of the channel.';
COMMENT ON COLUMN notifications.event IS 'open, repeat, resolve or digest.';
COMMENT ON COLUMN notifications.created_at IS 'When it was decided that this is to be told.';
COMMENT ON COLUMN notifications.state IS 'delivered, dropped (not to be told any more, or given up) or waiting.';
COMMENT ON COLUMN notifications.message_id IS 'Of the message, the same however often it was sent; null until it is first sent.';
COMMENT ON COLUMN notifications.claimed_at IS 'When it was last sent.';
COMMENT ON COLUMN notifications.attempts IS 'How often it was sent.';
COMMENT ON COLUMN notifications.delivered_at IS 'When the channel had taken it.';
COMMENT ON COLUMN notifications.dropped_at IS 'When it was dropped.';
COMMENT ON COLUMN notifications.retry_at IS 'When it is sent again.';
COMMENT ON COLUMN notifications.error IS 'Why the channel did not take it the last time; beside a delivery, who did not get it.';
