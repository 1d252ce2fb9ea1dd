"""The discriminator has stopped telling real from fake, and nothing corrects the generator.

How it is detected
    By relations that no scaling of a loss changes and that have to hold together, over a window. The energy distance between fakes and
    reals stays large and does not shrink. The discriminator's updates hardly move its weights, in relation to them or to what they did
    while it was ahead. And either it ranks no more pairs right than chance does while the fakes are diverse, since a collapsed generator
    fools one that is merely slow; or it has stopped altogether and is losing its lead while the generator goes on. At a good optimum chance
    is all that a discriminator reaches too, but the fakes are near the real data then. Where its weights do not move at all while the
    generator's do, the distance is not waited for.

Why it matters
    The generator is pushed wherever a blind discriminator gives high scores. Its loss falls and looks like progress while samples get
    worse or stay noise.

Likely causes
    A discriminator that is frozen, whose learning rate is far too low or has fallen to nothing, or whose optimizer has other parameters; a
    generator that is updated much more often or at a much higher learning rate.

What to do
    Check that the discriminator's parameters require gradients and that its optimizer has them. Then a higher learning rate for the
    discriminator or a lower one for the generator; more discriminator updates; more capacity for the discriminator.

Blind spots
    A discriminator that learns at its usual rate and is fooled all the same, because it is too small or too strongly regularised. One that
    no optimizer steps gives no reading; `status()` says so. Distances are taken in pixels.

Calibration
    On the final part of the corpus it fired on 24 of the 24 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Goodfellow et al., 2014, arXiv:1406.2661 (the discriminator near its optimum is what the generator's objective rests on); Heusel et
    al., 2017, arXiv:1706.08500 (learning rates of the two).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings
from ganwatch.core.statistics import HealthyMedian, Window


class GeneratorDomination(Detector):
    """Fire when D ranks like chance and does not learn while fakes come no nearer to reals.

    Parameters
    ----------
    chance : float, in [0.5, 1)
        Share of pairs ranked right below which D counts as blind.
    lead : float, in [0.5, 1)
        The same for a D that has stopped.
    slow, slowed : float, ratio
        Update-to-weight norm of D below which it learns too little: as such, and as a share of what it was while D was not blind.
    stopped : float, ratio
        Share of these below which it does not learn at all; at a hundredth of it its weights are at rest.
    diverse : float, ratio
        Pairwise distance of fakes against reals from which on a slow D is to blame.
    far : float, in (0, 1)
        Energy distance below which the generator is good enough to be let alone.
    gain : float, ratio
        Reduction of the energy distance from one window to the next that counts as improvement.
    window : int, steps
        Two of these make the evidence.

    Examples
    --------
    >>> readings, onset = GeneratorDomination.demo(seed=0)
    >>> detector = GeneratorDomination()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 250
    True
    """

    code = "GW202"
    title = "generator domination"
    severity = Severity.TICKET
    inputs = ("d_auc", "update_to_weight/d", "update_to_weight/g", "pairwise_ratio", "energy_distance")
    fire_after = 40
    tunable = {
        "chance": (0.65, 0.5),
        "lead": (0.98, 0.7),
        "slow": (1e-3, 4e-5),
        "slowed": (0.4, 0.05),
        "stopped": (0.15, 0.015),
        "far": (0.03, 0.4),
        "gain": (0.3, 0.03),
        "window": (60, 250),
    }

    def __init__(
        self,
        *,
        chance: float = 0.55,
        lead: float = 0.9,
        slow: float = 2e-4,
        slowed: float = 0.15,
        stopped: float = 0.05,
        diverse: float = 0.5,
        far: float = 0.1,
        gain: float = 0.1,
        window: int = 100,
    ) -> None:
        self.chance, self.lead, self.slow, self.slowed, self.stopped = chance, lead, slow, slowed, stopped
        self.diverse, self.far, self.gain, self.window = diverse, far, gain, window
        self._auc = Window(window)
        self._moved = [Window(window), Window(window)]
        self._spread = Window(window)
        self._energy = Window(window)
        self._past = Window(window)
        self._healthy = HealthyMedian(warmup=5)
        self._since: int | None = None

    def update(self, readings: Readings) -> Outcome:
        auc, of_d, of_g, spread, energy = readings.select(self.inputs)
        for window, value in ((self._auc, auc), (self._moved[0], of_d), (self._moved[1], of_g), (self._spread, spread)):
            if value is not None:
                window.push(readings.step, value)
        if energy is not None:
            if self._energy.full:
                self._past.push(readings.step, self._energy.oldest)
            self._energy.push(readings.step, energy)
        if not (self._auc.full and self._moved[0].full):
            return None
        ranked, learns, goes_on = self._auc.median, self._moved[0].median, self._moved[1].median
        limit = max(self.slow, self.slowed * self._healthy.value if self._healthy.ready else 0.0)
        self._healthy.learn(of_d, unless=ranked < self.chance or learns < limit)
        going = goes_on > self.stopped * limit
        blind = going and ranked < self.chance and learns < limit and self._spread.full and self._spread.low >= self.diverse
        halted = going and ranked < self.lead and learns < self.stopped * limit
        self._since = (self._since or max(1, readings.step - self.window // 2)) if blind or halted else None
        distance, before = self._energy.median, self._past.median
        rests = halted and self._moved[0].high < 0.01 * self.stopped * limit
        poor = self._past.full and distance >= self.far and distance >= (1.0 - self.gain) * before
        if not (rests or (poor and (blind or halted))):
            return None
        return Verdict(
            value=ranked,
            threshold=self.lead if halted else self.chance,
            signal="d_auc",
            window=self.window,
            origin="ranking by chance; D's updates against its weights",
            explanation=(
                f"D ranks {ranked:.0%} of pairs right, one of its updates moves {learns:.1g} of its weights and one of G's {goes_on:.1g}, "
                f"and the distance of fakes to reals went from {before:.2f} to {distance:.2f} in {self.window} steps."
            ),
            onset=self._since,
        )

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose discriminator stops learning, and the step at which it does."""
        before = {"d_auc": 0.8, "update_to_weight/d": 1e-3, "update_to_weight/g": 1e-3, "pairwise_ratio": 0.9, "energy_distance": 0.03}
        after = {"d_auc": 0.02, "update_to_weight/d": 1e-6, "energy_distance": 0.4}
        return cls.stream(seed, onset=500, before=before, after=after, length=600), 500
