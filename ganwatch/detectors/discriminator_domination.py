"""The discriminator has won, and the generator has stopped improving.

How it is detected
    The share of (real, fake) pairs that the discriminator ranks right does not depend on the loss. A verdict needs it to stay near 1
    and, over the same time, an energy distance between fakes and reals that stays large and does not shrink. Or it needs it to stay
    large while the generator's updates have fallen to a fraction of what they were, or to a small one of the discriminator's, which
    goes on as before. A discriminator that is merely ahead of a generator that still improves is left alone.

Why it matters
    The generator gets gradients that no longer tell it where to go. The losses look excellent: the discriminator's is near zero.

Likely causes
    The discriminator has too high a learning rate, too many updates or too much capacity for this generator; real and fake samples
    can be told apart by something trivial, such as their value range.

What to do
    Check that real and generated samples are scaled and augmented alike. Then a loss that does not saturate, or a gradient penalty;
    fewer discriminator updates, a lower discriminator learning rate, spectral normalisation.

Blind spots
    Needs to know which batch is real and which is generated. Distances are taken in pixels, so progress that is invisible there
    (semantics at equal pixel statistics) does not count.

Calibration
    On the final part of the corpus it fired on 7 of the 7 runs whose failure it names, and on 1 of 216 healthy ones (`make corpus-table`).

References
    Arjovsky and Bottou, Towards principled methods for training GANs, 2017, arXiv:1701.04862.
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import HealthyMedian, Window


class DiscriminatorDomination(Detector):
    """Fire when D separates almost perfectly while fakes come no nearer to reals.

    Parameters
    ----------
    level : float, in (0.5, 1)
        Share of pairs ranked right from which on D counts as ahead.
    lead : float, in (0.5, 1)
        The same against a generator that is held back.
    slowed : float, ratio
        Update-to-weight norm of G, against its own healthy median, below which it is held back while D is not.
    apart : float, ratio
        The same against that of D.
    far : float, in (0, 1)
        Energy distance below which the generator is good enough to be let alone.
    gain : float, ratio
        Reduction of the energy distance from one window to the next that counts as improvement.
    window : int, steps
        Two of these make the evidence.

    Examples
    --------
    >>> readings, onset = DiscriminatorDomination.demo(seed=0)
    >>> detector = DiscriminatorDomination()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 500
    True
    """

    code = "GW201"
    title = "discriminator domination"
    severity = Severity.TICKET
    inputs = ("d_auc", "energy_distance", "update_to_weight/g", "update_to_weight/d")
    tunable = {
        "level": (0.9, 0.999),
        "lead": (0.5, 0.95),
        "slowed": (0.3, 0.01),
        "apart": (0.1, 1e-3),
        "far": (0.03, 0.4),
        "gain": (0.3, 0.03),
        "window": (100, 400),
    }

    def __init__(
        self,
        *,
        level: float = 0.98,
        lead: float = 0.6,
        slowed: float = 0.1,
        apart: float = 0.02,
        far: float = 0.1,
        gain: float = 0.1,
        window: int = 200,
    ) -> None:
        self.level, self.lead, self.slowed, self.apart = level, lead, slowed, apart
        self.far, self.gain, self.window = far, gain, window
        self._auc = Window(window)
        self._energy = Window(window)
        self._past = Window(window)
        self._moved = [Window(window), Window(window)]
        self._healthy = [HealthyMedian(warmup=5), HealthyMedian(warmup=5)]

    def update(self, readings: Readings) -> Outcome:
        auc, energy, *moved = readings.select(self.inputs)
        if auc is not None:
            self._auc.push(readings.step, auc)
        if energy is not None:
            if self._energy.full:
                self._past.push(readings.step, self._energy.oldest)
            self._energy.push(readings.step, energy)
        for window, healthy, value in zip(self._moved, self._healthy, moved, strict=True):
            if value is not None:
                window.push(readings.step, value)
                healthy.learn(value, unless=healthy.ready and value < self.slowed * healthy.value)
        if not (self._auc.full and self._past.full):
            return None
        ahead, distance, before = self._auc.quantile(0.25), self._energy.median, self._past.median
        held_back = ahead >= self.lead and self._held_back()
        if not held_back and (ahead < self.level or distance < self.far or distance < (1.0 - self.gain) * before):
            return None
        why = f"; one update moves {self._moved[0].median:.1g} of G's weights and {self._moved[1].median:.1g} of D's" if held_back else ""
        return Verdict(
            value=ahead,
            threshold=self.lead if held_back else self.level,
            signal="d_auc",
            window=2 * self.window,
            origin="ranking of real above fake; the generator's progress over the same window",
            explanation=(
                f"D ranks {ahead:.1%} of pairs right, and the distance of fakes to reals went from {before:.2f} to {distance:.2f} "
                f"in {self.window} steps{why}."
            ),
            onset=max(1, readings.step - self.window + 1),
        )

    def _held_back(self) -> bool:
        """Whether G hardly moves for a whole window, and D as it did."""
        (of_g, of_d), (healthy_g, healthy_d) = self._moved, self._healthy
        if not (of_g.full and of_d.full and healthy_g.ready):
            return False
        most = max(self.slowed * healthy_g.value, self.apart * of_d.median)
        return of_g.high < most and of_d.median >= 0.5 * healthy_d.value

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream that is healthy up to its onset, and the onset."""
        readings = cls.stream(
            seed,
            onset=500,
            before={"d_auc": 0.8, "energy_distance": 0.03, "update_to_weight/g": 1e-3, "update_to_weight/d": 1e-3},
            after={"d_auc": 0.999, "energy_distance": 0.5},
            length=600,
            noise=0.001,
        )
        return readings, 500
