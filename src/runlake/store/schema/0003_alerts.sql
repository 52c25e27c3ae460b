-- Alerting: what is to be judged, what fires, and who has been told.

-- The pipelines whose runs have changed since they were judged: written with the change, in one transaction.
CREATE TABLE rl.unjudged (source VARCHAR NOT NULL, pipeline_id VARCHAR NOT NULL);

-- Of these, runs that changed so long after they were created that nobody would look back to them: one that waited for a
-- month and then failed.
CREATE TABLE rl.late_runs (
  source VARCHAR NOT NULL, pipeline_id VARCHAR NOT NULL, run_key UUID NOT NULL, created_at TIMESTAMPTZ NOT NULL);

-- When to judge a pipeline again although nothing of it has changed, by the source's own clock (up to when we have seen).
CREATE TABLE rl.lookouts (source VARCHAR NOT NULL, pipeline_id VARCHAR NOT NULL, look_at TIMESTAMPTZ NOT NULL);

-- `since`: from when on it has been as `definition` says; what ended before is none of its business.
CREATE TABLE rl.alert_rules (
  rule VARCHAR NOT NULL, kind VARCHAR NOT NULL, severity VARCHAR NOT NULL, definition VARCHAR NOT NULL,
  since TIMESTAMPTZ NOT NULL, error VARCHAR, retired_at TIMESTAMPTZ);

-- One row for each episode. `facts` is JSON: what the verdict rests on.
CREATE TABLE rl.alerts (
  alert_id UUID NOT NULL, rule VARCHAR NOT NULL, kind VARCHAR NOT NULL, key VARCHAR NOT NULL, state VARCHAR NOT NULL,
  severity VARCHAR NOT NULL, owner VARCHAR, source VARCHAR, pipeline_id VARCHAR, pipeline_name VARCHAR, run_key UUID,
  since TIMESTAMPTZ NOT NULL, pending_at TIMESTAMPTZ NOT NULL, fired_at TIMESTAMPTZ, resolved_at TIMESTAMPTZ,
  judged_at TIMESTAMPTZ NOT NULL, resolution VARCHAR, why VARCHAR NOT NULL, facts VARCHAR NOT NULL,
  flapping BOOLEAN NOT NULL, acked_at TIMESTAMPTZ, acked_by VARCHAR, ack_note VARCHAR, told_at TIMESTAMPTZ);

-- The outbox: one row for each alert, channel and event; those that went out as one message share its id, which stays
-- the same however often the message has to be sent. A digest is about whatever is open when it is sent: no alert_id.
CREATE TABLE rl.notifications (
  alert_id UUID, channel VARCHAR NOT NULL, event VARCHAR NOT NULL, created_at TIMESTAMPTZ NOT NULL,
  message_id UUID, claimed_at TIMESTAMPTZ, attempts INTEGER NOT NULL, retry_at TIMESTAMPTZ, delivered_at TIMESTAMPTZ,
  dropped_at TIMESTAMPTZ, error VARCHAR);

CREATE TABLE rl.silences (
  silence_id UUID NOT NULL, rule VARCHAR, source VARCHAR, pipeline VARCHAR, reason VARCHAR NOT NULL,
  created_by VARCHAR NOT NULL, created_at TIMESTAMPTZ NOT NULL, until TIMESTAMPTZ NOT NULL);
