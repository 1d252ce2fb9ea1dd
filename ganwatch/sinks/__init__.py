"""Sinks: destinations of records, one file each."""
