"""Recorded runs: what the detectors saw, with facts that they did not see."""

from ganwatch.recordings.parquet import read_recordings, write_recordings
from ganwatch.recordings.recording import Recording

__all__ = ["Recording", "read_recordings", "write_recordings"]
