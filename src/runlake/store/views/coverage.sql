CREATE OR REPLACE VIEW coverage AS
SELECT source, pipeline_id, day, expected, stored, missing, missing_run_ids, checked_at
FROM rl.coverage
QUALIFY row_number() OVER (PARTITION BY source, pipeline_id, day ORDER BY checked_at DESC) = 1;
COMMENT ON VIEW coverage IS 'How complete is the ledger? For each pipeline and UTC day, the newest comparison of the vendor''s own unfiltered list with what was stored.';
COMMENT ON COLUMN coverage.source IS 'The configured account at a vendor.';
COMMENT ON COLUMN coverage.pipeline_id IS 'The vendor''s id of the pipeline.';
COMMENT ON COLUMN coverage.day IS 'The UTC day of created_at.';
COMMENT ON COLUMN coverage.expected IS 'Runs that the vendor lists.';
COMMENT ON COLUMN coverage.stored IS 'Of these, how many the ledger held when it was checked.';
COMMENT ON COLUMN coverage.missing IS 'expected - stored.';
COMMENT ON COLUMN coverage.missing_run_ids IS 'Which ones; they are then fetched.';
COMMENT ON COLUMN coverage.checked_at IS 'When.';
