-- Reports that are made by themselves: one row for each week's report and place that it goes to. `channel` is null for a
-- folder, and for the one row by which a report is known that was due before it was in the config.
CREATE TABLE rl.reports (
  report VARCHAR NOT NULL, period VARCHAR NOT NULL, since TIMESTAMPTZ NOT NULL, until TIMESTAMPTZ NOT NULL,
  zone VARCHAR NOT NULL, known_at TIMESTAMPTZ NOT NULL, channel VARCHAR, message_id UUID NOT NULL,
  created_at TIMESTAMPTZ NOT NULL, claimed_at TIMESTAMPTZ, attempts INTEGER NOT NULL, retry_at TIMESTAMPTZ,
  delivered_at TIMESTAMPTZ, dropped_at TIMESTAMPTZ, error VARCHAR);
