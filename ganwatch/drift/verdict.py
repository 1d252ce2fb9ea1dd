"""Whether the world moved, the generator regressed, both or neither: three comparisons and one verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ganwatch.core.errors import UserError
from ganwatch.drift.columns import ColumnChange, Columns, compare_columns
from ganwatch.drift.kernel import as_features, same_width
from ganwatch.drift.permutation import LIMIT, Change, Comparison, change, compare
from ganwatch.drift.sequential import Check, RepeatedChecks

LEVEL = 0.01
"""Probability of any verdict but "unchanged" where nothing changed."""
FEWEST = 50
"""Samples that each side must have."""


class Outcome(StrEnum):
    """The verdict on a drift check."""

    UNCHANGED = "unchanged"
    WORLD_MOVED = "world_moved"
    GENERATOR_REGRESSED = "generator_regressed"
    BOTH = "both"
    INSUFFICIENT_DATA = "insufficient_data"

    @property
    def exit_code(self) -> int:
        """Of ``ganwatch drift``."""
        return {"unchanged": 0, "world_moved": 10, "generator_regressed": 11, "both": 12, "insufficient_data": 3}[self]

    @property
    def advice(self) -> str:
        """What it means and what to do."""
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
    """A verdict with all that it rests on.

    Parameters
    ----------
    verdict : Outcome
    level : float
        Probability of a verdict other than ``unchanged`` where nothing changed.
    samples : dict of str to int
        How many there were of each side.
    world, to_baseline, to_fresh : Comparison or None
        Baseline and fresh, generated and baseline, generated and fresh.
    regression : Change or None
        The generator now against its accepted reference, by their distances to the baseline.
    check : Check or None
        Where the world was judged as one of many checks against the same baseline.
    columns : tuple of Moved
        Baseline and fresh, column by column, the surest first.
    notes : tuple of str
        What could not be judged, and why.
    provenance : dict
        Extractor, preprocessing, seed, versions.
    """

    verdict: Outcome
    level: float
    samples: dict[str, int]
    world: Comparison | None = None
    to_baseline: Comparison | None = None
    to_fresh: Comparison | None = None
    regression: Change | None = None
    check: Check | None = None
    columns: tuple[ColumnChange, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def moved(self) -> tuple[ColumnChange, ...]:
        """Columns that differ at the level, after adjustment for their number."""
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
            "moved": [column.name for column in self.moved],
            "columns": [column.as_dict() for column in self.columns],
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
        }


def judge(
    baseline: Any,
    fresh: Any,
    generated: Any = None,
    reference: Any = None,
    *,
    level: float = LEVEL,
    checks: RepeatedChecks | None = None,
    columns: tuple[Columns, Columns] | None = None,
    seed: int = 0,
    limit: int = LIMIT,
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
        Features of samples that it drew when it was accepted. Without them "regressed" is not judged: a generator always differs from
        real data, and only its own past tells how much is too much.
    level : float, in (0, 1)
        Split evenly between the world and the generator where both are judged.
    checks : RepeatedChecks, optional
        Judges the world in place of the single test, where this is one of many checks; its own level holds for the world then.
    columns : pair of dicts, optional
        Of baseline and fresh, from ``columns_of``.
    seed, limit
        As for ``compare``.
    provenance : dict, optional
        Kept with the verdict.

    Raises
    ------
    UserError
        Features are not finite, dimensions differ, or the level is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> str(judge(rng.normal(size=(300, 4)), rng.normal(0.5, size=(300, 4))).verdict)
    'world_moved'
    """
    if not 0 < level < 1:
        raise UserError(f"level must be in (0, 1), got {level}")
    given = {"baseline": baseline, "fresh": fresh, "generated": generated, "reference": reference}
    sides = {name: as_features(side, name) for name, side in given.items() if side is not None}
    same_width(**sides)
    counts = {name: len(side) for name, side in sides.items()}
    facts: dict[str, Any] = {"level": level, "samples": counts, "provenance": provenance or {}}
    few = [f"{name} has {count} samples, {FEWEST} are needed" for name, count in counts.items() if count < FEWEST]
    if few:
        return Drift(Outcome.INSUFFICIENT_DATA, notes=tuple(few), **facts)
    notes = []
    both = generated is not None and reference is not None
    share = level / 2 if both else level
    test = {"permutations": max(999, round(10 / share) - 1), "seed": seed, "limit": limit}
    world = facts["world"] = compare(sides["baseline"], sides["fresh"], **test)
    moved = world.p_value <= share
    if checks is not None:
        check = facts["check"] = checks.check(sides["fresh"])
        moved = check.alarm
        if not check.calibration.enough:
            notes.append(str(check.calibration))
    regressed = False
    if generated is not None:
        facts["to_baseline"] = compare(sides["generated"], sides["baseline"], **test)
        facts["to_fresh"] = compare(sides["generated"], sides["fresh"], **test)
        if both:
            regression = facts["regression"] = change(sides["generated"], sides["reference"], sides["baseline"], **test)
            regressed = regression.further(share)
        else:
            notes.append("whether the generator regressed is not judged: there is no accepted reference of it")
    if columns is not None:
        facts["columns"] = tuple(compare_columns(*columns))
    verdicts = {(False, False): "unchanged", (True, False): "world_moved", (False, True): "generator_regressed", (True, True): "both"}
    return Drift(Outcome(verdicts[moved, regressed]), notes=tuple(notes), **facts)
