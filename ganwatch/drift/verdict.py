"""One verdict from three comparisons: the real data changed, the generator regressed, both or neither."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ganwatch.core.errors import UserError
from ganwatch.drift.columns import ColumnChange, Columns, compare_columns
from ganwatch.drift.kernel import as_features, check_widths
from ganwatch.drift.permutation import MAX_SAMPLES, Comparison, DistanceChange, compare, compare_distances
from ganwatch.drift.sequential import RepeatedChecks, SequentialCheck

LEVEL = 0.01
"""Probability of a verdict other than "unchanged" if nothing changed."""
MIN_SAMPLES = 50
"""Smallest number of samples per side."""


class DriftVerdict(StrEnum):
    """The verdict on a drift check."""

    UNCHANGED = "unchanged"
    WORLD_MOVED = "world_moved"
    GENERATOR_REGRESSED = "generator_regressed"
    BOTH = "both"
    INSUFFICIENT_DATA = "insufficient_data"

    @property
    def exit_code(self) -> int:
        """Exit code of ``ganwatch drift``."""
        return {"unchanged": 0, "world_moved": 10, "generator_regressed": 11, "both": 12, "insufficient_data": 3}[self]

    @property
    def advice(self) -> str:
        """Meaning of the verdict, and what to do."""
        return {
            "unchanged": "nothing changed",
            "world_moved": "fresh real data differ from the baseline: retrain on them",
            "generator_regressed": "the generator is further from the baseline than its accepted reference: roll back",
            "both": "fresh real data differ from the baseline, and the generator is further from the baseline than its accepted reference:"
            " roll back, then retrain on fresh data",
            "insufficient_data": "too few samples for a verdict",
        }[self]


@dataclass(frozen=True, slots=True)
class Drift:
    """A verdict with its evidence.

    Parameters
    ----------
    verdict : DriftVerdict
    level : float
        Probability of a verdict other than ``unchanged`` if nothing changed.
    samples : dict of str to int
        Number of samples per side.
    world, to_baseline, to_fresh : Comparison or None
        Comparisons of baseline and fresh, generated and baseline, generated and fresh.
    regression : DistanceChange or None
        The generator now and its accepted reference, by their distances to the baseline.
    check : SequentialCheck or None
        Result of the check as one of many against the same baseline; it decides about the real data if it is there.
    columns : tuple of ColumnChange
        Baseline and fresh, column by column, smallest p-value first.
    notes : tuple of str
        Tests that could not be made, and why.
    provenance : dict
        Extractor, preprocessing, seed, versions.
    """

    verdict: DriftVerdict
    level: float
    samples: dict[str, int]
    world: Comparison | None = None
    to_baseline: Comparison | None = None
    to_fresh: Comparison | None = None
    regression: DistanceChange | None = None
    check: SequentialCheck | None = None
    columns: tuple[ColumnChange, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def changed_columns(self) -> tuple[ColumnChange, ...]:
        """Columns that differ at the level, adjusted for their number."""
        return tuple(column for column in self.columns if column.p_value <= self.level)

    def as_dict(self) -> dict[str, Any]:
        """Plain types."""
        parts = {name: getattr(self, name) for name in ("world", "to_baseline", "to_fresh", "regression", "check")}
        return {
            "verdict": str(self.verdict),
            "advice": self.verdict.advice,
            "level": self.level,
            "samples": dict(self.samples),
            **{name: None if part is None else part.as_dict() for name, part in parts.items()},
            "changed_columns": [column.name for column in self.changed_columns],
            "columns": [column.as_dict() for column in self.columns],
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
        }


def decide(
    baseline: Any,
    fresh: Any,
    generated: Any = None,
    reference: Any = None,
    *,
    level: float = LEVEL,
    checks: RepeatedChecks | None = None,
    columns: tuple[Columns, Columns] | None = None,
    seed: int = 0,
    limit: int = MAX_SAMPLES,
    provenance: dict[str, Any] | None = None,
) -> Drift:
    """Compare fresh real data with the baseline, and the generator with both.

    Parameters
    ----------
    baseline, fresh : (N, D) arrays or tensors
        Features of real samples.
    generated : (N, D) array or tensor, optional
        Features of samples that the generator draws now.
    reference : (N, D) array or tensor, optional
        Features of samples that it drew when it was accepted. Without them regression is not tested: a generator always differs from
        real data, and only its own past shows how much is too much.
    level : float, in (0, 1)
        Split evenly between the real data and the generator if both are tested.
    checks : RepeatedChecks, optional
        Decides about the real data in place of the single test, if this is one of many checks. Then its own level holds for them.
    columns : pair of dicts, optional
        Columns of baseline and fresh, from ``columns_of``.
    seed, limit
        As for ``compare``.
    provenance : dict, optional
        Stored with the verdict.

    Raises
    ------
    UserError
        Features are not finite, dimensions differ, or the level is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> str(decide(rng.normal(size=(300, 4)), rng.normal(0.5, size=(300, 4))).verdict)
    'world_moved'
    """
    if not 0 < level < 1:
        raise UserError(f"level must be in (0, 1), got {level}")
    inputs = {"baseline": baseline, "fresh": fresh, "generated": generated, "reference": reference}
    sides = {name: as_features(side, name) for name, side in inputs.items() if side is not None}
    check_widths(**sides)
    counts = {name: len(side) for name, side in sides.items()}
    facts: dict[str, Any] = {"level": level, "samples": counts, "provenance": provenance or {}}
    few = [f"{name} has {count} samples, {MIN_SAMPLES} are needed" for name, count in counts.items() if count < MIN_SAMPLES]
    if few:
        return Drift(DriftVerdict.INSUFFICIENT_DATA, notes=tuple(few), **facts)
    notes = []
    tests_generator = generated is not None and reference is not None
    share = level / 2 if tests_generator else level
    test = {"permutations": max(999, round(10 / share) - 1), "seed": seed, "limit": limit}
    world = facts["world"] = compare(sides["baseline"], sides["fresh"], **test)
    world_moved = world.p_value <= share
    if checks is not None:
        check = facts["check"] = checks.check(sides["fresh"])
        world_moved = check.alarm
        if not check.calibration.is_large_enough:
            notes.append(str(check.calibration))
    regressed = False
    if generated is not None:
        facts["to_baseline"] = compare(sides["generated"], sides["baseline"], **test)
        facts["to_fresh"] = compare(sides["generated"], sides["fresh"], **test)
        if tests_generator:
            regression = facts["regression"] = compare_distances(sides["generated"], sides["reference"], sides["baseline"], **test)
            regressed = regression.is_further(share)
        else:
            notes.append("regression of the generator is not tested: it has no accepted reference")
    if columns is not None:
        facts["columns"] = tuple(compare_columns(*columns))
    verdicts = {(False, False): "unchanged", (True, False): "world_moved", (False, True): "generator_regressed", (True, True): "both"}
    return Drift(DriftVerdict(verdicts[world_moved, regressed]), notes=tuple(notes), **facts)
