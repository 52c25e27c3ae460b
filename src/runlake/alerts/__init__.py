"""Alerting: rules judge what was seen, episodes remember what fires, the outbox tells it once."""
