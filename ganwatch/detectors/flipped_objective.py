"""A loss pushes the discriminator's scores the wrong way: a sign or a label is flipped.

How it is detected
    By what the losses ask for, read from their gradients at D's scores. Every GAN, whichever side it calls real, has a D whose loss
    pushes the scores of reals one way and those of fakes the other, and a G whose loss pushes its fakes against D's. It is a fault if G's
    loss and D's push fakes the same way, or if D's pushes reals and fakes the same way, over several sampled steps. Only batches count in
    which most samples with a gradient agree. One on which the losses disagree starts the evidence anew. A D that has no gradient left,
    beyond the margins of a hinge loss, still asks for what it asked for last.

Why it matters
    The networks no longer compete. G learns to be found out, or D not to see a difference, and nothing later in the training corrects it.
    Losses fall and look like progress.

Likely causes
    Swapped labels or targets in one of the losses, the same label for both batches, a minus that is missing or doubled (hinge and Wasserstein
    losses of G are `-D(fake).mean()`), `maximize=True` in one of the optimizers.

What to do
    Compare the two losses on fakes: D's and G's have opposite labels or opposite signs. Then compare D's loss on reals with that on fakes:
    these are opposite too. A run that went on with a flipped loss starts again from a checkpoint of before.

Blind spots
    Batches that ganwatch does not recognise: it then takes their origin from the losses themselves. Gradients that are turned round between
    the score and the weights. Outputs with several channels and auto-encoders, which have no high and low side. Least squares with the
    same target for both batches once D has reached it. For a conditional D, the same label for both batches if it is that of fakes.

Calibration
    The detector compares directions and has no level to calibrate. It is judged on the trainings of `tests/wiring`
    (`python tests/wiring/main.py --only GW003`) and on healthy ones with ten losses beside them.

References
    Goodfellow et al., 2014, arXiv:1406.2661 (the two objectives are opposite); Salimans et al., 2016, arXiv:1606.03498, and Chintala et al.,
    How to train a GAN (ganhacks), 2016 (labels that are smoothed or flipped now and then are no fault).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite

D_REAL, D_FAKE, G_FAKE = "score_pull/d_real", "score_pull/d_fake", "score_pull/g_fake"


class FlippedObjective(Detector):
    """Fire when two losses that must be opposite push the discriminator's scores the same way.

    Parameters
    ----------
    min_pull : float, in (0, 1)
        Pull from which the direction of a batch is clear: the part of its samples that are pushed one way less that of the others.
    n_samples : int
        Sampled steps in a row that must show the fault.

    Examples
    --------
    >>> readings, onset = FlippedObjective.demo(seed=0)
    >>> detector = FlippedObjective()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 20
    True
    """

    code = "GW003"
    title = "flipped objective"
    severity = Severity.PAGE
    kind = FailureKind.WIRING
    inputs = (D_REAL, D_FAKE, G_FAKE)
    required = (D_FAKE, G_FAKE)
    fire_after = 40
    tunable = {"min_pull": (0.3, 0.9), "n_samples": (1, 6)}

    def __init__(self, *, min_pull: float = 0.5, n_samples: int = 2) -> None:
        self.min_pull, self.n_samples = min_pull, n_samples
        self._pulls = [0.0, 0.0, 0.0]
        """Latest pull of each input that was not 0."""
        self._since = [0, 0]
        """First step of the evidence against G's loss and against D's, 0 for none."""
        self._counts = [0, 0]
        """Sampled steps with that evidence."""
        self._n_readings = 0

    def update(self, readings: Readings) -> DetectorResult:
        values = readings.select(self.inputs)
        self._pulls = [value if is_finite(value) and value else before for value, before in zip(values, self._pulls, strict=True)]
        has_real, has_fake, has_g = map(is_finite, values)
        real, fake, of_g = self._pulls
        self._n_readings += has_fake and has_g
        if has_fake and has_g and max(abs(fake), abs(of_g)) >= self.min_pull:  # at rest neither says anything
            self._add(0, readings.step, self._is_same(fake, of_g))
        if has_fake and has_real:
            self._add(1, readings.step, self._is_same(fake, real))
        if self._counts[1] >= self.n_samples:
            text = f"D's loss asks for {_name(fake)} scores of reals and of fakes alike, so it does not learn to tell them apart."
            return self._verdict(D_REAL, real, self._since[1], text)
        if self._counts[0] >= self.n_samples:
            text = f"G's loss asks for {_name(of_g)} scores of its samples, and so does D's: one of them has the wrong sign or label."
            return self._verdict(G_FAKE, of_g, self._since[0], text)
        return None

    def _is_same(self, one: float, other: float) -> bool:
        """Return True if two pulls are clear and go the same way."""
        return min(abs(one), abs(other)) >= self.min_pull and (one > 0) == (other > 0)

    def _add(self, which: int, step: int, is_same: bool) -> None:
        """Add a sampled step to the evidence, or end the evidence."""
        self._since[which] = (self._since[which] or step) if is_same else 0
        self._counts[which] = min(self._counts[which] + 1, self.n_samples) if is_same else 0

    def _verdict(self, signal: str, pull: float, since: int, explanation: str) -> Verdict:
        origin = "what the other loss asks for"
        threshold = self.min_pull if pull > 0 else -self.min_pull
        return Verdict(pull, threshold, signal, 20 * self.n_samples, origin, explanation, onset=since)

    @property
    def is_ready(self) -> bool:
        return self._n_readings >= self.n_samples

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator's loss whose sign changes. Return the readings and the onset."""
        before = {D_REAL: 0.9, D_FAKE: -0.9, G_FAKE: 0.9}
        return cls.simulate(seed, onset=300, before=before, after={G_FAKE: -0.9}), 300


def _name(pull: float) -> str:
    return "higher" if pull > 0 else "lower"
