"""A network's learning rate is too small for it to arrive.

How it is detected
    A fact: the learning rate has been zero, or a thousandth of its own highest value, for a window. Or else one update changes so little
    of the weights that it would take tens of thousands to replace them, as much as ever for this rate, and the fakes are far from
    the real data and come no nearer. For the discriminator it must also be unable to tell the two apart; for the generator, its first layer
    must get a gradient.

Why it matters
    The training runs to its end and arrives nowhere. Meanwhile the other network wins, and its alarms name the wrong cause.

Likely causes
    A rate with a wrong exponent; a warm-up or a decay that counts steps where it should count epochs, or the other way round; a scheduler
    that is stepped twice; a rate that is divided by the number of processes.

What to do
    Print the rate of each parameter group at some steps, and compare it with the schedule that was meant. Adam trains most
    GANs at 1e-4 to 5e-4.

Blind spots
    A rate that is small but brings the fakes nearer is left alone, and so is one whose fakes are near the real data already, unless it has
    decayed to nothing. Distances are taken in pixels.

Calibration
    Judged on the trainings of `python tests/wiring/main.py`: tiny and zero rates, warm-ups and decays on three worlds, beside schedules
    that arrive.

References
    Kingma and Ba, 2015, arXiv:1412.6980 (the rate bounds the size of an update). Heusel et al., 2017, arXiv:1706.08500 (rates of both
    networks).
"""

from __future__ import annotations

from collections.abc import Iterator

from ganwatch.core.detector import Detector, DetectorResult, FailureKind, Severity, Verdict
from ganwatch.core.readings import Readings, is_finite
from ganwatch.core.statistics import Stateful, Window

MIN_DEPTH = 1e-4
"""Gradient of the generator's first layer against its last below which it is swallowed on the way, and the rate is not to blame."""
FAMILIES = "learning_rate", "update_to_weight", "grad_to_output"
MIN_REACHING_GRADIENT = 1e-2
"""Gradient norm against that at D's output from which it reaches the weights; below it the gradient is at fault and not the rate."""
MIN_SPEED_SHARE = 0.5
"""Update for a given rate, against the largest one so far, from which the rate is at fault; below it the gradient has become smaller."""
MAX_AUC = 0.9
"""Share of pairs that D ranks right up to which small updates keep it from learning; above it there is little left to learn."""


class _Network(Stateful):
    """Rate and updates of one network."""

    def __init__(self, role: str, window: int) -> None:
        self.role, self.name = role, role.upper()
        self.inputs = tuple(f"{family}/{role}" for family in FAMILIES)
        self._rates, self._updates, self._gradients = Window(window), Window(window), Window(window)
        self._speeds = Window(window)
        """Update-to-weight norms, divided by the rate."""
        self._highest_speed = 0.0
        self._highest_rate = 0.0
        self._decayed_since = 0
        """First step of the looks in a row at which the rate had decayed to nothing; 0 if it has not."""
        self._first_step = 0

    def update(self, readings: Readings, max_decay: float) -> None:
        """Add the readings of one step."""
        rate, update, gradient = readings.select(self.inputs)
        if is_finite(rate):
            self._first_step = self._first_step or readings.step
            self._rates.add(readings.step, rate)
            self._highest_rate = max(self._highest_rate, rate)
            has_decayed = rate <= max_decay * self._highest_rate
            self._decayed_since = (self._decayed_since or readings.step) if has_decayed else 0
        if is_finite(update):
            self._updates.add(readings.step, update)
        if is_finite(rate) and is_finite(update) and rate > 0.0:
            self._speeds.add(readings.step, update / rate)
            self._highest_speed = max(self._highest_speed, update / rate)
        if is_finite(gradient):
            self._gradients.add(readings.step, gradient)

    @property
    def is_ready(self) -> bool:
        """True once there is a window of rates and updates."""
        return self._rates.is_full and self._updates.is_full

    def decayed_since(self, step: int, window: int) -> int:
        """Return the step since which the rate has been next to nothing, 0 unless for a window."""
        return self._decayed_since if self._decayed_since and step - self._decayed_since >= window else 0

    def is_slow(self, max_update_ratio: float) -> bool:
        """Return True if updates are small for a window though gradients reach the weights."""
        reaches = not len(self._gradients) or self._gradients.median >= MIN_REACHING_GRADIENT
        reaches = reaches and self._speeds.median >= MIN_SPEED_SHARE * self._highest_speed
        return self.is_ready and self._updates.high < max_update_ratio and self._updates.median > 0.0 and reaches

    @property
    def update_ratio(self) -> float:
        """Part of the weights that one update changes."""
        return self._updates.median

    def describe_rate(self) -> str:
        """Describe the rate and where it came from."""
        now, highest = self._rates.values[-1], self._highest_rate
        if now <= 0.1 * highest:
            return f"its learning rate has fallen from {highest:.2g} to {now:.2g}"
        rises = now > self._rates.oldest
        return f"its learning rate is {now:.2g}" + (f" and rises, from {self._rates.oldest:.2g}" if rises else "")


