"""A drift check from the data to the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganwatch.drift.permutation import LIMIT
from ganwatch.drift.reading import Reader, Side
from ganwatch.drift.sequential import RepeatedChecks
from ganwatch.drift.verdict import FEWEST, LEVEL, Drift, judge


@dataclass(frozen=True, slots=True)
class Checked:
    """A verdict, and the sides that it was reached on."""

    found: Drift
    sides: dict[str, Side]


class DriftCheck:
    """Check fresh data against one baseline, which is read once.

    Parameters
    ----------
    baseline : like that of ``ganwatch.data.opening.open_source``
    level : float or None
        Probability of a false verdict: of a single check (None: 0.01), or of any of ``times`` checks (None: 0.05).
    times : int or None
        Checks that are planned against this baseline; see ``RepeatedChecks``. None makes each a single one.
    limit : int
        Samples of a side to read at most.
    seed : int
    **reading
        ``features``, ``size``, ``cache`` and ``progress`` of ``Reader``.

    Raises
    ------
    UserError
        An argument breaks a rule, or the baseline cannot be read.

    Examples
    --------
    >>> checked = DriftCheck("digits:1/2")("digits:2/2")
    >>> str(checked.found.verdict), "brightness" in checked.sides["fresh"].columns
    ('unchanged', True)
    """

    def __init__(
        self, baseline: Any, *, level: float | None = None, times: int | None = None, limit: int = LIMIT, seed: int = 0, **reading: Any
    ) -> None:
        self.reader = Reader(baseline, limit=limit, seed=seed, **reading)
        self.baseline = self.reader.read(baseline, "baseline")
        self.repeated = None
        if times is not None and len(self.baseline.features) >= FEWEST:  # with fewer there is no verdict to calibrate
            alpha = 0.05 if level is None else level
            self.repeated = RepeatedChecks(self.baseline.features, checks=times, alpha=alpha, seed=seed)
        self._options: dict[str, Any] = {"level": LEVEL if level is None else level, "seed": seed, "limit": limit}

    def __call__(self, fresh: Any, generated: Any = None, *, reference: Tensor | None = None) -> Checked:
        """Read what is new and judge.

        Parameters
        ----------
        fresh, generated : like the baseline
        reference : (N, D) tensor or None
            Features of what the generator drew when it was accepted.
        """
        sides = {"baseline": self.baseline, "fresh": self.reader.read(fresh, "fresh")}
        if generated is not None:
            sides["generated"] = self.reader.read(generated, "generated")
        found = judge(
            sides["baseline"].features,
            sides["fresh"].features,
            sides["generated"].features if generated is not None else None,
            reference,
            checks=self.repeated,
            columns=(sides["baseline"].columns, sides["fresh"].columns),
            provenance=self.reader.provenance() | {"sides": {name: side.report for name, side in sides.items()}},
            **self._options,
        )
        return Checked(found, sides)
