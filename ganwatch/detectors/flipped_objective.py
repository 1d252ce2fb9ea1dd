"""A loss pushes the discriminator's scores the wrong way: a sign or a label is flipped.

How it is detected
    By what the losses ask for, read from their gradients at D's scores. Every GAN, whichever side it calls real, has a D whose loss
    pushes the scores of reals one way and those of fakes the other, and a G whose loss pushes its fakes against D's. It is a fault if G's
    loss and D's push fakes the same way, or if D's pushes reals and fakes the same way, over several sampled steps. A batch counts if most
    of its samples agree. A D that asks for nothing any more, beyond the margins of a hinge loss or at the targets of least squares, has
    brought its scores into the order that it asked for; that order counts then. Least squares are judged by their targets. A loss that is
    not finite asks for nothing, nor does one without any gradient. A D that is trained on known fakes alone for a while is given them in
    place of reals. Streaks that end by themselves, such as those by flipped labels, make the detector wait for one twice as
    long.

Why it matters
    The networks no longer compete. G learns to be found out, or D not to see a difference, and nothing later in the training corrects it.
    Losses fall and look like progress.

Likely causes
    Swapped labels or targets in one of the losses, the same label for both batches, a minus that is missing or doubled (hinge and
    Wasserstein losses of G are `-D(fake).mean()`), `maximize=True` in one of the optimizers.

What to do
    Compare the two losses on fakes: D's and G's have opposite labels or opposite signs. Then compare D's loss on reals with that on fakes:
    these are opposite too. A run that went on with a flipped loss starts again from a checkpoint of before.

Blind spots
    Batches that ganwatch does not recognise: it then takes their origin from the losses themselves. Gradients that are turned round between
    the score and the weights. Outputs with several channels and auto-encoders, which have no high and low side. For a conditional D,
    the same label for both batches if it is that of fakes.

Calibration
    The detector compares directions and has no level to calibrate. It is judged on the trainings of `tests/wiring`
    (`python tests/wiring/main.py --only GW003`) and on healthy ones with ten losses beside them.

References
    Goodfellow et al., 2014, arXiv:1406.2661 (the two objectives are opposite); Salimans et al., 2016, arXiv:1606.03498, and Chintala et
    al., How to train a GAN (ganhacks), 2016 (labels that are smoothed or flipped now and then are no fault).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Lasting, Stateful

D_REAL, D_FAKE, G_FAKE, ORDER = "score_pull/d_real", "score_pull/d_fake", "score_pull/g_fake", "score_order"
REALS = "reals_given"
ALONE_STEPS = 60
"""Steps for which D must be trained on known fakes alone."""

MAX_LENGTH = 8
"""Most sampled steps in a row that are asked for, however long the fault has come and gone before."""


class _Streak(Stateful):
    """Sampled steps in a row that show the fault. A streak must be twice as long as any that ended by itself, such as by flipped labels."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._longest_ended, self._count, self._since = 0, 0, 0

    def add(self, step: int, is_shown: bool) -> None:
        """Add a sampled step."""
        if is_shown:
            self._count, self._since = min(self._count + 1, MAX_LENGTH), self._since or step
        else:
            self._longest_ended, self._count, self._since = max(self._longest_ended, self._count), 0, 0

    @property
    def since(self) -> int:
        """First step of the streak, 0 for none."""
        return self._since

    @property
    def is_long(self) -> bool:
        """True if the streak is long enough."""
        return self._count >= max(self.length, min(2 * self._longest_ended + 1, MAX_LENGTH))


class FlippedObjective(Detector):
    """Fire when two losses that must be opposite push the discriminator's scores the same way.

    Parameters
    ----------
    min_pull : float, in (0, 1)
        Pull from which the direction of a batch is clear: the part of its samples that are pushed one way less that of the others.
    n_samples : int
        Sampled steps in a row that must show the fault, if it never ended by itself in this run.

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
    inputs = (D_REAL, D_FAKE, G_FAKE, ORDER, REALS)
    required = ((D_FAKE, G_FAKE),)
    is_optional = True
    fire_after = 40
    resolve_after = 200
    tunable = {"min_pull": (0.3, 0.9), "n_samples": (1, 6)}

    def __init__(self, *, min_pull: float = 0.5, n_samples: int = 2) -> None:
        self.min_pull, self.n_samples = min_pull, n_samples
        self._of_g, self._of_d = _Streak(n_samples), _Streak(n_samples)
        self._alone = Lasting(ALONE_STEPS)
        self._n_readings = 0

    def update(self, readings: Readings) -> DetectorResult:
        real, fake, of_g, order, reals = readings.select(self.inputs)
        if is_finite(reals):
            self._alone.update(readings.step, reals == 0.0)
        if self._alone.holds:
            text = "Every batch that D is trained on is known to be fake: it is given fakes in place of reals."
            return Verdict(0.0, 1.0, REALS, ALONE_STEPS, "a fact of the loop", text, onset=self._alone.since)
        if not is_finite(fake):
            return None
        if is_finite(of_g):
            self._n_readings += 1
        if is_finite(of_g) and of_g != 0.0:
            self._of_g.add(readings.step, self._helps_d(of_g, fake, order if is_finite(order) else 0.0))
        if is_finite(real):
            self._of_d.add(readings.step, self._is_same(real, fake))
        if is_finite(real) and self._of_d.is_long:
            text = f"D's loss asks for {_name(fake)} scores of reals and of fakes alike, so D does not learn to tell them apart."
            return self._verdict(D_REAL, real, self._of_d.since, text)
        if is_finite(of_g) and self._of_g.is_long:
            if abs(of_g) < self.min_pull:
                text = "G's loss and D's ask for the same scores of fakes: one of them has the wrong sign or label."
            else:
                text = f"G's loss asks for {_name(of_g)} scores of its samples, as D's loss does: one of them has the wrong sign or label."
            return self._verdict(G_FAKE, of_g, self._of_g.since, text)
        return None

    def _helps_d(self, of_g: float, fake: float, order: float) -> bool:
        """Return True if G's loss asks for what D's asks for, or for what D has reached if it asks for nothing any more."""
        if abs(of_g) < self.min_pull:  # at rest between samples that are too low and too high, which is D's own aim if D is at rest too
            return abs(of_g) > 0.0 and 0.0 < abs(fake) < self.min_pull
        return self._is_same(of_g, fake if abs(fake) >= self.min_pull else order)

    def _is_same(self, one: float, other: float) -> bool:
        """Return True if two pulls are clear and go the same way."""
        return min(abs(one), abs(other)) >= self.min_pull and (one > 0) == (other > 0)

    def _verdict(self, signal: str, pull: float, since: int, explanation: str) -> Verdict:
        threshold = self.min_pull if pull > 0 else -self.min_pull
        return Verdict(pull, threshold, signal, 20 * self.n_samples, "what the other loss asks for", explanation, onset=since)

    @property
    def is_ready(self) -> bool:
        return self._n_readings >= self.n_samples

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator's loss whose sign changes. Return the readings and the onset."""
        before = {D_REAL: 0.9, D_FAKE: -0.9, G_FAKE: 0.9, ORDER: -0.6}
        return cls.simulate(seed, onset=300, before=before, after={G_FAKE: -0.9}), 300


def _name(pull: float) -> str:
    return "higher" if pull > 0 else "lower"
