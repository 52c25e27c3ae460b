"""One ledger of every pipeline run a team has, at whatever vendor it ran."""

__version__ = "0.1.0"
