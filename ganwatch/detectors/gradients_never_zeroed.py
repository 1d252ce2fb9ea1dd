"""Updates apply gradients again that an earlier update has applied, or that the other network's loss has left.

How it is detected
    Right after a sampled update, one gradient of the network is watched until its next update. It counts as kept if no backward pass
    until then began with a gradient that was set to None, zeroed, replaced or written to since the update. It counts as left by the other
    network if a backward pass wrote gradients to both networks, the other network was updated, and further gradients were added then
    without any clearing in between. Both are facts about the loop without a threshold; several samples in a row must agree.

Why it matters
    Each update follows the sum of all gradients so far, like a momentum that never decays: the training overshoots and diverges. A
    discriminator that applies what the generator's loss left learns to be fooled.

Likely causes
    A missing `zero_grad()`; one in a branch that is no longer taken; `zero_grad()` of another optimizer or of an old one. For gradients
    that were left: `zero_grad()` right after the network's own update only, while the other network's loss is back-propagated later.

What to do
    Call `optimizer.zero_grad()` right before each network's own backward pass. With gradient accumulation, call it before the first of
    them.

Blind spots
    A gradient that is cleared in some of its steps only, if those are the sampled ones. Parameters of a network that the loop clears in
    part, if the one that is watched is cleared. Optimizers that train both networks at once. Backward passes in captured CUDA graphs.

Calibration
    No threshold and nothing to calibrate. It is judged on the trainings of `tests/wiring` (`python tests/wiring/main.py`).

References
    Goodfellow et al., 2014, arXiv:1406.2661, algorithm 1: each update follows the gradient of its own minibatch.
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Lasting

_TEXTS = {
    "gradient_kept/g": "Updates of G apply the gradients of earlier updates again, because nothing clears them.",
    "gradient_kept/d": "Updates of D apply the gradients of earlier updates again, because nothing clears them.",
    "gradient_left/g": "Updates of G apply gradients that D's loss left, because nothing clears them before G's own.",
    "gradient_left/d": "Updates of D apply gradients that G's loss left, because nothing clears them before D's own.",
}


class GradientsNeverZeroed(Detector):
    """Fire when the gradients of a network are not cleared between its updates.

    Parameters
    ----------
    window : int, steps
        Steps over which every reading must agree.

    Examples
    --------
    >>> readings, onset = GradientsNeverZeroed.demo(seed=0)
    >>> detector = GradientsNeverZeroed()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 40
    True
    """

    code = "GW006"
    title = "gradients never zeroed"
    severity = Severity.PAGE
    kind = FailureKind.WIRING
    inputs = tuple(_TEXTS)
    is_optional = True
    tunable = {"window": (20, 100)}

    def __init__(self, *, window: int = 30) -> None:
        self.window = window
        self._kept = {series: Lasting(window) for series in self.inputs}

    def update(self, readings: Readings) -> DetectorResult:
        for series, value in zip(self.inputs, readings.select(self.inputs), strict=True):
            if is_finite(value):
                self._kept[series].update(readings.step, value > 0.0)
        for series, kept in self._kept.items():
            if kept.holds:
                return Verdict(1.0, 0.0, series, self.window, "a fact of the loop", _TEXTS[series], onset=kept.since)
        return None

    @property
    def is_ready(self) -> bool:
        return any(kept.is_ready for kept in self._kept.values())

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate gradients of D that are no longer cleared. Return the readings and the onset."""
        return cls.simulate(seed, onset=200, before={"gradient_kept/d": 0.0}, after={"gradient_kept/d": 1.0}, noise=0.0), 200
