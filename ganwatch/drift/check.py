"""A drift check from the data to the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganwatch.drift.permutation import MAX_SAMPLES
from ganwatch.drift.reading import Reader, Side
from ganwatch.drift.sequential import RepeatedChecks
from ganwatch.drift.verdict import LEVEL, MIN_SAMPLES, Drift, decide


@dataclass(frozen=True, slots=True)
class DriftCheckResult:
    """A verdict with its evidence, and the sides that were compared."""

    drift: Drift
    sides: dict[str, Side]


class DriftCheck:
    """Checks fresh data against one baseline, which is read once.

    Parameters
    ----------
    baseline : like that of ``ganwatch.data.opening.open_source``
    level : float or None
        Probability of a false verdict: in a single check (None: 0.01), or in any of ``times`` checks (None: 0.05).
    times : int or None
        Planned number of checks against this baseline; see ``RepeatedChecks``. None treats every check as the only one.
    limit : int
        Largest number of samples to read per side.
    seed : int
    **reading
        ``features``, ``size``, ``cache`` and ``progress`` of ``Reader``.

    Raises
    ------
    UserError
        An argument breaks a rule, or the baseline cannot be read.

    Examples
    --------
    >>> result = DriftCheck("digits:1/2")("digits:2/2")
    >>> str(result.drift.verdict), "brightness" in result.sides["fresh"].columns
    ('unchanged', True)
    """

    def __init__(
        self,
        baseline: Any,
        *,
        level: float | None = None,
        times: int | None = None,
        limit: int = MAX_SAMPLES,
        seed: int = 0,
        **reading: Any,
    ) -> None:
        self.reader = Reader(baseline, limit=limit, seed=seed, **reading)
        self.baseline = self.reader.read(baseline, "baseline")
        self.repeated = None
        if times is not None and len(self.baseline.features) >= MIN_SAMPLES:  # a smaller one gets no verdict
            alpha = 0.05 if level is None else level
            self.repeated = RepeatedChecks(self.baseline.features, checks=times, alpha=alpha, seed=seed)
        self._options: dict[str, Any] = {"level": LEVEL if level is None else level, "seed": seed, "limit": limit}

    def __call__(self, fresh: Any, generated: Any = None, *, reference: Tensor | None = None) -> DriftCheckResult:
        """Read the new sides and decide.

        Parameters
        ----------
        fresh, generated : like the baseline
        reference : (N, D) tensor or None
            Features of samples that the generator drew when it was accepted.
        """
        sides = {"baseline": self.baseline, "fresh": self.reader.read(fresh, "fresh")}
        if generated is not None:
            sides["generated"] = self.reader.read(generated, "generated")
        drift = decide(
            sides["baseline"].features,
            sides["fresh"].features,
            sides["generated"].features if generated is not None else None,
            reference,
            checks=self.repeated,
            columns=(sides["baseline"].columns, sides["fresh"].columns),
            provenance=self.reader.provenance() | {"sides": {name: side.report for name, side in sides.items()}},
            **self._options,
        )
        return DriftCheckResult(drift, sides)
