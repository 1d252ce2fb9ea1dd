"""A checkpoint could not be written, or could not be read back.

How it is detected
    ganwatch writes each checkpoint of `watching.checkpoint` beside its place, flushes it, reads it back in another process, and compares it
    with the hash of what was written. A save that fails is tried again four times within about a minute. The incident is a fact: the last
    attempt has failed, and `checkpoint_verified` is 0. It ends with the next checkpoint that is verified. Files that Lightning or a plain
    loop writes are looked for after each save, and read back likewise. So is a copy that durable storage refuses.

Why it matters
    Until it ends there is no newer state to go back to. A run of days that nobody can resume is lost with the next crash.

Likely causes
    A disk or a quota that is full; a folder that may not be written; a network file system that answers with errors; a failing disk.

What to do
    Read the reason in `ganwatch checkpoints RUN`. Make room, or give the folder to the user of the job. Training goes on, and the next
    checkpoint is written in full.

Blind spots
    Files that hold more than tensors and plain types, and what a loop writes to an open file. A file that is damaged after it was read back
    is found when it is loaded.

Calibration
    The detector states a fact and has no level to calibrate. Tests write to a full disk, to a folder without permission, and to files that
    are damaged while they are written.

References
    Mohan et al., CheckFreq, FAST 2021 (checkpoints beside the training); Pillai et al., All file systems are not created equal, OSDI 2014
    (the order of writes, flushes and renames that survives a crash).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings

VERIFIED = "checkpoint_verified"


class CheckpointFault(Detector):
    """Fire when the latest checkpoint could not be written or read back.

    Examples
    --------
    >>> readings, onset = CheckpointFault.demo(seed=0)
    >>> detector = CheckpointFault()
    >>> next(r.step for r in readings if detector.update(r)) == onset
    True
    """

    code = "GW511"
    title = "checkpoint fault"
    severity = Severity.TICKET
    kind = FailureKind.OTHER
    is_fact = True
    is_optional = True
    explained_by = ()
    inputs = (VERIFIED,)
    required = ((VERIFIED,),)

    def update(self, readings: Readings) -> DetectorResult:
        verified = readings.values.get(VERIFIED)
        if verified is None or verified:
            return None
        text = "The latest checkpoint could not be written, or could not be read back."
        advice = "read the reason in `ganwatch checkpoints`; make room, or let the job write to the folder"
        return Verdict(verified, 1.0, VERIFIED, 1, "a fact of the disk", text, advice=advice)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a disk that runs full. Return the readings and the onset."""
        return cls.simulate(seed, onset=200, before={VERIFIED: 1.0}, after={VERIFIED: 0.0}, noise=0.0), 200
