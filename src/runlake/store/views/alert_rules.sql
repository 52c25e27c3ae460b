CREATE OR REPLACE VIEW alert_rules AS
SELECT r.rule, r.kind, r.severity, r.since, r.retired_at, r.error, coalesce(a.firing, 0) AS firing,
       coalesce(a.fired, 0) AS fired, a.last_fired_at, r.definition
FROM rl.alert_rules r
LEFT JOIN (SELECT rule, count(*) FILTER (state = 'firing') AS firing, count(fired_at) AS fired, max(fired_at) AS last_fired_at
           FROM rl.alerts GROUP BY rule) a ON a.rule = r.rule;
COMMENT ON VIEW alert_rules IS 'What is alerted on, since when, and how often has it fired? One row for each rule that is or was in force.';
COMMENT ON COLUMN alert_rules.rule IS 'Its name.';
COMMENT ON COLUMN alert_rules.kind IS 'What it looks for.';
COMMENT ON COLUMN alert_rules.severity IS 'info, warning or critical.';
COMMENT ON COLUMN alert_rules.since IS 'Since when it is as it is: what ended before is none of its business.';
COMMENT ON COLUMN alert_rules.retired_at IS 'Since when it is not in force any more; null while it is.';
COMMENT ON COLUMN alert_rules.error IS 'Why it could not be evaluated the last time; null where it could.';
COMMENT ON COLUMN alert_rules.firing IS 'How many alerts of it fire now.';
COMMENT ON COLUMN alert_rules.fired IS 'How many have ever fired.';
COMMENT ON COLUMN alert_rules.last_fired_at IS 'When the last of them did.';
COMMENT ON COLUMN alert_rules.definition IS 'What it says, as JSON, with all defaults.';
