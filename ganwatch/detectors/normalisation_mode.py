"""A network is trained in evaluation mode, and was trained in training mode before.

How it is detected
    In the call that trains a network, the share of the layers that depend on the mode (normalisation with running statistics, spectral
    normalisation, dropout) that are in training mode, and the share of its other layers. It fires once all layers of both kinds are in
    evaluation mode over a window, if some of the first kind were in training mode before in this run. Calls without a graph and steps
    without an update of the network do not count.

Why it matters
    Normalisation uses statistics that no longer follow the weights, and gradients ignore that a batch shifts them: outputs drift away
    from what training expects, without an error. Spectral normalisation divides by a norm that is out of date.

Likely causes
    `eval()` for sampling, validation or a checkpoint, and no `train()` afterwards; a helper that returns early, or calls `train()` on
    another network.

What to do
    Call `train()` on both networks at the beginning of each step, or right after what called `eval()`.

Blind spots
    A network that is trained in evaluation mode from the first step has nothing to be compared with. If only the normalisation is in
    evaluation mode and the other layers are not, that is taken for a design: frozen statistics. Functions that get the mode as an
    argument and layers that keep it in another attribute are not seen, nor are networks without any such layer.

Calibration
    No threshold and nothing to calibrate. It is judged on the trainings of `tests/wiring` (`python tests/wiring/main.py`).

References
    Ioffe and Szegedy, Batch Normalization, 2015, arXiv:1502.03167 (section 3.1, training and inference).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Lasting

_NAMES = {"g": "G", "d": "D"}


class NormalisationMode(Detector):
    """Fire when a network that was in training mode stays in evaluation mode while it is trained.

    Parameters
    ----------
    window : int, steps
        Steps over which every reading must agree.

    Examples
    --------
    >>> readings, onset = NormalisationMode.demo(seed=0)
    >>> detector = NormalisationMode()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 60
    True
    """

    code = "GW004"
    title = "normalisation mode"
    severity = Severity.TICKET
    kind = FailureKind.WIRING
    inputs = tuple(f"{family}/{role}" for role in _NAMES for family in ("norm_training", "layers_training"))
    is_optional = True
    tunable = {"window": (20, 200)}

    def __init__(self, *, window: int = 40) -> None:
        self.window = window
        self._evaluating = {role: Lasting(window) for role in _NAMES}
        self._healthy = dict.fromkeys(_NAMES, 0.0)

    def update(self, readings: Readings) -> DetectorResult:
        for role, evaluating in self._evaluating.items():
            dependent, others = readings.select((f"norm_training/{role}", f"layers_training/{role}"))
            if not (is_finite(dependent) and is_finite(others)):
                continue
            if dependent > 0.0:
                self._healthy[role] = dependent
            evaluating.update(readings.step, dependent <= 0.0 and others <= 0.0)
        for role, evaluating in self._evaluating.items():
            if self._healthy[role] > 0.0 and evaluating.holds:
                text = f"{_NAMES[role]} is trained in evaluation mode; before, {self._healthy[role]:.0%} of its layers that depend on the "
                text += "mode were in training mode."
                origin = "the run's own mode before"
                return Verdict(0.0, self._healthy[role], f"norm_training/{role}", self.window, origin, text, onset=evaluating.since)
        return None

    @property
    def is_ready(self) -> bool:
        return any(evaluating.is_ready for evaluating in self._evaluating.values())

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator that is left in evaluation mode. Return the readings and the onset."""
        before = {"norm_training/g": 1.0, "layers_training/g": 1.0}
        return cls.simulate(seed, onset=300, before=before, after=dict.fromkeys(before, 0.0), noise=0.0), 300
