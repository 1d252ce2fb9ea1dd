"""From the truth of a run to its label: healthy, a failure with its onset, or undetermined."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from corpus.design import EARLY
from corpus.truth import HEALTHY

from ganwatch.drill.injection import injections

COLLAPSED = 0.5
"""Part of the kinds at most present after a collapse, and effective part of them over which all samples are spread, near one or not."""
WORSE = 1.5
"""Times the distance before the cause, from which on a generator counts as harmed."""
SETTLE = 0.75
"""A healthy run is so from this part of its steps on."""
LAST = 5
"""Looks at the end of a run, most of which have to show the harm, and before the cause, which say what is usual."""
LASTING = 0.8
"""Part of the looks from the onset on that have to show the harm."""
COPIES = 0.75
"""Share of samples nearer to a training sample than to as many unseen ones."""
AT_START = {
    "rare-kinds": ("mode-dropping", ("GW102",)),
    "few-samples": ("memorisation", ("GW103", "GW203", "GW502")),
}
BY_CAUSE = {"range-mismatch", "non-finite"}
"""Causes that are the failure."""


def label(facts: dict[str, Any]) -> dict[str, Any]:
    """Adds what is known to ``truth``, ``cause``, ``kinds`` and ``steps``.

    Returns
    -------
    dict
        ``label``; ``codes`` that are right; ``onset``, the first look from which on most show the harm; ``onset_low``, the step of the
        cause, before which no alarm can be right; of collapses ``half_gone``, the first look from which on half of the kinds are missing.
    """
    rows, cause = facts["truth"], facts["cause"]
    if cause is None:
        return _found("healthy" if _healthy(facts, rows) else "undetermined")
    name, since = cause["name"], max(1, cause["step"])
    failure, codes = AT_START[name] if name in AT_START else (injections()[name].label, injections()[name].codes)
    before, after = [row for row in rows if row["step"] < since], [row for row in rows if row["step"] >= since]
    if before and not _good(facts, before[-1]):
        kept_back = name in EARLY and bool(after) and not any(_good(facts, row) for row in after)
        return _found(failure, codes, since, since) if kept_back else _found("undetermined")
    if name in BY_CAUSE:
        return _found(failure, codes, since, since)
    usual = statistics.median(row["distance"] for row in before[-LAST:]) if before else None
    harmed = [_harmed(failure, facts, row, usual) for row in after]
    if sum(harmed[-LAST:]) <= LAST // 2:
        return _found("undetermined")
    half = None
    if failure == "mode-collapse":  # begins where kinds go, and not where half of them are gone
        half = int(after[_first(harmed)]["step"])
        harmed = [not _good(facts, row) for row in after]
    first = _first(harmed)
    if not before and not any(_good(facts, row) for row in after):
        return _found(failure, codes, since, since, half)
    return _found(failure, codes, since, int(after[first]["step"]), half)


def _first(harmed: Sequence[bool]) -> int:
    """From where on most of what follows is so."""
    return next(place for place, bad in enumerate(harmed) if bad and sum(harmed[place:]) >= LASTING * (len(harmed) - place))


def _found(
    name: str, codes: tuple[str, ...] = (), since: int | None = None, onset: int | None = None, half: int | None = None
) -> dict[str, Any]:
    return {"label": name, "codes": list(codes), "onset": onset, "onset_low": since, "half_gone": half}


def _good(facts: dict[str, Any], row: dict[str, float]) -> bool:
    return bool(row["kinds"] >= HEALTHY * facts["kinds"])


def _healthy(facts: dict[str, Any], rows: list[dict[str, float]]) -> bool:
    settled = [row for row in rows if row["step"] > SETTLE * facts["steps"]]
    return bool(settled) and sum(_good(facts, row) for row in settled) >= 0.9 * len(settled)


def _harmed(failure: str, facts: dict[str, Any], row: dict[str, float], before: float | None) -> bool:
    if row["distance"] < 0.0:  # not finite
        return True
    if failure == "mode-collapse":
        return row["kinds"] <= COLLAPSED * facts["kinds"] and row["variety"] <= COLLAPSED
    if failure == "mode-dropping":
        return row["kinds"] < facts["kinds"]
    if failure in {"memorisation", "discriminator-overfitting"}:
        return row["copies"] >= COPIES
    return not _good(facts, row) or (before is not None and row["distance"] > WORSE * before)
