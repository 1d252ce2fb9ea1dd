"""Readings in, verdicts out: one failure a file, found by being here."""
