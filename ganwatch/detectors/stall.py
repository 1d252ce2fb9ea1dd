"""The training goes on and nothing gets better, although the generated samples are bad.

How it is detected
    Two ways, both only while fakes are far from the real data: by the energy distance, which is about 0 for real data against real data
    of the same batch size, or by precision and coverage of an evaluation, which are near 1 for them. Either the generator's updates have
    ceased to move its weights, in relation to them or to what they did before, for a window of steps. Or its weights move, by a good part
    of their norm, and nearly all energy distances of the last half of the run, at least `patience` steps, are large and the later ones are
    hardly smaller than the earlier ones. A run that has converged stands still near the data
    and is left alone. A generator that stands still because the discriminator ranks everything right is `discriminator_domination`.

Why it matters
    Every further step costs money and changes nothing.

Likely causes
    Learning rates that a schedule has let fall to nothing, or too early; an optimizer that holds other parameters than the network
    uses; frozen parameters; a generator with too little capacity for the data, such as a narrow layer or few latents; a discriminator that
    cannot tell it what is wrong, such as one of a single layer; initial weights or a penalty that are far too large. A loss that gives no
    gradient has an incident of its own.

What to do
    Look at the learning rates and their schedule. Continue from the last checkpoint that still improved, with a schedule that is longer or
    restarts. If weights do move, look at diversity and at the balance of the networks, then give the generator more capacity.

Blind spots
    A process that is silent gives no readings: that is a matter of heartbeat alerts. A generator that stands still close to the data, or
    that only lacks modes, is not stalled here. Where steps are few, so are evaluations, and a verdict needs one after the weights
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

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.plateau import FarPlateau
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import HealthyMedian, Window


class Stall(Detector):
    """Fire when a bad generator's weights are at rest, or when its distance to reals has not shrunk in a long time.

    Parameters
    ----------
    rest_update_ratio : float, ratio
        Update-to-weight norm of G below which its weights are at rest.
    rest_ratio : float, ratio
        The same against its own healthy median. The larger limit counts.
    min_distance_at_rest : float, in (0, 1)
        Energy distance from which fakes are bad while the weights are at rest.
    min_distance : float, in (0, 1)
        Energy distance from which fakes are bad while the weights move.
    max_precision, max_coverage : float, in (0, 1)
        Precision and coverage of an evaluation that must both be undercut for fakes to be bad.
    max_auc : float, in (0.5, 1)
        Share of pairs that D ranks right from which it is the cause of weights at rest.
    min_improvement : float, ratio
        Reduction of the energy distance from one half of the evidence to the next that counts as progress, while the weights move.
    patience : int, steps
        Steps without progress while the weights move, and no less than half of the run.
    window : int, steps
        Steps for which the weights must be at rest.

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
    kind = FailureKind.QUALITY
    inputs = ("update_to_weight/g", "energy_distance", "precision", "coverage", "d_auc")
    required = (("update_to_weight/g", "energy_distance"),)
    causal_priority = 1
    tunable = {
        "rest_update_ratio": (1e-5, 1e-7),
        "rest_ratio": (2e-2, 1e-3),
        "min_distance_at_rest": (0.02, 0.2),
        "min_distance": (0.04, 0.4),
        "min_improvement": (0.3, 0.05),
        "patience": (300, 2000),
        "window": (100, 500),
    }

    def __init__(
        self,
        *,
        rest_update_ratio: float = 1e-6,
        rest_ratio: float = 5e-3,
        min_distance_at_rest: float = 0.05,
        min_distance: float = 0.1,
        max_precision: float = 0.25,
        max_coverage: float = 0.1,
        max_auc: float = 0.98,
        min_improvement: float = 0.2,
        patience: int = 400,
        window: int = 200,
    ) -> None:
        self.rest_update_ratio, self.rest_ratio = rest_update_ratio, rest_ratio
        self.min_distance_at_rest, self.min_distance = min_distance_at_rest, min_distance
        self.max_precision, self.max_coverage, self.max_auc = max_precision, max_coverage, max_auc
        self.min_improvement, self.patience, self.window = min_improvement, patience, window
        self._healthy_updates = HealthyMedian(warmup=5)
        self._at_rest_since: int | None = None
        self._distance = Window(window)
        self._auc = Window(window)
        self._evaluation: list[float] = []
        """Precision and coverage, measured since the weights are at rest."""
        self._plateau = FarPlateau(min_distance=min_distance, min_improvement=min_improvement, patience=patience)

    def update(self, readings: Readings) -> DetectorResult:
        g_update, distance, precision, coverage, auc = readings.select(self.inputs)
        if is_finite(g_update):
            self._update_rest(readings.step, g_update)
            self._plateau.add_update(readings.step, g_update)
        if is_finite(precision) and is_finite(coverage) and self._at_rest_since is not None:
            self._evaluation = [precision, coverage]
        if is_finite(auc):
            self._auc.add(readings.step, auc)
        if is_finite(distance):
            self._distance.add(readings.step, distance)
            self._plateau.add_distance(readings.step, distance)
        if self._at_rest_since is not None and readings.step - self._at_rest_since >= self.window:
            return self._evaluate_at_rest(readings.step, self._at_rest_since)
        return self._evaluate_progress(readings.step)

    def _update_rest(self, step: int, g_update: float) -> None:
        """Record since which step the weights are at rest."""
        healthy = self._healthy_updates
        limit = max(self.rest_update_ratio, self.rest_ratio * healthy.value if healthy.is_ready else 0.0)
        if g_update >= limit:
            self._at_rest_since, self._evaluation = None, []
            healthy.update(g_update)
        elif self._at_rest_since is None:
            self._at_rest_since = step

    def _evaluate_at_rest(self, step: int, since: int) -> Verdict | None:
        if self._auc.median >= self.max_auc:
            return None
        distance, limit = self._distance.median if self._distance.is_full else 0.0, self.min_distance_at_rest
        finding = f"G's weights have not moved since step {since}"
        if distance >= limit:
            return _verdict(step, since, ("energy_distance", distance, limit), f"{finding}, at a distance of {distance:.2f} to reals.")
        if self._evaluation and self._evaluation[0] < self.max_precision and self._evaluation[1] < self.max_coverage:
            precision, coverage = self._evaluation
            text = f"{finding}, with a precision of {precision:.2f} and a coverage of {coverage:.2f}."
            return _verdict(step, since, ("precision", precision, self.max_precision), text)
        return None

    def _evaluate_progress(self, step: int) -> Verdict | None:
        since = self._plateau.since(step)
        if since is None:
            return None
        distance = self._plateau.distance
        text = f"The distance of fakes to reals is {distance:.2f} and has hardly shrunk in {step - since + 1} steps, though G is updated."
        return _verdict(step, since, ("energy_distance", distance, self.min_distance), text)

    @property
    def is_ready(self) -> bool:
        return self._distance.is_full

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a generator whose weights come to rest. Return the readings and the onset."""
        before = {"update_to_weight/g": 1e-3, "energy_distance": 0.07, "precision": 0.1, "coverage": 0.05, "d_auc": 0.8}
        return cls.simulate(seed, onset=500, before=before, after={"update_to_weight/g": 1e-9}), 500


def _verdict(step: int, since: int, evidence: tuple[str, float, float], explanation: str) -> Verdict:
    signal, value, threshold = evidence
    origin = "real data against real data; the run's own past"
    return Verdict(value, threshold, signal, window=max(1, step - since), origin=origin, explanation=explanation, onset=since)