class SlowLearning(Detector):
    """Fire when a learning rate has decayed to nothing, or is too small for fakes to come nearer.

    Parameters
    ----------
    max_decay : float, ratio
        Rate against its highest value up to which it has decayed to nothing.
    max_update_ratio : float, ratio
        Update-to-weight norm below which an update changes too little.
    min_distance : float, in (0, 1)
        Energy distance from which fakes are far from the real data.
    min_improvement : float, ratio
        Reduction of the energy distance from one window to the next that counts as arriving.
    window : int, steps
        Length of the evidence.

    Examples
    --------
    >>> readings, onset = SlowLearning.demo(seed=0)
    >>> detector = SlowLearning()
    >>> fired = next(r.step for r in readings if detector.update(r))
    >>> onset <= fired <= onset + 100
    True
    """

    code = "GW002"
    title = "slow learning"
    severity = Severity.TICKET
    kind = FailureKind.WIRING
    inputs = (*(f"{family}/{role}" for role in ("g", "d") for family in FAMILIES), "energy_distance", "d_auc", "grad_first_to_last/g")
    required = (("learning_rate/g", "update_to_weight/g"),)
    is_optional = True
    causal_priority = 2

    def __init__(
        self,
        *,
        max_decay: float = 1e-3,
        max_update_ratio: float = 5e-5,
        min_distance: float = 0.05,
        min_improvement: float = 0.1,
        window: int = 60,
    ) -> None:
        self.max_decay, self.max_update_ratio = max_decay, max_update_ratio
        self.min_distance, self.min_improvement, self.window = min_distance, min_improvement, window
        self._networks = {role: _Network(role, window) for role in ("g", "d")}
        self._distance, self._distance_before, self._auc = Window(window), Window(window), Window(window)
        self._is_swallowed = False

    def update(self, readings: Readings) -> DetectorResult:
        for network in self._networks.values():
            network.update(readings, self.max_decay)
        distance, auc, depth = readings.select(("energy_distance", "d_auc", "grad_first_to_last/g"))
        if is_finite(depth):
            self._is_swallowed = depth < MIN_DEPTH
        if is_finite(auc):
            self._auc.add(readings.step, auc)
        if is_finite(distance):
            if self._distance.is_full:
                self._distance_before.add(readings.step, self._distance.oldest)
            self._distance.add(readings.step, distance)
        return self._find_decayed(readings.step) or self._find_slow(readings.step)

    def _find_decayed(self, step: int) -> Verdict | None:
        for network in self._networks.values():
            if since := network.decayed_since(step, self.window):
                text = f"{network.name} is updated, but {network.describe_rate()} since step {since}."
                evidence = f"learning_rate/{network.role}", 0.0, self.max_decay
                return self._verdict(evidence, step - since + 1, since, "the run's own highest rate", text)
        return None

    def _find_slow(self, step: int) -> Verdict | None:
        if not self._distance_before.is_full:
            return None
        now, before = self._distance.median, self._distance_before.median
        if now < self.min_distance or now < (1.0 - self.min_improvement) * before:
            return None
        for network in self._networks.values():
            can_learn = not self._is_swallowed if network.role == "g" else self._auc.median < MAX_AUC
            if can_learn and network.is_slow(self.max_update_ratio):
                ratio = network.update_ratio
                text = f"{network.name} would need {1.0 / ratio:,.0f} updates to replace its weights: {network.describe_rate()}."
                evidence = f"update_to_weight/{network.role}", ratio, self.max_update_ratio
                origin = "its weights; the distance of fakes over the same window"
                return self._verdict(evidence, 2 * self.window, max(1, step - 2 * self.window + 1), origin, text)
        return None

    @staticmethod
    def _verdict(evidence: tuple[str, float, float], window: int, onset: int, origin: str, explanation: str) -> Verdict:
        signal, value, threshold = evidence
        return Verdict(value, threshold, signal, window, origin, explanation, onset=onset)

    @property
    def is_ready(self) -> bool:
        return self._networks["g"].is_ready

    @classmethod
    def demo(cls, seed: int) -> tuple[Iterator[Readings], int]:
        """Simulate a rate that a schedule sets to zero. Return the readings and the onset."""
        before = {"learning_rate/g": 2e-4, "update_to_weight/g": 1e-3, "energy_distance": 0.2}
        after = {"learning_rate/g": 0.0, "update_to_weight/g": 0.0}
        return cls.simulate(seed, onset=300, before=before, after=after), 300
