"""From the truth of a run to its label: healthy, a failure with its onset, or undetermined."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from corpus.design import EARLY
from corpus.truth import HEALTHY

from ganwatch.detectors.oscillation import count_turns
from ganwatch.drill.injection import injections

COLLAPSED = 0.5
"""Part of the modes at most present after a collapse, and effective part of them over which all samples are spread, near one or not."""
DIVERGED = 5.0
"""Distance beyond which a generator has left the data instead of showing few of them; at one real sample it is between 1 and 2.5."""
WORSE = 1.5
"""Times the distance before the cause, from which on a generator counts as harmed."""
KEPT = 0.67
"""Part of its distance that a generator must not have got rid of to be held back, rather than slow."""
SETTLE = 0.75
"""A healthy run is so from this part of its steps on."""
SWING, TURNS = 0.6, 3
"""Part of its median between the lowest and the highest tenth of a distance that swings, and turns it takes at least."""
LAST = 5
"""Looks at the end of a run, most of which have to show the harm, and before the cause, which say what is usual."""
LASTING = 0.8
"""Part of the looks from the onset on that have to show the harm."""
COPIES = 0.75
"""Share of samples nearer to a training sample than to as many unseen ones."""
AT_START = {
    "rare-modes": ("mode-dropping", ("GW102",)),
    "few-samples": ("memorisation", ("GW103", "GW203", "GW502")),
}
BY_CAUSE = {"range-mismatch", "non-finite", "few-latents", "constant-latents"}
"""Causes that are the failure."""


def label(facts: dict[str, Any]) -> dict[str, Any]:
    """Adds what is known to ``truth``, ``cause``, ``modes`` and ``steps``.

    Returns
    -------
    dict
        ``label``; ``codes`` that are right; ``onset``, the first look from which on most show the harm; ``onset_low``, the step of the
        cause, before which no alarm can be right; ``half_gone``, the first look from which on half of the modes are missing, where the
        generator showed more of them before.
    """
    rows, cause = facts["truth"], facts["cause"]
    if cause is None:
        return _found("healthy" if _healthy(facts, rows) else "undetermined")
    name = cause["name"]
    failure, codes = AT_START[name] if name in AT_START else (injections()[name].label, injections()[name].codes)
    since = max(1, cause["step"])
    onset = _failed(facts, name, failure, since)
    return _found("undetermined") if onset is None else _found(failure, codes, since, onset, _half_gone(facts))


def _failed(facts: dict[str, Any], name: str, failure: str, since: int) -> int | None:
    """Where a failure begins, None where there is none or another was there before."""
    before, after = ([row for row in facts["truth"] if (row["step"] < since) == early] for early in (True, False))
    modes, usual = (statistics.median(row[what] for row in before[-LAST:]) if before else None for what in ("modes", "distance"))
    good, never = modes is None or modes >= HEALTHY * facts["modes"], not any(_good(facts, row) for row in after)
    if name in EARLY and never and not (before and good):
        nearer = bool(after) and after[-1]["distance"] < KEPT * after[0]["distance"]
        return None if nearer else since
    if modes is not None and modes <= COLLAPSED * facts["modes"]:
        return None
    harmed = [name in BY_CAUSE or _harmed(failure, facts, row, good, usual) for row in after]
    onset = _onset(after, harmed)
    if onset is None or sum(harmed[-LAST:]) <= LAST // 2 or (failure == "oscillation" and not _swings(after, onset)):
        return None
    if name in BY_CAUSE or (not before and never):
        return since
    if failure != "mode-collapse":
        return onset
    begun = _onset(after, [_harmed("", facts, row, good, usual) for row in after])  # where modes go, and not where half of them are gone
    return onset if begun is None else min(begun, onset)


def _half_gone(facts: dict[str, Any]) -> int | None:
    """From where on half of the modes are missing, None where they are not or always were."""
    few = [row["modes"] <= COLLAPSED * facts["modes"] for row in facts["truth"]]
    half = _onset(facts["truth"], few)
    showed = half is not None and any(not bad for bad, row in zip(few, facts["truth"], strict=True) if row["step"] < half)
    return half if showed else None


def _swings(rows: Sequence[dict[str, float]], onset: int) -> bool:
    """Whether the distance goes up and down by a good part of itself from there on."""
    distances = [row["distance"] for row in rows if row["step"] >= onset]
    low, high = np.quantile(distances, (0.1, 0.9))
    return bool(high - low >= SWING * statistics.median(distances) and count_turns(distances, low, high) >= TURNS)


def _onset(rows: Sequence[dict[str, float]], harmed: Sequence[bool]) -> int | None:
    """From where on most of what follows is so."""
    lasting = (place for place, bad in enumerate(harmed) if bad and sum(harmed[place:]) >= LASTING * (len(harmed) - place))
    return next((int(rows[place]["step"]) for place in lasting), None)


def _found(
    name: str, codes: tuple[str, ...] = (), since: int | None = None, onset: int | None = None, half: int | None = None
) -> dict[str, Any]:
    return {"label": name, "codes": list(codes), "onset": onset, "onset_low": since, "half_gone": half}


def _good(facts: dict[str, Any], row: dict[str, float]) -> bool:
    return bool(row["modes"] >= HEALTHY * facts["modes"])


def _healthy(facts: dict[str, Any], rows: list[dict[str, float]]) -> bool:
    settled = [row for row in rows if row["step"] > SETTLE * facts["steps"]]
    most = bool(settled) and sum(_good(facts, row) for row in settled) >= 0.9 * len(settled)
    return most and statistics.median(row["modes"] for row in settled) >= facts["complete"]


def _harmed(failure: str, facts: dict[str, Any], row: dict[str, float], good: bool, usual: float | None) -> bool:
    """Whether a look shows the failure, of a generator that was ``good`` before the cause or not and had its ``usual`` distance."""
    if row["distance"] < 0.0:  # not finite
        return True
    if failure == "mode-collapse":
        return row["modes"] <= COLLAPSED * facts["modes"] and row["variety"] <= COLLAPSED and row["distance"] <= DIVERGED
    if failure == "mode-dropping":
        return row["modes"] < facts["modes"]
    copied = row["copies"] >= COPIES
    if failure == "memorisation":
        return copied
    if failure == "discriminator-overfitting" and copied:
        return True
    return (good and not _good(facts, row)) or (usual is not None and row["distance"] > WORSE * usual)
