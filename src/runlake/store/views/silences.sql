CREATE OR REPLACE VIEW silences AS
SELECT silence_id, rule, source, pipeline, reason, created_by, created_at, until FROM rl.silences;
COMMENT ON VIEW silences IS 'What has somebody silenced, why, and until when? An alert is silenced by what matches all patterns that are not null.';
COMMENT ON COLUMN silences.silence_id IS 'Of this silence.';
COMMENT ON COLUMN silences.rule IS 'A pattern of rules.';
COMMENT ON COLUMN silences.source IS 'A pattern of sources.';
COMMENT ON COLUMN silences.pipeline IS 'A pattern of pipelines, by id or by name.';
COMMENT ON COLUMN silences.reason IS 'Why.';
COMMENT ON COLUMN silences.created_by IS 'Who silenced it.';
COMMENT ON COLUMN silences.created_at IS 'When.';
COMMENT ON COLUMN silences.until IS 'When it ends, or was ended.';
