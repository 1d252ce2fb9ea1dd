"""Merges the readings of all ranks step by step, on rank 0."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ganwatch.core.plain_records import read_field
from ganwatch.core.signals import Reduction, find_signal

MAX_LAG = 100
"""Number of later steps for which rank 0 waits for the other ranks' values of a step."""
MAX_STEPS_AHEAD = 1000
"""Number of steps of another rank that are kept while rank 0 has not reached them."""

Completed = tuple[int, dict[str, float], float]
"""Step, values and wall time."""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _without_nan(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)] or [math.nan]


REDUCTIONS: dict[Reduction, Callable[[Sequence[float]], float]] = {
    "mean": _mean,
    "rms": lambda values: math.sqrt(_mean([value * value for value in values])),
    "sum": sum,
    "min": lambda values: min(_without_nan(values)),
    "max": lambda values: max(_without_nan(values)),
}


def reduce_ranks(ranks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Reduce the values of several ranks to one per series, as the catalogue says. A rank without a value does not count.

    >>> reduce_ranks([{"loss/g": 1.0, "batch_size/real": 8.0}, {"loss/g": 3.0, "batch_size/real": 8.0, "data_min/real": -1.0}])
    {'loss/g': 2.0, 'batch_size/real': 16.0, 'data_min/real': -1.0}
    """
    gathered: dict[str, list[float]] = {}
    for values in ranks:
        for series, value in values.items():
            gathered.setdefault(series, []).append(value)
    signals = {series: find_signal(series) for series in gathered}
    return {series: REDUCTIONS[signal.reduce if (signal := signals[series]) else "mean"](values) for series, values in gathered.items()}


class RankMerger:
    """Merges the values of rank 0 with those that other ranks send.

    Parameters
    ----------
    others : sequence of int
        The other ranks.
    lag : int, steps
        Number of later steps for which a step waits for slower ranks. A rank that is slower still is no longer waited for until it
        sends again.

    Examples
    --------
    >>> merger = RankMerger([1])
    >>> merger.add_local([(1, {"loss/g": 1.0}, 0.0)])
    []
    >>> merger.add_remote(1, [[1, {"loss/g": 3.0}]])
    >>> merger.add_local([(2, {"loss/g": 1.0}, 0.0)])
    [(1, {'loss/g': 2.0, 'ranks': 2.0}, 0.0)]
    >>> merger.merge_rest(timeout=0.0)
    [(2, {'loss/g': 1.0, 'ranks': 1.0}, 0.0)]
    """

    def __init__(self, others: Sequence[int], lag: int = MAX_LAG) -> None:
        self.lag = lag
        self._received: dict[int, dict[int, dict[str, float]]] = {rank: {} for rank in others}
        self._newest = dict.fromkeys(others, 0)
        self._awaited = set(others)
        self._waiting: deque[Completed] = deque()
        self._changed = threading.Condition()

    def add_remote(self, rank: int, steps: Sequence[tuple[int, dict[str, float]]]) -> None:
        """Add steps of another rank.

        Raises
        ------
        ValueError
            There is no such rank, or what it sent are no steps with values.
        """
        if rank not in self._received:
            raise ValueError(f"rank must be one of {sorted(self._received)}, got {rank}")
        received_steps = read_field("a message", tuple[tuple[int, Mapping[str, float]], ...], steps)
        if any(step < 0 for step, _ in received_steps):
            raise ValueError("steps of a message must be >= 0")
        with self._changed:
            received = self._received[rank]
            for step, values in received_steps:
                received[step] = values
                self._newest[rank] = step
                if len(received) > MAX_STEPS_AHEAD:
                    del received[next(iter(received))]
            self._awaited.add(rank)
            self._changed.notify_all()

    def remove_rank(self, rank: int) -> None:
        """Stop waiting for a rank that sends no more."""
        with self._changed:
            self._awaited.discard(rank)
            self._changed.notify_all()

    def add_local(self, steps: Sequence[Completed]) -> list[Completed]:
        """Add steps of rank 0. Return the steps that can be merged now, in order."""
        with self._changed:
            self._waiting.extend(steps)
            return self._merge_complete(self.lag)

    def merge_rest(self, timeout: float) -> list[Completed]:
        """Return all remaining steps, once every rank has sent its values or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting and self._slower_ranks(self._waiting[-1][0])), timeout=timeout)
            return self._merge_complete(0)

    def _slower_ranks(self, step: int) -> set[int]:
        return {rank for rank in self._awaited if self._newest[rank] < step}

    def _merge_complete(self, lag: int) -> list[Completed]:
        merged = []
        while self._waiting:
            step, values, wall_time = self._waiting[0]
            slower = self._slower_ranks(step)
            if slower and len(self._waiting) <= lag:
                break
            self._awaited -= slower
            self._waiting.popleft()
            ranks = [values, *self._pop_received(step)]
            merged.append((step, reduce_ranks(ranks) | {"ranks": float(len(ranks))}, wall_time))
        return merged

    def _pop_received(self, step: int) -> list[dict[str, float]]:
        """Remove and return the other ranks' values of a step, and drop older ones."""
        values = []
        for received in self._received.values():
            while received and next(iter(received)) < step:
                del received[next(iter(received))]
            if step in received:
                values.append(received.pop(step))
        return values
