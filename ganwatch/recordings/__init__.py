"""Recorded runs: the readings of the detectors, with facts that no detector sees."""

from ganwatch.recordings.parquet import read_recordings, write_recordings
from ganwatch.recordings.recording import Recording

__all__ = ["Recording", "read_recordings", "write_recordings"]
