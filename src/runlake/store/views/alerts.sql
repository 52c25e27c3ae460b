CREATE OR REPLACE VIEW alerts AS
SELECT a.alert_id, a.rule, a.kind, a.key, a.state, a.severity, a.owner, a.source, a.pipeline_id, a.pipeline_name, a.run_key,
       a.why, a.since, a.pending_at, a.fired_at, t.told_at, coalesce(t.told_on, []) AS told_on, a.resolved_at, a.resolution,
       epoch_ms(a.resolved_at) - epoch_ms(a.fired_at) AS fired_ms, a.flapping, a.acked_at, a.acked_by, a.ack_note, a.facts,
       a.judged_at
FROM rl.alerts a
LEFT JOIN (SELECT alert_id, min(delivered_at) AS told_at, list(DISTINCT channel ORDER BY channel) AS told_on
           FROM rl.notifications WHERE event = 'open' AND delivered_at IS NOT NULL GROUP BY alert_id) t
  ON t.alert_id = a.alert_id;
COMMENT ON VIEW alerts IS 'What fires, what fired, and who was told? One row for each episode of a rule and what it is about; those that were well again before they fired are kept for 30 days.';
COMMENT ON COLUMN alerts.alert_id IS 'Of this episode.';
COMMENT ON COLUMN alerts.rule IS 'The name of the rule that found it.';
COMMENT ON COLUMN alerts.kind IS 'What that rule looks for: failed, failure_rate, too_long, too_short, missing, waiting, source_unobservable, new_status_word, coverage_gap, report_failed or sql.';
COMMENT ON COLUMN alerts.key IS 'What it is about: source/pipeline_id, a source, a report, or the key columns of a query. Of a rule and key, one episode at most is not resolved.';
COMMENT ON COLUMN alerts.state IS 'pending (found, but not for long enough to be told), firing or resolved.';
COMMENT ON COLUMN alerts.severity IS 'info, warning or critical.';
COMMENT ON COLUMN alerts.owner IS 'Whose it is, as the rule or [[owner]] says.';
COMMENT ON COLUMN alerts.source IS 'The configured account at a vendor; null where a query does not say.';
COMMENT ON COLUMN alerts.pipeline_id IS 'The vendor''s id of the pipeline; null where it is about a source.';
COMMENT ON COLUMN alerts.pipeline_name IS 'Its name when it was last judged.';
COMMENT ON COLUMN alerts.run_key IS 'The run that it is about, where it is about one.';
COMMENT ON COLUMN alerts.why IS 'What was found when it was last judged to fire, in a sentence.';
COMMENT ON COLUMN alerts.since IS 'When what it is about began, by the vendor''s times.';
COMMENT ON COLUMN alerts.pending_at IS 'When we found it.';
COMMENT ON COLUMN alerts.fired_at IS 'When it had held for long enough to be told; null where it never did.';
COMMENT ON COLUMN alerts.told_at IS 'When a channel first took a message that it had begun; null where none has.';
COMMENT ON COLUMN alerts.told_on IS 'The channels that took one.';
COMMENT ON COLUMN alerts.resolved_at IS 'When we found that it was over.';
COMMENT ON COLUMN alerts.resolution IS 'How it was over, in a sentence.';
COMMENT ON COLUMN alerts.fired_ms IS 'Milliseconds from fired_at to resolved_at.';
COMMENT ON COLUMN alerts.flapping IS 'Whether it had fired so often in a day that only the digest tells of it.';
COMMENT ON COLUMN alerts.acked_at IS 'When a person said that they see to it.';
COMMENT ON COLUMN alerts.acked_by IS 'Who.';
COMMENT ON COLUMN alerts.ack_note IS 'What they wrote.';
COMMENT ON COLUMN alerts.facts IS 'What the last verdict rests on, as JSON.';
COMMENT ON COLUMN alerts.judged_at IS 'When it last changed.';
