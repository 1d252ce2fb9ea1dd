"""The training goes on and nothing gets better, although the generated samples are bad.

How it is detected
    Two ways, both only while fakes are far from the real data: by the energy distance, which is about 0 for real data against real data
    of the same batch size, or by precision and coverage of an evaluation, which are near 1 for them. Either the generator's updates have
    ceased to move its weights, in relation to them or to what they did before, for a window of steps. Or its weights move and the energy
    distance has not improved in a long time, which is many steps and half of the run. A run that has converged stands still near the data
    and is left alone. A generator that stands still because the discriminator ranks everything right is `discriminator_domination`.

Why it matters
    Every further step costs money and changes nothing.

Likely causes
    Learning rates that a schedule has let fall to nothing, or too early; an optimizer that holds other parameters than the ones that are
    used; frozen parameters; a generator with too little capacity for the data. A loss that gives no gradient has an incident of its own.

What to do
    Look at the learning rates and at what sets them. Go on from the last checkpoint that still improved, with a schedule that is longer or
    restarts. If weights do move, look at diversity and at the balance of the networks, then give the generator more capacity.

Blind spots
    A process that is silent gives no readings: that is a matter of heartbeat alerts. A generator that stands still close to the data, or
    that lacks kinds of data and nothing else, is not stalled here. Where steps are few, evaluations are, and it takes one after the weights
    have come to rest. The energy distance is taken in pixels.

Calibration
    On the final part of the corpus it fired on 20 of the 21 runs whose failure it names, and on 0 of 216 healthy ones
    (`make corpus-table`).

References
    Székely and Rizzo, 2013 (energy distance); Kynkäänniemi et al., 2019, arXiv:1904.06991 (precision); Naeem et al., 2020,
    arXiv:2002.09797 (coverage).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, Outcome, Severity, Verdict
from ganwatch.core.readings import Readings, finite
from ganwatch.core.statistics import HealthyMedian, Window


class Stall(Detector):
    """Fire when a bad generator's weights have come to rest, or when its distance to reals has not shrunk in a long time.

    Parameters
    ----------
    still, slowed : float, ratio
        Update-to-weight norm of G below which it stands still: as such, and as a share of its own healthy median.
    far, farther : float, in (0, 1)
        Energy distance from which on fakes are bad: while the weights stand still, and while they move.
    precise, covering : float, in (0, 1)
        Precision and coverage that both have to be undercut for an evaluation to say the same.
    perfect : float, in (0.5, 1)
        Share of pairs ranked right from which on standing still is put down to the discriminator.
    gain : float, ratio
        Reduction of the energy distance that counts as progress.
    patience : int, steps
        Without progress, and no less than half of the run, while the weights move.
    window : int, steps
        For which the weights have to stand still.

    Examples
    --------
    >>> readings, onset = Stall.demo(seed=0)
    >>> detector = Stall()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 250
    True
    """

    code = "GW403"
    title = "stall"
    severity = Severity.TICKET
    inputs = ("update_to_weight/g", "energy_distance", "precision", "coverage", "d_auc")
    causal_priority = 1
    tunable = {
        "still": (1e-5, 1e-7),
        "slowed": (2e-2, 1e-3),
        "far": (0.02, 0.2),
        "farther": (0.04, 0.4),
        "gain": (0.3, 0.03),
        "patience": (800, 5000),
        "window": (100, 500),
    }

    def __init__(
        self,
        *,
        still: float = 1e-6,
        slowed: float = 5e-3,
        far: float = 0.05,
        farther: float = 0.1,
        precise: float = 0.25,
        covering: float = 0.1,
        perfect: float = 0.98,
        gain: float = 0.1,
        patience: int = 2000,
        window: int = 200,
    ) -> None:
        self.still, self.slowed, self.far, self.farther = still, slowed, far, farther
        self.precise, self.covering, self.perfect = precise, covering, perfect
        self.gain, self.patience, self.window = gain, patience, window
        self._healthy = HealthyMedian(warmup=5)
        self._since: int | None = None
        self._energy = Window(window)
        self._auc = Window(window)
        self._evaluated: list[float] = []
        """Precision and coverage, measured since the weights stand still."""
        self._best = 2.0
        self._improved = 0

    def update(self, readings: Readings) -> Outcome:
        moved, energy, precision, coverage, auc = readings.select(self.inputs)
        if finite(moved):
            self._rest(readings.step, moved)
        if finite(precision) and finite(coverage) and self._since is not None:
            self._evaluated = [precision, coverage]
        if finite(auc):
            self._auc.push(readings.step, auc)
        if finite(energy):
            self._energy.push(readings.step, energy)
            if self._energy.full and self._energy.median < (1.0 - self.gain) * self._best:
                self._best, self._improved = self._energy.median, readings.step
        if self._since is not None and readings.step - self._since >= self.window:
            return self._resting(readings.step, self._since)
        return self._plodding(readings.step)

    def _rest(self, step: int, moved: float) -> None:
        """Note whether the weights stand still."""
        limit = max(self.still, self.slowed * self._healthy.value if self._healthy.ready else 0.0)
        if moved >= limit:
            self._since, self._evaluated = None, []
            self._healthy.learn(moved)
        elif self._since is None:
            self._since = step

    def _resting(self, step: int, since: int) -> Verdict | None:
        if self._auc.median >= self.perfect:
            return None
        distance = self._energy.median if self._energy.full else 0.0
        why = f"G's weights have stood still since step {since}"
        if distance >= self.far:
            return _verdict(step, since, ("energy_distance", distance, self.far), f"{why}, at a distance of {distance:.2f} to reals.")
        if self._evaluated and self._evaluated[0] < self.precise and self._evaluated[1] < self.covering:
            precision, coverage = self._evaluated
            text = f"{why}, with a precision of {precision:.2f} and a coverage of {coverage:.2f}."
            return _verdict(step, since, ("precision", precision, self.precise), text)
        return None

    def _plodding(self, step: int) -> Verdict | None:
        waited, distance = step - self._improved, self._energy.median
        if not self._energy.full or distance < self.farther or waited < max(self.patience, step // 2):
            return None
        text = f"The distance of fakes to reals is {distance:.2f} and has not got {self.gain:.0%} better in {waited} steps."
        return _verdict(step, self._improved + 1, ("energy_distance", distance, self.farther), text)

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """A stream whose generator stops moving, and the step at which it does."""
        before = {"update_to_weight/g": 1e-3, "energy_distance": 0.15, "precision": 0.1, "coverage": 0.05, "d_auc": 0.8}
        return cls.stream(seed, onset=500, before=before, after={"update_to_weight/g": 1e-9}), 500


def _verdict(step: int, since: int, evidence: tuple[str, float, float], explanation: str) -> Verdict:
    signal, value, threshold = evidence
    origin = "real data against real data; the run's own past"
    return Verdict(value, threshold, signal, window=max(1, step - since), origin=origin, explanation=explanation, onset=since)
