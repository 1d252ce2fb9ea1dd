"""Records of checkpoints, and the verdict on each: good, bad or unknown, by the incidents of its run and never by its age."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ganwatch.core.incidents import Incident
from ganwatch.core.names import name_failure
from ganwatch.core.outcome import Unjudged

SETTLING_STEPS = 200
"""Steps after a checkpoint within which most failures that it may have are found: nine in ten of the recorded ones after 220."""
RECENT_STEPS, BUCKET = 400, 50
"""Latest steps whose checkpoints may still become the last good one, as an onset lies before its alarm, and steps of which one is kept."""
JUDGED_BY = ("GW101",)
"""Codes of which one at least must have been judged, so that no incident means something."""
NOT_JUDGED = "not judged:"
"""Beginning of the reason for which a checkpoint is unknown though its steps are over."""
NOT_OF_WEIGHTS = frozenset({"GW511"})
"""Codes that say nothing about the networks."""
STALLED = frozenset({"GW403"})
"""Codes of networks that come no nearer: their states are no worse than those of before, and may never have been good."""


class Quality(StrEnum):
    """Verdict on a checkpoint."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class CheckpointVerdict:
    """Verdict with its reason and the incident behind it."""

    quality: Quality
    reason: str
    incident: str | None = None


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint that was written and read back, or that could not be.

    Attributes
    ----------
    path : str
    step : int
    sha256 : str
        Hash of its state; empty if it could not be written.
    size : int, bytes
    created : float, Unix seconds
    fault : str
        Reason for which it cannot be used; empty for one that was verified.
    unread : str
        Reason for which it was not read back though nothing speaks against it; empty for any other one.
    nonfinite : tuple of str
        Parts that hold NaN.
    stale : tuple of str
        Parts whose values were not those in training at its step.
    verdict : CheckpointVerdict
    is_removed : bool
        True if its files were removed to make room.
    attempt : int
        Start of the process that saved it, from 1; 0 if that is not known.
    """

    path: str
    step: int
    sha256: str = ""
    size: int = 0
    created: float = 0.0
    fault: str = ""
    unread: str = ""
    nonfinite: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    verdict: CheckpointVerdict = CheckpointVerdict(Quality.UNKNOWN, "not judged yet")
    is_removed: bool = False
    attempt: int = 0

    @property
    def is_verified(self) -> bool:
        """True if it was written and read back, and is still there."""
        return not (self.fault or self.unread or self.is_removed)


def judge_checkpoint(
    checkpoint: SavedCheckpoint, incidents: Iterable[Incident], last_step: int, *, unjudged: str = "", has_ended: bool = False
) -> CheckpointVerdict:
    """Judge a checkpoint by what is known of its run.

    Parameters
    ----------
    checkpoint : SavedCheckpoint
    incidents : iterable of Incident
    last_step : int
        Latest step that was judged.
    unjudged : str
        Failures that nothing could judge; a checkpoint is never good with some.
    has_ended : bool
        True if the run has ended, so that no further step will tell.

    Examples
    --------
    >>> judge_checkpoint(SavedCheckpoint("step-300", 300), [], 350).reason
    'no incident has begun, judged up to step 350; known 200 steps after it'
    >>> judge_checkpoint(SavedCheckpoint("step-300", 300), [], 500).quality
    <Quality.GOOD: 'good'>
    """
    if checkpoint.fault or checkpoint.nonfinite:
        return CheckpointVerdict(Quality.BAD, checkpoint.fault or f"NaN in {', '.join(checkpoint.nonfinite)}")
    open_ones = [one for one in sorted(incidents, key=lambda one: one.onset) if _is_open_at(one, checkpoint.step)]
    for incident in open_ones:
        if incident.code not in STALLED:
            return CheckpointVerdict(Quality.BAD, _describe(incident), incident.id)
    if stalled := [incident for incident in open_ones if incident.cause is None]:
        return CheckpointVerdict(Quality.UNKNOWN, _describe(stalled[0]), stalled[0].id)
    stale = f"parts of another step, or other copies than those in training: {', '.join(checkpoint.stale)}" if checkpoint.stale else ""
    if doubt := stale or checkpoint.unread or (unjudged and f"{NOT_JUDGED} {unjudged}"):
        return CheckpointVerdict(Quality.UNKNOWN, doubt)
    if last_step < checkpoint.step + SETTLING_STEPS and not has_ended:
        reason = f"no incident has begun, judged up to step {last_step}; known {SETTLING_STEPS} steps after it"
        return CheckpointVerdict(Quality.UNKNOWN, reason)
    return CheckpointVerdict(Quality.GOOD, f"no incident had begun by then, judged up to step {last_step}")


def _is_open_at(incident: Incident, step: int) -> bool:
    had_ended = incident.resolved is not None and incident.resolved <= step
    return incident.fired is not None and incident.onset <= step and not had_ended and incident.code not in NOT_OF_WEIGHTS


def _describe(incident: Incident) -> str:
    return f"{name_failure(incident.title, incident.id)} since step {incident.onset}"


def name_unjudged(unjudged: Iterable[Unjudged]) -> str:
    """Return the failures for the lack of which nothing is good; empty if enough could be judged."""
    missing = {one.code: str(one) for one in unjudged if one.code in JUDGED_BY}
    return ", ".join(missing.values()) if len(missing) == len(JUDGED_BY) else ""


def find_last_good(checkpoints: Sequence[SavedCheckpoint]) -> SavedCheckpoint | None:
    """Return the latest verified checkpoint that is good; None if there is none.

    >>> good = CheckpointVerdict(Quality.GOOD, "no incident had begun by then, judged up to step 900")
    >>> find_last_good([SavedCheckpoint("step-300", 300, verdict=good), SavedCheckpoint("step-600", 600)]).path
    'step-300'
    """
    good = [one for one in checkpoints if one.is_verified and one.verdict.quality is Quality.GOOD]
    return max(good, key=lambda one: one.step, default=None)


def select_kept(checkpoints: Sequence[SavedCheckpoint], keep: int) -> list[SavedCheckpoint]:
    """Return the checkpoints to keep: ``keep`` that are spread over the run, the last good one, the newest, and some that may become good.

    Those are of the latest ``RECENT_STEPS`` steps, the first one of every ``BUCKET`` steps, and not bad.

    >>> [one.step for one in select_kept([SavedCheckpoint(f"step-{step}", step) for step in range(100, 1100, 100)], 3)]
    [100, 300, 500, 600, 700, 800, 900, 1000]
    """
    ordered = sorted((one for one in checkpoints if one.is_verified), key=lambda one: one.step)
    recent: dict[int, SavedCheckpoint] = {}
    for one in ordered:
        if one.step >= ordered[-1].step - RECENT_STEPS and one.verdict.quality is not Quality.BAD:
            recent.setdefault(one.step // BUCKET, one)
    safe = [*recent.values(), *ordered[-1:], *filter(None, [find_last_good(ordered)])]
    spread = [one for one in ordered if one not in safe]
    while len(spread) > keep:  # the one whose loss leaves the smallest gap; the first one stays
        gaps = [after.step - before.step for before, after in zip(spread, [*spread[2:], ordered[-1]], strict=False)]
        del spread[1 + gaps.index(min(gaps)) if keep > 1 else 0]
    return [one for one in ordered if one in safe or one in spread]
