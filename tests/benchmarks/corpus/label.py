"""Label of a run from its truth: healthy, a failure with its onset, or undetermined."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from corpus.design import EARLY_CAUSES
from corpus.truth import MIN_HEALTHY_MODES

from ganwatch.detectors.oscillation import count_turns
from ganwatch.drill.injection import injections

MAX_COLLAPSED_MODES = 0.5
"""Largest share of the modes that is present after a collapse, and largest effective share that all samples are spread over."""
MAX_COLLAPSED_DISTANCE = 5.0
"""Distance above which a generator has diverged rather than collapsed; at one real sample it is between 1 and 2.5."""
HARMED_DISTANCE_RATIO = 1.5
"""Distance against that before the cause above which a generator is harmed."""
SLOW_DISTANCE_RATIO = 0.67
"""Last distance against the first below which a generator is slow rather than held back."""
SETTLED_FROM = 0.75
"""Part of its steps from which a healthy run must be healthy."""
MIN_SWING = 0.6
"""Distance between the lowest and the highest tenth of a swinging distance, against its median."""
MIN_TURNS = 3
"""Turns of a swinging distance."""
RECENT = 5
"""Measurements at the end of a run, most of which must be harmed, and before the cause, which give the usual level."""
MIN_HARMED = 0.8
"""Share of the measurements from the onset that must be harmed."""
MIN_MEMORISED = 0.75
"""Share of samples nearer to a training sample than to as many unseen ones from which they are copies."""
DATA_FAILURES = {
    "rare-modes": ("mode-dropping", ("GW102",)),
    "few-samples": ("memorisation", ("GW103", "GW203", "GW502")),
}
"""Label and correct codes of causes in the data."""
IMMEDIATE_CAUSES = {"range-mismatch", "non-finite", "few-latents", "constant-latents"}
"""Causes that are the failure themselves."""


def label(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the label of a run from its ``truth``, ``cause``, ``modes`` and ``steps``.

    Returns
    -------
    dict
        ``label``; ``codes`` that are correct; ``onset``, the first step from which most measurements are harmed; ``onset_low``, the step
        of the cause, before which no alarm can be correct; ``half_gone``, the first step from which half of the modes are missing, if the
        generator had more of them before.
    """
    rows, cause = facts["truth"], facts["cause"]
    if cause is None:
        return as_facts("healthy" if _is_healthy(facts, rows) else "undetermined")
    name = cause["name"]
    failure, codes = DATA_FAILURES[name] if name in DATA_FAILURES else (injections()[name].label, injections()[name].codes)
    since = max(1, cause["step"])
    onset = _failure_onset(facts, name, failure, since)
    return as_facts("undetermined") if onset is None else as_facts(failure, codes, since, onset, half_gone(facts))


def _failure_onset(facts: dict[str, Any], name: str, failure: str, since: int) -> int | None:
    """Return the step at which a failure begins, None if there is none or if another was there before."""
    before, after = ([row for row in facts["truth"] if (row["step"] < since) == early] for early in (True, False))
    modes, usual = (statistics.median(row[key] for row in before[-RECENT:]) if before else None for key in ("modes", "distance"))
    was_good = modes is None or modes >= MIN_HEALTHY_MODES * facts["modes"]
    never_good = not any(_is_good(facts, row) for row in after)
    if name in EARLY_CAUSES and never_good and not (before and was_good):
        is_slow = bool(after) and after[-1]["distance"] < SLOW_DISTANCE_RATIO * after[0]["distance"]
        return None if is_slow else since
    if modes is not None and modes <= MAX_COLLAPSED_MODES * facts["modes"]:
        return None
    harmed = [name in IMMEDIATE_CAUSES or _is_harmed(failure, facts, row, was_good, usual) for row in after]
    onset = lasting_onset(after, harmed)
    if onset is None or sum(harmed[-RECENT:]) <= RECENT // 2 or (failure == "oscillation" and not _swings(after, onset)):
        return None
    if name in IMMEDIATE_CAUSES or (not before and never_good):
        return since
    if failure != "mode-collapse":
        return onset
    # a collapse begins when modes begin to go, and not when half of them are gone
    first_loss = lasting_onset(after, [_is_harmed("", facts, row, was_good, usual) for row in after])
    return onset if first_loss is None else min(first_loss, onset)


def half_gone(facts: dict[str, Any]) -> int | None:
    """Return the step from which half of the modes are missing, None if they are not or always were."""
    is_half = [row["modes"] <= MAX_COLLAPSED_MODES * facts["modes"] for row in facts["truth"]]
    onset = lasting_onset(facts["truth"], is_half)
    had_more = onset is not None and any(not half for half, row in zip(is_half, facts["truth"], strict=True) if row["step"] < onset)
    return onset if had_more else None


def _swings(rows: Sequence[dict[str, float]], onset: int) -> bool:
    """Return True if the distance goes up and down by a good part of itself from the onset."""
    distances = [row["distance"] for row in rows if row["step"] >= onset]
    low, high = np.quantile(distances, (0.1, 0.9))
    return bool(high - low >= MIN_SWING * statistics.median(distances) and count_turns(distances, low, high) >= MIN_TURNS)


def lasting_onset(rows: Sequence[dict[str, float]], harmed: Sequence[bool]) -> int | None:
    """Return the first step from which most measurements are harmed."""
    lasting = (start for start, bad in enumerate(harmed) if bad and sum(harmed[start:]) >= MIN_HARMED * (len(harmed) - start))
    return next((int(rows[start]["step"]) for start in lasting), None)


def as_facts(
    name: str, codes: tuple[str, ...] = (), since: int | None = None, onset: int | None = None, half: int | None = None
) -> dict[str, Any]:
    return {"label": name, "codes": list(codes), "onset": onset, "onset_low": since, "half_gone": half}


def _is_good(facts: dict[str, Any], row: dict[str, float]) -> bool:
    return bool(row["modes"] >= MIN_HEALTHY_MODES * facts["modes"])


def _is_healthy(facts: dict[str, Any], rows: list[dict[str, float]]) -> bool:
    settled = [row for row in rows if row["step"] > SETTLED_FROM * facts["steps"]]
    mostly_good = bool(settled) and sum(_is_good(facts, row) for row in settled) >= 0.9 * len(settled)
    return mostly_good and statistics.median(row["modes"] for row in settled) >= facts["complete"]


def _is_harmed(failure: str, facts: dict[str, Any], row: dict[str, float], was_good: bool, usual: float | None) -> bool:
    """Return True if a measurement shows the failure of a generator with these levels before the cause."""
    if row["distance"] < 0.0:  # not finite
        return True
    if failure == "mode-collapse":
        few = row["modes"] <= MAX_COLLAPSED_MODES * facts["modes"] and row["variety"] <= MAX_COLLAPSED_MODES
        return few and row["distance"] <= MAX_COLLAPSED_DISTANCE
    if failure == "mode-dropping":
        return row["modes"] < facts["modes"]
    copies = row["copies"] >= MIN_MEMORISED
    if failure == "memorisation":
        return copies
    if failure == "discriminator-overfitting" and copies:
        return True
    return (was_good and not _is_good(facts, row)) or (usual is not None and row["distance"] > HARMED_DISTANCE_RATIO * usual)
