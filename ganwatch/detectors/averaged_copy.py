"""An averaged copy takes the place of a network: the copy is watched or trained, or its weights are written back.

How it is detected
    Two facts about the loop. The optimizer that steps trains another network with parameters of the same shapes, while the watched one
    gets no update. Or the weights with which an update begins are those from before the previous update, though the optimizer had moved
    them: the part of an update that is left when the next one begins is near zero, for two updates in a row and in every sample.

Why it matters
    In the first case every other finding is about a network that is not the one in training. In the second case the training stands
    still: each update is taken back, and the losses look settled.

Likely causes
    A moving average, a deepcopy or a network of before a restart that is given to ganwatch; an optimizer that was created for another
    copy. Averaged weights, or a snapshot, that are loaded for sampling and never swapped back.

What to do
    Give ganwatch the network whose parameters the optimizer has, once it exists. Keep averaged weights in a network of their own, and
    load the network's own weights again after sampling.

Blind spots
    Weights that are written back now and then, rather than after each update: restarts from an average and lookahead do the same on
    purpose. An average with a decay below the threshold. A copy with other shapes. A training in which both networks are copies.

Calibration
    A threshold only where weights are written back; an average with a decay of 0.99 leaves 0.01 of each update. It is judged on the
    trainings of `tests/wiring` (`python tests/wiring/main.py`).

References
    Yazıcı et al., The Unusual Effectiveness of Averaging in GAN Training, 2019, arXiv:1806.04498 (the average is kept outside of the
    training).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Lasting

_NAMES = {"g": "G", "d": "D"}
_SERIES = {role: (f"lookalike_updates/{role}", f"updates_performed/{role}", f"update_kept/{role}") for role in _NAMES}


class AveragedCopy(Detector):
    """Fire when a lookalike is trained instead of a network, or when updates of a network are taken back.

    Parameters
    ----------
    min_updates : int, updates
        Updates of the lookalike since the last one of the network.
    max_kept : float, ratio
        Part of an update that is left at the next one up to which it counts as taken back.
    window : int, steps
        Steps over which every reading of it must agree.

    Examples
    --------
    >>> readings, onset = AveragedCopy.demo(seed=0)
    >>> detector = AveragedCopy()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 30
    True
    """

    code = "GW007"
    title = "averaged copy"
    severity = Severity.PAGE
    kind = FailureKind.WIRING
    is_optional = True
    inputs = tuple(name for names in _SERIES.values() for name in names)
    tunable = {"min_updates": (10, 100), "max_kept": (0.5, 0.05), "window": (20, 100)}

    def __init__(self, *, min_updates: int = 25, max_kept: float = 0.2, window: int = 30) -> None:
        self.min_updates, self.max_kept, self.window = min_updates, max_kept, window
        self._lookalikes = dict.fromkeys(_NAMES, 0.0)
        self._first_lookalikes = dict.fromkeys(_NAMES, 0)
        self._steps = 0
        self._undone = {role: Lasting(window) for role in _NAMES}
        self._kept = dict.fromkeys(_NAMES, 1.0)
        """Part of the latest update that was left."""

    def update(self, readings: Readings) -> DetectorResult:
        self._steps += 1
        for role in _NAMES:
            lookalikes, performed, kept = readings.select(_SERIES[role])
            if is_finite(performed) and performed > 0.0:
                self._lookalikes[role], self._first_lookalikes[role] = 0.0, 0
            elif is_finite(lookalikes) and lookalikes > 0.0:
                self._lookalikes[role] += lookalikes
                self._first_lookalikes[role] = self._first_lookalikes[role] or readings.step
            if is_finite(kept):
                self._undone[role].update(readings.step, kept <= self.max_kept)
                self._kept[role] = kept
        return next((verdict for role in _NAMES if (verdict := self._judge(role, readings.step)) is not None), None)

    def _judge(self, role: str, step: int) -> Verdict | None:
        name, origin = _NAMES[role], "a fact of the loop"
        if self._lookalikes[role] >= self.min_updates:
            count, onset = self._lookalikes[role], self._first_lookalikes[role]
            text = f"Another network, shaped like {name}, got {count:.0f} updates while {name} got none: {name} is a copy, or was replaced."
            return Verdict(count, self.min_updates, f"lookalike_updates/{role}", step - onset + 1, origin, text, onset=onset)
        if self._undone[role].holds:
            kept, onset = self._kept[role], self._undone[role].since
            text = f"Of an update of {name}, {kept:.1%} is left when the next one begins: something writes weights of before."
            return Verdict(kept, self.max_kept, f"update_kept/{role}", self.window, origin, text, onset=onset)
        return None

    @property
    def is_ready(self) -> bool:
        return self._steps >= self.min_updates

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator that is replaced by a copy. Return the readings and the onset."""
        before = {"lookalike_updates/g": 0.0, "updates_performed/g": 1.0}
        after = {"lookalike_updates/g": 1.0, "updates_performed/g": 0.0}
        return cls.simulate(seed, onset=200, before=before, after=after, noise=0.0), 200
