"""The state of a run in which its fakes were nearest to the real data, and how far it has left that state."""

from __future__ import annotations

from ganwatch.core.statistics import HealthyMedian, Stateful, Window

MAX_NEAR_DISTANCE = 0.1
"""Energy distance up to which fakes are near the real data; a run that never was has no best state."""
MIN_DISTANCE, MIN_DISTANCE_SCATTER = 0.005, 0.003
"""Floors, in energy distance, of the best level and of its scatter."""
MIN_VENDI_SCATTER = 0.02
"""Floor, in Vendi ratio, of its scatter."""


class OwnBest(Stateful):
    """The run's own best state: level and scatter of energy distance and Vendi score where the distance was lowest over a window.

    A distance has grown if an order statistic over the last steps is a multiple of the best level and lies several times its usual
    scatter above it, so that the noise of small batches does not count. The Vendi score has fallen likewise.

    Parameters
    ----------
    distance_ratio : float, ratio
        Energy distance against the best level from which it has grown.
    distance_sigmas : float, scatters
        Difference to the best level from which it has grown. A scatter is half of the range of the middle 70 %.
    window, recent : int, steps
        Length of the best state, and of the state that is compared with it.
    quantile : float, ratio
        Order statistic of the recent distances; a low one for a growth from which they hardly ever come back.

    Examples
    --------
    >>> best = OwnBest(distance_ratio=6.0, distance_sigmas=4.0, window=140, recent=80)
    >>> for step in range(20, 820, 20):
    ...     best.update(step, 0.01 if step < 500 else 0.08, 1.0)
    >>> best.has_grown, best.since, best.best_step
    (True, 500, 140)
    """

    def __init__(self, *, distance_ratio: float, distance_sigmas: float, window: int, recent: int, quantile: float = 0.25) -> None:
        self.distance_ratio, self.distance_sigmas, self.quantile = distance_ratio, distance_sigmas, quantile
        self._distances, self._vendis = Window(window), Window(window)
        self._recent_distances, self._recent_vendis = Window(recent), Window(recent)
        self._usual_scatter, self._usual_vendi_scatter = HealthyMedian(warmup=1), HealthyMedian(warmup=1)
        self._best: list[float] = []
        """Level and scatter of the distance, level and scatter of the Vendi score, and the last step of the best state."""
        self._since: int | None = None

    @property
    def best_step(self) -> int | None:
        """Last step of the best state; None without one."""
        return int(self._best[4]) if self._best else None

    @property
    def best_distance(self) -> float:
        """Energy distance of the best state."""
        return self._best[0]

    @property
    def distance(self) -> float:
        """Energy distance over the last steps."""
        return self._recent_distances.quantile(self.quantile)

    @property
    def vendi(self) -> float:
        """Median Vendi score over the last steps."""
        return self._recent_vendis.median

    @property
    def max_distance(self) -> float:
        """Energy distance above which it has grown."""
        level, scatter = self._best[0], max(self._best[1], self._usual_scatter.value, MIN_DISTANCE_SCATTER)
        return max(self.distance_ratio * max(level, MIN_DISTANCE), level + self.distance_sigmas * scatter)

    @property
    def has_grown(self) -> bool:
        """True if the distance over the last steps has grown."""
        return bool(self._best) and self._recent_distances.is_full and self.distance > self.max_distance

    @property
    def is_unchanged(self) -> bool:
        """True if the distance over the last steps is still that of the best state, within the usual scatter of single steps."""
        if not (self._best and self._recent_distances.is_full):
            return False
        return self._recent_distances.median <= self._best[0] + max(self._best[1], self._usual_scatter.value, MIN_DISTANCE_SCATTER)

    @property
    def since(self) -> int | None:
        """First sampled step of a growth that lasts; None without one."""
        return self._since

    def min_vendi(self, ratio: float, sigmas: float) -> float:
        """Return the Vendi score below which it has fallen: under a share of its level, and by several times its scatter.

        A level beyond that of the reals counts as theirs, as noise is diverse too.
        """
        level, scatter = min(self._best[2], 1.0), max(self._best[3], self._usual_vendi_scatter.value, MIN_VENDI_SCATTER)
        return min(ratio * level, level - sigmas * scatter)

    def forget(self) -> None:
        """Forget the best state, as fakes are compared with other reals from here on."""
        self._best, self._since = [], None
        for window in (self._distances, self._vendis, self._recent_distances, self._recent_vendis):
            window.clear()

    def update(self, step: int, distance: float, vendi: float = 1.0) -> None:
        """Take the energy distance of one sampled step, and the Vendi score if that is asked for."""
        for distances, vendis in ((self._distances, self._vendis), (self._recent_distances, self._recent_vendis)):
            distances.add(step, distance)
            vendis.add(step, vendi)
        if self._distances.is_full and self._distances.median < MAX_NEAR_DISTANCE:
            state = [self._distances.median, _scatter(self._distances), self._vendis.median, _scatter(self._vendis), float(step)]
            self._usual_scatter.update(state[1])
            self._usual_vendi_scatter.update(state[3])
            if not self._best or state[0] < self._best[0]:
                self._best = state
        is_far = bool(self._best) and distance > self.max_distance
        self._since = (self._since or step) if is_far or self.has_grown else None


def _scatter(window: Window) -> float:
    return (window.quantile(0.85) - window.quantile(0.15)) / 2.0
