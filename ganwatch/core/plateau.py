"""A distance to the real data that stays large and no longer shrinks, over the last half of a run."""

from __future__ import annotations

import statistics

from ganwatch.core.diversity_rules import MIN_PATH
from ganwatch.core.saved_values import check_numbers
from ganwatch.core.statistics import Stateful

MIN_LOOKS = 8
"""Fewest sampled steps of the evidence."""
CAPACITY = 256
"""Most sampled steps that are kept. When there are more, every second one is dropped."""
NEARLY_ALL = 0.1
"""Order statistic of the distances that must be large: a single batch may be near by chance."""


class FarPlateau(Stateful):
    """Fakes that were far from the real data over the last half of the run, and come no nearer though the generator is updated.

    The evidence is as long as ``patience`` at the least, and grows with the run, because who has trained longer may improve more slowly.
    Nearly all distances of it are large. The second half of it is hardly nearer than the first, nor its last quarter than the one before.

    Parameters
    ----------
    min_distance : float, in (0, 1)
        Energy distance from which fakes are far.
    min_improvement : float, ratio
        Reduction of the median distance, from one half of the evidence to the next, that counts as coming nearer.
    patience : int, steps

    Examples
    --------
    >>> plateau = FarPlateau(min_distance=0.1, min_improvement=0.2, patience=400)
    >>> for step in range(20, 620, 20):
    ...     plateau.add_update(step, 1e-3)
    ...     plateau.add_distance(step, 0.3 if step > 200 else 0.6)
    ...     if plateau.since(step):
    ...         break
    >>> step, plateau.since(step), plateau.distance
    (520, 340, 0.3)
    """

    def __init__(self, *, min_distance: float, min_improvement: float, patience: int) -> None:
        self.min_distance, self.min_improvement, self.patience = min_distance, min_improvement, patience
        self._steps: list[int] = []
        self._distances: list[float] = []
        self._paths: list[float] = []
        """Way of the weights up to each sampled step."""
        self._first_step = self._update_step = 0
        self._path = 0.0

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue from a saved state."""
        super().load_state_dict(state)
        for name in ("_steps", "_distances", "_paths"):
            check_numbers(f"{name} of FarPlateau", getattr(self, name))

    def add_update(self, step: int, update_to_weight: float) -> None:
        """Add the updates since the latest call to the way of the weights."""
        self._path += update_to_weight * (step - self._update_step) if self._update_step else 0.0
        self._update_step = step

    def add_distance(self, step: int, distance: float) -> None:
        """Add the energy distance of a sampled step."""
        self._first_step = self._first_step or step
        self._steps.append(step)
        self._distances.append(distance)
        self._paths.append(self._path)
        if len(self._steps) > CAPACITY:
            self._steps, self._distances, self._paths = self._steps[::2], self._distances[::2], self._paths[::2]

    @property
    def distance(self) -> float:
        """Latest distance; NaN while there is none."""
        return self._distances[-1] if self._distances else float("nan")

    def since(self, step: int) -> int | None:
        """Return the first step of the second half of the evidence, which is no nearer than the first.

        None if fakes are near, come nearer, or the generator has not had its chance.
        """
        start = step - max(self.patience, (step - self._first_step) // 2)
        place = sum(one <= start for one in self._steps)
        distances, paths = self._distances[place:], self._paths[place:]
        if start < 0 or not self._first_step or len(distances) < MIN_LOOKS or self._path - paths[0] < MIN_PATH:
            return None
        if sorted(distances)[int(NEARLY_ALL * len(distances))] < self.min_distance:
            return None
        half, quarter = len(distances) // 2, len(distances) // 4
        last = distances[half:]
        if _shrinks(distances[:half], last, self.min_improvement) or _shrinks(last[:quarter], last[quarter:], self.min_improvement / 2):
            return None
        return self._steps[place + half]


def _shrinks(before: list[float], after: list[float], min_improvement: float) -> bool:
    return statistics.median(after) < (1.0 - min_improvement) * statistics.median(before)
