"""Label of a wild run: by construction where the cause is a fault of the loop or the data, by the truth otherwise."""

from __future__ import annotations

import statistics
from typing import Any

from corpus.label import MIN_HARMED, RECENT, SETTLED_FROM, as_facts, half_gone, lasting_onset
from corpus.wild.causes import Cause, find_causes

FAILURES = {
    "GW001": "network-not-updated", "GW002": "slow-learning", "GW003": "flipped-objective", "GW004": "normalisation-mode",
    "GW005": "repeated-batches", "GW006": "gradients-never-zeroed", "GW007": "averaged-copy", "GW501": "range-mismatch",
    "GW502": "bad-batch", "GW504": "latent-fault", "GW301": "vanishing-gradient", "GW302": "exploding-gradient", "GW303": "non-finite",
    "GW304": "oscillation", "GW201": "discriminator-domination", "GW202": "generator-domination", "GW203": "discriminator-overfitting",
    "GW101": "mode-collapse", "GW102": "mode-dropping", "GW103": "memorisation", "GW104": "weak-conditioning", "GW402": "data-drift",
}  # fmt: skip
"""Name of the failure of each code that comes first for some cause."""
MIN_GOOD_MODES = 0.8
"""Share of the modes that a good generator has: 5 of 6, 7 of 8, 8 of 10, 20 of 25."""
MAX_BAD_MODES = 0.6
"""Share of the modes up to which a generator is clearly not good."""
MAX_DROPPED_MODES = 0.75
"""The same where the cause makes a generator drop rare modes and nothing else."""
HARMED_MODES_RATIO = 0.75
"""Share of the usual modes up to which a generator that was good is harmed."""
HARMED_DISTANCE_RATIO = 2.0
"""Distance against the usual one, or the largest of a good generator if that is larger, above which one that was good is harmed."""
NEVER_GOOD_DISTANCE_RATIO = 1.5
"""Distance against the largest of a good generator from which one is bad."""
HARMED_AGREEMENT_RATIO = 0.5
"""Agreement with labels against the usual one below which a generator is harmed."""
MIN_MEMORISED = 0.75
"""Share of samples nearer to a training sample than to an unseen one from which they are copies."""
MEMORISING = ("few-samples", "large-on-few-samples")
"""Causes whose harm can be that samples are copies."""


def label(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the label of a run from its ``truth``, ``cause``, ``modes``, ``max_distance`` and ``steps``.

    Returns
    -------
    dict
        As for ``corpus.label.label``.
    """
    if facts["cause"] is None:
        return as_facts("healthy" if is_healthy(facts) else "undetermined")
    cause = find_causes()[facts["cause"]["name"]]
    since = max(1, facts["cause"]["step"])
    onset = since if cause.fact else harm_onset(facts, since, cause)
    if onset is None:
        return as_facts("undetermined")
    return as_facts(FAILURES[cause.codes[0]], cause.codes, since, onset, half_gone(facts))


def is_good(facts: dict[str, Any], row: dict[str, float]) -> bool:
    """Return True if a measurement is that of a good generator."""
    return row["modes"] >= MIN_GOOD_MODES * facts["complete"] and 0.0 <= row["distance"] <= facts["max_distance"]


def is_bad(facts: dict[str, Any], row: dict[str, float], max_modes: float = MAX_BAD_MODES) -> bool:
    """Return True if a measurement is clearly not that of a good generator, or has at most ``max_modes`` of the modes."""
    far = row["distance"] < 0.0 or row["distance"] > NEVER_GOOD_DISTANCE_RATIO * facts["max_distance"]
    return far or row["modes"] <= max_modes * facts["complete"]


def is_healthy(facts: dict[str, Any]) -> bool:
    """Return True if a run ends well and never lost half of the modes that it had."""
    rows = facts["truth"]
    settled = [row for row in rows if row["step"] > SETTLED_FROM * facts["steps"]]
    if sum(is_good(facts, row) for row in settled) < MIN_HARMED * len(settled):
        return False
    first = next((place for place, row in enumerate(rows) if is_good(facts, row)), len(rows))
    return all(row["modes"] > 0.5 * facts["complete"] for row in rows[first:])


def harm_onset(facts: dict[str, Any], since: int, cause: type[Cause]) -> int | None:
    """Return the step from which the truth shows harm, None if it does not."""
    rows = facts["truth"]
    before, after = ([row for row in rows if (row["step"] < since) == early] for early in (True, False))
    if since <= 1:
        max_modes = MAX_DROPPED_MODES if cause.codes == ("GW102",) else MAX_BAD_MODES
        harmed = [
            is_bad(facts, row, max_modes) or (facts["cause"]["name"] in MEMORISING and row["copies"] >= MIN_MEMORISED) for row in after
        ]
        is_harmed = sum(harmed[-RECENT:]) > RECENT // 2
        was_good = cause.sets_in and any(is_good(facts, row) for row in after)
        return (lasting_onset(after, harmed) if was_good else since) if is_harmed else None
    recent = before[-RECENT:]
    if sum(is_good(facts, row) for row in recent) <= len(recent) // 2:
        return None
    usual = {key: statistics.median(row.get(key, 0.0) for row in recent) for key in ("modes", "distance", "agreement")}
    harmed = [_is_harmed(facts, row, usual) for row in after]
    return lasting_onset(after, harmed) if sum(harmed[-RECENT:]) > RECENT // 2 else None


def _is_harmed(facts: dict[str, Any], row: dict[str, float], usual: dict[str, float]) -> bool:
    bound = HARMED_DISTANCE_RATIO * max(usual["distance"], 0.5 * facts["max_distance"])
    obeys = row.get("agreement", 0.0) >= HARMED_AGREEMENT_RATIO * usual["agreement"]
    return row["distance"] < 0.0 or row["modes"] <= HARMED_MODES_RATIO * usual["modes"] or row["distance"] > bound or not obeys
